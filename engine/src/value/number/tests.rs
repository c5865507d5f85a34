use super::*;

#[test]
fn integers_are_read_as_string2ll() {
    for (text, expected) in [
        ("0", Some(0)),
        ("-1", Some(-1)),
        ("9223372036854775807", Some(i64::MAX)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("9223372036854775808", None),
        ("-9223372036854775809", None),
        ("99999999999999999999", None),
        ("", None),
        ("-", None),
        ("-0", None),
        ("+1", None),
        ("01", None),
        ("00", None),
        (" 1", None),
        ("1 ", None),
        ("1.0", None),
        ("1e3", None),
        ("1_0", None),
    ] {
        assert_eq!(parse_i64(text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn integers_are_written_in_full() {
    for number in [0, 7, -7, 10, 99, -100, i64::MAX, i64::MIN] {
        assert_eq!(format_i64(number).as_bytes(), number.to_string().as_bytes());
    }
}

#[test]
fn doubles_are_read_as_strtod_reads_them() {
    for (text, expected) in [
        ("3", Some(3.0)),
        ("+3.5", Some(3.5)),
        ("-.5", Some(-0.5)),
        ("5.", Some(5.0)),
        ("1e3", Some(1000.0)),
        ("1E+3", Some(1000.0)),
        ("0x10", Some(16.0)),
        ("0x1p-2", Some(0.25)),
        ("-0X.8P1", Some(-1.0)),
        ("0x1.fffffffffffff8p0", Some(2.0)),
        ("0x1.00000000000008p0", Some(1.0)),
        ("0x1.00000000000008000000000000000000000000001p0", Some(1.000_000_000_000_000_2)),
        ("0x0.8p-1073", Some(f64::from_bits(1))),
        ("0x0p99999999999999999999", Some(0.0)),
        ("inf", Some(f64::INFINITY)),
        ("-Infinity", Some(f64::NEG_INFINITY)),
        ("1e-320", Some(1e-320)),
        ("0e999999999999", Some(0.0)),
        ("nan", None),
        ("nan(1)", None),
        ("1e400", None),
        ("-1e400", None),
        ("1e-400", None),
        ("0x1p1024", None),
        ("0x1p-1080", None),
        ("", None),
        (".", None),
        ("+", None),
        ("e5", None),
        ("1e", None),
        ("1e+", None),
        ("0x", None),
        ("0xg", None),
        ("0x1p", None),
        ("1_0", None),
        ("in", None),
        ("infinit", None),
        (" 1", None),
        ("1 ", None),
        ("1\0", None),
        ("--1", None),
    ] {
        assert_eq!(parse_f64(text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn bounds_are_read_by_strtod_alone() {
    for (text, expected) in [
        ("", Some(0.0)),
        (" 5", Some(5.0)),
        ("\t\r\n-5", Some(-5.0)),
        ("1e400", Some(f64::INFINITY)),
        ("1\0junk", Some(1.0)),
        (" ", None),
        ("5 ", None),
        ("nan", None),
        ("x", None),
    ] {
        assert_eq!(parse_bound(text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn doubles_are_written_as_redis_7_2_writes_them() {
    for (number, expected) in [
        (3.0, "3"),
        (-3.0, "-3"),
        (0.0, "0"),
        (-0.0, "-0"),
        (0.1, "0.1"),
        (0.1 + 0.2, "0.30000000000000004"),
        (-1234.5678, "-1234.5678"),
        (1e15, "1000000000000000"),
        (4_611_686_018_427_387_904.0, "4611686018427387904"),
        (9_223_372_036_854_775_808.0, "9223372036854776000"),
        (1e18, "1000000000000000000"),
        (1e19, "1e+19"),
        (1e20, "1e+20"),
        (1.000_000_000_000_000_1e23, "100000000000000010000000"),
        (1.234e23, "1.234e+23"),
        (-1.5e300, "-1.5e+300"),
        (1e-5, "0.00001"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (1.5e-7, "1.5e-7"),
        (0.000_123_456_789, "1.23456789e-4"),
        (5e-324, "5e-324"),
        (f64::MAX, "1.7976931348623157e+308"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
        (f64::NAN, "nan"),
    ] {
        assert_eq!(format_f64(number), expected);
    }
}

fn sum(left: &str, right: &str) -> Option<String> {
    let add = |text: &str| LongDouble::parse(text.as_bytes());
    Some(add(left)?.add(add(right)?).to_string())
}

#[test]
fn long_doubles_add_up_as_on_the_hardware() {
    // Each line was answered by INCRBYFLOAT of a redis-server on x86-64.
    for (left, right, expected) in [
        ("3.0", "1.2", "4.2"),
        ("10.5", "0.1", "10.6"),
        ("5.0e3", "2.0e2", "5200"),
        ("0.1", "0.2", "0.3"),
        ("1234.1", "0.1", "1234.19999999999999996"),
        ("99999.7", "0.33", "100000.03000000000000114"),
        ("1e20", "1", "100000000000000000000"),
        ("1e-18", "1", "1"),
        ("-0.0", "0", "0"),
        ("0x10", "1", "17"),
        ("1.5", "-1.5", "0"),
    ] {
        assert_eq!(sum(left, right).as_deref(), Some(expected), "{left} + {right}");
    }
}

#[test]
fn long_doubles_refuse_what_strtold_reports() {
    for text in ["", " 1", "1 ", "nan", "x", "1e5000", "1e-5000", "0x1p16384", "0x1p-16446", "1e"] {
        assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text:?}");
    }
    assert!(LongDouble::parse(&[b'1'; TEXT_BYTES_LIMIT]).is_none());
    assert!(LongDouble::parse(b"1e4932").is_some());
    assert!(LongDouble::parse(b"3.6e-4951").is_some());
    let infinite = LongDouble::parse(b"-inf").unwrap();
    assert_eq!(infinite.finite(), None);
    assert_eq!(sum("inf", "-inf").as_deref(), Some("nan"));
    assert_eq!(sum("inf", "1").as_deref(), Some("inf"));
    assert_eq!(sum("1.1e4932", "1.1e4932").as_deref(), Some("inf"));
}

const TEXT_BYTES_LIMIT: usize = 5 * 1024;
