//! Sets: SADD, SMEMBERS and their kin, and combinations of sets.

use hallpass_engine::value::{SetValue, ValueSeed};
use hallpass_engine::{Combination, Op, Outcome, Words};

use super::collection::{collection_of, length, look, pop_count, random_count};
use super::context::{LowerContext, ReadContext};
use super::cursor::{self, ScanOptions};
use super::error::CommandError;
use super::render;
use super::request::Request;
use super::spec::{Categories, CommandSpec, Flags, KeyPositions, Run};
use crate::resp::reply::Reply;

const ROW: CommandSpec = CommandSpec {
    group: "set",
    categories: Categories::SET,
    keys: KeyPositions::FIRST,
    ..CommandSpec::ROW
};

/// The rows of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "sadd",
        arity: -3,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        syntax: "key member [member ...]",
        summary: "Adds members.",
        complexity: "O(N) where N is the number of members named",
        reply: "Integer: how many are new",
        run: Run::Write {
            lower: |_, request| {
                Ok(Op::SetAdd { key: request.key(1), members: request.words_from(2) })
            },
            render: render::integer,
        },
        ..ROW
    },
    CommandSpec {
        name: "scard",
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "key",
        summary: "How many members a set has.",
        reply: "Integer",
        run: Run::Read(|context, request| length(context, request, SetValue::len)),
        ..ROW
    },
    CommandSpec {
        name: "sdiff",
        arity: -2,
        flags: Flags::READONLY,
        keys: KeyPositions::ALL,
        syntax: "key [key ...]",
        summary: "The members of the first set that no other has.",
        complexity: "O(N) where N is the number of members of all sets",
        reply: "Set of bulk strings",
        run: Run::Read(|context, request| combine(context, request, Combination::Difference)),
        ..ROW
    },
    CommandSpec {
        name: "sdiffstore",
        arity: -3,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        keys: KeyPositions::ALL,
        syntax: "destination key [key ...]",
        summary: "Stores the members of the first set that no other has.",
        complexity: "O(N) where N is the number of members of all sets",
        reply: "Integer: how many there are",
        run: Run::Write {
            lower: |_, request| Ok(store(request, Combination::Difference)),
            render: render::integer,
        },
        ..ROW
    },
    CommandSpec {
        name: "sinter",
        arity: -2,
        flags: Flags::READONLY,
        keys: KeyPositions::ALL,
        syntax: "key [key ...]",
        summary: "The members that all sets have.",
        complexity: "O(N*M) where N is the size of the smallest set and M the number of sets",
        reply: "Set of bulk strings",
        run: Run::Read(|context, request| combine(context, request, Combination::Intersection)),
        ..ROW
    },
    CommandSpec {
        name: "sintercard",
        arity: -3,
        flags: Flags::READONLY.with(Flags::MOVABLEKEYS),
        keys: KeyPositions::counted(1),
        syntax: "numkeys key [key ...] [LIMIT limit]",
        summary: "How many members all sets have; LIMIT ends the counting early.",
        since: "7.0.0",
        complexity: "O(N*M) where N is the size of the smallest set and M the number of sets",
        reply: "Integer",
        run: Run::Read(sintercard),
        ..ROW
    },
    CommandSpec {
        name: "sinterstore",
        arity: -3,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        keys: KeyPositions::ALL,
        syntax: "destination key [key ...]",
        summary: "Stores the members that all sets have.",
        complexity: "O(N*M) where N is the size of the smallest set and M the number of sets",
        reply: "Integer: how many there are",
        run: Run::Write {
            lower: |_, request| Ok(store(request, Combination::Intersection)),
            render: render::integer,
        },
        ..ROW
    },
    CommandSpec {
        name: "sismember",
        arity: 3,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "key member",
        summary: "Whether a set has a member.",
        reply: "Integer: 1 or 0",
        run: Run::Read(sismember),
        ..ROW
    },
    CommandSpec {
        name: "smembers",
        arity: 2,
        flags: Flags::READONLY,
        syntax: "key",
        summary: "All members.",
        complexity: "O(N) where N is the number of members",
        reply: "Set of bulk strings",
        run: Run::Read(smembers),
        ..ROW
    },
    CommandSpec {
        name: "smismember",
        arity: -3,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "key member [member ...]",
        summary: "Which of several members a set has.",
        since: "6.2.0",
        complexity: "O(N) where N is the number of members named",
        reply: "Array of integers: 1 or 0",
        run: Run::Read(smismember),
        ..ROW
    },
    CommandSpec {
        name: "smove",
        arity: 4,
        flags: Flags::WRITE.with(Flags::FAST),
        keys: KeyPositions::TWO,
        syntax: "source destination member",
        summary: "Moves a member from one set to another.",
        reply: "Integer: 1 when it was moved, 0 when the source does not have it",
        run: Run::Write { lower: lower_smove, render: render::integer },
        ..ROW
    },
    CommandSpec {
        name: "spop",
        arity: -2,
        flags: Flags::WRITE.with(Flags::FAST),
        syntax: "key [count]",
        summary: "Takes out members picked at random.",
        complexity: "O(N) where N is the number of members taken",
        reply: "Bulk string or null; with count a set of bulk strings",
        run: Run::Write { lower: lower_spop, render: render_spop },
        ..ROW
    },
    CommandSpec {
        name: "srandmember",
        arity: -2,
        flags: Flags::READONLY,
        syntax: "key [count]",
        summary: "Members picked at random: different ones, or with a negative count any.",
        complexity: "O(N) where N is the number of members shown",
        reply: "Bulk string or null; with count an array of bulk strings",
        difference: "A negative count below -1048576 is refused.",
        run: Run::Read(srandmember),
        ..ROW
    },
    CommandSpec {
        name: "srem",
        arity: -3,
        flags: Flags::WRITE.with(Flags::FAST),
        syntax: "key member [member ...]",
        summary: "Removes members; a set without members is gone.",
        complexity: "O(N) where N is the number of members named",
        reply: "Integer: how many were there",
        run: Run::Write {
            lower: |_, request| {
                Ok(Op::SetRemove { key: request.key(1), members: request.words_from(2) })
            },
            render: render::integer,
        },
        ..ROW
    },
    CommandSpec {
        name: "sscan",
        arity: -3,
        flags: Flags::READONLY,
        syntax: "key cursor [MATCH pattern] [COUNT count]",
        summary: "Reads members in small steps.",
        since: "2.8.0",
        complexity: "O(N) where N is COUNT",
        reply: "Array: next cursor (0 at the end), array of bulk strings",
        run: Run::Read(sscan),
        ..ROW
    },
    CommandSpec {
        name: "sunion",
        arity: -2,
        flags: Flags::READONLY,
        keys: KeyPositions::ALL,
        syntax: "key [key ...]",
        summary: "The members that any of the sets has.",
        complexity: "O(N) where N is the number of members of all sets",
        reply: "Set of bulk strings",
        run: Run::Read(|context, request| combine(context, request, Combination::Union)),
        ..ROW
    },
    CommandSpec {
        name: "sunionstore",
        arity: -3,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        keys: KeyPositions::ALL,
        syntax: "destination key [key ...]",
        summary: "Stores the members that any of the sets has.",
        complexity: "O(N) where N is the number of members of all sets",
        reply: "Integer: how many there are",
        run: Run::Write {
            lower: |_, request| Ok(store(request, Combination::Union)),
            render: render::integer,
        },
        ..ROW
    },
];

fn sismember(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    look(context, request.key(1), |set: Option<&SetValue>, reply| {
        let found = set.is_some_and(|set| set.contains(request.word(2)));
        reply.integer(i64::from(found));
        Ok(())
    })
}

fn smismember(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    look(context, request.key(1), |set: Option<&SetValue>, reply| {
        let members = request.words_from(2);
        reply.array(members.len());
        for member in members.iter() {
            reply.integer(i64::from(set.is_some_and(|set| set.contains(member))));
        }
        Ok(())
    })
}

fn smembers(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    look(context, request.key(1), |set: Option<&SetValue>, reply| {
        reply.set(set.map_or(0, SetValue::len));
        set.into_iter().flat_map(SetValue::iter).for_each(|member| reply.bulk(&member));
        Ok(())
    })
}

fn srandmember(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let seed = context.random();
    if request.len() == 2 {
        return look(context, request.key(1), |set: Option<&SetValue>, reply| {
            let member = set.and_then(|set| set.random_member(seed));
            reply.bulk_or_null(member.as_deref());
            Ok(())
        });
    }
    let (count, _) = random_count(request, None)?;
    look(context, request.key(1), |set: Option<&SetValue>, reply| {
        let members = set.map_or_else(Vec::new, |set| set.random_members(seed, count).collect());
        reply.bulks(members.iter().map(|member| &**member));
        Ok(())
    })
}

fn sscan(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let from = cursor::parse(request.word(2))?;
    look(context, request.key(1), |set: Option<&SetValue>, reply| {
        let mut written = Vec::new();
        let (mut next, mut found) = (0, 0);
        if let Some(set) = set {
            let options = ScanOptions::parse(from, request, 3, false)?;
            let mut members = Reply::new(&mut written, reply.protocol());
            next = set.scan(options.cursor, options.count, |member| {
                if options.wants(member) {
                    members.bulk(member);
                    found += 1;
                }
            });
        }
        cursor::write_page(next, found, &written, reply);
        Ok(())
    })
}

/// Looks at several sets at one instant; an absent one is `None`.
fn look_sets(
    context: &mut ReadContext<'_>,
    request: &Request<'_>,
    keys: Words<'_>,
    read: impl FnOnce(&[Option<&SetValue>], &mut Reply<'_>),
) -> Result<(), CommandError> {
    let ReadContext { engine, now, reply, counters, .. } = context;
    engine.look_many(request.db(), keys, *now, |entries| {
        let mut sets = Vec::with_capacity(entries.len());
        for entry in entries {
            counters.count_look(entry.is_some());
            sets.push(collection_of(entry.as_ref())?);
        }
        read(&sets, reply);
        Ok(())
    })
}

fn combine(
    context: &mut ReadContext<'_>,
    request: &Request<'_>,
    combination: Combination,
) -> Result<(), CommandError> {
    // The members of a reply live for a moment, so their hash needs no key of its own from the system.
    let seed = ValueSeed::new(context.random(), context.random());
    look_sets(context, request, request.words_from(1), |sets, reply| {
        let combined = match combination {
            Combination::Intersection => {
                let members = SetValue::intersection(sets, usize::MAX);
                reply.set(members.len());
                for member in members {
                    reply.bulk(&member);
                }
                return;
            }
            Combination::Union => SetValue::union(sets, seed),
            Combination::Difference => SetValue::difference(sets, seed),
        };
        reply.set(combined.len());
        combined.iter().for_each(|member| reply.bulk(&member));
    })
}

fn sintercard(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let many = match request.integer(1) {
        Ok(many @ 1..) => many as usize,
        _ => return Err("ERR numkeys should be greater than 0".into()),
    };
    if many > request.len() - 2 {
        return Err("ERR Number of keys can't be greater than number of args".into());
    }
    let mut limit = 0;
    let mut index = 2 + many;
    while index < request.len() {
        if !request.is(index, "limit") || index + 1 == request.len() {
            return Err(CommandError::Syntax);
        }
        let error = "ERR LIMIT can't be negative";
        limit = super::collection::not_negative(request, index + 1, error)? as usize;
        index += 2;
    }
    let limit = if limit == 0 { usize::MAX } else { limit };
    look_sets(context, request, request.words(2, 2 + many), |sets, reply| {
        reply.integer(SetValue::intersection(sets, limit).len() as i64);
    })
}

fn store<'a>(request: &Request<'a>, combination: Combination) -> Op<'a> {
    Op::SetStore { destination: request.key(1), sources: request.words_from(2), combination }
}

fn lower_smove<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    Ok(Op::SetMove { from: request.key(1), to: request.key(2), member: request.word(3) })
}

fn lower_spop<'a>(
    context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    if request.len() > 3 {
        return Err(CommandError::Syntax);
    }
    Ok(Op::SetPop { key: request.key(1), count: pop_count(request)?, seed: context.random() })
}

fn render_spop(outcome: &Outcome, request: &Request<'_>, reply: &mut Reply<'_>) {
    match outcome {
        Outcome::List(members) => {
            reply.set(members.len());
            for member in members {
                reply.bulk(member);
            }
        }
        _ => render::bulk(outcome, request, reply),
    }
}
