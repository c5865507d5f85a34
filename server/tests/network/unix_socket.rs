//! The Unix socket: served, shown, protected by its permissions, taken over from the dead only.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::Talk;
use crate::support::server::{Process, Server, command, free_port, run_to_end, scratch_folder};
use crate::support::{PATIENCE, wait_for};

fn connect(path: &Path) -> std::io::Result<Talk<UnixStream>> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(Talk::over(stream))
}

#[test]
fn it_serves_and_goes_with_the_server() {
    let folder = scratch_folder("unix");
    let path = folder.join("s");
    let text = path.display().to_string();
    let flags = ["--unixsocket", &text, "--unixsocketperm", "700"];
    let mut server = Server::start_with(&flags);
    let mut client = connect(&path).unwrap();
    assert!(client.run("SET key value").is_ok());
    assert_eq!(server.connect().run("GET key").text(), "value");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    let shown = client.run("CLIENT LIST").text();
    assert!(shown.contains(&format!(" addr={text}:0 laddr={text}:0 ")), "{shown}");
    let settings = client.run("CONFIG GET unixsocket*").map();
    assert_eq!(settings["unixsocketperm"].text(), "700");
    assert_eq!(settings["unixsocket"].text(), text);
    let large = "v".repeat(3_000_000);
    assert!(client.call(&["SET", "large", &large]).is_ok());
    assert_eq!(client.run("GET large").text(), large);

    // A second server finds it in use and leaves it alone.
    let (status, _, stderr) = run_to_end(command(free_port(), &flags));
    assert_eq!(status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(&format!("unixsocket: {text}: another server listens")), "{stderr}");
    assert_eq!(client.run("PING").text(), "PONG");
    assert_eq!(connect(&path).unwrap().run("PING").text(), "PONG");

    server.terminate();
    assert_eq!(server.wait_for_exit().code(), Some(0), "{}", server.output());
    assert!(!path.exists());
    fs::remove_dir_all(folder).ok();
}

#[test]
fn what_a_killed_server_left_is_replaced_and_other_files_are_not() {
    let folder = scratch_folder("unix-stale");
    let path = folder.join("s");
    let text = path.display().to_string();
    let flags = ["--unixsocket", text.as_str()];
    Server::start_with(&flags).kill();
    assert!(path.exists(), "a kill leaves it behind");
    let server = Server::start_with(&flags);
    assert_eq!(connect(&path).unwrap().run("PING").text(), "PONG");
    drop(server);

    fs::remove_file(&path).unwrap();
    fs::write(&path, "something else").unwrap();
    let (status, _, stderr) = run_to_end(command(free_port(), &flags));
    assert_eq!((status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
    assert!(stderr.contains("is no socket"), "{stderr}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "something else");
    fs::remove_dir_all(folder).ok();
}

#[test]
fn it_can_be_the_only_way_in() {
    let folder = scratch_folder("unix-only");
    let path = folder.join("s");
    let _process = Process::start(command(0, &["--unixsocket", &path.display().to_string()]));
    let mut client = wait_for("the socket", || connect(&path).ok());
    assert!(client.run("INFO server").text().contains("tcp_port:0\r\n"));
    fs::remove_dir_all(folder).ok();
}
