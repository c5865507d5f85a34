//! Fuzzes parser, dispatch, commands and engine together: bytes as from a socket go in, and what comes out
//! is well-formed RESP, the same in whichever pieces the bytes came and when called request by request.

#![no_main]

use std::sync::Arc;

use hallpass_fuzz::pieces::pieces;
use hallpass_fuzz::reply;
use hallpass_server::Embedded;
use hallpass_server::config::Config;
use hallpass_server::state::ServerState;
use libfuzzer_sys::fuzz_target;

/// Words of requests whose answers depend on the time, on chance or on what this process has done.
const VARIABLE: [&[u8]; 17] = [
    b"TIME", b"TTL", b"EX", b"PX", b"INFO", b"SESSION", b"RAND", b"SPOP", b"SLOWLOG", b"CLIENT",
    b"MEMORY", b"OBJECT", b"LATENCY", b"LOLWUT", b"DEBUG", b"COMMAND", b"SAVE",
];

fn server(password: bool) -> Arc<ServerState> {
    let config = Config {
        threads: 1,
        shards: 1,
        requirepass: if password { "p".to_owned() } else { String::new() },
        // A command of a few bytes may make a value of this length.
        proto_max_bulk_len: 1 << 16,
        ..Config::default()
    };
    Arc::new(ServerState::new(config))
}

fn mentions(upper: &[u8], word: &[u8]) -> bool {
    upper.windows(word.len()).any(|window| window == word)
}

fuzz_target!(|data: &[u8]| {
    let [choice, input @ ..] = data else { return };
    let password = choice & 0x80 != 0;
    let whole = Embedded::connect(&server(password)).feed(input);
    let replies = reply::count(&whole);
    let upper = input.to_ascii_uppercase();
    // Settings take effect at the next read, so with them it matters where the pieces end.
    if mentions(&upper, b"CONFIG") {
        return;
    }
    let mut client = Embedded::connect(&server(password));
    let mut pieced = Vec::new();
    for piece in pieces(input, *choice) {
        let answered = client.feed(piece);
        reply::count(&answered);
        pieced.extend_from_slice(&answered);
    }
    if VARIABLE.iter().any(|word| mentions(&upper, word)) {
        assert_eq!(reply::count(&pieced), replies, "as many replies in pieces as in one");
    } else {
        assert_eq!(pieced, whole, "in pieces\n{}", pieced.escape_ascii());
    }
});
