//! The requests of each measurement, encoded once and before it starts.
//!
//! Requests lie one after the other in one buffer, in the order they are sent: a batch of any
//! pipeline depth is one slice, and sending it costs the generator one system call and no copying.
//! Everything random comes from a fixed seed, so each server and each run gets the same bytes.

use std::ops::Range;

/// Bytes in a key: what a session id with a prefix has in practice.
pub(crate) const KEY_BYTES: usize = 28;
/// Lifetime given to each key, longer than any run.
const LIFETIME_SECONDS: &str = "3600";
/// Requests in a random mix before it repeats: a million, so that each key is met.
const MIX_REQUESTS: usize = 1 << 20;
/// One write in so many requests.
const WRITE_EVERY: usize = 20;

/// Encoded requests in sending order.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    bytes: Vec<u8>,
    /// Where request `i` ends; it begins where the one before ends.
    ends: Vec<usize>,
}

impl Requests {
    /// Appends one request made of `arguments`.
    pub(crate) fn push(&mut self, arguments: &[&[u8]]) {
        self.header(b'*', arguments.len());
        for argument in arguments {
            self.header(b'$', argument.len());
            self.bytes.extend_from_slice(argument);
            self.bytes.extend_from_slice(b"\r\n");
        }
        self.ends.push(self.bytes.len());
    }

    fn header(&mut self, kind: u8, count: usize) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(count.to_string().as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// How many requests there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Where the bytes of the given requests lie.
    pub(crate) fn span(&self, requests: Range<usize>) -> Range<usize> {
        let end_of = |count: usize| if count == 0 { 0 } else { self.ends[count - 1] };
        end_of(requests.start)..end_of(requests.end)
    }

    /// Encoded bytes.
    pub(crate) fn bytes(&self, span: Range<usize>) -> &[u8] {
        &self.bytes[span]
    }
}

/// The stored keys, and where values come from.
#[derive(Debug)]
pub(crate) struct Keys {
    names: Vec<[u8; KEY_BYTES]>,
    filler: Vec<u8>,
}

impl Keys {
    /// `count` different keys.
    pub(crate) fn new(count: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(0x4841_4c4c);
        let names = (0..count)
            .map(|_| {
                let mut name = *b"sess:-----------------------";
                name[5..].fill_with(|| random.alphanumeric() as u8);
                name
            })
            .collect();
        let filler = (0..8192).map(|_| random.alphanumeric() as u8).collect();
        Self { names, filler }
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    fn value(&self, random: &mut fastrand::Rng, length: usize) -> &[u8] {
        let start = random.usize(..=self.filler.len() - length);
        &self.filler[start..start + length]
    }

    /// One `SETEX` for each key; also the sum of the values' lengths.
    pub(crate) fn load(&self, lengths: Lengths) -> (Requests, usize) {
        let mut random = fastrand::Rng::with_seed(1);
        let mut requests = Requests::default();
        let mut value_bytes = 0;
        for name in &self.names {
            let length = lengths.draw(&mut random);
            value_bytes += length;
            let value = self.value(&mut random, length);
            requests.push(&[b"SETEX", name, LIFETIME_SECONDS.as_bytes(), value]);
        }
        (requests, value_bytes)
    }

    /// 95 % `GET` and 5 % `SETEX` of random keys.
    pub(crate) fn get_mix(&self) -> Requests {
        let mut random = fastrand::Rng::with_seed(2);
        let mut requests = Requests::default();
        for _ in 0..MIX_REQUESTS {
            let name = &self.names[random.usize(..self.names.len())];
            if random.usize(..WRITE_EVERY) == 0 {
                let length = Lengths::Session.draw(&mut random);
                let value = self.value(&mut random, length);
                requests.push(&[b"SETEX", name, LIFETIME_SECONDS.as_bytes(), value]);
            } else {
                requests.push(&[b"GET", name]);
            }
        }
        requests
    }
}

/// How long values are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lengths {
    /// 400 to 600 bytes, uniform: what web frameworks store.
    Session,
}

impl Lengths {
    fn draw(self, random: &mut fastrand::Rng) -> usize {
        match self {
            Self::Session => random.usize(400..=600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_resp_and_can_be_cut_into_batches() {
        let mut requests = Requests::default();
        requests.push(&[b"GET", b"a"]);
        requests.push(&[b"SETEX", b"a", b"10", b"value"]);
        let second = b"*4\r\n$5\r\nSETEX\r\n$1\r\na\r\n$2\r\n10\r\n$5\r\nvalue\r\n";
        assert_eq!(requests.bytes(requests.span(0..1)), b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n");
        assert_eq!(requests.bytes(requests.span(1..2)), second);
        assert_eq!(requests.bytes(requests.span(0..2)).len(), 20 + second.len());
    }

    #[test]
    fn a_load_is_the_same_every_time() {
        let keys = Keys::new(100);
        let (first, bytes) = keys.load(Lengths::Session);
        let (second, _) = Keys::new(100).load(Lengths::Session);
        assert_eq!(first.bytes, second.bytes);
        assert_eq!(first.len(), 100);
        assert!((40_000..=60_000).contains(&bytes));
    }
}
