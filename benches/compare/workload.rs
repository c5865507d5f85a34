//! The requests of each measurement, encoded once and before it starts.
//!
//! Everything random comes from a fixed seed, so each server and each run gets the same bytes.

use hallpass_benches::requests::Requests;

/// Bytes in a key: what a session id with a prefix has in practice.
pub(crate) const KEY_BYTES: usize = 28;
/// Idle limit of a session, and what a touch sets anew.
const IDLE_SECONDS: &[u8] = b"1800";
/// Lifetime given to each key, longer than any run.
const LIFETIME_SECONDS: &[u8] = b"3600";
/// Requests in a random mix before it repeats: a million, so that each key is met.
const MIX_REQUESTS: usize = 1 << 20;
/// One write in so many requests.
const WRITE_EVERY: usize = 20;

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

    /// One `SETEX` for each key.
    pub(crate) fn load(&self, lengths: Lengths) -> Load {
        let mut random = fastrand::Rng::with_seed(1);
        let mut load = Load::default();
        for name in &self.names {
            let length = lengths.draw(&mut random);
            load.value_bytes += length;
            load.name_bytes += name.len();
            let value = self.value(&mut random, length);
            load.requests.push(&[b"SETEX", name, LIFETIME_SECONDS, value]);
        }
        load
    }

    /// One `SESSION.CREATE` with data for each key, `each` of them for the same user. Neighbours
    /// in time belong to different users, as they do in life.
    pub(crate) fn create_sessions(&self, each: usize) -> Load {
        let mut random = fastrand::Rng::with_seed(1);
        let mut load = Load::default();
        let users = self.len().div_ceil(each);
        for index in 0..self.len() {
            let user = format!("user{:012}", index % users);
            let length = Lengths::Session.draw(&mut random);
            load.value_bytes += length;
            load.name_bytes += user.len();
            let data = self.value(&mut random, length);
            let user = user.as_bytes();
            load.requests.push(&[b"SESSION.CREATE", user, b"IDLE", IDLE_SECONDS, b"DATA", data]);
        }
        load
    }

    /// Reads of random keys that also set the lifetime anew: what Redis has for validating.
    pub(crate) fn touching_reads(&self) -> Requests {
        let mut random = fastrand::Rng::with_seed(3);
        let mut requests = Requests::default();
        for _ in 0..MIX_REQUESTS {
            let name = &self.names[random.usize(..self.names.len())];
            requests.push(&[b"GETEX", name, b"EX", IDLE_SECONDS]);
        }
        requests
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
                requests.push(&[b"SETEX", name, LIFETIME_SECONDS, value]);
            } else {
                requests.push(&[b"GET", name]);
            }
        }
        requests
    }
}

/// `command` with random ones of `ids`.
pub(crate) fn look_ups(command: &[u8], ids: &[Vec<u8>]) -> Requests {
    let mut random = fastrand::Rng::with_seed(3);
    let mut requests = Requests::default();
    for _ in 0..MIX_REQUESTS {
        requests.push(&[command, &ids[random.usize(..ids.len())]]);
    }
    requests
}

/// Requests that fill a server, and how much they store.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// The requests.
    pub(crate) requests: Requests,
    /// Sum of the values, or of the sessions' data.
    pub(crate) value_bytes: usize,
    /// Sum of the keys, or of the user name given with each session.
    pub(crate) name_bytes: usize,
}

/// How long values are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lengths {
    /// 400 to 600 bytes, uniform: what web frameworks store.
    Session,
    /// 200 to 2000 bytes, each octave as likely: no allocator's size classes fit all of them.
    Wide,
}

impl Lengths {
    fn draw(self, random: &mut fastrand::Rng) -> usize {
        match self {
            Self::Session => random.usize(400..=600),
            Self::Wide => (200.0 * 10_f64.powf(random.f64())) as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_the_same_every_time() {
        let keys = Keys::new(100);
        let (first, second) = (keys.load(Lengths::Session), Keys::new(100).load(Lengths::Session));
        let bytes = |load: &Load| load.requests.bytes(load.requests.span(0..100)).to_vec();
        assert_eq!(bytes(&first), bytes(&second));
        assert_eq!(first.requests.len(), 100);
        assert_eq!(first.name_bytes, 2800);
        assert!((40_000..=60_000).contains(&first.value_bytes));
        let wide = keys.load(Lengths::Wide);
        assert!((20_000..=200_000).contains(&wide.value_bytes));
    }

    #[test]
    fn sessions_are_spread_over_users() {
        let load = Keys::new(10).create_sessions(4);
        let bytes = load.requests.bytes(load.requests.span(0..10));
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(text.matches("user000000000000\r").count(), 4);
        assert_eq!(text.matches("user000000000002\r").count(), 3);
        assert_eq!(load.name_bytes, 160);
    }
}
