//! ZRANGE and the seven commands it replaced: one grammar, of which the old names fix a part.

use hallpass_engine::value::SortedValue;
use hallpass_engine::value::sorted::{LexBound, ScoreBound, Window};

use crate::command::collection::look;
use crate::command::context::ReadContext;
use crate::command::error::CommandError;
use crate::command::request::Request;
use crate::resp::reply::{Protocol, Reply};

/// What a range's ends are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Rank,
    Score,
    Lex,
}

/// What the words behind the key say.
struct Query<'a> {
    range: Range<'a>,
    reverse: bool,
    window: Window,
    with_scores: bool,
}

enum Range<'a> {
    Rank(i64, i64),
    Score(ScoreBound, ScoreBound),
    Lex(LexBound<'a>, LexBound<'a>),
}

/// Answers a range. `by` and `reverse` are `None` where the words decide: in ZRANGE.
pub(super) fn read(
    context: &mut ReadContext<'_>,
    request: &Request<'_>,
    by: Option<By>,
    reverse: Option<bool>,
) -> Result<(), CommandError> {
    let query = Query::parse(request, by, reverse)?;
    look(context, request.key(1), |sorted: Option<&SortedValue>, reply| {
        match sorted {
            Some(sorted) => query.write(sorted, reply),
            None => reply.array(0),
        }
        Ok(())
    })
}

impl<'a> Query<'a> {
    fn parse(
        request: &Request<'a>,
        mut by: Option<By>,
        mut reverse: Option<bool>,
    ) -> Result<Self, CommandError> {
        let (mut window, mut with_scores) = (Window::ALL, false);
        let mut index = 4;
        while index < request.len() {
            if request.is(index, "withscores") {
                with_scores = true;
            } else if request.is(index, "limit") && index + 2 < request.len() {
                window.offset = request.integer(index + 1)?;
                window.count = request.integer(index + 2)?;
                index += 2;
            } else if reverse.is_none() && request.is(index, "rev") {
                reverse = Some(true);
            } else if by.is_none() && request.is(index, "bylex") {
                by = Some(By::Lex);
            } else if by.is_none() && request.is(index, "byscore") {
                by = Some(By::Score);
            } else {
                return Err(CommandError::Syntax);
            }
            index += 1;
        }
        let by = by.unwrap_or(By::Rank);
        let reverse = reverse.unwrap_or(false);
        if window.count != Window::ALL.count && by == By::Rank {
            return Err(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE \
                        or BYLEX"
                    .into(),
            );
        }
        if with_scores && by == By::Lex {
            return Err(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX".into()
            );
        }
        Ok(Self { range: Range::parse(request, by, reverse)?, reverse, window, with_scores })
    }

    fn write(&self, sorted: &SortedValue, reply: &mut Reply<'_>) {
        let Self { reverse, window, .. } = *self;
        let entries = match self.range {
            Range::Rank(start, stop) => sorted.range_by_rank(start, stop, reverse),
            Range::Score(lower, upper) => sorted.range_by_score(lower, upper, window, reverse),
            Range::Lex(lower, upper) => sorted.range_by_lex(lower, upper, window, reverse),
        };
        if self.with_scores {
            super::write_scored(entries, reply.protocol() == Protocol::Resp3, reply);
        } else {
            reply.bulks(entries.map(|(member, _)| member));
        }
    }
}

impl<'a> Range<'a> {
    fn parse(request: &Request<'a>, by: By, reverse: bool) -> Result<Self, CommandError> {
        let (first, second) = (request.word(2), request.word(3));
        // By score and by member, a reverse range is written with its upper end first.
        let (lower, upper) = if reverse { (second, first) } else { (first, second) };
        Ok(match by {
            By::Rank => Self::Rank(request.integer(2)?, request.integer(3)?),
            By::Score => {
                let (lower, upper) = score_bounds(lower, upper)?;
                Self::Score(lower, upper)
            }
            By::Lex => {
                let (lower, upper) = lex_bounds(lower, upper)?;
                Self::Lex(lower, upper)
            }
        })
    }
}

/// The ends of a range of scores.
pub(super) fn score_bounds(
    lower: &[u8],
    upper: &[u8],
) -> Result<(ScoreBound, ScoreBound), CommandError> {
    ScoreBound::parse(lower)
        .zip(ScoreBound::parse(upper))
        .ok_or_else(|| "ERR min or max is not a float".into())
}

/// The ends of a range of members.
pub(super) fn lex_bounds<'a>(
    lower: &'a [u8],
    upper: &'a [u8],
) -> Result<(LexBound<'a>, LexBound<'a>), CommandError> {
    LexBound::parse(lower)
        .zip(LexBound::parse(upper))
        .ok_or_else(|| "ERR min or max not valid string range item".into())
}
