//! The ends of score and lex ranges, as ZRANGEBYSCORE and ZRANGEBYLEX write them.
//!
//! A bound is only the text's meaning; whether it is a range's lower or upper end is for the caller to
//! say, because `(5` excludes 5 from either side.

use crate::value::number;

/// One end of a range of scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreBound {
    /// The score at the end; never NaN, may be infinite.
    pub score: f64,
    /// Whether the score itself is left out.
    pub exclusive: bool,
}

impl ScoreBound {
    /// The lower end of a range over all scores: `-inf`.
    pub const LOWEST: Self = Self { score: f64::NEG_INFINITY, exclusive: false };
    /// The upper end of a range over all scores: `+inf`.
    pub const HIGHEST: Self = Self { score: f64::INFINITY, exclusive: false };

    /// Reads `5`, `(5`, `-inf` or `+inf` with Redis' laxity: see [`number`]. None is Redis' error
    /// `min or max is not a float`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (exclusive, number) = match text.strip_prefix(b"(") {
            Some(number) => (true, number),
            None => (false, text),
        };
        Some(Self { score: number::parse_bound(number)?, exclusive })
    }

    /// Whether `score` is within this bound as a range's lower end.
    pub(super) fn admits_from(&self, score: f64) -> bool {
        if self.exclusive { score > self.score } else { score >= self.score }
    }

    /// Whether `score` is within this bound as a range's upper end.
    pub(super) fn admits_to(&self, score: f64) -> bool {
        if self.exclusive { score < self.score } else { score <= self.score }
    }
}

/// One end of a range of members, among members of equal score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// `-`: before every member.
    Lowest,
    /// `+`: after every member.
    Highest,
    /// `[member`.
    Inclusive(&'a [u8]),
    /// `(member`.
    Exclusive(&'a [u8]),
}

impl<'a> LexBound<'a> {
    /// Reads `-`, `+`, `[member` or `(member`. None is Redis' error `min or max not valid string range
    /// item`.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        match text {
            b"-" => Some(Self::Lowest),
            b"+" => Some(Self::Highest),
            [b'[', member @ ..] => Some(Self::Inclusive(member)),
            [b'(', member @ ..] => Some(Self::Exclusive(member)),
            _ => None,
        }
    }

    /// Whether `member` is within this bound as a range's lower end.
    pub(super) fn admits_from(&self, member: &[u8]) -> bool {
        match self {
            Self::Lowest => true,
            Self::Highest => false,
            Self::Inclusive(end) => member >= *end,
            Self::Exclusive(end) => member > *end,
        }
    }

    /// Whether `member` is within this bound as a range's upper end.
    pub(super) fn admits_to(&self, member: &[u8]) -> bool {
        match self {
            Self::Lowest => false,
            Self::Highest => true,
            Self::Inclusive(end) => member <= *end,
            Self::Exclusive(end) => member < *end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn score_bounds_are_read_as_redis_reads_them() {
        let inclusive = |score| Some(ScoreBound { score, exclusive: false });
        let exclusive = |score| Some(ScoreBound { score, exclusive: true });
        for (text, expected) in [
            ("5", inclusive(5.0)),
            ("(5", exclusive(5.0)),
            ("-inf", inclusive(f64::NEG_INFINITY)),
            ("+inf", inclusive(f64::INFINITY)),
            ("(+inf", exclusive(f64::INFINITY)),
            ("", inclusive(0.0)),
            ("(", exclusive(0.0)),
            ("( 1e2", exclusive(100.0)),
            ("[5", None),
            ("nan", None),
            ("((5", None),
        ] {
            assert_eq!(ScoreBound::parse(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn lex_bounds_are_read_as_redis_reads_them() {
        for (text, expected) in [
            ("-", Some(LexBound::Lowest)),
            ("+", Some(LexBound::Highest)),
            ("[a", Some(LexBound::Inclusive(b"a"))),
            ("(", Some(LexBound::Exclusive(b""))),
            ("--", None),
            ("+a", None),
            ("a", None),
            ("", None),
        ] {
            assert_eq!(LexBound::parse(text.as_bytes()), expected, "{text:?}");
        }
    }
}
