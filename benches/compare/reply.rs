//! Counts the replies in what a server sends, touching as little of it as possible.
//!
//! A bulk string is skipped by its length, so the generator does not read the values it asked for.
//! The scanner keeps its place between reads: a reply may be cut anywhere. Errors and nils are told
//! apart because a benchmark that measures `-ERR` or misses measures nothing.

use crate::error::{Error, Result};

/// Longest header line (`$512\r\n`, `+OK\r\n`, `-ERR ...\r\n`) that is understood.
const LINE_BYTES_MAX: usize = 1024;

/// What was found in the bytes seen so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Complete top-level replies.
    pub(crate) replies: usize,
    /// Nils among all frames, nested ones included.
    pub(crate) nils: usize,
}

/// The place in one connection's reply stream.
#[derive(Debug)]
pub(crate) struct ReplyScanner {
    /// Bytes of a bulk string (with its line end) still to be skipped.
    skip_bytes: usize,
    /// Frames still missing from the current top-level reply.
    frames_missing: usize,
    /// A header line cut by the end of a read.
    line: Vec<u8>,
}

impl ReplyScanner {
    /// A scanner at the start of a stream.
    pub(crate) fn new() -> Self {
        Self { skip_bytes: 0, frames_missing: 1, line: Vec::new() }
    }

    /// Walks over `bytes` and adds what completes in them to `counts`.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], counts: &mut Counts) -> Result<()> {
        while !bytes.is_empty() {
            if self.skip_bytes > 0 {
                let skipped = self.skip_bytes.min(bytes.len());
                self.skip_bytes -= skipped;
                bytes = bytes.split_at(skipped).1;
                if self.skip_bytes == 0 {
                    self.finish_frame(counts);
                }
                continue;
            }
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                return self.keep_cut_line(bytes);
            };
            let (line, rest) = bytes.split_at(end + 1);
            bytes = rest;
            if self.line.is_empty() {
                self.header(line, counts)?;
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.header(&whole, counts)?;
                whole.clear();
                self.line = whole;
            }
        }
        Ok(())
    }

    fn keep_cut_line(&mut self, bytes: &[u8]) -> Result<()> {
        self.line.extend_from_slice(bytes);
        if self.line.len() > LINE_BYTES_MAX {
            return Err(not_resp(&self.line));
        }
        Ok(())
    }

    fn header(&mut self, line: &[u8], counts: &mut Counts) -> Result<()> {
        match line.split_first() {
            Some((b'$', digits)) => match number(digits).ok_or_else(|| not_resp(line))? {
                -1 => {
                    counts.nils += 1;
                    self.finish_frame(counts);
                }
                length => {
                    let length = usize::try_from(length).map_err(|_| not_resp(line))?;
                    self.skip_bytes = length + 2;
                }
            },
            Some((b'*', digits)) => {
                let elements = number(digits).ok_or_else(|| not_resp(line))?;
                if elements < 0 {
                    counts.nils += 1;
                }
                self.frames_missing += usize::try_from(elements).unwrap_or(0);
                self.finish_frame(counts);
            }
            Some((b'+' | b':', _)) => self.finish_frame(counts),
            Some((b'-', text)) => {
                return Err(Error::Refused(String::from_utf8_lossy(text).trim_end().to_owned()));
            }
            _ => return Err(not_resp(line)),
        }
        Ok(())
    }

    fn finish_frame(&mut self, counts: &mut Counts) {
        self.frames_missing -= 1;
        if self.frames_missing == 0 {
            self.frames_missing = 1;
            counts.replies += 1;
        }
    }
}

/// The bulk strings of `replies`, which must be complete: for the few places that need contents.
pub(crate) fn bulk_strings(replies: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = replies;
    std::iter::from_fn(move || {
        loop {
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let (line, after) = rest.split_at(end + 1);
            rest = after;
            if let Some((b'$', digits)) = line.split_first() {
                let Ok(length) = usize::try_from(number(digits)?) else { continue };
                let (body, after) = rest.split_at_checked(length + 2)?;
                rest = after;
                return body.get(..length);
            }
        }
    })
}

fn not_resp(line: &[u8]) -> Error {
    Error::NotResp(String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned())
}

/// The number before `\r\n`.
fn number(line: &[u8]) -> Option<i64> {
    let digits = line.strip_suffix(b"\r\n")?;
    let (negative, digits) = match digits.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, digits),
    };
    if digits.is_empty() || digits.len() > 12 {
        return None;
    }
    let mut value = 0_i64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(digit - b'0');
    }
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b"+OK\r\n$5\r\na\r\nbc\r\n$-1\r\n:12\r\n*2\r\n$2\r\nid\r\n*1\r\n$3\r\nxyz\r\n*0\r\n\
        $0\r\n\r\n*-1\r\n";
    const IN_STREAM: Counts = Counts { replies: 8, nils: 2 };

    #[test]
    fn replies_are_counted_wherever_the_stream_is_cut() {
        for cut in 0..=STREAM.len() {
            let mut scanner = ReplyScanner::new();
            let mut counts = Counts::default();
            scanner.feed(&STREAM[..cut], &mut counts).unwrap();
            scanner.feed(&STREAM[cut..], &mut counts).unwrap();
            assert_eq!(counts, IN_STREAM, "cut at {cut}");
        }
    }

    #[test]
    fn replies_are_counted_byte_by_byte() {
        let mut scanner = ReplyScanner::new();
        let mut counts = Counts::default();
        for byte in STREAM {
            scanner.feed(std::slice::from_ref(byte), &mut counts).unwrap();
        }
        assert_eq!(counts, IN_STREAM);
    }

    #[test]
    fn an_error_reply_is_reported_with_its_text() {
        let result = ReplyScanner::new().feed(b"+OK\r\n-OOM no\r\n", &mut Counts::default());
        assert!(matches!(result, Err(Error::Refused(text)) if text == "OOM no"));
    }

    #[test]
    fn what_is_not_resp_is_refused() {
        for bytes in [&b"HTTP/1.1 200\r\n"[..], b"$x\r\n", b"$\r\n", b"$-2\r\n", b"$12\n", b"\r\n"]
        {
            let result = ReplyScanner::new().feed(bytes, &mut Counts::default());
            assert!(matches!(result, Err(Error::NotResp(_))), "{bytes:?}");
        }
        let endless = vec![b'+'; LINE_BYTES_MAX + 1];
        let result = ReplyScanner::new().feed(&endless, &mut Counts::default());
        assert!(matches!(result, Err(Error::NotResp(_))));
    }

    #[test]
    fn bulk_strings_are_found_in_nested_replies() {
        let found: Vec<&[u8]> = bulk_strings(STREAM).collect();
        assert_eq!(found, [&b"a\r\nbc"[..], b"id", b"xyz", b""]);
    }
}
