//! The reply writer: typed replies become RESP2 or RESP3 bytes at the end of one output buffer.
//!
//! What a type looks like depends on the client's protocol and on nothing else, so a command writes
//! its reply once: a map is an array of twice the length in RESP2, a double a bulk string, and so
//! on. Values are copied straight in. Nothing is held back: the caller writes headers with exact
//! counts, or opens an [`open_array`](Reply::open_array) when the count is known only afterwards.

use hallpass_engine::value::number::{format_f64, format_i64};

/// The protocol version a client chose with HELLO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// What every connection starts with.
    #[default]
    Resp2,
    /// Typed replies and pushes.
    Resp3,
}

impl Protocol {
    /// The number HELLO and CLIENT LIST show.
    pub const fn number(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// The numbers of up to three digits, each with its line end, as the bytes of a word from the lowest on.
static SHORT_LENGTHS: [u64; 1000] = {
    let mut lines = [0; 1000];
    let mut number = 0;
    while number < lines.len() {
        let line_end = (b'\n' as u64) << 8 | b'\r' as u64;
        let mut line = line_end;
        let mut rest = number as u64;
        // From the last digit on, each in front of what is there.
        loop {
            line = line << 8 | (b'0' as u64 + rest % 10);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        lines[number] = line;
        number += 1;
    }
    lines
};

/// Writes replies in one client's protocol.
#[derive(Debug)]
pub struct Reply<'a> {
    output: &'a mut Vec<u8>,
    protocol: Protocol,
}

/// Where an array's header goes once its length is known.
#[derive(Debug)]
#[must_use = "an opened array has to be closed"]
pub struct OpenArray {
    at: usize,
}

impl<'a> Reply<'a> {
    /// A writer that appends to `output`.
    pub fn new(output: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self { output, protocol }
    }

    /// The client's protocol.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The same writer for a shorter time.
    pub fn reborrow(&mut self) -> Reply<'_> {
        Reply { output: self.output, protocol: self.protocol }
    }

    /// The same buffer, written in another protocol: for HELLO, which answers in the one it chose.
    pub fn in_protocol(&mut self, protocol: Protocol) -> Reply<'_> {
        Reply { output: self.output, protocol }
    }

    /// How many bytes the buffer holds; a mark for [`truncate`](Self::truncate).
    pub fn len(&self) -> usize {
        self.output.len()
    }

    /// Whether the buffer is empty.
    pub fn is_empty(&self) -> bool {
        self.output.is_empty()
    }

    /// Takes back everything written since the buffer was `len` bytes long.
    pub fn truncate(&mut self, len: usize) {
        self.output.truncate(len);
    }

    /// `+OK`
    #[inline]
    pub fn ok(&mut self) {
        self.output.extend_from_slice(b"+OK\r\n");
    }

    /// A simple string; `text` has no line ends.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error; `text` begins with its code. Line ends become spaces, as in Redis.
    pub fn error(&mut self, text: &[u8]) {
        self.output.push(b'-');
        self.output.extend(
            text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }),
        );
        self.end_line();
    }

    /// An integer.
    #[inline]
    pub fn integer(&mut self, value: i64) {
        self.output.push(b':');
        self.output.extend_from_slice(format_i64(value).as_bytes());
        self.end_line();
    }

    /// A bulk string.
    #[inline]
    pub fn bulk(&mut self, value: &[u8]) {
        // One reservation for header, value and line end keeps the copies below free of growth.
        self.output.reserve(value.len() + 32);
        self.header(b'$', value.len());
        self.output.extend_from_slice(value);
        self.end_line();
    }

    /// A bulk string, or null.
    #[inline]
    pub fn bulk_or_null(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.bulk(value),
            None => self.null(),
        }
    }

    /// A bulk string that holds an integer's decimal form.
    pub fn bulk_integer(&mut self, value: i64) {
        self.bulk(format_i64(value).as_bytes());
    }

    /// The absence of a single value.
    #[inline]
    pub fn null(&mut self) {
        self.output.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// The absence of an array.
    pub fn null_array(&mut self) {
        self.output.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// The header of an array of `count` replies, which the caller writes next.
    #[inline]
    pub fn array(&mut self, count: usize) {
        self.header(b'*', count);
    }

    /// An array of bulk strings.
    pub fn bulks<'v>(&mut self, values: impl ExactSizeIterator<Item = &'v [u8]>) {
        self.array(values.len());
        for value in values {
            self.bulk(value);
        }
    }

    /// Replies that are written already, in the same protocol.
    pub fn append(&mut self, written: &[u8]) {
        self.output.extend_from_slice(written);
    }

    /// Begins an array whose length is known only once its elements are written.
    pub fn open_array(&mut self) -> OpenArray {
        OpenArray { at: self.output.len() }
    }

    /// Puts the header in front of the `count` replies written since `open` was made.
    pub fn close_array(&mut self, open: OpenArray, count: usize) {
        self.insert_header(open, b'*', count);
    }

    /// As [`close_array`](Self::close_array), for a set.
    pub fn close_set(&mut self, open: OpenArray, count: usize) {
        let kind = if self.protocol == Protocol::Resp3 { b'~' } else { b'*' };
        self.insert_header(open, kind, count);
    }

    fn insert_header(&mut self, open: OpenArray, kind: u8, count: usize) {
        let end = self.output.len();
        self.header(kind, count);
        let header_bytes = self.output.len() - end;
        self.output[open.at..].rotate_right(header_bytes);
    }

    /// The header of a map of `pairs` keys and values, which the caller writes next, in turn.
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', pairs * 2),
            Protocol::Resp3 => self.header(b'%', pairs),
        }
    }

    /// The header of a set of `count` replies, which the caller writes next.
    pub fn set(&mut self, count: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', count),
            Protocol::Resp3 => self.header(b'~', count),
        }
    }

    /// The header of an out-of-band message of `count` parts; an array in RESP2.
    pub fn push(&mut self, count: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', count),
            Protocol::Resp3 => self.header(b'>', count),
        }
    }

    /// A double, in the shortest form that reads back the same.
    pub fn double(&mut self, value: f64) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(format_f64(value).as_bytes()),
            Protocol::Resp3 => self.line(b',', format_f64(value).as_bytes()),
        }
    }

    /// A number of any length, in decimal; a bulk string in RESP2.
    pub fn big_number(&mut self, digits: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(digits),
            Protocol::Resp3 => self.line(b'(', digits),
        }
    }

    /// A boolean: 1 or 0 in RESP2.
    pub fn boolean(&mut self, value: bool) {
        match (self.protocol, value) {
            (Protocol::Resp2, _) => self.integer(i64::from(value)),
            (Protocol::Resp3, true) => self.output.extend_from_slice(b"#t\r\n"),
            (Protocol::Resp3, false) => self.output.extend_from_slice(b"#f\r\n"),
        }
    }

    /// Text for people, with a three-letter format such as `txt`; a bulk string in RESP2.
    pub fn verbatim(&mut self, format: &str, text: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.header(b'=', text.len() + 4);
                self.output.extend_from_slice(format.as_bytes());
                self.output.push(b':');
                self.output.extend_from_slice(text);
                self.end_line();
            }
        }
    }

    #[inline]
    fn header(&mut self, kind: u8, count: usize) {
        // Nearly all lengths have up to three digits: written as one store, and cut to what there is.
        let Some(line) = SHORT_LENGTHS.get(count) else { return self.long_header(kind, count) };
        let bytes = self.output.len() + 4 + usize::from(count >= 10) + usize::from(count >= 100);
        self.output.extend_from_slice(&(line << 8 | u64::from(kind)).to_le_bytes());
        self.output.truncate(bytes);
    }

    #[cold]
    fn long_header(&mut self, kind: u8, count: usize) {
        self.output.push(kind);
        self.output.extend_from_slice(format_i64(count as i64).as_bytes());
        self.end_line();
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.output.push(kind);
        self.output.extend_from_slice(text);
        self.end_line();
    }

    #[inline]
    fn end_line(&mut self) {
        self.output.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl Fn(&mut Reply<'_>)) -> String {
        let mut output = Vec::new();
        write(&mut Reply::new(&mut output, protocol));
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn each_type_in_both_protocols() {
        type Write = fn(&mut Reply<'_>);
        let cases: [(Write, &str, &str); 14] = [
            (|reply| reply.ok(), "+OK\r\n", "+OK\r\n"),
            (|reply| reply.error(b"ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n"),
            (|reply| reply.integer(-12), ":-12\r\n", ":-12\r\n"),
            (|reply| reply.bulk(b"ab"), "$2\r\nab\r\n", "$2\r\nab\r\n"),
            (|reply| reply.bulk_integer(7), "$1\r\n7\r\n", "$1\r\n7\r\n"),
            (|reply| reply.null(), "$-1\r\n", "_\r\n"),
            (|reply| reply.null_array(), "*-1\r\n", "_\r\n"),
            (|reply| reply.array(2), "*2\r\n", "*2\r\n"),
            (|reply| reply.map(2), "*4\r\n", "%2\r\n"),
            (|reply| reply.set(2), "*2\r\n", "~2\r\n"),
            (|reply| reply.push(2), "*2\r\n", ">2\r\n"),
            (|reply| reply.boolean(true), ":1\r\n", "#t\r\n"),
            (|reply| reply.verbatim("txt", b"hi"), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"),
            (|reply| reply.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
        ];
        for (write, resp2, resp3) in cases {
            assert_eq!(written(Protocol::Resp2, write), resp2);
            assert_eq!(written(Protocol::Resp3, write), resp3);
        }
    }

    #[test]
    fn an_open_array_gets_its_header_in_front() {
        let text = written(Protocol::Resp2, |reply| {
            reply.integer(1);
            let open = reply.open_array();
            for value in 0..12 {
                reply.integer(value % 2);
            }
            reply.close_array(open, 12);
        });
        assert!(text.starts_with(":1\r\n*12\r\n:0\r\n"), "{text:?}");
    }
}
