//! A session store inside a program: log in, check, log out everywhere.
//!
//! `cargo run -p hallpass-engine --example embed`

use std::time::{SystemTime, UNIX_EPOCH};

use hallpass_engine::{Config, Engine, HashSeed, Limits, Op, SessionHash, Stamp, Touch, Words};

// The engine reads no clock: its embedder does.
#[allow(clippy::disallowed_methods)]
fn now() -> Stamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Stamp::from_millis(since.as_millis() as u64)
}

fn main() {
    // A real program draws the seed and each id from the operating system, and keeps a hash of the id.
    let engine = Engine::new(&Config::new(HashSeed::new(0x5eed, 0x5eed)));
    let id = SessionHash([7; 16]);
    let limits = Limits { idle_seconds: 1800, lifetime_seconds: 86_400 };
    let (user, data, meta) =
        (&b"alice"[..], &b"theme=dark"[..], Words::from_slices(&[b"ip", b"::1"]));

    let login = Op::SessionCreate { id, user, limits, data, meta, cap: None };
    println!("login:   {:?}", engine.apply(&login, now()));
    let check = || {
        engine.validate(&id, now(), Touch::Now, |user| user.map(|it| it.escape_ascii().to_string()))
    };
    println!("request: {:?}", check());
    let logout = Op::SessionRevokeUser { user, except: None };
    println!("logout:  {:?}", engine.apply(&logout, now()));
    println!("request: {:?}", check());
    while engine.sweep(now(), 1000).more {}
    println!("memory:  {} bytes", engine.statistics().memory_bytes);
}
