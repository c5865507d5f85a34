//! Commands about the cluster this server belongs to: RAFT.STATUS, ADD, PROMOTE, REMOVE and TRANSFER.

use std::sync::Arc;

use super::context::LocalContext;
use super::error::CommandError;
use super::request::Request;
use super::spec::{Categories, CommandSpec, Flags, Run};
use crate::client::Deferred;
use crate::cluster::Cluster;

const CHANGE: CommandSpec = CommandSpec {
    flags: Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::STALE).with(Flags::NO_MULTI),
    categories: Categories::DANGEROUS,
    since: "hallpass 0.1",
    group: "cluster",
    reply: "OK",
    ..CommandSpec::ROW
};

/// The rows of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "raft.status",
        arity: 1,
        flags: Flags::STALE.with(Flags::LOADING),
        summary: "Returns what this node knows of its cluster: leader, term, how far it has applied the \
                  log, and the members.",
        reply: "Map: node, leader (or null), term, applied, last-log, snapshot, lease, clock-ahead (milliseconds), \
                clock-outlier, members (a list of maps: node, address, voter, matched)",
        run: Run::Local(status),
        ..CHANGE
    },
    CommandSpec {
        name: "raft.add",
        arity: 3,
        syntax: "id address",
        summary: "Adds a node without a vote; it then catches up. Its id must never have been used before.",
        run: Run::Local(add),
        ..CHANGE
    },
    CommandSpec {
        name: "raft.promote",
        arity: 2,
        syntax: "id",
        summary: "Gives a node that has caught up a vote.",
        run: Run::Local(promote),
        ..CHANGE
    },
    CommandSpec {
        name: "raft.remove",
        arity: 2,
        syntax: "id",
        summary: "Takes a node out of the cluster, for ever: its id is not used again.",
        run: Run::Local(remove),
        ..CHANGE
    },
    CommandSpec {
        name: "raft.transfer",
        arity: 2,
        syntax: "id",
        summary: "Hands leadership to a node.",
        run: Run::Local(transfer),
        ..CHANGE
    },
];

fn cluster<'a>(context: &LocalContext<'a>) -> Result<&'a Arc<Cluster>, CommandError> {
    let text = "ERR this server keeps no log: start it with --data-dir, or as a node with --initial-cluster";
    context.server.cluster.get().ok_or(CommandError::from(text))
}

fn id(request: &Request<'_>) -> Result<u64, CommandError> {
    let number = std::str::from_utf8(request.word(1)).ok().and_then(|text| text.parse().ok());
    number.filter(|id| *id > 0).ok_or(CommandError::from("ERR a node's id is a number from 1 on"))
}

fn status(context: &mut LocalContext<'_>, _: &Request<'_>) -> Result<(), CommandError> {
    let status = cluster(context)?.status();
    let reply = &mut context.reply;
    reply.map(10);
    reply.bulk(b"node");
    reply.integer(status.node as i64);
    reply.bulk(b"leader");
    match status.leader {
        Some(leader) => reply.integer(leader as i64),
        None => reply.null(),
    }
    for (name, number) in [
        (&b"term"[..], status.term as i64),
        (b"applied", status.applied as i64),
        (b"last-log", status.last_log as i64),
        (b"snapshot", status.snapshot as i64),
        (b"lease", i64::from(status.lease)),
        (b"clock-ahead", status.clock_ahead_millis),
        (b"clock-outlier", i64::from(status.clock_outlier)),
    ] {
        reply.bulk(name);
        reply.integer(number);
    }
    reply.bulk(b"members");
    reply.array(status.members.len());
    for member in &status.members {
        reply.map(4);
        reply.bulk(b"node");
        reply.integer(member.node as i64);
        reply.bulk(b"address");
        reply.bulk(member.address.as_bytes());
        reply.bulk(b"voter");
        reply.integer(i64::from(member.voter));
        reply.bulk(b"matched");
        match member.matched {
            Some(matched) => reply.integer(matched as i64),
            None => reply.null(),
        }
    }
    Ok(())
}

fn add(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let (cluster, node) = (cluster(context)?, id(request)?);
    let address = String::from_utf8_lossy(request.word(2));
    if !address.contains(':') {
        return Err("ERR an address is host:port".into());
    }
    context.client.deferred = Some(Deferred(cluster.add(node, &address)));
    Ok(())
}

fn promote(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let changing = cluster(context)?.promote(id(request)?);
    context.client.deferred = Some(Deferred(changing));
    Ok(())
}

fn remove(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let changing = cluster(context)?.remove(id(request)?);
    context.client.deferred = Some(Deferred(changing));
    Ok(())
}

fn transfer(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let changing = cluster(context)?.transfer(id(request)?);
    context.client.deferred = Some(Deferred(changing));
    Ok(())
}
