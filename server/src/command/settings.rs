//! CONFIG: the settings' table over the wire.

use std::fmt::Write as _;
use std::sync::Arc;

use super::context::LocalContext;
use super::error::CommandError;
use super::help;
use super::request::Request;
use super::spec::{CommandSpec, Flags, Run};
use crate::acl::{User, registers};
use crate::config::rewrite;
use crate::config::settings::{SETTINGS, Setting};
use crate::glob;

const ROW: CommandSpec = CommandSpec {
    flags: Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::LOADING).with(Flags::STALE),
    group: "server",
    since: "2.0.0",
    ..CommandSpec::ROW
};

/// The rows of this family.
pub static COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "config",
    arity: -2,
    flags: Flags::NONE,
    summary: "A container for server configuration commands.",
    complexity: "Depends on subcommand.",
    subcommands: SUBCOMMANDS,
    ..ROW
}];

static SUBCOMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "get",
        arity: -3,
        syntax: "parameter [parameter ...]",
        summary: "Returns the effective values of configuration parameters.",
        complexity: "O(N) when N is the number of configuration parameters provided",
        reply: "Map from names to values",
        run: Run::Local(get),
        ..ROW
    },
    CommandSpec {
        name: "help",
        arity: 2,
        flags: Flags::LOADING.with(Flags::STALE),
        summary: "Returns helpful text about the different subcommands.",
        since: "5.0.0",
        reply: "Array of lines",
        run: Run::Local(config_help),
        ..ROW
    },
    CommandSpec {
        name: "resetstat",
        arity: 2,
        summary: "Resets the server's statistics.",
        reply: "OK",
        run: Run::Local(reset_statistics),
        ..ROW
    },
    CommandSpec {
        name: "rewrite",
        arity: 2,
        summary: "Persists the effective configuration to file.",
        since: "2.8.0",
        reply: "OK",
        run: Run::Local(rewrite_file),
        ..ROW
    },
    CommandSpec {
        name: "set",
        arity: -4,
        syntax: "parameter value [parameter value ...]",
        summary: "Sets configuration parameters in-flight.",
        complexity: "O(N) when N is the number of configuration parameters provided",
        reply: "OK",
        run: Run::Local(set),
        ..ROW
    },
];

fn get(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let config = context.server.settings.current();
    // A name that is asked for in full comes back spelled as it was asked for, as in Redis.
    let asked = |setting: &'static Setting| {
        let name = setting.name.as_bytes();
        let pattern = request
            .words_from(2)
            .iter()
            .find(|pattern| glob::matches_ignoring_case(pattern, name))?;
        let shown = if pattern.eq_ignore_ascii_case(name) { pattern } else { name };
        Some((setting, shown))
    };
    let found: Vec<(&Setting, &[u8])> = SETTINGS.iter().filter_map(asked).collect();
    context.reply.map(found.len());
    for (setting, shown) in found {
        context.reply.bulk(shown);
        context.reply.bulk(setting.show(&config).as_bytes());
    }
    Ok(())
}

fn set(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let pairs = request.words_from(2);
    let unknown = |name: &[u8]| {
        let name = String::from_utf8_lossy(name);
        CommandError::from(format!(
            "ERR Unknown option or number of arguments for CONFIG SET - '{name}'"
        ))
    };
    if !pairs.len().is_multiple_of(2) {
        return Err(unknown(pairs.at(pairs.len() - 1)));
    }
    let failed = |name: &str, reason: &str| {
        CommandError::from(format!(
            "ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}"
        ))
    };
    let mut changes: Vec<(&Setting, String)> = Vec::new();
    for (name, value) in pairs.pairs() {
        let setting = std::str::from_utf8(name).ok().and_then(Setting::find);
        let setting = setting.ok_or_else(|| unknown(name))?;
        if !setting.mutable {
            return Err(failed(setting.name, "can't set immutable config"));
        }
        if changes.iter().any(|(changed, _)| changed.name == setting.name) {
            return Err(failed(setting.name, "duplicate parameter"));
        }
        changes.push((setting, String::from_utf8_lossy(value).into_owned()));
    }
    context.server.settings.change(|config| {
        for (setting, value) in &changes {
            setting.set(config, value).map_err(|reason| failed(setting.name, &reason))?;
        }
        if let Some((setting, _)) = changes.iter().find(|(setting, _)| setting.is_of_tls()) {
            // Also when nothing but the files' contents has changed.
            context.server.client_tls.load(config).map_err(|error| {
                crate::log::line(format_args!("TLS for clients stays as it was: {error}"));
                failed(setting.name, "Unable to update TLS configuration. Check server logs.")
            })?;
        }
        Ok::<(), CommandError>(())
    })?;
    let config = context.server.settings.current();
    context.server.keyspace.notify(&context.server.engine, config.notify_keyspace_events);
    if changes.iter().any(|(setting, _)| setting.name == "requirepass") {
        set_default_password(context, &config.requirepass)?;
        context.client.follow_users(&context.server.acl);
    }
    if context.server.cluster.get().is_none() {
        context.server.engine.set_memory_limit(config.maxmemory, config.eviction());
    }
    context.reply.ok();
    Ok(())
}

/// Ties `requirepass` to the default user, as Redis does.
fn set_default_password(context: &LocalContext<'_>, password: &str) -> Result<(), CommandError> {
    let server = context.server;
    let with_password = |user: &User| {
        let mut user = user.clone();
        user.set_password(password);
        user
    };
    if server.cluster.get().is_none() {
        let users = server.acl.users();
        server
            .engine
            .apply(&registers::set(&users, &with_password(users.default_user())), context.now);
    }
    registers::reconfigure(server, |users| users.insert(with_password(users.default_user())));
    Ok(())
}

fn reset_statistics(
    context: &mut LocalContext<'_>,
    _request: &Request<'_>,
) -> Result<(), CommandError> {
    context.server.metrics.reset();
    context.reply.ok();
    Ok(())
}

fn rewrite_file(
    context: &mut LocalContext<'_>,
    _request: &Request<'_>,
) -> Result<(), CommandError> {
    let config = Arc::clone(&context.server.settings.current());
    let Some(path) = &config.file else {
        return Err("ERR The server is running without a config file".into());
    };
    rewrite::rewrite(path, &config).map_err(|error| {
        let mut text = String::from("ERR Rewriting config file: ");
        // Writing to a String cannot fail.
        let _ = write!(text, "{error}");
        CommandError::from(text)
    })?;
    context.reply.ok();
    Ok(())
}

fn config_help(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    help::write(
        &mut context.reply,
        "CONFIG",
        &[
            "GET <pattern>",
            "    Return parameters matching the glob-like <pattern> and their values.",
            "SET <directive> <value>",
            "    Set the configuration <directive> to <value>.",
            "RESETSTAT",
            "    Reset statistics reported by the INFO command.",
            "REWRITE",
            "    Rewrite the configuration file.",
        ],
    );
    Ok(())
}
