<?php
// PHP's sessions in Redis by the extension phpredis, with its locks, over HTTP with cookies: `sessions.php PORT`.
// Starts PHP's own web server with application.php; prints a line for each check and "N passed, N failed" at the end.

$redis = new Redis();
$redis->connect('127.0.0.1', (int) $argv[1]);
$may_lack = explode(' ', getenv('CLIENT_TESTS_MAY_LACK') ?: '');

/** Whether the server may lack a command, and does: checks that need it are then left out. */
function lacks(string $command): bool
{
    global $redis, $may_lack;
    return in_array($command, $may_lack) && !$redis->rawCommand('COMMAND', 'INFO', $command)[0];
}

function verify(bool $condition, string $what): void
{
    if (!$condition) {
        throw new Exception($what);
    }
}

function eventually(callable $condition): void
{
    $deadline = microtime(true) + 10;
    while (!$condition()) {
        verify(microtime(true) < $deadline, 'waited in vain');
        usleep(5_000);
    }
}

$socket = stream_socket_server('tcp://127.0.0.1:0');
$web = stream_socket_get_name($socket, false);
fclose($socket);
$gate = sys_get_temp_dir() . '/hallpass-clients-' . getmypid();
mkdir($gate);
$environment = getenv() + [
    'CLIENT_TESTS_GATE' => $gate,
    'CLIENT_TESTS_REDIS' => "127.0.0.1:$argv[1]",
    // A lock is given back by a script.
    'CLIENT_TESTS_LOCKING' => lacks('EVAL') ? '0' : '1',
    'PHP_CLI_SERVER_WORKERS' => '4',
];
$log = ['file', '/dev/null', 'w'];
$server = proc_open([PHP_BINARY, '-S', $web, __DIR__ . '/application.php'], [['pipe', 'r'], $log, $log], $pipes, null, $environment);
eventually(fn () => @stream_socket_client("tcp://$web") !== false);

/** A browser as far as sessions go. */
class Browser
{
    public array $cookies = [];

    /** Sends the request, and returns the connection that the reply will come on. */
    public function begin(string $path)
    {
        global $web;
        $cookies = implode('; ', array_map(fn ($name) => "$name={$this->cookies[$name]}", array_keys($this->cookies)));
        $connection = stream_socket_client("tcp://$web");
        fwrite($connection, "GET $path HTTP/1.0\r\nHost: $web\r\nCookie: $cookies\r\n\r\n");
        return $connection;
    }

    public function finish($connection): object
    {
        [$head, $body] = explode("\r\n\r\n", stream_get_contents($connection), 2);
        verify(str_contains(strtok($head, "\r\n"), ' 200 '), $head . $body);
        preg_match_all('/^Set-Cookie: ([^=]+)=([^;\r]*)/mi', $head, $set, PREG_SET_ORDER);
        foreach ($set as [, $name, $value]) {
            $this->cookies[$name] = $value;
        }
        return json_decode($body, flags: JSON_THROW_ON_ERROR);
    }

    public function ask(string $path): object
    {
        return $this->finish($this->begin($path));
    }

    public function user(): ?string
    {
        return $this->ask('/me')->user;
    }
}

function logged_in(string $user, string $query = ''): Browser
{
    $browser = new Browser();
    $browser->ask("/login?user=$user$query");
    return $browser;
}

function key_of(Browser $browser): string
{
    return 'PHPREDIS_SESSION:' . $browser->cookies['PHPSESSID'];
}

$checks = [
    'log_in' => function () use ($redis) {
        $browser = new Browser();
        verify($browser->user() === null, 'a stranger has a user');
        $browser->ask('/login?user=alice');
        verify($browser->user() === 'alice', 'nobody is logged in');
        verify($redis->ttl(key_of($browser)) > 3_000, 'no time to live');
        verify($redis->keys('*_LOCK') === [], 'a lock was left behind');
    },
    'read' => function () {
        [$alice, $bob] = [logged_in('alice'), logged_in('bob')];
        foreach ([1, 2, 3] as $visits) {
            verify($alice->ask('/visit')->visits === $visits, 'a visit is missing');
        }
        verify($bob->ask('/visit')->visits === 1 && $bob->user() === 'bob', "bob's session is not his");
    },
    'touch' => function () use ($redis) {
        $alice = logged_in('alice');
        $redis->expire(key_of($alice), 100);
        verify($alice->user() === 'alice', 'nobody is logged in');
        verify($redis->ttl(key_of($alice)) > 3_000, 'not touched');
    },
    'regenerate' => function () use ($redis) {
        $alice = logged_in('alice');
        $thief = clone $alice;
        $alice->ask('/regenerate');
        verify($alice->cookies !== $thief->cookies, 'the same id');
        verify($alice->user() === 'alice' && $thief->user() === null, 'the old id is still good');
    },
    'log_out' => function () use ($redis) {
        $alice = logged_in('alice');
        $key = key_of($alice);
        $alice->ask('/logout');
        verify($redis->exists($key) === 0, 'still there');
        verify($alice->user() === null, 'still logged in');
    },
    'expiry' => function () use ($redis) {
        $alice = logged_in('alice', '&seconds=2');
        $key = key_of($alice);
        verify($redis->pttl($key) <= 2_000, 'lives too long');
        eventually(fn () => $redis->exists($key) === 0);
        verify($alice->user() === null, 'still logged in');
    },
    'locking' => function () use ($redis, $gate) {
        $alice = logged_in('alice');
        $requests = array_map(fn () => $alice->begin('/visit?gated=1'), range(1, 6));
        eventually(function () use ($gate) {
            clearstatcache();
            return @filesize("$gate/arrived") >= 2;
        });
        touch("$gate/open");
        $visits = array_map(fn ($request) => $alice->finish($request)->visits, $requests);
        sort($visits);
        verify($visits === [1, 2, 3, 4, 5, 6], 'a visit was lost: ' . json_encode($visits));
        verify($redis->keys('*_LOCK') === [], 'a lock was left behind');
    },
    'logout_everywhere' => function () use ($redis) {
        $rule = ['INDEX.SET', 'php', 'KEYS', 'PHPREDIS_SESSION:*', 'USER', 'JSON', '/user', 'DECODE', 'php-session'];
        verify($redis->rawCommand(...$rule) !== false, (string) $redis->getLastError());
        [$phone, $laptop, $bob] = [logged_in('alice'), logged_in('alice'), logged_in('bob')];
        verify($redis->rawCommand('SESSION.REVOKEUSER', 'alice') === 2, 'not two sessions ended');
        verify($phone->user() === null && $laptop->user() === null, 'alice is still logged in');
        verify($bob->user() === 'bob', 'bob is not');
        verify(logged_in('alice')->user() === 'alice', 'alice cannot log in again');
    },
];
$needs = ['locking' => 'EVAL', 'logout_everywhere' => 'INDEX.SET'];

echo 'library phpredis ', phpversion('redis'), " (Debian)\n";
[$passed, $failed] = [0, 0];
foreach ($checks as $name => $check) {
    try {
        if (isset($needs[$name]) && lacks($needs[$name])) {
            echo "left out $name: the server has no $needs[$name]\n";
            continue;
        }
        $redis->flushAll();
        $check();
        $passed += 1;
        echo "ok $name\n";
    } catch (Throwable $error) {
        $failed += 1;
        echo "not ok $name\n$error\n";
    }
}
proc_terminate($server);
array_map(unlink(...), glob("$gate/*"));
rmdir($gate);
echo "$passed passed, $failed failed\n";
exit($failed === 0 ? 0 : 1);
