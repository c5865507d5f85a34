//! One node with a directory: what it acknowledged is there again, however it ended.

use crate::support::cluster::Cluster;
use crate::support::server::{Server, command, free_port, run_to_end, scratch_folder};
use crate::support::wait_until;
use crate::{create, insist, user_of};
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes from several connections, kills the process in the middle, and looks for what was acknowledged.
fn kill_under_load(rounds: u64, environment: &[(&str, &str)]) {
    let folder = scratch_folder("durable");
    let port = free_port();
    let directory = folder.display().to_string();
    let flags = ["--data-dir", &directory, "--cluster-timeout", "10000"];
    let acknowledged: Vec<AtomicU64> = (0..4).map(|_| AtomicU64::new(0)).collect();
    for round in 1..=rounds {
        let mut server = Server::try_start_in(port, &flags, environment).expect("it starts again");
        let clients: Vec<_> = acknowledged.iter().map(|_| server.connect()).collect();
        std::thread::scope(|scope| {
            for (mut client, (writer, last)) in
                clients.into_iter().zip(acknowledged.iter().enumerate())
            {
                scope.spawn(move || {
                    for number in last.load(Ordering::Relaxed) + 1.. {
                        let write = format!("SET writer:{writer} {number}");
                        match client.try_call(&write.split(' ').collect::<Vec<_>>()) {
                            Ok(reply) if reply.is_ok() => last.store(number, Ordering::Relaxed),
                            _ => break,
                        }
                    }
                });
            }
            let before: u64 = acknowledged.iter().map(|last| last.load(Ordering::Relaxed)).sum();
            wait_until("some writes", || {
                let now: u64 = acknowledged.iter().map(|last| last.load(Ordering::Relaxed)).sum();
                now >= before + 40
            });
            server.kill();
        });
        let server = Server::try_start_in(port, &flags, environment).expect("it starts again");
        let mut client = server.connect();
        for (writer, last) in acknowledged.iter().enumerate() {
            let found = insist(&mut client, &format!("GET writer:{writer}"));
            // A writer that was never scheduled has nothing acknowledged, and nothing there.
            let found = if found.is_nil() { 0 } else { found.text().parse::<u64>().unwrap() };
            let last = last.load(Ordering::Relaxed);
            // The write under way may have made it, the acknowledged one must have.
            assert!(
                (last..=last + 1).contains(&found),
                "round {round}: {last} acknowledged, {found} there"
            );
        }
        drop(server);
        for last in &acknowledged {
            // Go on past what may have been written without an answer.
            last.fetch_add(1, Ordering::Relaxed);
        }
    }
    std::fs::remove_dir_all(folder).ok();
}

/// How often to kill: a few times with every change, as often as `HALLPASS_ROUNDS` says when somebody asks.
fn rounds() -> u64 {
    match std::env::var("HALLPASS_ROUNDS") {
        Ok(rounds) => rounds.parse().expect("HALLPASS_ROUNDS is a number"),
        Err(_) => 5,
    }
}

#[test]
fn kill_9_loses_nothing_acknowledged() {
    kill_under_load(rounds(), &[]);
}

/// The volatile disk holds unsynced bytes in the process: this kill is a power loss.
#[test]
fn power_loss_loses_nothing_acknowledged() {
    kill_under_load(rounds(), &[("HALLPASS_VOLATILE_DISK", "1")]);
}

/// Promise 1 over a restart, with a snapshot in between.
#[test]
fn r13_what_was_revoked_stays_gone_over_restarts_and_snapshots() {
    let mut cluster = Cluster::start_with(1, &["--snapshot-bytes", "64kb"]);
    let mut client = cluster.connect(1);
    let (kept, revoked) = (create(&mut client, "alice"), create(&mut client, "bob"));
    assert_eq!(client.run("SESSION.REVOKEUSER bob").integer(), 1);
    let value = "x".repeat(1000);
    for number in 0..400 {
        client.call(&["SET", &format!("filler:{}", number % 50), &value]);
    }
    wait_until("a snapshot", || client.run("RAFT.STATUS").map()["snapshot"].integer() > 0);
    let late = create(&mut client, "carol");
    assert_eq!(client.run(&format!("SESSION.REVOKE {late}")).integer(), 1);
    for _ in 0..2 {
        cluster.kill(1);
        cluster.restart(1);
        let mut client = cluster.connect(1);
        assert_eq!(user_of(&mut client, &kept).as_deref(), Some("alice"));
        assert_eq!(user_of(&mut client, &revoked), None);
        assert_eq!(user_of(&mut client, &late), None);
        assert_eq!(client.run("DBSIZE").integer(), 50);
    }
}

#[test]
fn a_directory_serves_one_process_and_one_node() {
    let folder = scratch_folder("shared");
    let directory = folder.display().to_string();
    let server = Server::start_with(&["--data-dir", &directory]);
    let (status, _, error) = run_to_end(command(free_port(), &["--data-dir", &directory]));
    assert_eq!(status.code(), Some(2), "{error}");
    assert!(error.contains("in use") && error.contains(&directory), "{error}");
    drop(server);
    let other = ["--data-dir", &directory, "--node-id", "2"];
    let (status, _, error) = run_to_end(command(free_port(), &other));
    assert_eq!(status.code(), Some(2), "{error}");
    assert!(error.contains("node 1") && error.contains("node 2"), "{error}");
    std::fs::remove_dir_all(folder).ok();
}

#[test]
fn settings_that_make_no_cluster_are_refused() {
    for (flags, said) in [
        (&["--initial-cluster", "1=127.0.0.1:1"][..], "data-dir"),
        (&["--data-dir", "x", "--initial-cluster", "1:127.0.0.1"], "1=host:port"),
        (&["--data-dir", "x", "--initial-cluster", "2=a:1,3=b:2"], "node-id"),
        (&["--data-dir", "x", "--initial-cluster", "1=a:1,2=b:2"], "cluster-port"),
        (&["--data-dir", "/proc/nowhere"], "/proc/nowhere"),
    ] {
        let (status, _, error) = run_to_end(command(free_port(), flags));
        assert_eq!(status.code(), Some(2), "{flags:?}: {error}");
        assert!(error.contains(said) && error.lines().count() == 1, "{flags:?}: {error}");
    }
}

/// A file system that the server fills; removed with everything in it when dropped.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    /// `None` where this process may not mount one.
    fn mount(megabytes: u32) -> Option<SmallDisk> {
        let folder = scratch_folder("small-disk");
        let disk = SmallDisk(folder);
        disk.resize("mount", &["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
            .then_some(disk)
    }

    fn resize(&self, program: &str, arguments: &[&str]) -> bool {
        let mounting = std::process::Command::new(program).args(arguments).arg(&self.0).status();
        mounting.is_ok_and(|status| status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.resize("umount", &[]);
        std::fs::remove_dir(&self.0).ok();
    }
}

/// As root on a real file system; the same is shown in the library over a simulated disk.
#[test]
fn a_full_disk_ends_the_process_with_a_reason_and_room_brings_it_back() {
    let Some(disk) = SmallDisk::mount(4) else {
        return eprintln!("only root can mount a small file system: not run");
    };
    let port = free_port();
    let directory = disk.0.display().to_string();
    let flags = ["--data-dir", &directory, "--node-id", "1"];
    let mut server = Server::try_start(port, &flags).expect("it starts");
    let mut client = server.connect();
    let value = "x".repeat(30_000);
    let mut acknowledged = 0;
    while client
        .try_call(&["SET", &acknowledged.to_string(), &value])
        .is_ok_and(|reply| reply.is_ok())
    {
        acknowledged += 1;
        assert!(acknowledged < 1000, "more was acknowledged than fits");
    }
    assert!(acknowledged > 50, "{acknowledged}");
    assert_eq!(server.wait_for_exit().code(), Some(2), "{}", server.output());
    let output = server.output();
    assert!(output.contains("No space left on device"), "{output}");

    assert!(disk.resize("mount", &["-o", "remount,size=16m"]), "the file system grows");
    let server = Server::try_start(port, &flags).expect("it starts again");
    let mut client = server.connect();
    let keys: i64 = insist(&mut client, "DBSIZE").integer();
    assert!(keys == acknowledged || keys == acknowledged + 1, "{acknowledged} of {keys}");
    assert_eq!(insist(&mut client, "SET there is-room").text(), "OK");
}
