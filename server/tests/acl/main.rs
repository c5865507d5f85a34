//! Users over sockets: what is done to those who are connected when rights change, the ACL file, the log of
//! refusals, and users that a cluster agrees on.

#![allow(clippy::disallowed_methods, reason = "tests measure real time")]
#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

#[path = "../support/mod.rs"]
mod support;

use support::client::Client;
use support::cluster::{Cluster, fill_past_the_log};
use support::reply::Reply;
use support::server::{Server, command, free_port, run_to_end, scratch_file};
use support::{wait_for, wait_until};

/// Runs a command until the cluster takes it: as a client does that tries again.
#[track_caller]
fn insist(client: &mut Client, line: &str) -> Reply {
    wait_for(&format!("an answer to {line}"), || {
        let reply = client.run(line);
        (!reply.is_unavailable()).then_some(reply)
    })
}

#[test]
fn who_is_deleted_is_disconnected() {
    let server = Server::start();
    let (mut admin, mut alice) = (server.connect(), server.connect());
    assert!(admin.run("ACL SETUSER alice on >p ~* +@all").is_ok());
    assert!(alice.run("AUTH alice p").is_ok());
    assert!(admin.run("CLIENT LIST").text().contains(" user=alice "));
    assert!(admin.run("ACL SETUSER alice off").is_ok());
    assert_eq!(alice.run("PING").text(), "PONG", "as in Redis, who is there stays");
    assert_eq!(admin.run("ACL DELUSER alice").integer(), 1);
    assert_eq!(alice.read_until_closed().len(), 0);
    // One that deletes itself is answered first.
    assert!(admin.run("ACL SETUSER bob on nopass ~* +@all").is_ok());
    let mut bob = server.connect();
    assert!(bob.run("AUTH bob x").is_ok());
    assert_eq!(bob.run("ACL DELUSER bob").integer(), 1);
    assert_eq!(bob.read_until_closed().len(), 0);
}

#[test]
fn who_listens_to_what_was_withdrawn_is_disconnected() {
    let server = Server::start();
    let mut admin = server.connect();
    assert!(admin.run("ACL SETUSER alice on nopass &news.* &talk +@all").is_ok());
    let listen = |line: &str| {
        let mut client = server.connect();
        assert!(client.run("AUTH alice x").is_ok());
        client.run(line);
        client
    };
    let (mut news, mut talk) = (listen("SUBSCRIBE news.a"), listen("SUBSCRIBE talk"));
    let mut pattern = listen("PSUBSCRIBE news.*");
    assert!(admin.run("ACL SETUSER alice resetchannels &talk").is_ok());
    assert_eq!(news.read_until_closed().len(), 0);
    assert_eq!(pattern.read_until_closed().len(), 0);
    assert_eq!(admin.run("PUBLISH talk hello").integer(), 1);
    assert_eq!(talk.read().unwrap().items().len(), 3);
}

#[test]
fn clients_are_killed_by_user() {
    let server = Server::start();
    let (mut admin, mut alice) = (server.connect(), server.connect());
    assert!(admin.run("ACL SETUSER alice on nopass +@all").is_ok());
    assert!(alice.run("AUTH alice x").is_ok());
    assert_eq!(admin.run("CLIENT KILL USER nobody").error(), "ERR No such user 'nobody'");
    assert_eq!(admin.run("CLIENT KILL USER alice").integer(), 1);
    assert_eq!(alice.read_until_closed().len(), 0);
}

#[test]
fn a_password_of_the_default_user_is_asked_of_those_who_come() {
    let server = Server::start();
    let (mut before, mut admin) = (server.connect(), server.connect());
    assert!(admin.run("CONFIG SET requirepass secret").is_ok());
    assert_eq!(before.run("PING").text(), "PONG");
    let mut after = server.connect();
    assert!(after.run("GET a").error().starts_with("NOAUTH"));
    assert!(after.run("AUTH secret").is_ok());
    assert!(after.run("GET a").is_nil());
    let hash = "#2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    assert!(admin.run("ACL LIST").items()[0].text().contains(hash));
    assert!(
        admin.run("CONFIG SET requirepass ").is_ok()
            || admin.call(&["CONFIG", "SET", "requirepass", ""]).is_ok()
    );
    assert!(server.connect().run("GET a").is_nil());
}

#[test]
fn refusals_are_logged_once_for_each_kind() {
    let server = Server::start();
    let (mut admin, mut alice) = (server.connect(), server.connect());
    assert!(admin.run("ACL SETUSER alice on >p ~a +get").is_ok());
    assert!(alice.run("AUTH alice wrong").error().starts_with("WRONGPASS"));
    assert!(alice.run("AUTH alice p").is_ok());
    for _ in 0..3 {
        assert!(alice.run("SET a 1").error().starts_with("NOPERM"));
    }
    assert_eq!(alice.run("GET b").error(), "NOPERM No permissions to access a key");
    let log = admin.run("ACL LOG");
    let entries: Vec<_> = log.items().iter().map(Reply::map).collect();
    let shown =
        |name: &str| -> Vec<String> { entries.iter().map(|entry| entry[name].text()).collect() };
    assert_eq!(shown("reason"), ["key", "command", "auth"]);
    assert_eq!(shown("object"), ["b", "set", "AUTH"]);
    assert_eq!(entries[1]["count"].integer(), 3);
    assert!(shown("client-info")[0].contains("user=alice"));
    assert!(admin.run("ACL LOG RESET").is_ok());
    assert_eq!(admin.run("ACL LOG").items().len(), 0);
}

#[test]
fn the_file_is_saved_and_loaded_whole() {
    let file = scratch_file("users.acl").display().to_string();
    std::fs::write(&file, "user alice on >p ~a:* +get\n").unwrap();
    let server = Server::start_with(&["--aclfile", &file]);
    let mut admin = server.connect();
    assert_eq!(admin.run("ACL USERS").items().len(), 2);
    assert!(admin.run("ACL SETUSER bob on nopass +@all ~*").is_ok());
    assert!(admin.run("ACL SAVE").is_ok());
    let saved = std::fs::read_to_string(&file).unwrap();
    assert!(
        saved.contains("user bob on nopass sanitize-payload ~* resetchannels +@all\n"),
        "{saved}"
    );
    assert!(!saved.contains(">p"), "no password is in it");
    // A bad line changes nothing.
    std::fs::write(&file, "user carol on\nuser dora +nope\n").unwrap();
    let error = admin.run("ACL LOAD");
    assert!(error.error().contains(&format!("{file}:2: Unknown command or category name in ACL.")));
    assert_eq!(admin.run("ACL USERS").items().len(), 3);
    let mut bob = server.connect();
    assert!(bob.run("AUTH bob x").is_ok());
    std::fs::write(&file, "user alice on >p ~a:* +get\n").unwrap();
    assert!(admin.run("ACL LOAD").is_ok());
    assert_eq!(bob.read_until_closed().len(), 0);
    assert_eq!(admin.run("ACL USERS").items().len(), 2);
}

#[test]
fn a_bad_file_keeps_the_server_from_starting() {
    let file = scratch_file("bad.acl").display().to_string();
    std::fs::write(&file, "user alice +nope\n").unwrap();
    let (status, _, errors) = run_to_end(command(free_port(), &["--aclfile", &file]));
    assert_eq!(status.code(), Some(2));
    assert!(
        errors.contains(&format!("{file}:1: Unknown command or category name in ACL.")),
        "{errors}"
    );
}

#[test]
fn a_user_made_on_one_node_is_known_to_all_and_after_a_restart() {
    let mut cluster = Cluster::start(3);
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let mut admin = cluster.connect(follower);
    assert!(insist(&mut admin, "ACL SETUSER alice on >p ~* +@all -flushall").is_ok());
    assert_eq!(insist(&mut admin, "FLUSHALL").text(), "OK", "the user is no key and stays");
    let mut alice = cluster.connect(leader);
    wait_until("the user on the leader", || alice.run("AUTH alice p").is_ok());
    assert!(insist(&mut alice, "SET a 1").is_ok());
    assert_eq!(
        insist(&mut alice, "FLUSHALL").error(),
        "NOPERM User alice has no permissions to run the 'flushall' command"
    );
    // A change counts for those who are connected, on all nodes.
    assert!(insist(&mut admin, "ACL SETUSER alice -set").is_ok());
    wait_until(
        "the change on the leader",
        || matches!(insist(&mut alice, "SET a 2"), Reply::Error(text) if text.starts_with("NOPERM")),
    );
    cluster.kill(follower);
    cluster.restart(follower);
    let mut again = cluster.connect(follower);
    wait_until("the user after a restart", || again.run("AUTH alice p").is_ok());
    assert_eq!(insist(&mut again, "ACL WHOAMI").text(), "alice");
    let other = cluster.leader();
    assert_eq!(insist(&mut cluster.connect(other), "ACL DELUSER alice").integer(), 1);
    assert_eq!(again.read_until_closed().len(), 0);
}

#[test]
fn users_are_part_of_a_snapshot() {
    let mut cluster = Cluster::start_with(3, &["--snapshot-bytes", "64kb"]);
    let follower = cluster.follower();
    let leader = cluster.leader();
    let mut client = cluster.connect(leader);
    cluster.kill(follower);
    assert!(insist(&mut client, "ACL SETUSER alice on >p ~* +@all").is_ok());
    fill_past_the_log(&mut client);
    cluster.restart(follower);
    let mut late = cluster.connect(follower);
    wait_until("the user by a snapshot", || late.run("AUTH alice p").is_ok());
}

#[test]
fn a_script_may_do_what_its_user_may() {
    let server = Server::start();
    let mut admin = server.connect();
    assert!(admin.run("ACL SETUSER alice on nopass ~own:* +eval +set +get").is_ok());
    let mut alice = server.connect();
    assert!(alice.run("AUTH alice x").is_ok());
    let call = "return redis.call(unpack(ARGV))";
    let mut run = |words: &[&str]| alice.call(&[&["EVAL", call, "0"], words].concat());
    assert!(run(&["SET", "own:1", "x"]).is_ok());
    for (words, expected) in [
        (&["SET", "other", "x"][..], "ERR ACL failure in script: No permissions to access a key"),
        (
            &["DEL", "own:1"],
            "ERR ACL failure in script: User alice has no permissions to run the 'del' command",
        ),
    ] {
        let reply = run(words);
        assert!(reply.error().starts_with(expected), "{}", reply.error());
    }
    let may = "return {redis.acl_check_cmd('GET','own:1'), redis.acl_check_cmd('GET','other')}";
    let reply = alice.call(&["EVAL", may, "0"]);
    assert_eq!((reply.items()[0].integer(), reply.items()[1].is_nil()), (1, true));
    assert_eq!(admin.run("GET own:1").text(), "x");
}
