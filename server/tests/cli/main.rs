//! The command line: what the program says about itself, refuses, and how it ends. Bad input is one
//! clear line on stderr and exit code 2; SIGTERM is exit code 0.

#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use support::client::Client;
use support::server::{Process, Server, binary, command, free_port, run_to_end, scratch_file};

/// Runs with these flags alone; it must end by itself with one line on stderr and exit code 2.
#[track_caller]
fn assert_refused(flags: &[&str], mentions: &[&str]) {
    let mut command = Command::new(binary());
    command.args(flags);
    let (status, stdout, stderr) = run_to_end(command);
    assert_eq!(status.code(), Some(2), "{flags:?}: stdout {stdout:?} stderr {stderr:?}");
    assert_eq!(stderr.lines().count(), 1, "{flags:?} said {stderr:?}");
    for text in mentions {
        assert!(stderr.contains(text), "{flags:?} said {stderr:?}, without {text:?}");
    }
    assert!(stdout.is_empty(), "{flags:?} wrote {stdout:?} to stdout");
}

fn config_file(text: &str) -> String {
    let path = scratch_file("hallpass.toml");
    fs::write(&path, text).expect("the scratch directory is writable");
    path.to_string_lossy().into_owned()
}

#[test]
fn help_lists_every_flag() {
    let mut command = Command::new(binary());
    command.arg("--help");
    let (status, stdout, stderr) = run_to_end(command);
    assert!(status.success(), "{stderr}");
    for flag in ["--config", "--port", "--bind", "--threads", "--requirepass", "--maxmemory"] {
        assert!(stdout.contains(flag), "{flag} is missing in:\n{stdout}");
    }
}

#[test]
fn version_is_the_crate_s() {
    let mut command = Command::new(binary());
    command.arg("--version");
    let (status, stdout, _) = run_to_end(command);
    assert!(status.success());
    assert!(stdout.contains(env!("CARGO_PKG_VERSION")), "{stdout}");
}

#[test]
fn unknown_flags_are_refused() {
    assert_refused(&["--nonsense"], &["--nonsense"]);
    assert_refused(&["nonsense"], &["nonsense"]);
}

#[test]
fn bad_values_are_refused() {
    assert_refused(&["--port", "abc"], &["port", "abc"]);
    assert_refused(&["--port", "70000"], &["port", "70000"]);
    assert_refused(&["--port"], &["port"]);
    assert_refused(&["--threads", "5000"], &["threads", "5000"]);
    assert_refused(&["--threads", "many"], &["threads", "many"]);
    assert_refused(&["--bind", "not an address"], &["bind"]);
    assert_refused(&["--maxmemory", "plenty"], &["maxmemory", "plenty"]);
}

#[test]
fn bad_config_files_are_refused() {
    assert_refused(&["--config", "/nonexistent/hallpass.toml"], &["/nonexistent/hallpass.toml"]);
    assert_refused(&["--config", &config_file("port = ")], &["hallpass.toml"]);
    assert_refused(&["--config", &config_file("prot = 6379")], &["prot"]);
    assert_refused(&["--config", &config_file("port = \"abc\"")], &["port"]);
    assert_refused(&["--config", &config_file("threads = -1")], &["threads"]);
    assert_refused(&["--config", &config_file("port = 1\nport = 2")], &["hallpass.toml:2"]);
}

#[test]
fn a_port_in_use_is_refused() {
    let holder = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    assert_refused(&["--port", &port], &[&port]);
}

#[test]
fn a_config_file_holds_what_flags_say() {
    let file = config_file("requirepass = \"secret\"\nmaxmemory = \"100mb\"\n");
    let server = Server::start_with(&["--config", &file]);
    let mut client = server.connect();
    assert!(client.run("GET key").error().starts_with("NOAUTH"));
    assert!(client.run("AUTH secret").is_ok());
    assert_eq!(client.run("CONFIG GET maxmemory").map()["maxmemory"].text(), "104857600");
}

#[test]
fn flags_win_over_the_config_file() {
    let file = config_file("requirepass = \"from-file\"\n");
    let server = Server::start_with(&["--config", &file, "--requirepass", "from-flag"]);
    let mut client = server.connect();
    assert!(client.run("AUTH from-file").error().starts_with("WRONGPASS"));
    assert!(client.run("AUTH from-flag").is_ok());
}

#[test]
fn config_get_shows_the_effective_values() {
    let server = Server::start_with(&["--maxmemory", "64mb", "--bind", "127.0.0.1"]);
    let port = server.address().port().to_string();
    let mut client = server.connect();
    assert_eq!(client.run("CONFIG GET maxmemory").map()["maxmemory"].text(), "67108864");
    assert_eq!(client.run("CONFIG GET port").map()["port"].text(), port);
    assert_eq!(client.run("CONFIG GET bind").map()["bind"].text(), "127.0.0.1");
    assert!(client.run("INFO server").text().contains(&format!("tcp_port:{port}\r\n")));
}

#[test]
fn it_listens_on_the_local_machine_only_unless_told() {
    let server = Server::start();
    assert_eq!(server.connect().run("CONFIG GET bind").map()["bind"].text(), "127.0.0.1");
}

#[test]
fn it_says_what_to_try() {
    let server = Server::start();
    // It answers from before it has said so, so the lines may still be on their way.
    let port = server.address().port().to_string();
    support::wait_until("the lines that say what to try", || {
        let output = server.output();
        output.contains(&port) && output.contains("SESSION.CREATE")
    });
}

#[test]
fn sigterm_answers_what_was_asked_and_exits_0() {
    let mut server = Server::start();
    let mut idle = server.connect();
    let mut client = server.connect();
    assert_eq!(idle.run("PING").text(), "PONG");
    assert!(client.run("SET key value").is_ok());
    server.terminate();
    assert_eq!(server.wait_for_exit().code(), Some(0), "{}", server.output());
    assert!(idle.read_until_closed().is_empty());
}

#[test]
fn sigterm_during_load_exits_0() {
    let mut server = Server::start();
    let address = server.address();
    let workers: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                while client.try_call(&["INCR", "counter"]).is_ok() {}
            })
        })
        .collect();
    let mut client = server.connect();
    support::wait_until("some load", || {
        let counter = client.run("GET counter");
        !counter.is_nil() && counter.text().parse::<u32>().unwrap() > 100
    });
    server.terminate();
    assert_eq!(server.wait_for_exit().code(), Some(0), "{}", server.output());
    for worker in workers {
        worker.join().unwrap();
    }
}

#[test]
fn the_port_is_free_again_at_once() {
    let mut first = Server::start();
    let port = first.address().port();
    assert_eq!(first.connect().run("PING").text(), "PONG");
    first.terminate();
    first.wait_for_exit();
    let mut second = Process::start(command(port, &[]));
    support::wait_until("the second server to serve", || {
        assert!(second.is_running(), "it ended: the port is not free");
        answers(port)
    });
}

fn answers(port: u16) -> bool {
    Client::try_connect(([127, 0, 0, 1], port).into())
        .and_then(|mut client| client.try_call(&["PING"]))
        .is_ok()
}

#[test]
fn a_low_soft_limit_of_open_files_is_raised() {
    let port = free_port();
    let mut started = Command::new("sh");
    started.args(["-c", "ulimit -S -n 64; exec \"$0\" --port \"$1\" --threads 2"]);
    started.arg(binary()).arg(port.to_string());
    let _process = Process::start(started);
    support::wait_until("the server to serve", || answers(port));
    let mut clients = Vec::new();
    for _ in 0..200 {
        let mut client = Client::connect(([127, 0, 0, 1], port).into());
        assert_eq!(client.run("PING").text(), "PONG", "client {}", clients.len());
        clients.push(client);
    }
}

#[test]
fn config_rewrite_keeps_what_was_set_for_the_next_start() {
    let file = config_file("maxmemory = \"100mb\" # for the data\n");
    {
        let server = Server::start_with(&["--config", &file]);
        let mut client = server.connect();
        assert!(client.run("CONFIG SET timeout 77").is_ok());
        assert!(client.run("CONFIG REWRITE").is_ok());
    }
    let server = Server::start_with(&["--config", &file]);
    let mut client = server.connect();
    assert_eq!(client.run("CONFIG GET timeout").map()["timeout"].text(), "77");
    assert_eq!(client.run("CONFIG GET maxmemory").map()["maxmemory"].text(), "104857600");
}

#[test]
fn shutdown_is_a_clean_end_too() {
    let mut server = Server::start();
    let mut client = server.connect();
    assert!(client.run("SET key value").is_ok());
    client.send(&support::client::encode_line("SHUTDOWN NOSAVE")).expect("it listens");
    assert_eq!(server.wait_for_exit().code(), Some(0), "{}", server.output());
    assert!(client.read_until_closed().is_empty());
}
