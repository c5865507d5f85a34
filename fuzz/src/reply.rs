//! The oracle for replies: whatever was asked, the answer is RESP that a client can read to the end.

/// Bytes of the first reply of `bytes`; panics when there is none that is complete and well formed.
pub fn length(bytes: &[u8]) -> usize {
    let end = line_end(bytes);
    let line = &bytes[1..end];
    let after = end + 2;
    match bytes[0] {
        b'+' | b'-' => after,
        b':' => {
            number(line, bytes);
            after
        }
        b'_' if line.is_empty() => after,
        b'#' if matches!(line, b"t" | b"f") => after,
        b',' => {
            let text = std::str::from_utf8(line).unwrap_or_default();
            assert!(text.parse::<f64>().is_ok(), "no double in {}", bytes.escape_ascii());
            after
        }
        b'(' => {
            let digits = line.strip_prefix(b"-").unwrap_or(line);
            assert!(!digits.is_empty() && digits.iter().all(u8::is_ascii_digit));
            after
        }
        b'$' | b'*' if line == b"-1" => after,
        b'$' | b'=' => {
            let body = size(line, bytes);
            let closing = bytes.get(after + body..after + body + 2);
            assert_eq!(closing, Some(&b"\r\n"[..]), "unclosed bulk in {}", bytes.escape_ascii());
            after + body + 2
        }
        b'*' | b'~' | b'>' => elements(bytes, after, size(line, bytes)),
        b'%' => elements(bytes, after, 2 * size(line, bytes)),
        _ => panic!("no reply: {}", bytes.escape_ascii()),
    }
}

/// How many replies `bytes` holds; panics when one is malformed or cut off.
pub fn count(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while !bytes.is_empty() {
        bytes = &bytes[length(bytes)..];
        count += 1;
    }
    count
}

fn elements(bytes: &[u8], after: usize, count: usize) -> usize {
    (0..count).fold(after, |at, _| at + length(&bytes[at..]))
}

/// The first line's end: nothing between may be a line end of its own.
fn line_end(bytes: &[u8]) -> usize {
    let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    let end = end.filter(|&end| end > 0 && bytes[end..].starts_with(b"\r\n"));
    end.unwrap_or_else(|| panic!("a line without an end: {}", bytes.escape_ascii()))
}

fn number(line: &[u8], bytes: &[u8]) -> i64 {
    let parsed = std::str::from_utf8(line).ok().and_then(|text| text.parse().ok());
    parsed.unwrap_or_else(|| panic!("no number in {}", bytes.escape_ascii()))
}

fn size(line: &[u8], bytes: &[u8]) -> usize {
    usize::try_from(number(line, bytes)).expect("a length is not negative")
}
