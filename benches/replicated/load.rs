//! The requests of these measurements: keys of 28 bytes, values and session data of 400.
//!
//! Everything random comes from a fixed seed: each system and each run gets the same bytes.

use hallpass_benches::requests::Requests;

/// Bytes of each value, and of each session's data.
pub(crate) const VALUE_BYTES: usize = 400;
/// Different keys that writes draw from.
pub(crate) const KEYS: usize = 100_000;
/// Writes before a load repeats: a multiple of each pipeline's depth.
const WRITES: usize = 1 << 16;
const FILLER_BYTES: usize = 8192;

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    /// `SET` of a key drawn at random.
    Set,
    /// `SESSION.CREATE`; Redis gets `SETEX` of a key drawn at random.
    Create,
}

/// Values to cut out of, none like its neighbour.
#[derive(Debug)]
pub(crate) struct Values {
    filler: Vec<u8>,
    random: fastrand::Rng,
}

impl Values {
    /// The same ones each time.
    pub(crate) fn new() -> Self {
        let mut random = fastrand::Rng::with_seed(0x7265_706c);
        let filler = (0..FILLER_BYTES).map(|_| random.alphanumeric() as u8).collect();
        Self { filler, random }
    }

    /// The next.
    pub(crate) fn draw(&mut self) -> &[u8] {
        let start = self.random.usize(..FILLER_BYTES - VALUE_BYTES);
        &self.filler[start..start + VALUE_BYTES]
    }
}

/// The name of a key: 28 bytes, as of a session cookie with a prefix.
pub(crate) fn key(number: usize) -> Vec<u8> {
    format!("sess:{number:023}").into_bytes()
}

/// Writes for Hallpass.
pub(crate) fn writes(write: Write) -> Requests {
    let mut values = Values::new();
    let mut random = fastrand::Rng::with_seed(5);
    let mut requests = Requests::default();
    for _ in 0..WRITES {
        let number = random.usize(..KEYS);
        match write {
            Write::Set => requests.push(&[b"SET", &key(number), values.draw()]),
            Write::Create => push_create(&mut requests, number, b"43200", values.draw()),
        }
    }
    requests
}

/// The same for Redis; with `wait`, a `WAIT 1 0` after each `pipeline` of them.
pub(crate) fn redis_writes(write: Write, pipeline: usize, wait: bool) -> Requests {
    let mut values = Values::new();
    let mut random = fastrand::Rng::with_seed(5);
    let mut requests = Requests::default();
    for number in 1..=WRITES {
        let key = key(random.usize(..KEYS));
        match write {
            Write::Set => requests.push(&[b"SET", &key, values.draw()]),
            Write::Create => requests.push(&[b"SETEX", &key, b"43200", values.draw()]),
        }
        if wait && number % pipeline == 0 {
            requests.push(&[b"WAIT", b"1", b"0"]);
        }
    }
    requests
}

/// One `SET` for each of these keys.
pub(crate) fn fill(numbers: impl Iterator<Item = usize>) -> Requests {
    let mut values = Values::new();
    let mut requests = Requests::default();
    for number in numbers {
        requests.push(&[b"SET", &key(number), values.draw()]);
    }
    requests
}

/// As many new sessions, each of its own user, with this idle limit.
pub(crate) fn create(count: usize, idle_seconds: u64) -> Requests {
    let mut values = Values::new();
    let mut requests = Requests::default();
    let idle = idle_seconds.to_string();
    for number in 0..count {
        push_create(&mut requests, number, idle.as_bytes(), values.draw());
    }
    requests
}

fn push_create(requests: &mut Requests, user: usize, idle_seconds: &[u8], data: &[u8]) {
    let user = format!("user{user:012}");
    let user = user.as_bytes();
    requests.push(&[b"SESSION.CREATE", user, b"IDLE", idle_seconds, b"DATA", data]);
}

/// `command` with each of `names` once.
pub(crate) fn each(command: &[u8], names: &[Vec<u8>]) -> Requests {
    let mut requests = Requests::default();
    for name in names {
        requests.push(&[command, name]);
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wait_follows_each_batch() {
        assert_eq!(redis_writes(Write::Set, 16, false).len(), WRITES);
        let requests = redis_writes(Write::Set, 16, true);
        assert_eq!(requests.len(), WRITES / 16 * 17);
        let of = |number: usize| requests.bytes(requests.span(number..number + 1));
        assert!(of(15).starts_with(b"*3\r\n$3\r\nSET"));
        assert_eq!(of(16), b"*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$1\r\n0\r\n");
        assert_eq!(requests.len() % 17, 0, "batches stay whole when the load repeats");
    }

    #[test]
    fn keys_are_as_long_as_they_say() {
        assert_eq!(key(0).len(), 28);
        assert_eq!(key(KEYS).len(), 28);
    }
}
