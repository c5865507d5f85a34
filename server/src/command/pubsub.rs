//! Publish and subscribe: SUBSCRIBE and its kin, PUBLISH, SPUBLISH, PUBSUB.
//!
//! Confirmations of subscriptions are pushes, one for each name, and no replies. Once a name is
//! unsubscribed from and that is confirmed, no message of its comes any more: what waits goes first.

use super::context::LocalContext;
use super::error::CommandError;
use super::help;
use super::request::Request;
use super::spec::{CommandSpec, Flags, KeyPositions, Run};
use crate::pubsub::{Kind, Space, everywhere};

const LISTEN: Flags = Flags::PUBSUB.with(Flags::NOSCRIPT).with(Flags::LOADING).with(Flags::STALE);
const ASK: Flags = Flags::PUBSUB.with(Flags::LOADING).with(Flags::STALE);
const PUBLISH: Flags = ASK.with(Flags::FAST);

/// What all rows of this file have in common.
const ROW: CommandSpec = CommandSpec { group: "pubsub", since: "2.0.0", ..CommandSpec::ROW };

const CONFIRMATIONS: &str = "For each name a push: the kind of change, the name, how many are left";
const SPACES: &str = "Shard channels are channels of a name space of their own, on every node.";
const NODES: &str = "In a cluster the message reaches the subscribers of all nodes; those of this node are counted.";

/// The rows of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "psubscribe",
        arity: -2,
        flags: LISTEN,
        syntax: "pattern [pattern ...]",
        summary: "Listens for messages published to channels that match one or more patterns.",
        complexity: "O(N) where N is the number of patterns to subscribe to",
        reply: CONFIRMATIONS,
        run: Run::Local(|context, request| subscribe(context, request, Kind::Pattern)),
        ..ROW
    },
    CommandSpec {
        name: "publish",
        arity: 3,
        flags: PUBLISH,
        syntax: "channel message",
        summary: "Posts a message to a channel.",
        complexity: "O(N+M) where N is the number of clients subscribed to the receiving channel and \
                     M is the total number of subscribed patterns",
        reply: "Integer: how many subscriptions it reached",
        difference: NODES,
        run: Run::Local(|context, request| publish(context, request, Space::Common)),
        ..ROW
    },
    CommandSpec {
        name: "pubsub",
        arity: -2,
        summary: "A container for Pub/Sub commands.",
        since: "2.8.0",
        complexity: "Depends on subcommand.",
        subcommands: SUBCOMMANDS,
        ..ROW
    },
    CommandSpec {
        name: "punsubscribe",
        arity: -1,
        flags: LISTEN,
        syntax: "[pattern [pattern ...]]",
        summary: "Stops listening to messages published to channels that match one or more patterns.",
        complexity: "O(N) where N is the number of patterns to unsubscribe from",
        reply: CONFIRMATIONS,
        run: Run::Local(|context, request| unsubscribe(context, request, Kind::Pattern)),
        ..ROW
    },
    CommandSpec {
        name: "spublish",
        arity: 3,
        flags: PUBLISH,
        keys: KeyPositions::FIRST,
        syntax: "shardchannel message",
        summary: "Posts a message to a shard channel.",
        since: "7.0.0",
        complexity: "O(N) where N is the number of clients subscribed to the receiving shard channel",
        reply: "Integer: how many subscriptions it reached",
        difference: NODES,
        run: Run::Local(|context, request| publish(context, request, Space::Shard)),
        ..ROW
    },
    CommandSpec {
        name: "ssubscribe",
        arity: -2,
        flags: LISTEN,
        keys: KeyPositions::ALL,
        syntax: "shardchannel [shardchannel ...]",
        summary: "Listens for messages published to shard channels.",
        since: "7.0.0",
        complexity: "O(N) where N is the number of shard channels to subscribe to",
        reply: CONFIRMATIONS,
        difference: SPACES,
        run: Run::Local(|context, request| subscribe(context, request, Kind::ShardChannel)),
        ..ROW
    },
    CommandSpec {
        name: "subscribe",
        arity: -2,
        flags: LISTEN,
        syntax: "channel [channel ...]",
        summary: "Listens for messages published to channels.",
        complexity: "O(N) where N is the number of channels to subscribe to",
        reply: CONFIRMATIONS,
        run: Run::Local(|context, request| subscribe(context, request, Kind::Channel)),
        ..ROW
    },
    CommandSpec {
        name: "sunsubscribe",
        arity: -1,
        flags: LISTEN,
        keys: KeyPositions::ALL,
        syntax: "[shardchannel [shardchannel ...]]",
        summary: "Stops listening to messages posted to shard channels.",
        since: "7.0.0",
        complexity: "O(N) where N is the number of shard channels to unsubscribe from",
        reply: CONFIRMATIONS,
        run: Run::Local(|context, request| unsubscribe(context, request, Kind::ShardChannel)),
        ..ROW
    },
    CommandSpec {
        name: "unsubscribe",
        arity: -1,
        flags: LISTEN,
        syntax: "[channel [channel ...]]",
        summary: "Stops listening to messages posted to channels.",
        complexity: "O(N) where N is the number of channels to unsubscribe from",
        reply: CONFIRMATIONS,
        run: Run::Local(|context, request| unsubscribe(context, request, Kind::Channel)),
        ..ROW
    },
];

static SUBCOMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "channels",
        arity: -2,
        flags: ASK,
        syntax: "[pattern]",
        summary: "Returns the active channels.",
        since: "2.8.0",
        complexity: "O(N) where N is the number of active channels",
        reply: "Array of names",
        run: Run::Local(|context, request| channels(context, request, Space::Common)),
        ..ROW
    },
    CommandSpec {
        name: "help",
        arity: 2,
        flags: Flags::LOADING.with(Flags::STALE),
        summary: "Returns helpful text about the different subcommands.",
        since: "6.2.0",
        reply: "Array of lines",
        run: Run::Local(pubsub_help),
        ..ROW
    },
    CommandSpec {
        name: "numpat",
        arity: 2,
        flags: ASK,
        summary: "Returns a count of unique pattern subscriptions.",
        since: "2.8.0",
        reply: "Integer",
        run: Run::Local(pattern_count),
        ..ROW
    },
    CommandSpec {
        name: "numsub",
        arity: -2,
        flags: ASK,
        syntax: "[channel [channel ...]]",
        summary: "Returns a count of subscribers to channels.",
        since: "2.8.0",
        complexity: "O(N) where N is the number of requested channels",
        reply: "Array of names and counts in turn",
        run: Run::Local(|context, request| subscriber_counts(context, request, Space::Common)),
        ..ROW
    },
    CommandSpec {
        name: "shardchannels",
        arity: -2,
        flags: ASK,
        syntax: "[pattern]",
        summary: "Returns the active shard channels.",
        since: "7.0.0",
        complexity: "O(N) where N is the number of active shard channels",
        reply: "Array of names",
        run: Run::Local(|context, request| channels(context, request, Space::Shard)),
        ..ROW
    },
    CommandSpec {
        name: "shardnumsub",
        arity: -2,
        flags: ASK,
        syntax: "[shardchannel [shardchannel ...]]",
        summary: "Returns the count of subscribers of shard channels.",
        since: "7.0.0",
        complexity: "O(N) where N is the number of requested shard channels",
        reply: "Array of names and counts in turn",
        run: Run::Local(|context, request| subscriber_counts(context, request, Space::Shard)),
        ..ROW
    },
];

/// What confirmations call a subscription and its end.
fn names_of(kind: Kind) -> (&'static [u8], &'static [u8]) {
    match kind {
        Kind::Channel => (b"subscribe", b"unsubscribe"),
        Kind::Pattern => (b"psubscribe", b"punsubscribe"),
        Kind::ShardChannel => (b"ssubscribe", b"sunsubscribe"),
    }
}

fn confirm(context: &mut LocalContext<'_>, kind: Kind, change: &[u8], name: Option<&[u8]>) {
    let subscriptions = context.client.subscriptions.as_ref();
    let left = subscriptions.map_or(0, |own| own.counted_with(kind));
    context.reply.push(3);
    context.reply.bulk(change);
    context.reply.bulk_or_null(name);
    context.reply.integer(left as i64);
}

fn subscribe(
    context: &mut LocalContext<'_>,
    request: &Request<'_>,
    kind: Kind,
) -> Result<(), CommandError> {
    for name in request.words_from(1).iter() {
        context.server.pubsub.subscribe(context.client, kind, name);
        confirm(context, kind, names_of(kind).0, Some(name));
    }
    Ok(())
}

fn unsubscribe(
    context: &mut LocalContext<'_>,
    request: &Request<'_>,
    kind: Kind,
) -> Result<(), CommandError> {
    let change = names_of(kind).1;
    if request.len() > 1 {
        for name in request.words_from(1).iter() {
            context.server.pubsub.unsubscribe(context.client, kind, name);
            context.client.write_mail(&mut context.reply);
            confirm(context, kind, change, Some(name));
        }
        return Ok(());
    }
    let names = context.client.subscriptions.as_ref().map(|own| own.names(kind));
    let names = names.unwrap_or_default();
    if names.is_empty() {
        confirm(context, kind, change, None);
    }
    for name in names {
        context.server.pubsub.unsubscribe(context.client, kind, &name);
        context.client.write_mail(&mut context.reply);
        confirm(context, kind, change, Some(&name));
    }
    Ok(())
}

fn publish(
    context: &mut LocalContext<'_>,
    request: &Request<'_>,
    space: Space,
) -> Result<(), CommandError> {
    let (channel, message) = (request.word(1), request.word(2));
    let receivers = everywhere::publish(context.server, space, channel, message);
    context.reply.integer(receivers as i64);
    Ok(())
}

fn channels(
    context: &mut LocalContext<'_>,
    request: &Request<'_>,
    space: Space,
) -> Result<(), CommandError> {
    if request.len() > 3 {
        let name = String::from_utf8_lossy(request.word(1));
        return Err(format!(
            "ERR unknown subcommand or wrong number of arguments for '{name}'. Try PUBSUB HELP."
        )
        .into());
    }
    let names = context.server.pubsub.channel_names(space, request.get(2));
    context.reply.bulks(names.iter().map(|name| &**name));
    Ok(())
}

fn subscriber_counts(
    context: &mut LocalContext<'_>,
    request: &Request<'_>,
    space: Space,
) -> Result<(), CommandError> {
    let names = request.words_from(2);
    context.reply.array(2 * names.len());
    for name in names.iter() {
        context.reply.bulk(name);
        let count = context.server.pubsub.subscriber_count(space, name);
        context.reply.integer(count as i64);
    }
    Ok(())
}

fn pattern_count(
    context: &mut LocalContext<'_>,
    _request: &Request<'_>,
) -> Result<(), CommandError> {
    context.reply.integer(context.server.pubsub.pattern_count() as i64);
    Ok(())
}

fn pubsub_help(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    help::write(
        &mut context.reply,
        "PUBSUB",
        &[
            "CHANNELS [<pattern>]",
            "    Return the currently active channels matching a <pattern> (default: '*').",
            "NUMPAT",
            "    Return number of subscriptions to patterns.",
            "NUMSUB [<channel> ...]",
            "    Return the number of subscribers for the specified channels, excluding",
            "    pattern subscriptions(default: no channels).",
            "SHARDCHANNELS [<pattern>]",
            "    Return the currently active shard level channels matching a <pattern> (default: '*').",
            "SHARDNUMSUB [<shardchannel> ...]",
            "    Return the number of subscribers for the specified shard level channel(s)",
        ],
    );
    Ok(())
}
