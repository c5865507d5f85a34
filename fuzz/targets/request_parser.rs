//! Fuzzes the request parser: the same requests come out however the bytes arrive, every span lies in the
//! buffer, and what was read reads the same when it is written down as plain arrays.

#![no_main]

use hallpass_engine::Words;
use hallpass_fuzz::pieces::pieces;
use hallpass_server::resp::request::{ParseLimits, ProtocolError, RequestParser, Requests};
use libfuzzer_sys::fuzz_target;

type Request = Vec<Vec<u8>>;

/// What a connection that gets `pieces` one after the other would run, and how it ends.
fn feed<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    limits: ParseLimits,
) -> (Vec<Request>, Option<ProtocolError>) {
    let mut parser = RequestParser::default();
    let mut requests = Requests::default();
    let (mut buffer, mut seen) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let parsed = parser.parse(&mut buffer, limits, &mut requests);
            let complete = requests.frames.len();
            assert!(limits.authenticated || complete <= 1, "one request at a time of a stranger");
            for frame in &requests.frames {
                assert!(frame.count > 0);
                let words = Words::from_spans(&buffer, requests.words(*frame));
                seen.push(words.iter().map(<[u8]>::to_vec).collect());
            }
            if let Err(error) = parsed {
                return (seen, Some(error));
            }
            let consumed = parser.consumed();
            assert!(consumed <= buffer.len());
            parser.rebase(&mut requests);
            buffer.drain(..consumed);
            if complete == 0 {
                break;
            }
        }
        assert!(parser.wanted().is_none_or(|wanted| wanted > buffer.len()), "nothing left undone");
    }
    (seen, None)
}

fn as_arrays(requests: &[Request]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for words in requests {
        bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
    }
    bytes
}

fuzz_target!(|data: &[u8]| {
    let [choice, input @ ..] = data else { return };
    let bulk_bytes_max = if choice & 1 == 0 { 512 << 20 } else { 100 };
    let limits = ParseLimits { bulk_bytes_max, authenticated: choice & 2 == 0 };
    let (whole, error) = feed(std::iter::once(input), limits);
    assert_eq!(feed(pieces(input, *choice), limits), (whole.clone(), error));
    assert!(whole.iter().map(Vec::len).sum::<usize>() <= input.len(), "no word without a byte");
    let wide = ParseLimits { bulk_bytes_max: 512 << 20, authenticated: true };
    assert_eq!(feed(std::iter::once(&as_arrays(&whole)[..]), wide), (whole, None));
});
