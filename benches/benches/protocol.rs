//! The request parser and the reply writer: what a request costs before and after the engine.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use hallpass_server::resp::reply::{Protocol, Reply};
use hallpass_server::resp::request::{ParseLimits, RequestParser, Requests};

const LIMITS: ParseLimits = ParseLimits { bulk_bytes_max: 512 << 20, authenticated: true };

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    parser(&mut criterion);
    replies(&mut criterion);
    criterion.final_summary();
}

/// A request as clients send it.
fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut reply = Reply::new(&mut bytes, Protocol::Resp2);
    // A request is an array of bulk strings, as some replies are.
    reply.bulks(words.iter().copied());
    bytes
}

fn parser(criterion: &mut Criterion) {
    let key: &[u8] = b"sess:0123456789abcdefghijklm";
    let value = [b'v'; 500];
    let kinds = [
        ("get", request(&[b"GET", key])),
        ("setex", request(&[b"SETEX", key, b"1800", &value])),
        ("validate", request(&[b"SESSION.VALIDATE", &[b'A'; 43]])),
        ("inline", b"GET sess:0123456789abcdefghijklm\r\n".to_vec()),
    ];
    let mut group = criterion.benchmark_group("parse");
    for (name, one) in kinds {
        for pipeline in [1, 16, 64] {
            let mut buffer = one.repeat(pipeline);
            let mut requests = Requests::default();
            group.throughput(Throughput::Elements(pipeline as u64));
            group.bench_function(BenchmarkId::new(name, pipeline), |bencher| {
                bencher.iter(|| {
                    let mut parser = RequestParser::default();
                    let parsed = parser.parse(black_box(&mut buffer), LIMITS, &mut requests);
                    assert!(parsed.is_ok() && requests.frames.len() == pipeline, "well formed");
                    black_box(&requests);
                    parser.rebase(&mut requests);
                });
            });
        }
    }
    group.finish();
}

fn replies(criterion: &mut Criterion) {
    type Write = fn(&mut Reply<'_>);
    let kinds: [(&str, Write); 6] = [
        ("ok", |reply| reply.ok()),
        ("integer", |reply| reply.integer(black_box(1_700_000_000))),
        ("bulk-of-16", |reply| reply.bulk(black_box(&[b'v'; 16]))),
        ("bulk-of-500", |reply| reply.bulk(black_box(&[b'v'; 500]))),
        ("null", |reply| reply.null()),
        ("map-of-10", |reply| {
            reply.map(10);
            for field in 0..10 {
                reply.bulk(b"expires");
                reply.integer(black_box(1_700_000_000 + field));
            }
        }),
    ];
    let mut group = criterion.benchmark_group("reply");
    group.throughput(Throughput::Elements(1));
    for (name, write) in kinds {
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            let mut output = Vec::with_capacity(64 << 10);
            let id = BenchmarkId::new(name, format!("RESP{}", protocol.number()));
            group.bench_function(id, |bencher| {
                bencher.iter(|| {
                    if output.len() > 48 << 10 {
                        output.clear();
                    }
                    write(&mut Reply::new(black_box(&mut output), protocol));
                });
            });
        }
    }
    group.finish();
}
