//! Values as applications stored them, and as nobody should.

use super::*;
use crate::value::{HashValue, ValueSeed};

const LIMIT: usize = 1024;
const LARAVEL: &str = concat!(
    r#"a:5:{s:6:"_token";s:6:"u5FXk3";s:9:"_previous";a:1:{s:3:"url";s:21:"http://localhost/home";}"#,
    r#"s:6:"_flash";a:2:{s:3:"old";a:0:{}s:3:"new";a:0:{}}"#,
    r#"s:50:"login_web_59ba36addc2b2f9401580f014c7f58ea4e30989d";i:7;"#,
    r#"s:17:"password_hash_web";s:8:"$2y$12$x";}"#,
);
const LARAVEL_USER: &str = "/login_web_59ba36addc2b2f9401580f014c7f58ea4e30989d";
const NATIVE: &str = r#"cart|a:2:{s:1:"a";d:1.5;s:1:"b";a:2:{i:0;b:1;i:1;N;}}user|a:2:{s:2:"id";i:42;s:4:"name";s:5:"alice";}"#;
const DJANGO_COMPRESSED: &str = ".eJyrVopPLC3JiC8tTi2Kz0xRslIyMVLSQRZMSkzOTs0DyaRkJeal5-sl5-eVFGUm6YGU6EFli_V881NSc5ygalEMyEgszgDqTjOgDCrVAgA1nTlC:1xWCfI:3ymvK-itKL9D_rSWM3BxhLVo23XNeHeH5Jb-63TlUfU";
const DJANGO_SIGNED: &str =
    "eyJfYXV0aF91c2VyX2lkIjoiNDIifQ:1xWCfI:o9-FnPsB6N_D7TH0Lo4AWt8ThMJ5O6VJ0UulmRDKpyk";
const DJANGO_OLDER: &str = "M2Y3ODY4NTBlMzg3NTUwZmRhYjgzNmVkN2U2ZGM4ODFkZTIzMDAxYjp7Il9hdXRoX3VzZXJfaWQiOiI0MiIsIl9hdXRoX3VzZXJfYmFja2VuZCI6ImRqYW5nby5jb250cmliLmF1dGguYmFja2VuZHMuTW9kZWxCYWNrZW5kIiwiX2F1dGhfdXNlcl9oYXNoIjoiZjBmMGYwZjBmMGYwZjBmMGYwZjBmMGYwZjBmMGYwZjBmMGYwZjBmMGYwZjBmMGYwZjBmMGYwZjBmMGYwZjBmMCJ9";
/// `{"_permanent": True, "_fresh": True, "_user_id": "42", "n": [1, -2, 3.5, None, 70000]}`
const FLASK: &[u8] = &[
    0x84, 0xaa, b'_', b'p', b'e', b'r', b'm', b'a', b'n', b'e', b'n', b't', 0xc3, 0xa6, b'_', b'f',
    b'r', b'e', b's', b'h', 0xc3, 0xa8, b'_', b'u', b's', b'e', b'r', b'_', b'i', b'd', 0xa2, b'4',
    b'2', 0xa1, b'n', 0x95, 0x01, 0xfe, 0xcb, 0x40, 0x0c, 0, 0, 0, 0, 0, 0, 0xc0, 0xce, 0, 1, 0x11,
    0x70,
];
const JAVA: &[u8] = b"\xac\xed\0\x05t\0\x05alice";
const EXPRESS: &str = r#"{"cookie":{"originalMaxAge":86400000,"expires":"2026-01-01T00:00:00.000Z","httpOnly":true,"path":"/"},"passport":{"user":"al\u0069ce"},"n":[1,{"id":-7},"x\ud83d\ude00"]}"#;

fn source(decoders: &[Decoder], pointer: Option<&str>) -> Source {
    let pointer = pointer.map(|pointer| pointer.as_bytes().to_vec());
    Source { field: None, decoders: decoders.to_vec(), pointer }
}

#[track_caller]
fn check(decoders: &[Decoder], pointer: Option<&str>, value: impl AsRef<[u8]>, user: Option<&str>) {
    let found = source(decoders, pointer).user_in_string(value.as_ref(), LIMIT);
    assert_eq!(found.as_deref(), user.map(str::as_bytes));
}

#[test]
fn json_gives_strings_and_integers() {
    for (pointer, user) in [
        ("/passport/user", Some("alice")),
        ("/n/0", Some("1")),
        ("/n/1/id", Some("-7")),
        ("/n/2", Some("x\u{1f600}")),
        ("/n/3", None),
        ("/n/00", None),
        ("/cookie", None),
        ("/cookie/httpOnly", None),
        ("/passport/user/more", None),
        ("", None),
    ] {
        check(&[], Some(pointer), EXPRESS, user);
    }
    check(&[], Some("/a~1b/~0"), r#"{"a/b":{"~":3}}"#, Some("3"));
    check(&[], Some("/a"), r#"{"a":1,"a":"last"}"#, Some("last"));
    check(&[], Some("/a"), r#"{"a":1.5}"#, None);
    check(&[], Some("/a"), r#"{"a":""}"#, None);
    check(&[], Some(""), " 12 ", Some("12"));
    check(&[Decoder::Json], Some("/u"), r#""{\"u\":5}""#, Some("5"));
    check(&[Decoder::Strip(b"j:".to_vec())], Some("/u"), r#"j:{"u":5}"#, Some("5"));
    check(&[Decoder::Strip(b"j:".to_vec())], Some("/u"), r#"{"u":5}"#, None);
}

#[test]
fn plain_values_and_encodings() {
    check(&[], None, "alice", Some("alice"));
    check(&[], None, "", None);
    check(&[], None, "x".repeat(LIMIT + 1), None);
    check(&[Decoder::Base64], None, "YWxpY2U=", Some("alice"));
    check(&[Decoder::Base64], None, "YWxpY2U", Some("alice"));
    check(&[Decoder::Base64], None, "YWxpY2U!", None);
    check(&[Decoder::Url], None, "al%69ce+", Some("alice+"));
    check(&[Decoder::Url], None, "al%6", None);
}

#[test]
fn php_is_read_in_both_forms() {
    check(&[Decoder::Php], Some(LARAVEL_USER), LARAVEL, Some("7"));
    let twice = format!("s:{}:\"{LARAVEL}\";", LARAVEL.len());
    check(&[Decoder::Php], Some(LARAVEL_USER), &twice, Some("7"));
    check(&[Decoder::Php], Some("/_previous/url"), &twice, Some("http://localhost/home"));
    check(&[Decoder::Php], Some("/_flash"), &twice, None);
    check(&[Decoder::Php], None, "s:5:\"alice\";", Some("alice"));
    check(&[Decoder::Php], None, "i:-3;", Some("-3"));
    check(&[Decoder::PhpSession], Some("/user/name"), NATIVE, Some("alice"));
    check(&[Decoder::PhpSession], Some("/user/id"), NATIVE, Some("42"));
    check(&[Decoder::PhpSession], Some("/cart/a"), NATIVE, None);
    let object = "a:1:{s:1:\"o\";O:1:\"U\":3:{s:5:\"\0U\0id\";i:9;s:7:\"\0*\0name\";s:3:\"eve\";s:1:\"p\";s:1:\"x\";}}";
    check(&[Decoder::Php], Some("/o/id"), object, Some("9"));
    check(&[Decoder::Php], Some("/o/name"), object, Some("eve"));
    check(&[Decoder::Php], Some("/o/p"), object, Some("x"));
}

#[test]
fn sessions_of_django_spring_and_flask() {
    for session in [DJANGO_COMPRESSED, DJANGO_SIGNED, DJANGO_OLDER] {
        check(&[Decoder::Django], None, session, Some("42"));
        check(&[Decoder::Django], Some("/nothing"), session, None);
    }
    check(&[Decoder::JavaString], None, JAVA, Some("alice"));
    let modified = b"\xac\xed\0\x05t\0\x0czo\xc3\xab\xc0\x80\xed\xa0\xbd\xed\xb8\x80";
    check(&[Decoder::JavaString], None, modified, Some("zo\u{eb}\0\u{1f600}"));
    check(&[Decoder::MessagePack], Some("/_user_id"), FLASK, Some("42"));
    check(&[Decoder::MessagePack], Some("/n/1"), FLASK, Some("-2"));
    check(&[Decoder::MessagePack], Some("/n/4"), FLASK, Some("70000"));
    check(&[Decoder::MessagePack], Some("/n/2"), FLASK, None);
}

#[test]
fn a_field_is_read_from_a_hash_only() {
    let mut hash = HashValue::new(ValueSeed::default());
    hash.insert(b"principal", JAVA);
    let decoders = vec![Decoder::JavaString];
    let source = Source { field: Some(b"principal".to_vec()), decoders, pointer: None };
    let hash = Collection::Hash(hash);
    assert_eq!(source.user_in_collection(&hash, LIMIT).as_deref(), Some(&b"alice"[..]));
    assert_eq!(source.user_in_string(JAVA, LIMIT), None);
    let other = Source { field: Some(b"other".to_vec()), ..source };
    assert_eq!(other.user_in_collection(&hash, LIMIT), None);
}

#[test]
fn a_bomb_is_not_inflated() {
    let zeros = miniz_oxide::deflate::compress_to_vec_zlib(&vec![b' '; 64 << 20], 9);
    let mut session = b".".to_vec();
    session.extend(encode(&zeros));
    session.extend_from_slice(b":t:s");
    assert_eq!(source(&[Decoder::Django], None).user_in_string(&session, LIMIT), None);
}

fn encode(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = Vec::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        for digit in 0..=group.len() {
            out.push(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]);
        }
    }
    out
}

/// Every value, cut and with bytes changed, in every form: nothing panics, and a user keeps to the limit.
#[test]
fn damaged_values_have_a_user_or_none() {
    let nested = ["[".repeat(100_000), "a:1:{i:0;".repeat(50_000), "\u{91}".repeat(1000)];
    let values: Vec<&[u8]> =
        [LARAVEL, NATIVE, DJANGO_COMPRESSED, DJANGO_SIGNED, DJANGO_OLDER, EXPRESS]
            .map(str::as_bytes)
            .into_iter()
            .chain([FLASK, JAVA])
            .chain(nested.iter().map(String::as_bytes))
            .collect();
    let forms = [
        source(&[], Some("/passport/user")),
        source(&[], Some("/n/1/id")),
        source(&[Decoder::Php], Some(LARAVEL_USER)),
        source(&[Decoder::PhpSession], Some("/user/name")),
        source(&[Decoder::Django], None),
        source(&[Decoder::JavaString], None),
        source(&[Decoder::MessagePack], Some("/n/4")),
        source(&[Decoder::Base64, Decoder::Url, Decoder::Json], None),
    ];
    let mut state = 1_u32;
    let mut roll = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below.max(1)
    };
    for value in values {
        for round in 0..400 {
            let mut damaged = value.to_vec();
            for _ in 0..round % 4 {
                let at = roll(damaged.len());
                match roll(3) {
                    0 => damaged[at] = roll(256) as u8,
                    1 => damaged.truncate(at),
                    _ => damaged.insert(at, b"0129:{[\"|;"[roll(10)]),
                }
                if damaged.is_empty() {
                    break;
                }
            }
            for form in &forms {
                if let Some(user) = form.user_in_string(&damaged, LIMIT) {
                    assert!(!user.is_empty() && user.len() <= LIMIT);
                }
            }
        }
    }
}
