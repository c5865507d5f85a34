//! Transactions, alone and in a cluster: nobody sees half of one, and WATCH loses no update.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::ScopedJoinHandle;

use crate::support::client::{Client, encode_line};
use crate::support::cluster::Cluster;
use crate::support::server::Server;

/// What both accounts hold together.
const TOTAL: i64 = 1_000;
/// Transfers each client makes.
const EACH: i64 = 40;

#[test]
fn on_one_server_transfers_are_seen_whole_and_none_is_lost() {
    let server = Server::start_with(&["--threads", "2"]);
    transfer((0..6).map(|_| server.connect()).collect());
}

#[test]
fn on_all_nodes_transfers_are_seen_whole_and_none_is_lost() {
    let mut cluster = Cluster::start(3);
    transfer((0..6).map(|number| cluster.connect(1 + number % 3)).collect());
}

/// Four clients transfer from one account to the other, two look.
fn transfer(mut clients: Vec<Client>) {
    assert!(clients[0].run(&format!("MSET from {TOTAL} to 0")).is_ok());
    let (retries, done) = (AtomicI64::new(0), AtomicBool::new(false));
    let looking = clients.split_off(4);
    std::thread::scope(|scope| {
        let lookers: Vec<_> =
            looking.into_iter().map(|client| scope.spawn(|| look_on(client, &done))).collect();
        let movers: Vec<_> = clients
            .into_iter()
            .map(|client| scope.spawn(|| move_money(client, &retries)))
            .collect();
        let moved: Vec<_> = movers.into_iter().map(ScopedJoinHandle::join).collect();
        // Those who look are told to stop even if one of these failed.
        done.store(true, Ordering::Relaxed);
        for looker in lookers {
            assert_eq!(looker.join().unwrap(), 4 * EACH, "transfers were lost");
        }
        for moved in moved {
            moved.unwrap();
        }
    });
    assert!(retries.load(Ordering::Relaxed) > 0, "nobody was ever in anybody's way");
}

/// Transfers one at a time, as often as it takes.
fn move_money(mut client: Client, retries: &AtomicI64) {
    let mut moved = 0;
    while moved < EACH {
        client.run("WATCH from to");
        let from: i64 = client.run("GET from").text().parse().unwrap();
        let to: i64 = client.run("GET to").text().parse().unwrap();
        client.run("MULTI");
        client.run(&format!("SET from {}", from - 1));
        client.run("INCR to");
        let reply = client.run("EXEC");
        if reply.is_nil() {
            retries.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        assert_eq!(from + to, TOTAL, "the two looks were of different moments");
        assert_eq!(reply.items()[1].integer(), to + 1, "somebody else's transfer was lost");
        moved += 1;
    }
}

/// Looks until all is done, and then once more: what is on the second account.
fn look_on(mut client: Client, done: &AtomicBool) -> i64 {
    loop {
        let last = done.load(Ordering::Relaxed);
        client.run("MULTI");
        client.run("GET from");
        client.run("GET to");
        let seen = client.run("EXEC");
        let [from, to] = seen.items() else { panic!("{seen}") };
        let amount = |reply: &crate::support::reply::Reply| reply.text().parse::<i64>().unwrap();
        assert_eq!(amount(from) + amount(to), TOTAL, "half of a transfer in a transaction");
        let both = client.run("MGET from to");
        let [from, to] = both.items() else { panic!("{both}") };
        assert_eq!(amount(from) + amount(to), TOTAL, "half of a transfer");
        if last {
            return amount(to);
        }
    }
}

/// As Redis does: or a transaction would write what must not be written now.
#[test]
fn a_pause_of_writes_holds_a_transaction_that_writes_and_no_other() {
    let server = Server::start();
    let (mut writer, mut other) = (server.connect(), server.connect());
    writer.run("MULTI");
    writer.run("SET key 1");
    assert!(other.run("CLIENT PAUSE 60000 WRITE").is_ok());
    writer.send(&encode_line("EXEC")).expect("the server reads");
    for _ in 0..50 {
        other.run("MULTI");
        other.run("GET key");
        assert!(other.run("EXEC").items()[0].is_nil(), "written during the pause");
    }
    assert!(other.run("CLIENT UNPAUSE").is_ok());
    assert!(writer.read().expect("the pause is over").items()[0].is_ok());
    assert_eq!(other.run("GET key").text(), "1");
}
