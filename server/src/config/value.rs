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

/// The limits of the classes of clients that Redis has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimits {
    /// Of clients that listen to nothing.
    pub normal: OutputLimit,
    /// Of replicas of Redis' kind: kept and shown for those who set it, for there are none here.
    pub replica: OutputLimit,
    /// Of those that listen to channels, unsent messages included.
    pub pubsub: OutputLimit,
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

/// Reads a file's permissions: octal digits, up to 777.
pub fn parse_octal(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777 && !text.starts_with('+'))
}

/// Reads an integer.
pub fn parse_signed(text: &str) -> Option<i64> {
    parse_i64(text.as_bytes())
}

/// Reads a size, or a percentage, which is given as a negative number.
pub fn parse_size_or_percentage(text: &str) -> Option<i64> {
    match text.strip_suffix('%') {
        Some(number) => {
            number.parse::<u8>().ok().filter(|percent| *percent <= 100).map(|n| -i64::from(n))
        }
        None => i64::try_from(parse_size(text)?).ok(),
    }
}

/// Reads `CLASS HARD SOFT SECONDS ...` into `limits`, where a class is `normal`, `replica` or `pubsub`.
/// The error is Redis'.
pub fn parse_output_limits(text: &str, limits: &mut OutputLimits) -> Result<(), &'static str> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let classes = words.chunks_exact(4);
    if !classes.remainder().is_empty() {
        return Err("Wrong number of arguments in buffer limit configuration.");
    }
    let mut changed = *limits;
    for class in classes {
        let &[name, hard, soft, seconds] = class else { continue };
        let read = || {
            let (hard_bytes, soft_bytes) = (parse_size(hard)?, parse_size(soft)?);
            Some(OutputLimit { hard_bytes, soft_bytes, soft_seconds: seconds.parse().ok()? })
        };
        let wrong = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
        match name.to_ascii_lowercase().as_str() {
            "normal" => changed.normal = read().ok_or(wrong)?,
            "pubsub" => changed.pubsub = read().ok_or(wrong)?,
            "replica" | "slave" => changed.replica = read().ok_or(wrong)?,
            _ => return Err("Invalid client class specified in buffer limit configuration."),
        }
    }
    *limits = changed;
    Ok(())
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

    /// A limit for replicas alone, which Redis takes, was refused because nothing was said of normal clients.
    #[test]
    fn output_limits_name_their_class() {
        let normal = OutputLimit { hard_bytes: 7, ..OutputLimit::default() };
        let before = OutputLimits { normal, ..OutputLimits::default() };
        let read = |text| {
            let mut limits = before;
            parse_output_limits(text, &mut limits).map(|()| limits)
        };
        let limit = OutputLimit { hard_bytes: 1 << 20, soft_bytes: 10, soft_seconds: 60 };
        let ones = OutputLimit { hard_bytes: 1, soft_bytes: 1, soft_seconds: 1 };
        assert_eq!(read("normal 1mb 10 60"), Ok(OutputLimits { normal: limit, ..before }));
        assert_eq!(
            read("pubsub 1 1 1 NORMAL 1mb 10 60"),
            Ok(OutputLimits { normal: limit, pubsub: ones, ..before })
        );
        assert_eq!(read("PubSub 1mb 10 60"), Ok(OutputLimits { pubsub: limit, ..before }));
        assert_eq!(read("replica 1mb 10 60"), Ok(OutputLimits { replica: limit, ..before }));
        assert_eq!(read(""), Ok(before));
        for (text, expected) in [
            ("normal 1mb 10", "Wrong number of arguments in buffer"),
            ("strange 1 1 1", "Invalid client class"),
            ("normal 1x 1 1", "Error in hard, soft or soft_seconds"),
            ("slave 1 1 -1", "Error in hard, soft or soft_seconds"),
        ] {
            assert!(read(text).is_err_and(|error| error.starts_with(expected)), "{text}");
        }
    }
}
