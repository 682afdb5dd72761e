//! Writing, in the layout of `sigs.k8s.io/yaml`.
//!
//! Parsers disagree on the types of plain scalars: PyYAML and Ruby follow YAML 1.1 and read a boolean in `on`, a date
//! in `2026-11-28` and 750 in `12:30`, others follow YAML 1.2 and read twelve in `0o14`. Text that any of them
//! misreads is quoted, as values and as keys. (The serializer of `serde-saphyr` checks keys by YAML 1.2 only.)

use serde_json::{Map, Number, Value};

/// Words that some parser reads as a boolean, null, a number or a merge key, in lower case.
const WORDS: [&str; 19] = [
    "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", "=", "<<", ".inf", "+.inf", "-.inf",
    ".nan", "nan", "inf", "infinity",
];
/// Characters that a plain scalar must not begin with. `:` begins a symbol for Ruby.
const INDICATORS: &[char] =
    &[',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`', ':'];
/// Longer keys are written as explicit ones (`? key`); parsers look for `:` in the first 1,024 characters only.
const MAX_SIMPLE_KEY: usize = 128;

/// Writes a value as one document.
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => write_map(&mut out, map, 0),
        Value::Array(items) if !items.is_empty() => write_list(&mut out, items, 0),
        scalar => {
            write_scalar(&mut out, scalar, None);
            out.push('\n');
        }
    }
    out
}

/// The entries of a mapping. The first one continues the line that is begun, the others are indented.
fn write_map(out: &mut String, map: &Map<String, Value>, indent: usize) {
    for (index, (key, value)) in map.iter().enumerate() {
        if index > 0 {
            pad(out, indent);
        }
        if key.len() > MAX_SIMPLE_KEY || key.contains('\n') {
            out.push_str("? ");
            write_double_quoted(out, key);
            out.push('\n');
            pad(out, indent);
        } else {
            write_text(out, key);
        }
        out.push(':');
        write_below_key(out, value, indent);
    }
}

/// A list below a key is indented as far as the key, everything else by two more columns.
fn write_below_key(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            pad(out, indent + 2);
            write_map(out, map, indent + 2);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            pad(out, indent);
            write_list(out, items, indent);
        }
        scalar => {
            out.push(' ');
            write_scalar(out, scalar, Some(indent + 2));
            out.push('\n');
        }
    }
}

/// The items of a list. The first one continues the line that is begun, the others are indented.
fn write_list(out: &mut String, items: &[Value], indent: usize) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            pad(out, indent);
        }
        out.push_str("- ");
        match item {
            Value::Object(map) if !map.is_empty() => write_map(out, map, indent + 2),
            Value::Array(inner) if !inner.is_empty() => write_list(out, inner, indent + 2),
            scalar => {
                write_scalar(out, scalar, Some(indent + 2));
                out.push('\n');
            }
        }
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// A scalar, or an empty list or mapping. Text of several lines is written as a block where there is an indentation
/// for it.
fn write_scalar(out: &mut String, value: &Value, block_indent: Option<usize>) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Number(number) => write_number(out, number),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
        Value::String(text) => match block_indent {
            Some(indent) if fits_block(text) => write_block(out, text, indent),
            _ => write_text(out, text),
        },
    }
}

/// YAML 1.1 wants a dot in a float and a sign in its exponent.
fn write_number(out: &mut String, number: &Number) {
    let text = number.to_string();
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else {
        out.push_str(&text);
        return;
    };
    out.push_str(mantissa);
    out.push_str(if mantissa.contains('.') { "e" } else { ".0e" });
    out.push_str(if exponent.starts_with(['+', '-']) { "" } else { "+" });
    out.push_str(exponent);
}

fn write_text(out: &mut String, text: &str) {
    if text.is_empty() || text.chars().any(needs_escape) || is_ambiguous(text) {
        write_double_quoted(out, text);
    } else if is_plain(text) {
        out.push_str(text);
    } else {
        out.push('\'');
        out.push_str(&text.replace('\'', "''"));
        out.push('\'');
    }
}

fn write_double_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if needs_escape(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Whether text can be written as a literal block unchanged. Spaces at the beginning of the first line would count as
/// indentation, and parsers disagree on lines that consist of spaces.
fn fits_block(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with([' ', '\t', '\n'])
        && text.chars().all(|c| c == '\n' || !needs_escape(c))
        && text.split('\n').all(|line| line.is_empty() || !line.trim().is_empty())
}

fn write_block(out: &mut String, text: &str, indent: usize) {
    let body = text.trim_end_matches('\n');
    out.push_str(match text.len() - body.len() {
        0 => "|-",
        1 => "|",
        _ => "|+",
    });
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(out, indent);
            out.push_str(line);
        }
    }
    // The caller ends the last line.
    out.extend(std::iter::repeat_n('\n', (text.len() - body.len()).saturating_sub(1)));
}

/// Control characters, line breaks that only some parsers know, and noncharacters.
fn needs_escape(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fdd0}'..='\u{fdef}')
        || u32::from(c) & 0xfffe == 0xfffe
}

/// Whether the syntax of YAML allows text of one line without quotes, whatever type parsers give it.
fn is_plain(text: &str) -> bool {
    let is_mark =
        |mark: &str| text.strip_prefix(mark).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
    !text.starts_with(' ')
        && !text.ends_with(' ')
        && !text.starts_with(INDICATORS)
        && !["-", "?", "---", "..."].into_iter().any(is_mark)
        && !text.contains(": ")
        && !text.ends_with(':')
        && !text.contains(" #")
}

/// Whether some parser misreads text without quotes.
fn is_ambiguous(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    WORDS.contains(&lower.as_str()) || is_number(&lower) || is_sexagesimal(&lower) || is_date(&lower)
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

/// Digits with `_` (YAML 1.1) or `,` (Ruby) between them.
fn is_digits(text: &str, is_digit: impl Fn(char) -> bool) -> bool {
    text.chars().any(&is_digit) && text.chars().all(|c| is_digit(c) || matches!(c, '_' | ','))
}

fn is_number(text: &str) -> bool {
    let body = unsigned(text);
    let radix = [("0x", 16), ("0o", 8), ("0b", 2)];
    if let Some((digits, radix)) =
        radix.into_iter().find_map(|(prefix, radix)| Some((body.strip_prefix(prefix)?, radix)))
    {
        // Go accepts a sign there as well.
        return is_digits(unsigned(digits), |c| c.is_digit(radix));
    }
    let (mantissa, exponent) = body.split_once('e').map_or((body, None), |(m, e)| (m, Some(e)));
    let decimal = |text: &str| is_digits(text, |c| c.is_ascii_digit());
    let is_exponent = exponent.is_none_or(|exponent| decimal(unsigned(exponent)));
    let is_mantissa = match mantissa.split_once('.') {
        None => decimal(mantissa) && !mantissa.starts_with('_'),
        Some((whole, fraction)) => {
            (whole.is_empty() || decimal(whole))
                && (fraction.is_empty() || decimal(fraction))
                && !(whole.is_empty() && fraction.is_empty())
        }
    };
    is_mantissa && is_exponent
}

/// `190:20:30.15`, in base 60.
fn is_sexagesimal(text: &str) -> bool {
    let body = unsigned(text);
    let whole = body.split_once('.').map_or(body, |(whole, _)| whole);
    let fraction = &body[whole.len()..];
    whole.contains(':')
        && whole.split(':').all(|part| is_digits(part, |c| c.is_ascii_digit()))
        && fraction.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '_'))
}

/// A date, with or without a time.
fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let is_part = |part: Option<&str>, lengths: std::ops::RangeInclusive<usize>| {
        part.is_some_and(|part| lengths.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()))
    };
    let is_month = is_part(parts.next(), 4..=4) && is_part(parts.next(), 1..=2);
    let rest = parts.next().unwrap_or_default();
    let day = rest.split(['t', ' ']).next();
    is_month && is_part(day, 1..=2)
}
