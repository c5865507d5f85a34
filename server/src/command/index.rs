//! Index rules: whose session is this plain key? Set, deleted and listed while the server runs.

use hallpass_engine::rule::{FENCE_MILLIS_DEFAULT, IndexState, RuleStatus, WORD_BYTES_MAX};
use hallpass_engine::{Decoder, FenceReply, Op, Rule, RuleFault, Source};

use super::context::{LowerContext, ReadContext};
use super::error::CommandError;
use super::render;
use super::request::Request;
use super::spec::{Categories, CommandSpec, Flags, Run, Subject};
use crate::resp::reply::Reply;

const ROW: CommandSpec = CommandSpec {
    group: "index",
    categories: Categories::SESSION.with(Categories::DANGEROUS),
    since: "hallpass 0.1",
    arity: -2,
    subject: Subject::FirstKey,
    ..CommandSpec::ROW
};

/// The rows of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "index.set",
        arity: -6,
        flags: Flags::WRITE.with(Flags::ADMIN),
        syntax: "name KEYS pattern USER JSON pointer | FIELD field [JSON pointer] | VALUE [JSON pointer] \
                 [DECODE decoder [decoder ...]] [FENCE milliseconds] [FENCEREPLY OK | ERROR]",
        summary: "Sets a rule that says whose session a key is, from its value: such keys are then \
                  counted, listed and ended with their user's sessions. Decoders are base64, url, json, \
                  java-string, php, php-session, django, msgpack and strip:prefix. What is stored \
                  already is indexed in the background.",
        complexity: "O(1), and in the background O(N) where N is the number of keys",
        reply: "OK",
        run: Run::Write { lower: lower_set, render: render::done },
        ..ROW
    },
    CommandSpec {
        name: "index.del",
        arity: 2,
        flags: Flags::WRITE.with(Flags::ADMIN),
        syntax: "name",
        summary: "Deletes a rule. Its keys stay, and belong to nobody; they are taken from their users in \
                  the background.",
        complexity: "O(1), and in the background O(N) where N is the number of keys",
        reply: "Integer: 1 when there was such a rule, else 0",
        run: Run::Write {
            lower: |_, request| Ok(Op::RuleDelete { name: checked(request.word(1))? }),
            render: render::integer,
        },
        ..ROW
    },
    CommandSpec {
        name: "index.list",
        arity: 1,
        flags: Flags::READONLY.with(Flags::ADMIN),
        summary: "The rules, in the order in which the first that covers a key decides about it.",
        complexity: "O(N) where N is the number of rules",
        reply: "Array of maps: name, keys, user, decode (an array), fence (milliseconds), fence-reply, \
                state (indexing, ready or removing), indexed (how many keys that were there before)",
        run: Run::Read(list),
        ..ROW
    },
];

/// A name that a log can hold.
fn checked(name: &[u8]) -> Result<&[u8], CommandError> {
    if name.len() <= WORD_BYTES_MAX {
        Ok(name)
    } else {
        Err(format!("ERR {}", RuleFault::WordTooLong).into())
    }
}

fn lower_set<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let word = |index: usize| request.get(index).ok_or(CommandError::Syntax);
    if !request.is(2, "keys") || !request.is(4, "user") {
        return Err(CommandError::Syntax);
    }
    let (mut source, mut next) = (Source::default(), 5);
    if request.is(next, "field") {
        source.field = Some(word(next + 1)?.to_vec());
        next += 2;
    } else if request.is(next, "value") {
        next += 1;
    } else if !request.is(next, "json") {
        return Err(CommandError::Syntax);
    }
    if request.is(next, "json") {
        source.pointer = Some(word(next + 1)?.to_vec());
        next += 2;
    }
    let (mut fence_millis, mut fence_reply) = (FENCE_MILLIS_DEFAULT, FenceReply::default());
    while next < request.len() {
        if request.is(next, "decode") {
            next += 1;
            let before = source.decoders.len();
            while let Some(decoder) = request.get(next).and_then(Decoder::named) {
                source.decoders.push(decoder);
                next += 1;
            }
            if source.decoders.len() == before {
                return Err("ERR DECODE is followed by the name of a decoder".into());
            }
            continue;
        }
        if request.is(next, "fence") {
            let millis = request.integer_positive(next + 1)?;
            fence_millis = millis.unsigned_abs();
        } else if request.is(next, "fencereply") {
            fence_reply = reply_named(word(next + 1)?).ok_or(CommandError::Syntax)?;
        } else {
            return Err(CommandError::Syntax);
        }
        next += 2;
    }
    let (name, keys) = (request.word(1).to_vec(), request.word(3).to_vec());
    let rule = finished(Rule { name, keys, source, fence_millis, fence_reply })?;
    Ok(Op::RuleSet { rule: Box::new(rule) })
}

/// The answer to writes that a word names.
pub(crate) fn reply_named(word: &[u8]) -> Option<FenceReply> {
    match word {
        word if word.eq_ignore_ascii_case(b"ok") => Some(FenceReply::Ok),
        word if word.eq_ignore_ascii_case(b"error") => Some(FenceReply::Error),
        _ => None,
    }
}

/// A rule with its pointer as RFC 6901 has it, where PHP's users write dots.
pub(crate) fn finished(mut rule: Rule) -> Result<Rule, String> {
    let of_php = rule
        .source
        .decoders
        .iter()
        .any(|decoder| matches!(decoder, Decoder::Php | Decoder::PhpSession));
    if let Some(pointer) = &mut rule.source.pointer
        && of_php
        && !pointer.is_empty()
        && !pointer.starts_with(b"/")
    {
        for byte in pointer.iter_mut().filter(|byte| **byte == b'.') {
            *byte = b'/';
        }
        pointer.insert(0, b'/');
    }
    rule.check().map_err(|fault| format!("ERR {fault}"))?;
    Ok(rule)
}

fn list(context: &mut ReadContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    let rules = context.engine.rules();
    let reply = &mut context.reply;
    reply.array(rules.len());
    for rule in &rules {
        write_rule(rule, reply);
    }
    Ok(())
}

fn write_rule(RuleStatus { rule, state, indexed }: &RuleStatus, reply: &mut Reply<'_>) {
    let Source { field, decoders, pointer } = &rule.source;
    reply.map(8);
    reply.bulk(b"name");
    reply.bulk(&rule.name);
    reply.bulk(b"keys");
    reply.bulk(&rule.keys);
    reply.bulk(b"user");
    let mut user: Vec<&[u8]> = Vec::new();
    match field {
        Some(field) => user.extend([&b"FIELD"[..], field]),
        None if pointer.is_none() => user.push(b"VALUE"),
        None => {}
    }
    if let Some(pointer) = pointer {
        user.extend([&b"JSON"[..], pointer]);
    }
    reply.bulk(&user.join(&b' '));
    reply.bulk(b"decode");
    reply.array(decoders.len());
    for decoder in decoders {
        let prefix = if let Decoder::Strip(prefix) = decoder { Some(prefix) } else { None };
        let mut name = decoder.name().as_bytes().to_vec();
        if let Some(prefix) = prefix {
            name.push(b':');
            name.extend_from_slice(prefix);
        }
        reply.bulk(&name);
    }
    reply.bulk(b"fence");
    reply.integer(rule.fence_millis as i64);
    reply.bulk(b"fence-reply");
    reply.bulk(if rule.fence_reply == FenceReply::Ok { b"ok" } else { b"error" });
    reply.bulk(b"state");
    reply.bulk(match state {
        IndexState::Indexing => b"indexing",
        IndexState::Ready => b"ready",
        IndexState::Removing => b"removing",
    });
    reply.bulk(b"indexed");
    reply.integer(*indexed as i64);
}
