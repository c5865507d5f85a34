//! The parser against texts and against itself: however the bytes arrive, the same requests come out.

use super::*;

const OPEN: ParseLimits = ParseLimits { bulk_bytes_max: 512 << 20, authenticated: true };
const CLOSED: ParseLimits = ParseLimits { authenticated: false, ..OPEN };

type Outcome = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

/// Feeds `input` in pieces of at most `step` bytes, as a connection would.
fn feed(input: &[u8], step: usize, limits: ParseLimits) -> Outcome {
    let mut parser = RequestParser::default();
    let mut requests = Requests::default();
    let mut buffer = Vec::new();
    let mut seen = Vec::new();
    for piece in input.chunks(step) {
        buffer.extend_from_slice(piece);
        loop {
            let result = parser.parse(&mut buffer, limits, &mut requests);
            let complete = requests.frames.len();
            for frame in &requests.frames {
                let words = hallpass_engine::Words::from_spans(&buffer, requests.words(*frame));
                seen.push(words.iter().map(<[u8]>::to_vec).collect());
            }
            if let Err(error) = result {
                return (seen, Some(error));
            }
            let consumed = parser.consumed();
            parser.rebase(&mut requests);
            buffer.drain(..consumed);
            if complete == 0 {
                break;
            }
        }
    }
    (seen, None)
}

fn words(request: &str) -> Vec<Vec<u8>> {
    request.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

#[test]
fn arrays_and_inline_requests_are_read_however_they_arrive() {
    let input =
        b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n*0\r\n\r\n*-1\r\n*1\r\n$0\r\n\r\nset a  b\n";
    let expected = vec![words("GET k"), words("PING"), vec![vec![]], words("set a b")];
    for step in 1..=input.len() {
        assert_eq!(feed(input, step, OPEN), (expected.clone(), None), "step {step}");
        assert_eq!(feed(input, step, CLOSED), (expected.clone(), None), "step {step}");
    }
}

#[test]
fn inline_quoting_is_that_of_redis() {
    let cases: [(&[u8], &[&[u8]]); 7] = [
        (b"set \"a b\" 'c d'\r\n", &[b"set", b"a b", b"c d"]),
        (b"\"\\x41\\n\\r\\t\\b\\a\\\\\\\"\\q\"\n", &[b"A\n\r\t\x08\x07\\\"q"]),
        (b"'it\\'s' 'a\\nb'\n", &[b"it's", b"a\\nb"]),
        (b"\"\\xzz\"\n", &[b"xzz"]),
        (b"pre\"fix\" x\n", &[b"prefix", b"x"]),
        (b"\"\"\n", &[b""]),
        (b"  spaced \t out  \r\n", &[b"spaced", b"out"]),
    ];
    for (input, expected) in cases {
        let expected: Vec<Vec<u8>> = expected.iter().map(|word| word.to_vec()).collect();
        assert_eq!(feed(input, 3, OPEN), (vec![expected], None));
    }
}

#[test]
fn errors_are_those_of_redis_and_come_after_what_was_complete() {
    let cases: [(&[u8], &str); 12] = [
        (b"*x\r\n", "Protocol error: invalid multibulk length"),
        (b"*\r\n", "Protocol error: invalid multibulk length"),
        (b"*2147483648\r\n", "Protocol error: invalid multibulk length"),
        (b"*1\r\n$x\r\n", "Protocol error: invalid bulk length"),
        (b"*1\r\n$-1\r\n", "Protocol error: invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "Protocol error: invalid bulk length"),
        (b"*1\r\nx3\r\n", "Protocol error: expected '$', got 'x'"),
        (b"*1\r\n\r\n", "Protocol error: expected '$', got ' '"),
        (b"set \"a\n", "Protocol error: unbalanced quotes in request"),
        (b"set \"a\"b\n", "Protocol error: unbalanced quotes in request"),
        (b"set 'a\n", "Protocol error: unbalanced quotes in request"),
        (b"set \"a\\\n", "Protocol error: unbalanced quotes in request"),
    ];
    for (bad, expected) in cases {
        let input = [b"*1\r\n$4\r\nPING\r\n", bad].concat();
        for step in 1..=input.len() {
            let (seen, error) = feed(&input, step, OPEN);
            assert_eq!(seen, [words("PING")], "{expected}");
            let mut text = Vec::new();
            error.unwrap().write_text(&mut text);
            assert_eq!(String::from_utf8(text).unwrap(), expected);
        }
    }
}

#[test]
fn lines_that_never_end_are_cut_off() {
    let endless = |first: &[u8], fill: u8| [first, &vec![fill; 70_000]].concat();
    for (input, expected) in [
        (endless(b"*", b'1'), ProtocolError::MultibulkLineTooLong),
        (endless(b"*1\r\n$", b'1'), ProtocolError::BulkLineTooLong),
        (endless(b"a", b'a'), ProtocolError::InlineTooLong),
    ] {
        assert_eq!(feed(&input, 1000, OPEN), (vec![], Some(expected)));
    }
}

#[test]
fn strangers_may_send_little() {
    assert_eq!(
        feed(b"*11\r\n", 100, CLOSED).1,
        Some(ProtocolError::UnauthenticatedMultibulkLength)
    );
    assert_eq!(
        feed(b"*1\r\n$16385\r\n", 100, CLOSED).1,
        Some(ProtocolError::UnauthenticatedBulkLength)
    );
}

#[test]
fn a_large_argument_says_how_much_room_it_needs() {
    let mut parser = RequestParser::default();
    let mut requests = Requests::default();
    let mut buffer = b"*2\r\n$4\r\nECHO\r\n$100000\r\nabc".to_vec();
    parser.parse(&mut buffer, OPEN, &mut requests).unwrap();
    assert_eq!(parser.wanted(), Some(buffer.len() - 3 + 100_002));
    assert_eq!(parser.consumed(), 0);
}

/// A seeded walk over mutations of valid input: the parser never panics, never reads past what it was
/// given, and finds the same requests whether the bytes come at once or one by one.
#[test]
fn mutated_input_is_parsed_alike_in_one_piece_and_in_many() {
    let seeds: [&[u8]; 4] = [
        b"*3\r\n$3\r\nSET\r\n$5\r\nhello\r\n$5\r\nworld\r\n*1\r\n$4\r\nPING\r\n",
        b"set \"a \\x41 b\" 'c'\r\nget a\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n",
        b"*0\r\n*-1\r\n\r\n*1\r\n$0\r\n\r\n",
        b"*2\r\n$10\r\n0123456789\r\n$2\r\n\r\n\r\n",
    ];
    let alphabet = b"*$\r\n 019-x\"'\\a\0\xff";
    let mut state: u64 = 0x5eed;
    let mut random = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..20_000 {
        let mut input = seeds[random(seeds.len())].to_vec();
        for _ in 0..=random(4) {
            let at = random(input.len());
            match random(4) {
                0 => input[at] = alphabet[random(alphabet.len())],
                1 => input.insert(at, alphabet[random(alphabet.len())]),
                2 => input.truncate(at + 1),
                _ => input.extend_from_slice(seeds[random(seeds.len())]),
            }
        }
        let whole = feed(&input, input.len(), OPEN);
        let step = 1 + random(7);
        assert_eq!(feed(&input, step, OPEN), whole, "{:?}", String::from_utf8_lossy(&input));
    }
}
