use super::*;
use serde_json::json;

/// As `sigs.k8s.io/yaml` 1.6.0 writes them; those that it leaves plain although some reader takes them for something
/// else are below.
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
        let read: serde_json::Value = serde_yaml_ng::from_str(&written).unwrap();
        assert_eq!(read, document, "{written}");
    }
}
