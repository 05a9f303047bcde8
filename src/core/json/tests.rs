//! The scanner against tables, and against `serde_json` on anything at all.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

fn scan(text: &str) -> Result<(), Error> {
    let mut scanner = Scanner::new(text, 0);
    scanner.skip()?;
    scanner.end()
}

/// The same through the other door: objects are gone through, not passed over.
fn walk(text: &str) -> Result<(), Error> {
    fn value(scanner: &mut Scanner<'_>) -> Result<(), Error> {
        if !scanner.open_object()? {
            return scanner.value().map(drop);
        }
        while scanner.next_name()? {
            value(scanner)?;
        }
        Ok(())
    }
    let mut scanner = Scanner::new(text, 0);
    value(&mut scanner)?;
    scanner.end()
}

fn refusal(text: &str) -> (usize, Problem) {
    let error = scan(text).expect_err(text);
    (error.at(), error.problem())
}

#[test]
fn what_json_allows_is_taken() {
    for text in [
        "{}",
        "[]",
        "\"\"",
        "0",
        "-0",
        "true",
        "false",
        "null",
        " \t\r\n1 \t\r\n",
        "-0.0e-0",
        "1E+5",
        "0.10",
        "{\"a\":{},\"b\":[[],{}]}",
        "[1,2 , 3]",
        "{ \"a\" : 1 , \"a\" : 2 }",
        r#""\"\\\/\b\f\n\r\t\u00e9""#,
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        "\"\u{7f}é\u{2028}😀\"",
        "[{\"a\":[{\"b\":null}]},true]",
        "12345678901234567890123",
        "1e-400",
        "0e400",
        "0.0e99999999999999999999",
        "1.7976931348623157e308",
    ] {
        assert_eq!(scan(text), Ok(()), "{text}");
        assert_eq!(walk(text), Ok(()), "{text}");
    }
}

#[test]
fn what_json_forbids_is_refused_at_its_byte() {
    for (text, at, expected) in [
        ("", 0, Expected::Value),
        ("  ", 2, Expected::Value),
        ("{", 1, Expected::Name),
        ("{\"a\"", 4, Expected::Colon),
        ("{\"a\" 1}", 5, Expected::Colon),
        ("{\"a\":", 5, Expected::Value),
        ("{\"a\":1", 6, Expected::CommaOrBrace),
        ("{\"a\":1]", 6, Expected::CommaOrBrace),
        ("{\"a\":1,}", 7, Expected::Name),
        ("{,}", 1, Expected::Name),
        ("{a:1}", 1, Expected::Name),
        ("{'a':1}", 1, Expected::Name),
        ("[1,]", 3, Expected::Value),
        ("[,1]", 1, Expected::Value),
        ("[1 2]", 3, Expected::CommaOrBracket),
        ("[1}", 2, Expected::CommaOrBracket),
        ("[", 1, Expected::Value),
        ("]", 0, Expected::Value),
        ("1 1", 2, Expected::End),
        ("{} x", 3, Expected::End),
        ("{}}", 2, Expected::End),
        ("01", 1, Expected::End),
        ("-", 1, Expected::Digit),
        ("-a", 1, Expected::Digit),
        ("+1", 0, Expected::Value),
        (".5", 0, Expected::Value),
        ("1.", 2, Expected::Digit),
        ("1.e5", 2, Expected::Digit),
        ("1e", 2, Expected::Digit),
        ("1e+", 3, Expected::Digit),
        ("0x10", 1, Expected::End),
        ("NaN", 0, Expected::Value),
        ("nul", 0, Expected::Value),
        ("True", 0, Expected::Value),
        ("truee", 4, Expected::End),
        ("\"a", 2, Expected::QuotationMark),
        ("\"a\\", 2, Expected::Escape),
        ("\"\\x\"", 1, Expected::Escape),
        ("\"\\u12g4\"", 1, Expected::Escape),
        ("\"\\u12", 1, Expected::Escape),
        ("\"a\nb\"", 2, Expected::NoControlCharacter),
        ("\"12345678\u{0}\"", 9, Expected::NoControlCharacter),
        ("\u{feff}1", 0, Expected::Value),
        ("\u{a0}1", 0, Expected::Value),
        ("\u{b}1", 0, Expected::Value),
        ("\u{c}1", 0, Expected::Value),
        ("1\u{c}", 1, Expected::End),
        ("// no\n1", 0, Expected::Value),
    ] {
        assert_eq!(refusal(text), (at, Problem::Syntax(expected)), "{text:?}");
        assert_eq!(walk(text).map_err(|error| error.at()), Err(at), "{text:?}");
    }
}

#[test]
fn the_escapes_are_those_of_json_and_no_others() {
    for byte in 0..=127_u8 {
        let text = format!("\"\\{}1234\"", char::from(byte));
        let theirs = serde_json::from_str::<IgnoredAny>(&text).is_ok();
        assert_eq!(scan(&text).is_ok(), theirs, "{text:?}");
        assert_eq!(theirs, b"\"\\/bfnrtu".contains(&byte), "{text:?}");
    }
}

#[test]
fn nesting_ends_at_128() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
        let levels = open.matches(['[', '{']).count();
        let nested =
            |depth: usize| format!("{}0{}", open.repeat(depth / levels), close.repeat(depth / levels));
        assert_eq!(scan(&nested(128)), Ok(()), "{open}");
        assert_eq!(walk(&nested(128)), Ok(()), "{open}");
        let (at, problem) = refusal(&nested(128 + levels));
        assert_eq!((at, problem), (open.len() * 128 / levels, Problem::TooDeep), "{open}");
        assert_eq!(
            walk(&nested(128 + levels)).map_err(|error| error.problem()),
            Err(Problem::TooDeep),
            "{open}"
        );
    }
    // What was closed again does not count, and what is deep is found before what comes after it.
    assert_eq!(scan(&format!("[{}[]]", "[[]],".repeat(500))), Ok(()));
    assert_eq!(refusal(&"[".repeat(1_000_000)), (128, Problem::TooDeep));
}

#[test]
fn a_number_that_no_double_can_hold_is_refused_wherever_it_stands() {
    let digits_309 = format!("1{}", "0".repeat(308));
    let digits_310 = format!("1{}", "0".repeat(309));
    for (number, fits) in [
        ("1e308", true),
        ("1e309", false),
        ("-1e309", false),
        ("1.7976931348623158e308", true),
        ("1.7976931348623159e308", false),
        ("0.00001e313", true),
        ("0.00001e314", false),
        ("1e99999999999999999999", false),
        ("1e+400", false),
        ("1e-99999999999999999999", true),
        ("0e99999999999999999999", true),
        (&digits_309, true),
        (&digits_310, false),
    ] {
        for text in [number.to_owned(), format!("[{number}]"), format!("{{\"a\":[1,{{\"b\":{number}}}]}}")] {
            let expected = if fits { Ok(()) } else { Err(Problem::NumberOutOfRange) };
            assert_eq!(scan(&text).map_err(|error| error.problem()), expected, "{text}");
        }
        assert_eq!(number.parse::<f64>().is_ok_and(f64::is_finite), fits, "{number}");
    }
}

#[test]
fn values_are_reported_with_what_and_where_they_are() {
    let text = r#" { "a" : "x\n" , "b":-1.50e1,"c":[1, 2], "d" : {"e":0},"f":true,"g":null } "#;
    let mut scanner = Scanner::new(text, 0);
    assert_eq!(scanner.open_object(), Ok(true));
    let mut seen = Vec::new();
    while scanner.next_name().unwrap() {
        let name = scanner.name();
        assert!(text[name.start..].starts_with(&format!("\"{}\"", name.text.raw())));
        let value = scanner.value().unwrap();
        assert_eq!(scanner.at(), value.span.end);
        let kind = match value.kind {
            Kind::String(text) => format!("string {:?}", text.unescape().unwrap()),
            Kind::Number(number) => format!("number {number}"),
            other => format!("{other:?}"),
        };
        seen.push(format!("{}: {kind} = {}", name.text.raw(), &text[value.span]));
    }
    assert_eq!(scanner.end(), Ok(()));
    assert_eq!(
        seen,
        [
            r#"a: string "x\n" = "x\n""#,
            "b: number -1.50e1 = -1.50e1",
            "c: Array = [1, 2]",
            r#"d: Object = {"e":0}"#,
            "f: Bool(true) = true",
            "g: Null = null",
        ]
    );
}

#[test]
fn escapes_mean_their_characters_and_half_a_pair_means_none() {
    for (raw, means) in [
        (r"plain", Some("plain")),
        (r#"\"\\\/\b\f\n\r\t"#, Some("\"\\/\u{8}\u{c}\n\r\t")),
        (r"\u0000\u00e9\u20AC\uffff", Some("\0é€\u{ffff}")),
        (r"a\ud83d\ude00b", Some("a😀b")),
        (r"\udbff\udfff", Some("\u{10ffff}")),
        (r"\\ud800", Some("\\ud800")),
        (r"\ud800", None),
        (r"\ud800x", None),
        (r"\ud800\n", None),
        (r"\ud800\u0041", None),
        (r"\ud800\ud800", None),
        (r"\udc00", None),
        (r"\udc00\ud800", None),
        (r"\ud800é", None),
        (r"\ud83d\ude00\ude00", None),
    ] {
        let text = format!("\"{raw}\"");
        let Kind::String(string) = Scanner::new(&text, 0).value().unwrap().kind else { panic!("{text}") };
        assert_eq!(string.unescape().ok().as_deref(), means, "{raw}");
        assert_eq!(string.plain(), means.filter(|_| !raw.contains('\\')), "{raw}");
    }
}

/// JSON and what is almost JSON.
fn almost_json() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => prop::sample::select(&["{", "}", "[", "]", ",", ":", "\"a\":", "{\"b\":", "\"c\"", "\"\"", " ", "\n"][..])
            .prop_map(str::to_owned),
        4 => prop::sample::select(
            &["0", "-1", "1.5", "1e5", "-0.0E-1", "12345678901234567890", "true", "false", "null"][..]
        )
        .prop_map(str::to_owned),
        1 => prop::sample::select(
            &["\"\\u00e9\"", "\"\\ud800\"", "\"\\", "\\u12", "\"\u{1}\"", "-", ".", "e", "+", "tru", "/", "\u{feff}", "é"][..]
        )
        .prop_map(str::to_owned),
        1 => "\"[ -~é]{0,20}\"",
        1 => "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?",
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

/// JSON, with now and then one byte of it replaced, left out or doubled.
fn json_or_a_slip_of_it() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<f64>().prop_filter_map("finite", |value| value.is_finite().then(|| format!("{value:e}"))),
        any::<String>().prop_map(|value| serde_json::to_string(&value).unwrap()),
    ];
    let space = || prop::sample::select(&["", "", "", " ", "\r\n\t "][..]);
    let value = leaf.prop_recursive(6, 40, 5, move |inner| {
        let member =
            (any::<String>(), space(), inner.clone(), space()).prop_map(|(name, before, value, after)| {
                format!("{}{before}:{after}{value}", serde_json::to_string(&name).unwrap())
            });
        prop_oneof![
            (prop::collection::vec(inner, 0..5), space())
                .prop_map(|(values, s)| format!("[{s}{}{s}]", values.join(","))),
            (prop::collection::vec(member, 0..5), space())
                .prop_map(|(members, s)| format!("{{{s}{}{s}}}", members.join(","))),
        ]
    });
    (value, any::<prop::sample::Index>(), 0..6, any::<char>()).prop_map(|(text, place, slip, other)| {
        let mut characters: Vec<char> = text.chars().collect();
        let place = place.index(characters.len());
        match slip {
            0 => characters[place] = other,
            1 => drop(characters.remove(place)),
            2 => characters.insert(place, characters[place]),
            3 => characters.truncate(place),
            _ => {}
        }
        characters.into_iter().collect()
    })
}

/// `IgnoredAny` makes `serde_json` check the grammar alone: no depth, no range of numbers, no surrogates.
fn agrees_with_serde_json(text: &str) -> Result<(), TestCaseError> {
    let (scanned, walked) = (scan(text), walk(text));
    prop_assert_eq!(&scanned, &walked);
    let theirs = serde_json::from_str::<IgnoredAny>(text);
    match scanned.map_err(|error| (error.at(), error.problem())) {
        Err((at, Problem::TooDeep | Problem::NumberOutOfRange)) => prop_assert!(at < text.len()),
        Err((at, problem)) => {
            prop_assert!(at <= text.len());
            prop_assert!(theirs.is_err(), "refused at {}: {:?}", at, problem);
        }
        Ok(()) => prop_assert!(theirs.is_ok(), "taken, but {:?}", theirs),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_serde_json_takes_is_taken_and_nothing_else(text in almost_json()) {
        agrees_with_serde_json(&text)?;
    }

    #[test]
    fn slips_are_taken_and_refused_as_serde_json_does(text in json_or_a_slip_of_it()) {
        agrees_with_serde_json(&text)?;
    }

    #[test]
    fn any_text_is_taken_or_refused_without_a_panic(text in any::<String>()) {
        agrees_with_serde_json(&text)?;
    }

    #[test]
    fn a_string_that_was_written_is_read_back_the_same(string in any::<String>()) {
        let mut written = Vec::new();
        write_string(&string, &mut written);
        let written = String::from_utf8(written).unwrap();
        prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), string.clone());
        let Kind::String(text) = Scanner::new(&written, 0).value().unwrap().kind else { panic!("{written}") };
        prop_assert_eq!(text.unescape().unwrap(), string);
    }

    #[test]
    fn escapes_mean_what_serde_json_says(
        pieces in prop::collection::vec(
            prop_oneof!["\\\\u[0-9a-fA-F]{4}", "\\\\u[dD][89abAB][0-9a-f]{2}\\\\u[dD][c-fC-F][0-9a-f]{2}", "\\\\u[dD][89a-fA-F][0-9a-f]{2}", "\\\\[bfnrt/]", "[a-zé😀]{0,3}"],
            0..6,
        )
    ) {
        let text = format!("\"{}\"", pieces.concat());
        let Kind::String(string) = Scanner::new(&text, 0).value().unwrap().kind else { panic!("{text}") };
        let theirs = serde_json::from_str::<String>(&text).ok();
        prop_assert_eq!(string.unescape().ok().map(std::borrow::Cow::into_owned), theirs);
    }
}
