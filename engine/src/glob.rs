//! Glob patterns as KEYS, SCAN MATCH, PSUBSCRIBE and CONFIG GET take them.
//!
//! The language is Redis': `*`, `?`, classes `[a-z]` and `[^...]`, and `\` before a literal byte, over
//! bytes. Redis' matcher recurses at each `*`; here only the last `*` is ever tried again, which
//! accepts the same strings (what an earlier `*` skipped need never be longer) in at most pattern
//! length times text length steps, so no pattern is abusive.

/// Whether `text` matches `pattern`.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    matches_with(pattern, text, &|byte| byte)
}

/// Whether `text` matches `pattern`, ASCII letters of either case being equal.
pub fn matches_ignoring_case(pattern: &[u8], text: &[u8]) -> bool {
    matches_with(pattern, text, &|byte: u8| byte.to_ascii_lowercase())
}

/// Whether `pattern` matches every text, so that a caller need not try.
pub fn matches_everything(pattern: &[u8]) -> bool {
    pattern == b"*"
}

fn matches_with(mut pattern: &[u8], mut text: &[u8], fold: &impl Fn(u8) -> u8) -> bool {
    if text.is_empty() {
        // Redis' loop does not look at the pattern when there is no text: "*" misses the empty key.
        return pattern.is_empty();
    }
    // What follows the last star, and the text it has not been tried on yet.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            if rest.is_empty() {
                return true;
            }
            pattern = rest;
            retry = Some((pattern, text));
            continue;
        }
        if let Some((&byte, text_rest)) = text.split_first() {
            if let Some(pattern_rest) = match_one(pattern, byte, fold) {
                (pattern, text) = (pattern_rest, text_rest);
                continue;
            }
        } else if pattern.is_empty() {
            return true;
        }
        let Some((after_star, [_, later @ ..])) = retry else { return false };
        (pattern, text) = (after_star, later);
        retry = Some((after_star, later));
    }
}

/// Matches one byte against the first element of `pattern`; gives the rest of the pattern if it does.
fn match_one<'a>(pattern: &'a [u8], byte: u8, fold: &impl Fn(u8) -> u8) -> Option<&'a [u8]> {
    match pattern {
        [] => None,
        [b'?', rest @ ..] => Some(rest),
        [b'[', class @ ..] => {
            let (inside, rest) = match_class(class, byte, fold);
            inside.then_some(rest)
        }
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => {
            (fold(*literal) == fold(byte)).then_some(rest)
        }
    }
}

/// Matches one byte against a class, given from behind its `[`; gives the pattern behind its `]`,
/// which may be missing at the pattern's end.
fn match_class<'a>(class: &'a [u8], byte: u8, fold: &impl Fn(u8) -> u8) -> (bool, &'a [u8]) {
    let (negated, mut class) = match class {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    loop {
        match class {
            [] => return (found != negated, class),
            [b'\\', literal, rest @ ..] => {
                // As in Redis, an escaped byte of a class keeps its case.
                found |= *literal == byte;
                class = rest;
            }
            [b']', rest @ ..] => return (found != negated, rest),
            [first, b'-', last, rest @ ..] => {
                let (low, high) = (first.min(last), first.max(last));
                found |= (fold(*low)..=fold(*high)).contains(&fold(byte));
                class = rest;
            }
            [literal, rest @ ..] => {
                found |= fold(*literal) == fold(byte);
                class = rest;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, expect) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", false),
            ("*", "abc", true),
            ("**", "abc", true),
            ("a*", "a", true),
            ("a**", "a", true),
            ("a*?", "a", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h*llo", "heeeello", true),
            ("*llo", "hello", true),
            ("*llo", "hellos", false),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbXcd", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h[a-c]llo", "hdllo", false),
            ("[]", "a", false),
            ("[^]", "a", true),
            ("[^", "a", true),
            ("[", "[", false),
            ("[abc", "b", true),
            ("[a-", "-", true),
            ("[a-]x", "]x", false),
            ("[\\]]", "]", true),
            ("[\\-a]", "-", true),
            ("[\\", "\\", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
            ("\\", "\\", true),
            ("sess:*:[0-9]", "sess:ada:7", true),
            ("*[0-9]x", "a1b2x", true),
        ] {
            let found = matches(pattern.as_bytes(), text.as_bytes());
            assert_eq!(found, expect, "{pattern:?} against {text:?}");
        }
    }

    #[test]
    fn case_is_ignored_on_request() {
        assert!(matches_ignoring_case(b"MAX*[A-Z]", b"maxmemory"));
        assert!(!matches(b"MAX*", b"maxmemory"));
    }

    #[test]
    fn abusive_patterns_end_soon() {
        let pattern = b"a*".repeat(10_000);
        let mut text = b"a".repeat(20_000);
        text.push(b'b');
        assert!(matches(&pattern, &text));
        let pattern = [b"*a".repeat(5_000), b"c".to_vec()].concat();
        assert!(!matches(&pattern, &text));
    }
}
