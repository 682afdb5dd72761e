use super::*;
use serde_json::{Value, json};

fn value(text: &str) -> Result<Value, String> {
    read::<Value>(text).map_err(|error| error.to_string())
}

/// As `sigs.k8s.io/yaml` 1.6.0 reads them.
#[test]
fn plain_scalars_are_what_kubernetes_takes_them_for() {
    let table = [
        ("on", json!(true)),
        ("Off", json!(false)),
        ("yes", json!(true)),
        ("n", json!(false)),
        ("~", json!(null)),
        ("Null", json!(null)),
        ("", json!(null)),
        ("012", json!(10)),
        ("08", json!(8.0)),
        ("0o14", json!(12)),
        ("0x1f", json!(31)),
        ("-0x1f", json!(-31)),
        ("0b11", json!(3)),
        ("1_000", json!(1000)),
        ("1e3", json!(1000.0)),
        ("+12", json!(12)),
        (".5", json!(0.5)),
        ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
        ("18446744073709551616", json!(18_446_744_073_709_551_616_f64)),
        ("-9223372036854775808", json!(-9_223_372_036_854_775_808_i64)),
        ("12:30", json!("12:30")),
        ("2026-11-28", json!("2026-11-28")),
        ("2026-11-28T20:00:00Z", json!("2026-11-28T20:00:00Z")),
        ("10.0.0.1", json!("10.0.0.1")),
        ("_1", json!("_1")),
        ("1e", json!("1e")),
        ("'on'", json!("on")),
        ("\"012\"", json!("012")),
        ("!!str on", json!("on")),
    ];
    for (text, wanted) in table {
        assert_eq!(value(&format!("k: {text}\n")), Ok(json!({"k": wanted})), "{text}");
    }
}

#[test]
fn settings_are_text_wherever_that_is_possible() {
    for text in ["on", "no", "012", "1_000", "10.0.0.1", "12:30"] {
        let read: Value = read_settings(&format!("k: {text}\n")).unwrap();
        assert_eq!(read["k"], json!(text));
    }
    let read: Value = read_settings("a: true\nb: 3\nc: ~\n").unwrap();
    assert_eq!(read, json!({"a": true, "b": 3, "c": null}));
}

#[test]
fn merges_and_aliases_are_followed() {
    let text = "base: &b {x: 1, y: 2}\nmore:\n  <<: *b\n  y: 3\nsame: *b\n";
    let wanted = json!({"base": {"x": 1, "y": 2}, "more": {"x": 1, "y": 3}, "same": {"x": 1, "y": 2}});
    assert_eq!(value(text), Ok(wanted));
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    let table = [
        ("a: [1\n", 2, ""),
        ("a: 1\nb: : 2\n", 2, ""),
        ("a: 1\na: 2\n", 2, "duplicate"),
        ("a: *nowhere\n", 1, ""),
        ("a: !secret x\n", 1, ""),
        ("a: .nan\n", 1, ""),
        ("a: 1e400\n", 1, ""),
        ("a: &a [*a]\n", 1, ""),
        ("a: 1\n---\nb: 2\n", 2, ""),
        ("a:\n\tb: 1\n", 2, ""),
        ("<<: 3\n", 1, ""),
    ];
    for (text, line, says) in table {
        let error = read::<Value>(text).unwrap_err();
        assert!(error.line.abs_diff(line) <= 1, "{text:?}: {error}");
        assert!(error.cause.contains(says) && !error.cause.contains('\n'), "{text:?}: {error}");
    }
}

/// Levels of nine aliases each to the level below.
fn laughs(levels: usize) -> String {
    let mut text = "l0: &l0 ha\n".to_owned();
    for level in 1..levels {
        let below = vec![format!("*l{}", level - 1); 9].join(",");
        text.push_str(&format!("l{level}: &l{level} [{below}]\n"));
    }
    text
}

/// The budgets end each of these after little work; without them the first alone takes 13 s.
#[test]
fn bombs_are_refused_at_once() {
    let many = |part: &str, times: usize| part.repeat(times);
    let table = [
        ("brackets", many("[", 100_000)),
        ("closed brackets", format!("{}{}", many("[", 100_000), many("]", 100_000))),
        ("braces", many("{a: ", 100_000)),
        ("block lists", many("- ", 100_000)),
        ("block keys", (0..2_000).map(|depth| format!("{}a:\n", many(" ", depth))).collect()),
        ("complex keys", many("? ", 100_000)),
        ("keys of brackets", many("? [", 50_000)),
        ("laughs", laughs(10)),
        ("many aliases", format!("a: &a x\nb: [{}]\n", many("*a,", 100_000))),
        ("large alias", format!("a: &a [{}]\nb: [{}]\n", many("1,", 2_000), many("*a,", 2_000))),
        ("anchors", format!("[{}]", (0..50_000).map(|n| format!("&a{n} 1,")).collect::<String>())),
        ("merges", {
            let fields: String = (0..1_000).map(|n| format!("k{n}: 1, ")).collect();
            format!("a: &a {{{fields}}}\nb:\n{}", many("- {<<: *a}\n", 5_000))
        }),
        ("open quote", format!("a: \"{}", many("x\n", 500_000))),
    ];
    for (name, text) in table {
        // Takes minutes, or all memory, if the parser has no budget.
        let error = read::<Value>(&text).unwrap_err();
        assert!(error.to_string().len() < 2_000, "{name}");
    }
}

#[test]
fn large_text_that_is_no_bomb_is_read() {
    let list: String = (0..20_000).map(|n| format!("- {{name: a{n}, on: 1}}\n")).collect();
    assert_eq!(value(&list).unwrap().as_array().unwrap().len(), 20_000);
    let long = "x".repeat(3_000_000);
    for text in [format!("a: {long}\n"), format!("{{\"a\": \"{long}\", \"b\": [\"{long}\"]}}")] {
        assert_eq!(value(&text).unwrap()["a"].as_str().unwrap().len(), 3_000_000);
    }
    let reused = format!("base: &b {{x: 1}}\nlist: [{}]\n", vec!["*b"; 500].join(","));
    assert_eq!(value(&reused).unwrap()["list"][499], json!({"x": 1}));
}

/// As `sigs.k8s.io/yaml` 1.6.0 writes them. Texts that it leaves plain although some parsers misread them are below.
#[test]
fn text_is_quoted_as_kubernetes_does() {
    let table = [
        ("on", "\"on\""),
        ("No", "\"No\""),
        ("y", "\"y\""),
        ("oN", "\"oN\""),
        ("true", "\"true\""),
        ("1e3", "\"1e3\""),
        ("012", "\"012\""),
        ("0o14", "\"0o14\""),
        ("0x1f", "\"0x1f\""),
        ("0b-1", "\"0b-1\""),
        ("1_000", "\"1_000\""),
        ("~", "\"~\""),
        ("null", "\"null\""),
        ("12:30", "\"12:30\""),
        ("190:20:30.15", "\"190:20:30.15\""),
        ("2026-11-28", "\"2026-11-28\""),
        ("2026-11-28T20:00:00Z", "\"2026-11-28T20:00:00Z\""),
        ("2026-11-28T20:00:00.123456Z", "\"2026-11-28T20:00:00.123456Z\""),
        ("2026-1-2 3:04:05", "\"2026-1-2 3:04:05\""),
        (".inf", "\".inf\""),
        ("1.", "\"1.\""),
        ("", "\"\""),
        (" a", "' a'"),
        ("a ", "'a '"),
        ("- a", "'- a'"),
        ("-", "'-'"),
        ("---", "'---'"),
        ("a: b", "'a: b'"),
        ("a:", "'a:'"),
        ("a #b", "'a #b'"),
        ("*.example.com", "'*.example.com'"),
        ("'a'", "'''a'''"),
        ("a'b", "a'b"),
        ("a\tb", "\"a\\tb\""),
        ("a\u{0}b", "\"a\\u0000b\""),
        ("a\u{2028}b", "\"a\\u2028b\""),
        ("-a", "-a"),
        ("a:b", "a:b"),
        ("10.0.0.1", "10.0.0.1"),
        ("1.2.3", "1.2.3"),
        ("v1", "v1"),
        ("https://a:6443/x?y=z&w", "https://a:6443/x?y=z&w"),
        ("umbel.dev/x", "umbel.dev/x"),
        ("a b", "a b"),
        ("é字😀", "é字😀"),
        ("1a", "1a"),
        // Kubernetes leaves these plain.
        ("=", "\"=\""),
        ("<<", "\"<<\""),
        ("2026-13-45", "\"2026-13-45\""),
        ("1,000", "\"1,000\""),
        ("NaN", "\"NaN\""),
        (":symbol", "':symbol'"),
    ];
    for (text, wanted) in table {
        assert_eq!(write(&json!({"k": text})), format!("k: {wanted}\n"));
        assert_eq!(write(&json!({text: 1})), format!("{wanted}: 1\n"));
        assert_eq!(write(&json!([text])), format!("- {wanted}\n"));
    }
}

#[test]
fn the_layout_is_that_of_kubernetes() {
    let table = [
        (
            json!({"a": {"b": [1, {"c": 2, "d": []}], "e": {}}}),
            "a:\n  b:\n  - 1\n  - c: 2\n    d: []\n  e: {}\n",
        ),
        (json!([[1, 2], [[], {"a": null}]]), "- - 1\n  - 2\n- - []\n  - a: null\n"),
        (json!({"a": "x\ny\n", "b": ["x\n\n  y"]}), "a: |\n  x\n  y\nb:\n- |-\n  x\n\n    y\n"),
        (json!({"a": "x\n\n", "b": 1}), "a: |+\n  x\n\nb: 1\n"),
        (json!({"a": "\nx", "b": " x\ny", "c": "x\n \ny"}), "a: \"\\nx\"\nb: \" x\\ny\"\nc: \"x\\n \\ny\"\n"),
        (json!({"a\nb": {"c": 1}}), "? \"a\\nb\"\n:\n  c: 1\n"),
        (
            json!([1.5, 1e21, 1e-7, 1.5e300, u64::MAX, true]),
            "- 1.5\n- 1.0e+21\n- 1.0e-7\n- 1.5e+300\n- 18446744073709551615\n- true\n",
        ),
        (json!({}), "{}\n"),
        (json!("on"), "\"on\"\n"),
    ];
    for (value, wanted) in table {
        assert_eq!(write(&value), wanted);
    }
}

#[test]
fn what_is_written_is_read_back() {
    let mut seed = 7_u64;
    let mut next = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let parts = [
        "a", "0", "1", "_", "-", ":", " ", ".", "e", "x", "'", "\"", "\\", "\n", "\t", "#", "~", "é",
        "\u{85}", "\u{2028}", "\u{feff}", "{", "]", ",", "on", "y", "null", "2026", "\u{0}", "!", "&", "*",
        "%", "|", ">", "=", "<<", "?",
    ];
    for _ in 0..20_000 {
        let mut text = || (0..next(6)).map(|_| parts[next(parts.len() as u64) as usize]).collect::<String>();
        let document = json!({"k": text(), text(): [text(), {"a": text(), "b": [text()]}]});
        let written = write(&document);
        assert_eq!(value(&written), Ok(document), "{written}");
        assert_eq!(read_settings::<Value>(&written).unwrap(), value(&written).unwrap(), "{written}");
    }
}
