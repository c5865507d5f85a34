//! The request parser: bytes of a read buffer become requests, as spans of that same buffer.
//!
//! One call parses everything the buffer holds and remembers how far it came, so an argument that
//! arrives in many reads is never scanned twice. Arrays of bulk strings and inline commands (with
//! Redis' quoting, unescaped in place) are understood. Limits and error texts are those of Redis
//! 7.2. After an error the parser is spent: the connection delivers what came before and closes.

use hallpass_engine::Span;
use hallpass_engine::value::number::parse_i64;

/// The longest line (inline request or length line) that is waited for: Redis' `PROTO_INLINE_MAX_SIZE`.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// The most arguments one request may have.
pub const ARGUMENTS_MAX: i64 = 1024 * 1024;

/// What a client that has not authenticated may send, as in Redis.
const UNAUTHENTICATED_ARGUMENTS_MAX: i64 = 10;
const UNAUTHENTICATED_BULK_BYTES_MAX: i64 = 16 * 1024;

/// The limits one call of [`RequestParser::parse`] works under.
#[derive(Clone, Copy, Debug)]
pub struct ParseLimits {
    /// The longest argument: `proto-max-bulk-len`.
    pub bulk_bytes_max: u64,
    /// Whether the client has authenticated, or need not. Until then limits are tight, and one
    /// request is parsed at a time because it may be the AUTH that lifts them.
    pub authenticated: bool,
}

/// One complete request: a range of [`Requests::spans`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Index of the first word's span.
    pub first: u32,
    /// How many words there are; at least one.
    pub count: u32,
}

/// The requests of one read, reused from read to read.
#[derive(Debug, Default)]
pub struct Requests {
    /// The words of all frames, one after the other; those of an unfinished request come last.
    pub spans: Vec<Span>,
    /// The complete requests.
    pub frames: Vec<Frame>,
}

impl Requests {
    /// The words of one request.
    #[inline]
    pub fn words(&self, frame: Frame) -> &[Span] {
        let first = frame.first as usize;
        &self.spans[first..first + frame.count as usize]
    }
}

/// Why a request cannot be read. The connection is closed after saying so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// `*` followed by no number, or by too large a one.
    InvalidMultibulkLength,
    /// More arguments than an unauthenticated client may send.
    UnauthenticatedMultibulkLength,
    /// `$` followed by no number, a negative or too large a one.
    InvalidBulkLength,
    /// A longer argument than an unauthenticated client may send.
    UnauthenticatedBulkLength,
    /// Another byte where `$` has to be.
    ExpectedDollar(u8),
    /// A `*` line that does not end.
    MultibulkLineTooLong,
    /// A `$` line that does not end.
    BulkLineTooLong,
    /// An inline request with a quote left open, or with text right behind a closing quote.
    UnbalancedQuotes,
    /// An inline request that does not end.
    InlineTooLong,
}

impl ProtocolError {
    /// Appends the text that Redis answers, without the leading `-ERR ` and the line end.
    pub fn write_text(self, text: &mut Vec<u8>) {
        text.extend_from_slice(b"Protocol error: ");
        text.extend_from_slice(match self {
            Self::InvalidMultibulkLength => b"invalid multibulk length",
            Self::UnauthenticatedMultibulkLength => b"unauthenticated multibulk length",
            Self::InvalidBulkLength => b"invalid bulk length",
            Self::UnauthenticatedBulkLength => b"unauthenticated bulk length",
            Self::ExpectedDollar(_) => b"expected '$', got '",
            Self::MultibulkLineTooLong => b"too big mbulk count string",
            Self::BulkLineTooLong => b"too big bulk count string",
            Self::UnbalancedQuotes => b"unbalanced quotes in request",
            Self::InlineTooLong => b"too big inline request",
        });
        if let Self::ExpectedDollar(found) = self {
            // Redis replaces line ends in error texts by spaces, so that the reply stays one line.
            text.push(if matches!(found, b'\r' | b'\n') { b' ' } else { found });
            text.push(b'\'');
        }
    }
}

/// What comes next in the buffer.
#[derive(Clone, Copy, Debug, Default)]
enum Expect {
    /// The first byte of a request.
    #[default]
    Request,
    /// The `$` line of the next argument; this many arguments are missing.
    BulkLine { missing: u32 },
    /// An argument of this length, then its line end; this many arguments are missing.
    BulkBody { missing: u32, bytes: usize },
}

/// Where a connection is in its stream of requests.
#[derive(Debug, Default)]
pub struct RequestParser {
    expect: Expect,
    /// The next byte to look at.
    at: usize,
    /// Up to where no line end was found, at least `at` while a line is incomplete.
    searched: usize,
    /// The first byte of the unfinished request: everything before it is done with.
    request_start: usize,
    /// The first span of the unfinished request.
    first_span: usize,
}

impl RequestParser {
    /// How many bytes at the buffer's front belong to complete requests.
    pub fn consumed(&self) -> usize {
        self.request_start
    }

    /// How long the buffer must get for the argument that is being received, when that is known.
    pub fn wanted(&self) -> Option<usize> {
        match self.expect {
            Expect::BulkBody { bytes, .. } => Some(self.at + bytes + 2),
            _ => None,
        }
    }

    /// Tells the parser that the [`consumed`](Self::consumed) bytes were cut off the buffer's front
    /// and that all frames were executed.
    pub fn rebase(&mut self, requests: &mut Requests) {
        let cut = self.request_start;
        self.at -= cut;
        self.searched = self.searched.saturating_sub(cut);
        self.request_start = 0;
        requests.frames.clear();
        requests.spans.drain(..self.first_span);
        for span in &mut requests.spans {
            span.start -= cut as u32;
        }
        self.first_span = 0;
    }

    /// Parses all complete requests of `buffer` and adds them to `requests`.
    ///
    /// `buffer` has to be what the last call saw (after [`rebase`](Self::rebase)) with more bytes at
    /// its end. Requests found before an error are in `requests` nonetheless.
    pub fn parse(
        &mut self,
        buffer: &mut [u8],
        limits: ParseLimits,
        requests: &mut Requests,
    ) -> Result<(), ProtocolError> {
        loop {
            let complete = match self.expect {
                Expect::Request => match buffer.get(self.at) {
                    None => false,
                    Some(b'*') => {
                        self.short_request(buffer, limits, requests)
                            || self.multibulk_line(buffer, limits)?
                    }
                    Some(_) => self.inline(buffer, requests)?,
                },
                Expect::BulkLine { missing } => self.bulk_line(buffer, limits, missing)?,
                Expect::BulkBody { missing, bytes } => {
                    self.bulk_body(buffer, missing, bytes, requests)
                }
            };
            if !complete || (!limits.authenticated && !requests.frames.is_empty()) {
                return Ok(());
            }
        }
    }

    /// Parses a complete request of short arguments, as nearly all are, in one go. Of any other it leaves
    /// everything as it was, for the general way, which goes line by line.
    #[inline]
    fn short_request(
        &mut self,
        buffer: &[u8],
        limits: ParseLimits,
        requests: &mut Requests,
    ) -> bool {
        let mut rest = &buffer[self.at..];
        let Some((count @ 1.., line_bytes)) = short_length(rest) else { return false };
        if !limits.authenticated {
            return false;
        }
        rest = &rest[line_bytes..];
        for _ in 0..count {
            let (b'$', Some((length, line_bytes))) =
                (rest.first().copied().unwrap_or_default(), short_length(rest))
            else {
                break;
            };
            let start = (buffer.len() - rest.len() + line_bytes) as u32;
            let Some(behind) = rest.get(line_bytes + length as usize + 2..) else { break };
            requests.spans.push(Span { start, length });
            rest = behind;
        }
        if requests.spans.len() - self.first_span < count as usize {
            requests.spans.truncate(self.first_span);
            return false;
        }
        self.at = buffer.len() - rest.len();
        self.finish(requests);
        true
    }

    /// The end of the line at `at`: the index of its `\r`, once the `\n` behind it is there, too.
    fn line_end(
        &mut self,
        buffer: &[u8],
        too_long: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        // Almost every length line is "*3\r\n" or "$28\r\n": the end is found within a few bytes.
        let from = self.searched.max(self.at);
        let found = buffer[from..].iter().position(|byte| *byte == b'\r').map(|at| from + at);
        match found {
            Some(end) if end + 1 < buffer.len() => Ok(Some(end)),
            Some(end) => {
                self.searched = end;
                Ok(None)
            }
            None => {
                self.searched = buffer.len();
                if buffer.len() - self.at > LINE_BYTES_MAX { Err(too_long) } else { Ok(None) }
            }
        }
    }

    #[inline]
    fn multibulk_line(
        &mut self,
        buffer: &[u8],
        limits: ParseLimits,
    ) -> Result<bool, ProtocolError> {
        if let Some((count @ 1.., bytes)) = short_length(&buffer[self.at..])
            && limits.authenticated
        {
            self.at += bytes;
            self.expect = Expect::BulkLine { missing: count };
            return Ok(true);
        }
        self.any_multibulk_line(buffer, limits)
    }

    /// A `*` line that is long, wrong, incomplete or from a stranger.
    #[cold]
    fn any_multibulk_line(
        &mut self,
        buffer: &[u8],
        limits: ParseLimits,
    ) -> Result<bool, ProtocolError> {
        let Some(end) = self.line_end(buffer, ProtocolError::MultibulkLineTooLong)? else {
            return Ok(false);
        };
        let count = match parse_i64(&buffer[self.at + 1..end]) {
            Some(count) if count <= ARGUMENTS_MAX => count,
            _ => return Err(ProtocolError::InvalidMultibulkLength),
        };
        if count > UNAUTHENTICATED_ARGUMENTS_MAX && !limits.authenticated {
            return Err(ProtocolError::UnauthenticatedMultibulkLength);
        }
        self.at = end + 2;
        if count <= 0 {
            // An empty array is no request and has no answer.
            self.request_start = self.at;
        } else {
            self.expect = Expect::BulkLine { missing: count as u32 };
        }
        Ok(true)
    }

    #[inline]
    fn bulk_line(
        &mut self,
        buffer: &[u8],
        limits: ParseLimits,
        missing: u32,
    ) -> Result<bool, ProtocolError> {
        let line = &buffer[self.at..];
        if let Some((length, bytes)) = short_length(line)
            && line[0] == b'$'
        {
            self.at += bytes;
            self.expect = Expect::BulkBody { missing, bytes: length as usize };
            return Ok(true);
        }
        self.any_bulk_line(buffer, limits, missing)
    }

    /// A `$` line that is long, wrong or incomplete.
    fn any_bulk_line(
        &mut self,
        buffer: &[u8],
        limits: ParseLimits,
        missing: u32,
    ) -> Result<bool, ProtocolError> {
        let Some(end) = self.line_end(buffer, ProtocolError::BulkLineTooLong)? else {
            return Ok(false);
        };
        let first = buffer[self.at];
        if first != b'$' {
            return Err(ProtocolError::ExpectedDollar(first));
        }
        let bytes = match parse_i64(&buffer[self.at + 1..end]) {
            Some(bytes) if bytes >= 0 && bytes as u64 <= limits.bulk_bytes_max => bytes,
            _ => return Err(ProtocolError::InvalidBulkLength),
        };
        if bytes > UNAUTHENTICATED_BULK_BYTES_MAX && !limits.authenticated {
            return Err(ProtocolError::UnauthenticatedBulkLength);
        }
        self.at = end + 2;
        self.expect = Expect::BulkBody { missing, bytes: bytes as usize };
        Ok(true)
    }

    fn bulk_body(
        &mut self,
        buffer: &[u8],
        missing: u32,
        bytes: usize,
        requests: &mut Requests,
    ) -> bool {
        // Like Redis, take the two bytes behind the argument for its line end without looking.
        if buffer.len() < self.at + bytes + 2 {
            return false;
        }
        requests.spans.push(Span { start: self.at as u32, length: bytes as u32 });
        self.at += bytes + 2;
        if missing > 1 {
            self.expect = Expect::BulkLine { missing: missing - 1 };
        } else {
            self.finish(requests);
        }
        true
    }

    fn inline(
        &mut self,
        buffer: &mut [u8],
        requests: &mut Requests,
    ) -> Result<bool, ProtocolError> {
        let from = self.searched.max(self.at);
        let Some(newline) = buffer[from..].iter().position(|byte| *byte == b'\n') else {
            self.searched = buffer.len();
            if buffer.len() - self.at > LINE_BYTES_MAX {
                return Err(ProtocolError::InlineTooLong);
            }
            return Ok(false);
        };
        let newline = from + newline;
        let carriage_return = newline > self.at && buffer[newline - 1] == b'\r';
        let end = if carriage_return { newline - 1 } else { newline };
        let start = self.at;
        split_words(&mut buffer[start..end], start, &mut requests.spans)?;
        self.at = newline + 1;
        if requests.spans.len() > self.first_span {
            self.finish(requests);
        } else {
            self.request_start = self.at;
        }
        Ok(true)
    }

    fn finish(&mut self, requests: &mut Requests) {
        let count = (requests.spans.len() - self.first_span) as u32;
        requests.frames.push(Frame { first: self.first_span as u32, count });
        self.first_span = requests.spans.len();
        self.request_start = self.at;
        self.expect = Expect::Request;
    }
}

/// The number on a length line of up to three digits, as nearly all are, and the bytes of the line.
/// `None` for every other line: the general way has to look at it.
#[inline]
fn short_length(line: &[u8]) -> Option<(u32, usize)> {
    let digit = |byte: u8| {
        let value = byte.wrapping_sub(b'0');
        (value < 10).then_some(u32::from(value))
    };
    match *line {
        [_, a, b'\r', b'\n', ..] => Some((digit(a)?, 4)),
        // A leading zero is no number to Redis.
        [_, b'0', ..] => None,
        [_, a, b, b'\r', b'\n', ..] => Some((digit(a)? * 10 + digit(b)?, 5)),
        [_, a, b, c, b'\r', b'\n', ..] => Some((digit(a)? * 100 + digit(b)? * 10 + digit(c)?, 6)),
        _ => None,
    }
}

/// Splits an inline request into words, unescaping quoted ones in place. `base` is where `line`
/// starts in the buffer that the spans mark.
fn split_words(line: &mut [u8], base: usize, spans: &mut Vec<Span>) -> Result<(), ProtocolError> {
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(|byte| is_space(*byte)) {
            at += 1;
        }
        if at == line.len() {
            return Ok(());
        }
        // Unescaping only shortens, so the word is written over its own source.
        let start = at;
        let mut write = at;
        while let Some(&byte) = line.get(at) {
            match byte {
                b'"' | b'\'' => {
                    (at, write) = unquote(line, at, write)?;
                    break;
                }
                byte if is_space(byte) => {
                    at += 1;
                    break;
                }
                byte => {
                    line[write] = byte;
                    write += 1;
                    at += 1;
                }
            }
        }
        spans.push(Span { start: (base + start) as u32, length: (write - start) as u32 });
    }
}

/// Copies the quoted text that begins at `line[at]` to `line[write..]`; gives where both end.
fn unquote(
    line: &mut [u8],
    mut at: usize,
    mut write: usize,
) -> Result<(usize, usize), ProtocolError> {
    let quote = line[at];
    at += 1;
    loop {
        let byte = *line.get(at).ok_or(ProtocolError::UnbalancedQuotes)?;
        let next = line.get(at + 1).copied();
        let (value, taken) = match (byte, next) {
            (b'\\', Some(b'x')) if quote == b'"' => match hex_pair(line.get(at + 2..at + 4)) {
                Some(value) => (value, 4),
                None => (b'x', 2),
            },
            (b'\\', Some(next)) if quote == b'"' => (unescape(next), 2),
            (b'\\', Some(b'\'')) if quote == b'\'' => (b'\'', 2),
            (byte, next) if byte == quote => {
                // A closing quote has to be followed by a space or nothing.
                return match next {
                    Some(next) if !is_space(next) => Err(ProtocolError::UnbalancedQuotes),
                    _ => Ok((at + 1, write)),
                };
            }
            (byte, _) => (byte, 1),
        };
        line[write] = value;
        write += 1;
        at += taken;
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}

fn hex_pair(digits: Option<&[u8]>) -> Option<u8> {
    let &[high, low] = digits? else { return None };
    let digit = |byte: u8| (byte as char).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

#[cfg(test)]
mod tests;
