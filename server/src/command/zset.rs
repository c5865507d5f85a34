//! Sorted sets: ZADD, ZRANGE and their kin. The many range commands are one, see `range`.

mod range;

use hallpass_engine::value::SortedValue;
use hallpass_engine::value::number::{format_f64, parse_f64};
use hallpass_engine::{Op, Outcome, SortedAddOptions, SortedEnd, SortedRange};

use self::range::{By, lex_bounds, score_bounds};
use super::collection::{length, look, pop_count, random_count};
use super::context::{LowerContext, ReadContext};
use super::cursor::{self, ScanOptions};
use super::error::CommandError;
use super::render;
use super::request::Request;
use super::spec::{Categories, CommandSpec, Flags, KeyPositions, Run};
use crate::resp::reply::{Protocol, Reply};

const ROW: CommandSpec = CommandSpec {
    group: "sorted-set",
    categories: Categories::SORTEDSET,
    keys: KeyPositions::FIRST,
    since: "1.2.0",
    ..CommandSpec::ROW
};

/// The rows of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "zadd",
        arity: -4,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        syntax: "key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]",
        summary: "Adds members or changes their scores.",
        complexity: "O(M*log(N)) where M is the number of members named and N the size of the set",
        reply: "Integer: how many are new, with CH also how many changed; with INCR the new score, or \
                null when a condition kept it from happening",
        run: Run::Write { lower: lower_zadd, render: render_zadd },
        ..ROW
    },
    CommandSpec {
        name: "zcard",
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "key",
        summary: "How many members a sorted set has.",
        reply: "Integer",
        run: Run::Read(|context, request| length(context, request, SortedValue::len)),
        ..ROW
    },
    CommandSpec {
        name: "zcount",
        arity: 4,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "key min max",
        summary: "How many members have scores in a range.",
        since: "2.0.0",
        complexity: "O(log(N)) where N is the size of the set",
        reply: "Integer",
        run: Run::Read(zcount),
        ..ROW
    },
    CommandSpec {
        name: "zincrby",
        arity: 4,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        syntax: "key increment member",
        summary: "Adds to a member's score, which begins as 0.",
        complexity: "O(log(N)) where N is the size of the set",
        reply: "Double: the new score",
        run: Run::Write { lower: lower_zincrby, render: render_zadd },
        ..ROW
    },
    CommandSpec {
        name: "zlexcount",
        arity: 4,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "key min max",
        summary: "How many members lie in a range of members, all scores being equal.",
        since: "2.8.9",
        complexity: "O(log(N)) where N is the size of the set",
        reply: "Integer",
        run: Run::Read(zlexcount),
        ..ROW
    },
    CommandSpec {
        name: "zmscore",
        arity: -3,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "key member [member ...]",
        summary: "The scores of several members.",
        since: "6.2.0",
        complexity: "O(N) where N is the number of members named",
        reply: "Array of doubles, null where a member is absent",
        run: Run::Read(zmscore),
        ..ROW
    },
    CommandSpec {
        name: "zpopmax",
        arity: -2,
        flags: Flags::WRITE.with(Flags::FAST),
        syntax: "key [count]",
        summary: "Takes out the members with the highest scores.",
        since: "5.0.0",
        complexity: "O(M*log(N)) where M is the number of members taken and N the size of the set",
        reply: "Array of members and scores",
        run: Run::Write {
            lower: |_, request| lower_zpop(request, SortedEnd::Highest),
            render: render_zpop,
        },
        ..ROW
    },
    CommandSpec {
        name: "zpopmin",
        arity: -2,
        flags: Flags::WRITE.with(Flags::FAST),
        syntax: "key [count]",
        summary: "Takes out the members with the lowest scores.",
        since: "5.0.0",
        complexity: "O(M*log(N)) where M is the number of members taken and N the size of the set",
        reply: "Array of members and scores",
        run: Run::Write {
            lower: |_, request| lower_zpop(request, SortedEnd::Lowest),
            render: render_zpop,
        },
        ..ROW
    },
    CommandSpec {
        name: "zrandmember",
        arity: -2,
        flags: Flags::READONLY,
        syntax: "key [count [WITHSCORES]]",
        summary: "Members picked at random: different ones, or with a negative count any.",
        since: "6.2.0",
        complexity: "O(N) where N is the number of members shown",
        reply: "Bulk string or null; with count an array, with WITHSCORES of members and scores",
        difference: "A negative count below -1048576 is refused.",
        run: Run::Read(zrandmember),
        ..ROW
    },
    CommandSpec {
        name: "zrange",
        arity: -4,
        flags: Flags::READONLY,
        syntax: "key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]",
        summary: "Members in a range of indexes, scores or members.",
        complexity: "O(log(N)+M) where N is the size of the set and M the number of members shown",
        reply: "Array of bulk strings, with WITHSCORES of members and scores",
        run: Run::Read(|context, request| range::read(context, request, None, None)),
        ..ROW
    },
    CommandSpec {
        name: "zrangebylex",
        arity: -4,
        flags: Flags::READONLY,
        syntax: "key min max [LIMIT offset count]",
        summary: "Members in a range of members, all scores being equal. Now ZRANGE with BYLEX.",
        since: "2.8.9",
        complexity: "O(log(N)+M) where N is the size of the set and M the number of members shown",
        reply: "Array of bulk strings",
        run: Run::Read(|context, request| {
            range::read(context, request, Some(By::Lex), Some(false))
        }),
        ..ROW
    },
    CommandSpec {
        name: "zrangebyscore",
        arity: -4,
        flags: Flags::READONLY,
        syntax: "key min max [WITHSCORES] [LIMIT offset count]",
        summary: "Members with scores in a range. Now ZRANGE with BYSCORE.",
        since: "1.0.5",
        complexity: "O(log(N)+M) where N is the size of the set and M the number of members shown",
        reply: "Array of bulk strings, with WITHSCORES of members and scores",
        run: Run::Read(|context, request| {
            range::read(context, request, Some(By::Score), Some(false))
        }),
        ..ROW
    },
    CommandSpec {
        name: "zrank",
        arity: -3,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "key member [WITHSCORE]",
        summary: "How many members stand before a member.",
        since: "2.0.0",
        complexity: "O(log(N)) where N is the size of the set",
        reply: "Integer, or null without the member; with WITHSCORE an array of rank and score",
        run: Run::Read(|context, request| rank(context, request, SortedValue::rank)),
        ..ROW
    },
    CommandSpec {
        name: "zrem",
        arity: -3,
        flags: Flags::WRITE.with(Flags::FAST),
        syntax: "key member [member ...]",
        summary: "Removes members; a sorted set without members is gone.",
        complexity: "O(M*log(N)) where M is the number of members named and N the size of the set",
        reply: "Integer: how many were there",
        run: Run::Write {
            lower: |_, request| {
                Ok(Op::SortedRemove { key: request.key(1), members: request.words_from(2) })
            },
            render: render::integer,
        },
        ..ROW
    },
    CommandSpec {
        name: "zremrangebylex",
        arity: 4,
        flags: Flags::WRITE,
        syntax: "key min max",
        summary: "Removes the members in a range of members, all scores being equal.",
        since: "2.8.9",
        complexity: "O(log(N)+M) where N is the size of the set and M the number of members removed",
        reply: "Integer: how many were removed",
        run: Run::Write {
            lower: |_, request| {
                let (lower, upper) = lex_bounds(request.word(2), request.word(3))?;
                Ok(remove_range(request, SortedRange::Lex(lower, upper)))
            },
            render: render::integer,
        },
        ..ROW
    },
    CommandSpec {
        name: "zremrangebyrank",
        arity: 4,
        flags: Flags::WRITE,
        syntax: "key start stop",
        summary: "Removes the members in a range of indexes.",
        since: "2.0.0",
        complexity: "O(log(N)+M) where N is the size of the set and M the number of members removed",
        reply: "Integer: how many were removed",
        run: Run::Write {
            lower: |_, request| {
                let range = SortedRange::Rank(request.integer(2)?, request.integer(3)?);
                Ok(remove_range(request, range))
            },
            render: render::integer,
        },
        ..ROW
    },
    CommandSpec {
        name: "zremrangebyscore",
        arity: 4,
        flags: Flags::WRITE,
        syntax: "key min max",
        summary: "Removes the members with scores in a range.",
        complexity: "O(log(N)+M) where N is the size of the set and M the number of members removed",
        reply: "Integer: how many were removed",
        run: Run::Write {
            lower: |_, request| {
                let (lower, upper) = score_bounds(request.word(2), request.word(3))?;
                Ok(remove_range(request, SortedRange::Score(lower, upper)))
            },
            render: render::integer,
        },
        ..ROW
    },
    CommandSpec {
        name: "zrevrange",
        arity: -4,
        flags: Flags::READONLY,
        syntax: "key start stop [WITHSCORES]",
        summary: "Members in a range of indexes, from the highest score down. Now ZRANGE with REV.",
        complexity: "O(log(N)+M) where N is the size of the set and M the number of members shown",
        reply: "Array of bulk strings, with WITHSCORES of members and scores",
        run: Run::Read(|context, request| {
            range::read(context, request, Some(By::Rank), Some(true))
        }),
        ..ROW
    },
    CommandSpec {
        name: "zrevrangebylex",
        arity: -4,
        flags: Flags::READONLY,
        syntax: "key max min [LIMIT offset count]",
        summary: "Members in a range of members, from the last to the first. Now ZRANGE with REV and \
                  BYLEX.",
        since: "2.8.9",
        complexity: "O(log(N)+M) where N is the size of the set and M the number of members shown",
        reply: "Array of bulk strings",
        run: Run::Read(|context, request| range::read(context, request, Some(By::Lex), Some(true))),
        ..ROW
    },
    CommandSpec {
        name: "zrevrangebyscore",
        arity: -4,
        flags: Flags::READONLY,
        syntax: "key max min [WITHSCORES] [LIMIT offset count]",
        summary: "Members with scores in a range, from the highest down. Now ZRANGE with REV and \
                  BYSCORE.",
        since: "2.2.0",
        complexity: "O(log(N)+M) where N is the size of the set and M the number of members shown",
        reply: "Array of bulk strings, with WITHSCORES of members and scores",
        run: Run::Read(|context, request| {
            range::read(context, request, Some(By::Score), Some(true))
        }),
        ..ROW
    },
    CommandSpec {
        name: "zrevrank",
        arity: -3,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "key member [WITHSCORE]",
        summary: "How many members stand after a member.",
        since: "2.0.0",
        complexity: "O(log(N)) where N is the size of the set",
        reply: "Integer, or null without the member; with WITHSCORE an array of rank and score",
        run: Run::Read(|context, request| rank(context, request, SortedValue::reverse_rank)),
        ..ROW
    },
    CommandSpec {
        name: "zscan",
        arity: -3,
        flags: Flags::READONLY,
        syntax: "key cursor [MATCH pattern] [COUNT count]",
        summary: "Reads members and scores in small steps.",
        since: "2.8.0",
        complexity: "O(N) where N is COUNT",
        reply: "Array: next cursor (0 at the end), array of members and scores in turn",
        run: Run::Read(zscan),
        ..ROW
    },
    CommandSpec {
        name: "zscore",
        arity: 3,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "key member",
        summary: "A member's score.",
        reply: "Double, or null without the member",
        run: Run::Read(zscore),
        ..ROW
    },
];

fn write_score(score: Option<f64>, reply: &mut Reply<'_>) {
    match score {
        Some(score) => reply.double(score),
        None => reply.null(),
    }
}

/// Writes members with scores: one array of both in turn, or with `nested` an array of pairs.
fn write_scored<'a>(
    entries: impl ExactSizeIterator<Item = (&'a [u8], f64)>,
    nested: bool,
    reply: &mut Reply<'_>,
) {
    reply.array(if nested { entries.len() } else { entries.len() * 2 });
    for (member, score) in entries {
        if nested {
            reply.array(2);
        }
        reply.bulk(member);
        reply.double(score);
    }
}

fn zscore(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    look(context, request.key(1), |sorted: Option<&SortedValue>, reply| {
        write_score(sorted.and_then(|sorted| sorted.score(request.word(2))), reply);
        Ok(())
    })
}

fn zmscore(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    look(context, request.key(1), |sorted: Option<&SortedValue>, reply| {
        let members = request.words_from(2);
        reply.array(members.len());
        for member in members.iter() {
            write_score(sorted.and_then(|sorted| sorted.score(member)), reply);
        }
        Ok(())
    })
}

fn zcount(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let (lower, upper) = score_bounds(request.word(2), request.word(3))?;
    length(context, request, |sorted: &SortedValue| sorted.count_by_score(lower, upper))
}

fn zlexcount(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let (lower, upper) = lex_bounds(request.word(2), request.word(3))?;
    length(context, request, |sorted: &SortedValue| sorted.count_by_lex(lower, upper))
}

fn rank(
    context: &mut ReadContext<'_>,
    request: &Request<'_>,
    rank_of: fn(&SortedValue, &[u8]) -> Option<usize>,
) -> Result<(), CommandError> {
    let with_score = match request.len() {
        3 => false,
        4 if request.is(3, "withscore") => true,
        4 => return Err(CommandError::Syntax),
        _ => return Err(CommandError::WrongArity),
    };
    look(context, request.key(1), |sorted: Option<&SortedValue>, reply| {
        let member = request.word(2);
        let rank = sorted.and_then(|sorted| rank_of(sorted, member));
        match (rank, with_score) {
            (Some(rank), false) => reply.integer(rank as i64),
            (Some(rank), true) => {
                reply.array(2);
                reply.integer(rank as i64);
                write_score(sorted.and_then(|sorted| sorted.score(member)), reply);
            }
            (None, false) => reply.null(),
            (None, true) => reply.null_array(),
        }
        Ok(())
    })
}

fn zrandmember(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let seed = context.random();
    if request.len() == 2 {
        return look(context, request.key(1), |sorted: Option<&SortedValue>, reply| {
            // A negative count allows repetition, which a single member does not need.
            let picked = sorted.and_then(|sorted| sorted.random_entries(seed, -1).next());
            reply.bulk_or_null(picked.map(|(member, _)| member));
            Ok(())
        });
    }
    let (count, with_scores) = random_count(request, Some("withscores"))?;
    look(context, request.key(1), |sorted: Option<&SortedValue>, reply| {
        let picked =
            sorted.map_or_else(Vec::new, |sorted| sorted.random_entries(seed, count).collect());
        if with_scores {
            write_scored(picked.into_iter(), reply.protocol() == Protocol::Resp3, reply);
        } else {
            reply.bulks(picked.iter().map(|(member, _)| *member));
        }
        Ok(())
    })
}

fn zscan(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let from = cursor::parse(request.word(2))?;
    look(context, request.key(1), |sorted: Option<&SortedValue>, reply| {
        let mut written = Vec::new();
        let (mut next, mut found) = (0, 0);
        if let Some(sorted) = sorted {
            let options = ScanOptions::parse(from, request, 3, false)?;
            let mut members = Reply::new(&mut written, reply.protocol());
            let large = sorted.encoding() == "skiplist";
            next = sorted.scan(options.cursor, options.count, |member, score| {
                if options.wants(member) {
                    members.bulk(member);
                    // As in Redis, scores are strings here in either protocol, and those of a large
                    // set have passed through a long double.
                    if large {
                        members.bulk(seventeen_digits(score).as_bytes());
                    } else {
                        members.bulk(format_f64(score).as_bytes());
                    }
                    found += 2;
                }
            });
        }
        cursor::write_page(next, found, &written, reply);
        Ok(())
    })
}

/// A score as C's `%.17g` writes it.
fn seventeen_digits(score: f64) -> String {
    const DIGITS: i32 = 17;
    if !score.is_finite() || score == 0.0 {
        return format_f64(score).into_owned();
    }
    let scientific = format!("{score:.16e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let without_zeros = |text: &str| {
        // Only behind a point are zeros without meaning.
        let kept = if text.contains('.') { text.trim_end_matches('0') } else { text };
        kept.trim_end_matches('.').to_owned()
    };
    if (-4..DIGITS).contains(&exponent) {
        return without_zeros(&format!("{score:.*}", (DIGITS - 1 - exponent) as usize));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", without_zeros(mantissa), exponent.abs())
}

fn lower_zadd<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let mut options = SortedAddOptions::default();
    let mut index = 2;
    while index < request.len() {
        let option = [
            ("nx", &mut options.if_absent),
            ("xx", &mut options.if_present),
            ("gt", &mut options.if_greater),
            ("lt", &mut options.if_less),
            ("ch", &mut options.report_changed),
            ("incr", &mut options.increment),
        ]
        .into_iter()
        .find(|(name, _)| request.is(index, name));
        let Some((_, option)) = option else { break };
        *option = true;
        index += 1;
    }
    let pairs = request.words_from(index);
    if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    let SortedAddOptions { if_absent, if_present, if_greater, if_less, increment, .. } = options;
    if if_absent && if_present {
        return Err("ERR XX and NX options at the same time are not compatible".into());
    }
    if (if_absent && (if_greater || if_less)) || (if_greater && if_less) {
        return Err("ERR GT, LT, and/or NX options at the same time are not compatible".into());
    }
    if increment && pairs.len() > 2 {
        return Err("ERR INCR option supports a single increment-element pair".into());
    }
    let scored = |(score, member)| parse_f64(score).map(|score| (score, member));
    let members: Option<Vec<_>> = pairs.pairs().map(scored).collect();
    let members = members.ok_or(CommandError::NotAFloat)?;
    Ok(Op::SortedAdd { key: request.key(1), members, options })
}

fn lower_zincrby<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    // Redis reads the words of ZINCRBY as those of ZADD, and then lacks a member.
    let option = ["NX", "XX", "CH", "INCR", "GT", "LT"];
    if option.iter().any(|option| request.word(2).eq_ignore_ascii_case(option.as_bytes())) {
        return Err(CommandError::Syntax);
    }
    let by = parse_f64(request.word(2)).ok_or(CommandError::NotAFloat)?;
    let options = SortedAddOptions { increment: true, ..SortedAddOptions::default() };
    Ok(Op::SortedAdd { key: request.key(1), members: vec![(by, request.word(3))], options })
}

fn render_zadd(outcome: &Outcome, request: &Request<'_>, reply: &mut Reply<'_>) {
    match outcome {
        Outcome::Float(score) => reply.double(*score),
        Outcome::Nil => reply.null(),
        _ => render::integer(outcome, request, reply),
    }
}

fn lower_zpop<'a>(request: &Request<'a>, end: SortedEnd) -> Result<Op<'a>, CommandError> {
    if request.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let count = pop_count(request)?.unwrap_or(1);
    Ok(Op::SortedPop { key: request.key(1), count, end })
}

fn render_zpop(outcome: &Outcome, request: &Request<'_>, reply: &mut Reply<'_>) {
    let Outcome::ScoredList(entries) = outcome else {
        return render::unexpected(outcome, reply);
    };
    let nested = request.len() > 2 && reply.protocol() == Protocol::Resp3;
    let entries = entries.iter().map(|(member, score)| (member.as_slice(), *score));
    write_scored(entries, nested, reply);
}

fn remove_range<'a>(request: &Request<'a>, range: SortedRange<'a>) -> Op<'a> {
    Op::SortedRemoveRange { key: request.key(1), range }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seventeen_digits_as_in_c() {
        for (score, text) in [
            (3.0, "3"),
            (-2.25, "-2.25"),
            (0.1, "0.10000000000000001"),
            (1e-4, "0.0001"),
            (1e-5, "1.0000000000000001e-05"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1.5e300, "1.5000000000000001e+300"),
            (123_456_789.123, "123456789.123"),
            (f64::INFINITY, "inf"),
            (-0.0, "-0"),
        ] {
            assert_eq!(seventeen_digits(score), text);
        }
    }
}
