//! CLIENT TRACKING, CACHING, GETREDIR and TRACKINGINFO.

use super::context::LocalContext;
use super::error::CommandError;
use super::request::Request;
use super::spec::{Categories, CommandSpec, Flags, Run};
use crate::tracking::{Mode, Own};

const ROW: CommandSpec = CommandSpec {
    flags: Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE),
    categories: Categories::CONNECTION,
    group: "connection",
    since: "6.0.0",
    ..CommandSpec::ROW
};

/// CLIENT CACHING.
pub(super) const CACHING: CommandSpec = CommandSpec {
    name: "caching",
    arity: 3,
    syntax: "YES | NO",
    summary: "Instructs the server whether to track the keys in the next request.",
    reply: "OK",
    run: Run::Local(caching),
    ..ROW
};

/// CLIENT GETREDIR.
pub(super) const GETREDIR: CommandSpec = CommandSpec {
    name: "getredir",
    arity: 2,
    summary: "Returns the client ID to which the connection's tracking notifications are redirected.",
    reply: "Integer: 0 without redirection, -1 without tracking",
    run: Run::Local(get_redirection),
    ..ROW
};

/// CLIENT TRACKING.
pub(super) const TRACKING: CommandSpec = CommandSpec {
    name: "tracking",
    arity: -3,
    syntax: "ON | OFF [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] \
             [NOLOOP]",
    summary: "Controls server-assisted client-side caching for the connection.",
    complexity: "O(1). Some options may introduce additional complexity.",
    reply: "OK",
    difference: "In broadcast mode there is a message for each command that changes keys, where Redis may \
                 put several together.",
    run: Run::Local(tracking),
    ..ROW
};

/// CLIENT TRACKINGINFO.
pub(super) const TRACKINGINFO: CommandSpec = CommandSpec {
    name: "trackinginfo",
    arity: 2,
    summary: "Returns information about server-assisted client-side caching for the connection.",
    since: "6.2.0",
    reply: "Map: flags, redirect, prefixes",
    run: Run::Local(tracking_info),
    ..ROW
};

/// What CLIENT TRACKING is asked for.
#[derive(Default)]
struct Options<'a> {
    mode: Mode,
    redirect: i64,
    prefixes: Vec<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(context: &LocalContext<'_>, request: &Request<'a>) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut index = 3;
        while index < request.len() {
            let more = index + 1 < request.len();
            if request.is(index, "redirect") && more {
                index += 1;
                if options.redirect != 0 {
                    return Err("ERR A client can only redirect to a single other client".into());
                }
                options.redirect = request.integer(index)?;
                let target = u64::try_from(options.redirect).ok();
                if target.and_then(|id| context.server.clients.find(id)).is_none() {
                    return Err("ERR The client ID you want redirect to does not exist".into());
                }
            } else if request.is(index, "bcast") {
                options.mode.broadcast = true;
            } else if request.is(index, "optin") {
                options.mode.opt_in = true;
            } else if request.is(index, "optout") {
                options.mode.opt_out = true;
            } else if request.is(index, "noloop") {
                options.mode.no_loop = true;
            } else if request.is(index, "prefix") && more {
                index += 1;
                options.prefixes.push(request.word(index));
            } else {
                return Err(CommandError::Syntax);
            }
            index += 1;
        }
        Ok(options)
    }

    /// Whether they go together, and with what the client has now.
    fn check(&self, own: Option<&Own>) -> Result<(), CommandError> {
        let Self { mode, prefixes, .. } = self;
        if !mode.broadcast && !prefixes.is_empty() {
            return Err("ERR PREFIX option requires BCAST mode to be enabled".into());
        }
        let before = own.map(|own| own.tracker.mode);
        if before.is_some_and(|before| before.broadcast != mode.broadcast) {
            return Err(
                "ERR You can't switch BCAST mode on/off before disabling tracking for this \
                        client, and then re-enabling it with a different mode."
                    .into(),
            );
        }
        if mode.broadcast && (mode.opt_in || mode.opt_out) {
            return Err("ERR OPTIN and OPTOUT are not compatible with BCAST".into());
        }
        if mode.opt_in && mode.opt_out {
            return Err("ERR You can't specify both OPTIN mode and OPTOUT mode".into());
        }
        let switches =
            |before: Mode| (mode.opt_in && before.opt_out) || (mode.opt_out && before.opt_in);
        if before.is_some_and(switches) {
            return Err(
                "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this \
                        client, and then re-enabling it with a different mode."
                    .into(),
            );
        }
        self.check_prefixes(own)
    }

    fn check_prefixes(&self, own: Option<&Own>) -> Result<(), CommandError> {
        let overlap = |one: &[u8], other: &[u8]| one.starts_with(other) || other.starts_with(one);
        let refuse = |prefix: &[u8], with: &str, other: &[u8]| {
            let text = [
                b"ERR Prefix '",
                prefix,
                b"' overlaps with ",
                with.as_bytes(),
                b" '",
                other,
                b"'. Prefixes for a single client must not overlap.",
            ];
            Err(CommandError::Raw(text.concat()))
        };
        for (at, prefix) in self.prefixes.iter().enumerate() {
            let present = own.into_iter().flat_map(|own| &own.prefixes);
            for other in present {
                if overlap(prefix, other) {
                    return refuse(prefix, "an existing prefix", other);
                }
            }
            for other in self.prefixes.iter().skip(at + 1) {
                if overlap(prefix, other) {
                    return refuse(prefix, "another provided prefix", other);
                }
            }
        }
        Ok(())
    }
}

fn tracking(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let options = Options::parse(context, request)?;
    let (server, client) = (context.server, &mut *context.client);
    if request.is(2, "on") {
        options.check(client.tracking.as_deref())?;
        let redirect = u64::try_from(options.redirect).ok().and_then(|id| server.clients.find(id));
        let (engine, prefixes) = (&server.engine, &options.prefixes);
        server.keyspace.track(engine, client, (options.mode, redirect, prefixes));
    } else if request.is(2, "off") {
        server.keyspace.untrack(&server.engine, client);
    } else {
        return Err(CommandError::Syntax);
    }
    context.reply.ok();
    Ok(())
}

fn caching(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let Some(own) = &mut context.client.tracking else {
        return Err(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with \
                    OPTIN or OPTOUT mode enabled"
                .into(),
        );
    };
    let mode = own.tracker.mode;
    if request.is(2, "yes") {
        if !mode.opt_in {
            return Err(
                "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode."
                    .into(),
            );
        }
    } else if request.is(2, "no") {
        if !mode.opt_out {
            return Err(
                "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode."
                    .into(),
            );
        }
    } else {
        return Err(CommandError::Syntax);
    }
    own.caching = true;
    context.reply.ok();
    Ok(())
}

fn get_redirection(
    context: &mut LocalContext<'_>,
    _request: &Request<'_>,
) -> Result<(), CommandError> {
    let own = context.client.tracking.as_ref();
    context.reply.integer(own.map_or(-1, |own| own.tracker.redirect_id() as i64));
    Ok(())
}

fn tracking_info(
    context: &mut LocalContext<'_>,
    _request: &Request<'_>,
) -> Result<(), CommandError> {
    let own = context.client.tracking.as_ref();
    let mode = own.map(|own| own.tracker.mode).unwrap_or_default();
    let caching = own.is_some_and(|own| own.caching);
    let flags: Vec<&str> = [
        (own.is_none(), "off"),
        (own.is_some(), "on"),
        (mode.broadcast, "bcast"),
        (mode.opt_in, "optin"),
        (mode.opt_in && caching, "caching-yes"),
        (mode.opt_out, "optout"),
        (mode.opt_out && caching, "caching-no"),
        (mode.no_loop, "noloop"),
        (own.is_some_and(|own| own.tracker.is_broken()), "broken_redirect"),
    ]
    .into_iter()
    .filter_map(|(is, flag)| is.then_some(flag))
    .collect();
    let reply = &mut context.reply;
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(flags.len());
    for flag in flags {
        reply.bulk(flag.as_bytes());
    }
    reply.bulk(b"redirect");
    reply.integer(own.map_or(-1, |own| own.tracker.redirect_id() as i64));
    reply.bulk(b"prefixes");
    reply.array(own.map_or(0, |own| own.prefixes.len()));
    for prefix in own.into_iter().flat_map(|own| &own.prefixes) {
        reply.bulk(prefix);
    }
    Ok(())
}
