//! The index rules of the configuration file: its tables `[[index]]`.
//!
//! ```toml
//! [[index]]
//! name = "express"                      # without one, its pattern is its name
//! keys = "sess:*"
//! user = { json = "/passport/user" }    # or hash-field, or value = true; and decode, a word or several
//! resurrection-fence = 10000            # milliseconds
//! fence-reply = "ok"                    # or "error"
//! ```

use hallpass_engine::rule::FENCE_MILLIS_DEFAULT;
use hallpass_engine::{Decoder, FenceReply, Rule, Source};
use toml::de::{DeTable, DeValue};

use crate::command::index::{finished, reply_named};

/// The rules in the value of `index`.
pub(super) fn rules(value: &DeValue<'_>) -> Result<Vec<Rule>, String> {
    let DeValue::Array(tables) = value else { return Err("index: it is written [[index]]".into()) };
    let mut rules: Vec<Rule> = Vec::new();
    for table in tables {
        let DeValue::Table(table) = table.get_ref() else {
            return Err("index: it is written [[index]]".into());
        };
        let rule = rule(table)?;
        if rules.iter().any(|other| other.name == rule.name) {
            return Err("index: two rules have one name".into());
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn rule(table: &DeTable<'_>) -> Result<Rule, String> {
    let (mut name, mut keys, mut source) = (None, None, None);
    let (mut fence_millis, mut fence_reply) = (FENCE_MILLIS_DEFAULT, FenceReply::default());
    for (key, value) in table {
        let (key, value): (&str, _) = (key.get_ref(), value.get_ref());
        match (key, value) {
            ("name", DeValue::String(text)) => name = Some(text.as_bytes().to_vec()),
            ("keys", DeValue::String(text)) => keys = Some(text.as_bytes().to_vec()),
            ("user", DeValue::Table(table)) => source = Some(user(table)?),
            ("resurrection-fence", DeValue::Integer(number)) => {
                let millis = u64::from_str_radix(number.as_str(), number.radix());
                fence_millis = millis.map_err(|_| "index: a fence is a number of milliseconds")?;
            }
            ("fence-reply", DeValue::String(text)) => {
                let reply = reply_named(text.as_bytes());
                fence_reply = reply.ok_or("index: fence-reply is ok or error")?;
            }
            _ => return Err(format!("index: '{key}' is no part of a rule, or not such a value")),
        }
    }
    let keys = keys.ok_or("index: a rule needs keys")?;
    let name = name.unwrap_or_else(|| keys.clone());
    let source = source.ok_or("index: a rule needs a user")?;
    let rule = finished(Rule { name, keys, source, fence_millis, fence_reply });
    rule.map_err(|error| format!("index: {}", error.trim_start_matches("ERR ")))
}

fn user(table: &DeTable<'_>) -> Result<Source, String> {
    let (mut source, mut named) = (Source::default(), false);
    for (key, value) in table {
        let (key, value): (&str, _) = (key.get_ref(), value.get_ref());
        match (key, value) {
            ("json", DeValue::String(text)) => {
                (source.pointer, named) = (Some(text.as_bytes().to_vec()), true);
            }
            ("hash-field", DeValue::String(text)) => {
                (source.field, named) = (Some(text.as_bytes().to_vec()), true);
            }
            ("value", DeValue::Boolean(true)) => named = true,
            ("decode", DeValue::String(text)) => source.decoders.push(decoder(text)?),
            ("decode", DeValue::Array(words)) => {
                for word in words {
                    let DeValue::String(text) = word.get_ref() else {
                        return Err("index: decode is a word or several".into());
                    };
                    source.decoders.push(decoder(text)?);
                }
            }
            _ => return Err(format!("index: '{key}' is no part of a user, or not such a value")),
        }
    }
    if named { Ok(source) } else { Err("index: user needs json, hash-field or value".into()) }
}

fn decoder(name: &str) -> Result<Decoder, String> {
    Decoder::named(name.as_bytes()).ok_or_else(|| format!("index: there is no decoder '{name}'"))
}
