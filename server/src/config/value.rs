//! The values of settings as people write them: sizes with suffixes, yes and no, output limits.

use hallpass_engine::value::number::parse_i64;

/// The bytes of unsent replies a client may pile up, as in `client-output-buffer-limit normal`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// Closed at once above this; 0 for no limit.
    pub hard_bytes: u64,
    /// Closed when above this for `soft_seconds`; 0 for no limit.
    pub soft_bytes: u64,
    /// How long.
    pub soft_seconds: u64,
}

/// Reads a size: a number with one of Redis' suffixes (`k` 1000, `kb` 1024, `m`, `mb`, `g`, `gb`, `b`).
pub fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let unit: u64 = match text[digits..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

/// Reads `yes` or `no`; `true` and `false` are understood, too.
pub fn parse_boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" => Some(true),
        "no" | "false" => Some(false),
        _ => None,
    }
}

/// Reads an integer.
pub fn parse_signed(text: &str) -> Option<i64> {
    parse_i64(text.as_bytes())
}

/// Reads `normal HARD SOFT SECONDS`. Redis has other classes of clients; here all are normal.
pub fn parse_output_limit(text: &str) -> Option<OutputLimit> {
    let mut normal = None;
    let words: Vec<&str> = text.split_whitespace().collect();
    for class in words.chunks(4) {
        let &[name, hard, soft, seconds] = class else { return None };
        let limit = OutputLimit {
            hard_bytes: parse_size(hard)?,
            soft_bytes: parse_size(soft)?,
            soft_seconds: seconds.parse().ok()?,
        };
        match name {
            "normal" => normal = Some(limit),
            "replica" | "slave" | "pubsub" => {}
            _ => return None,
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_suffixes_of_redis() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("100", Some(100)),
            ("1k", Some(1000)),
            ("1kb", Some(1024)),
            ("64MB", Some(64 << 20)),
            ("2gb", Some(2 << 30)),
            ("1.5gb", None),
            ("gb", None),
            ("-1", None),
            ("99999999999gb", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
    }

    #[test]
    fn output_limits_name_their_class() {
        let limit = OutputLimit { hard_bytes: 1 << 20, soft_bytes: 10, soft_seconds: 60 };
        assert_eq!(parse_output_limit("normal 1mb 10 60"), Some(limit));
        assert_eq!(parse_output_limit("pubsub 1 1 1 normal 1mb 10 60"), Some(limit));
        assert_eq!(parse_output_limit("normal 1mb 10"), None);
        assert_eq!(parse_output_limit("strange 1 1 1"), None);
    }
}
