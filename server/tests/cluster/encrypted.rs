//! TLS between nodes: they serve as ever, strangers stay out, and what is wrong with a file is said.

use std::fs;

use crate::support::certificates::certificates;
use crate::support::cluster::Cluster;
use crate::support::server::{Server, command, free_port, run_to_end, scratch_folder};
use crate::support::wait_until;
use crate::{create, insist, user_of};

fn flags<'a>(ca: &'a str, certificate: &'a str, key: &'a str) -> [&'a str; 8] {
    [
        "--tls-cluster",
        "yes",
        "--tls-ca-cert-file",
        ca,
        "--tls-cert-file",
        certificate,
        "--tls-key-file",
        key,
    ]
}

#[test]
fn nodes_with_certificates_serve_and_one_of_another_authority_stays_out() {
    let folder = scratch_folder("tls");
    let [ca, certificate, key] = certificates(&folder, "ours");
    let mut cluster = Cluster::start_with(3, &flags(&ca, &certificate, &key));
    let follower = cluster.follower();
    let id = create(&mut cluster.connect(follower), "alice");
    for number in 1..=3 {
        assert_eq!(user_of(&mut cluster.connect(number), &id).as_deref(), Some("alice"));
    }

    let [ca, certificate, key] = certificates(&folder, "theirs");
    let (port, cluster_port) = (free_port(), free_port().to_string());
    let directory = folder.join("stranger").display().to_string();
    let mut stranger = vec!["--node-id", "4", "--cluster-port", &cluster_port];
    stranger.extend(["--data-dir", &directory]);
    stranger.extend(flags(&ca, &certificate, &key));
    let stranger = Server::try_start(port, &stranger).expect("its files are in order");
    let leader = cluster.leader();
    let mut client = cluster.connect(leader);
    let added = insist(&mut client, &format!("RAFT.ADD 4 127.0.0.1:{cluster_port}"));
    assert_eq!(added.text(), "OK");
    let refused = format!("node 4 at 127.0.0.1:{cluster_port}: invalid peer certificate");
    wait_until("the leader to say why", || cluster.server(leader).output().contains(&refused));
    wait_until("the stranger to say why", || {
        stranger.output().contains("a peer from 127.0.0.1: received fatal alert")
    });
    assert!(client.run("RAFT.PROMOTE 4").error().contains("cannot be reached"));
    assert_eq!(insist(&mut client, "RAFT.REMOVE 4").text(), "OK");

    cluster.kill(leader);
    for number in cluster.running() {
        assert_eq!(user_of(&mut cluster.connect(number), &id).as_deref(), Some("alice"));
    }
    cluster.restart(leader);
    assert_eq!(insist(&mut cluster.connect(leader), "SESSION.REVOKEUSER alice").integer(), 1);
    fs::remove_dir_all(folder).ok();
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = scratch_folder("tls-files");
    let [ca, certificate, key] = certificates(&folder, "one");
    let [_, _, other_key] = certificates(&folder, "other");
    let directory = folder.join("node").display().to_string();
    let refusals: [(&[&str], &str); 5] = [
        (&["--tls-cluster", "yes"], "tls-cluster: it needs tls-cert-file"),
        (&flags("/nowhere/ca.pem", &certificate, &key), "tls-ca-cert-file: /nowhere/ca.pem: "),
        (&flags(&ca, "/nowhere/cert.pem", &key), "tls-cert-file: /nowhere/cert.pem: "),
        (&flags(&ca, &certificate, &ca), "tls-key-file: "),
        (&flags(&ca, &certificate, &other_key), "tls-cert-file and tls-key-file: "),
    ];
    for (flags, said) in refusals {
        let flags = [&["--data-dir", directory.as_str()], flags].concat();
        let (status, _, error) = run_to_end(command(free_port(), &flags));
        assert_eq!(status.code(), Some(2), "{flags:?}: {error}");
        assert!(error.contains(said) && error.lines().count() == 1, "{flags:?}: {error}");
    }
    fs::remove_dir_all(folder).ok();
}
