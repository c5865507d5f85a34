<?php
// A web application whose sessions PHP keeps in Redis by itself, for PHP's own web server: sessions.php asks it.

header('Content-Type: application/json');
$address = getenv('CLIENT_TESTS_REDIS');
ini_set('session.save_handler', 'redis');
ini_set('session.save_path', "tcp://$address");
ini_set('session.gc_maxlifetime', $_GET['seconds'] ?? '3600');
ini_set('redis.session.locking_enabled', getenv('CLIENT_TESTS_LOCKING'));
ini_set('redis.session.lock_retries', '10000'); // Of two milliseconds each.
ini_set('redis.session.lock_expire', '60');
$gate = isset($_GET['gated']) ? getenv('CLIENT_TESTS_GATE') : null;
if ($gate) {
    file_put_contents("$gate/arrived", '.', FILE_APPEND | LOCK_EX);
}
session_start(['use_strict_mode' => 1]);

$reply = [];
switch (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    case '/login':
        session_regenerate_id(true);
        $_SESSION['user'] = $_GET['user'];
        break;
    case '/me':
        $reply['user'] = $_SESSION['user'] ?? null;
        break;
    case '/visit':
        $visits = $_SESSION['visits'] ?? 0;
        // Until another request is under way, which would lose this visit, were there no lock.
        for ($deadline = microtime(true) + 10; $gate && !file_exists("$gate/open") && microtime(true) < $deadline;) {
            usleep(1_000);
        }
        $reply['visits'] = $_SESSION['visits'] = $visits + 1;
        break;
    case '/regenerate':
        session_regenerate_id(true);
        break;
    case '/logout':
        session_destroy();
        break;
}
echo json_encode((object) $reply);
