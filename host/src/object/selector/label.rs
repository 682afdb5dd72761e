//! Label selectors: the whole grammar with upstream's error texts (contract §1.5).

use std::collections::BTreeSet;

use crate::model::failure::{Failure, FieldError, quoted};
use crate::model::object::Object;
use crate::object::names;

/// A label selector: all requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

/// One requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Absent,
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Above(i64),
    Below(i64),
}

impl LabelSelector {
    /// Parses the query parameter; an empty one selects everything.
    ///
    /// # Errors
    /// 400 with upstream's text (contract §1.5).
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let mut parser = Parser { tokens: scan(text), next: 0 };
        let requirements = parser.selector().map_err(Failure::bad_request)?;
        Ok(Self { requirements })
    }

    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether the object is selected.
    pub fn matches(&self, object: &Object) -> bool {
        let label = |key: &str| object.at(&["metadata", "labels", key]).and_then(|v| v.as_str());
        self.requirements.iter().all(|r| r.test.holds(label(&r.key)))
    }
}

impl Test {
    fn holds(&self, label: Option<&str>) -> bool {
        let number = label.and_then(|l| l.parse::<i64>().ok());
        match self {
            Self::Exists => label.is_some(),
            Self::Absent => label.is_none(),
            Self::In(values) => label.is_some_and(|l| values.contains(l)),
            Self::NotIn(values) => label.is_none_or(|l| !values.contains(l)),
            Self::Above(bound) => number.is_some_and(|n| n > *bound),
            Self::Below(bound) => number.is_some_and(|n| n < *bound),
        }
    }
}

/// A symbol (`=`, `!=`, `(` …) or a word; the empty symbol ends the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Symbol(&'a str),
    Word(&'a str),
}

const END: Token<'static> = Token::Symbol("");

impl<'a> Token<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::Symbol(text) | Self::Word(text) => text,
        }
    }
}

fn scan(text: &str) -> Vec<Token<'_>> {
    let is_symbol = |c: char| "=!(),><".contains(c);
    let is_space = |c: char| " \t\r\n".contains(c);
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while let Some(first) = rest.chars().next() {
        let (token, length) = if is_symbol(first) {
            let length = if rest.starts_with("==") || rest.starts_with("!=") { 2 } else { 1 };
            (Token::Symbol(&rest[..length]), length)
        } else {
            let length = rest.find(|c| is_symbol(c) || is_space(c)).unwrap_or(rest.len());
            (Token::Word(&rest[..length]), length)
        };
        tokens.push(token);
        rest = rest[length..].trim_start_matches(is_space);
    }
    tokens
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    next: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.tokens.get(self.next).copied().unwrap_or(END)
    }

    fn take(&mut self) -> Token<'a> {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn selector(&mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        loop {
            match self.peek() {
                END => return Ok(requirements),
                Token::Word(_) | Token::Symbol("!") => {}
                other => {
                    return Err(format!(
                        "found '{}', expected: !, identifier, or 'end of string'",
                        other.text()
                    ));
                }
            }
            let requirement = self.requirement().map_err(|e| format!("unable to parse requirement: {e}"))?;
            requirements.push(requirement);
            match self.take() {
                END => return Ok(requirements),
                Token::Symbol(",") => match self.peek() {
                    Token::Word(_) | Token::Symbol("!") => {}
                    other => {
                        return Err(format!("found '{}', expected: identifier after ','", other.text()));
                    }
                },
                other => {
                    return Err(format!("found '{}', expected: ',' or 'end of string'", other.text()));
                }
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let mut first = self.take();
        let negated = first == Token::Symbol("!");
        if negated {
            first = self.take();
        }
        let Token::Word(key) = first else {
            return Err(format!("found '{}', expected: identifier", first.text()));
        };
        let rules = names::qualified_name(key);
        if !rules.is_empty() {
            // Upstream prints the path of a key so; clients have come to match on it.
            return Err(invalid("<nil>", key, &rules.join("; ")));
        }
        let key = key.to_owned();
        if negated {
            return Ok(Requirement { key, test: Test::Absent });
        }
        if matches!(self.peek(), END | Token::Symbol(",")) {
            return Ok(Requirement { key, test: Test::Exists });
        }
        let test = self.test(&key)?;
        Ok(Requirement { key, test })
    }

    fn test(&mut self, key: &str) -> Result<Test, String> {
        let operator = self.take();
        match operator {
            Token::Word("in" | "notin") => {
                let values = self.values()?;
                if values.is_empty() {
                    return Err(invalid_list("for 'in', 'notin' operators, values set can't be empty"));
                }
                check_values(key, &values)?;
                Ok(if operator.text() == "in" { Test::In(values) } else { Test::NotIn(values) })
            }
            Token::Symbol("=" | "==" | "!=") => {
                let values = BTreeSet::from([self.exact_value()?]);
                check_values(key, &values)?;
                Ok(if operator.text() == "!=" { Test::NotIn(values) } else { Test::In(values) })
            }
            Token::Symbol(">" | "<") => {
                let value = self.exact_value()?;
                let bound = value.parse().map_err(|_| {
                    invalid("values[0]", &value, "for 'Gt', 'Lt' operators, the value must be an integer")
                })?;
                Ok(if operator.text() == ">" { Test::Above(bound) } else { Test::Below(bound) })
            }
            other => Err(format!("found '{}', expected: in, notin, =, ==, !=, gt, lt", other.text())),
        }
    }

    fn exact_value(&mut self) -> Result<String, String> {
        if matches!(self.peek(), END | Token::Symbol(",")) {
            return Ok(String::new());
        }
        match self.take() {
            Token::Word(value) => Ok(value.to_owned()),
            Token::Symbol(other) => Err(format!("found '{other}', expected: identifier")),
        }
    }

    fn values(&mut self) -> Result<BTreeSet<String>, String> {
        let open = self.take();
        if open != Token::Symbol("(") {
            return Err(format!("found '{}' expected: '('", open.text()));
        }
        match self.peek() {
            Token::Symbol(")") => {
                self.take();
                return Ok(BTreeSet::new());
            }
            Token::Word(_) | Token::Symbol(",") => {}
            other => return Err(format!("found '{}', expected: ',', ')' or identifier", other.text())),
        }
        let mut values = BTreeSet::new();
        // A missing value between or beside commas is the empty one.
        let mut pending = true;
        loop {
            match self.take() {
                Token::Word(value) => {
                    values.insert(value.to_owned());
                    pending = false;
                    if !matches!(self.peek(), Token::Symbol("," | ")")) {
                        return Err(format!("found '{}', expected: ',' or ')'", self.peek().text()));
                    }
                }
                Token::Symbol(symbol @ ("," | ")")) => {
                    if pending {
                        values.insert(String::new());
                    }
                    if symbol == ")" {
                        return Ok(values);
                    }
                    pending = true;
                }
                Token::Symbol(other) => return Err(format!("found '{other}', expected: ',', or identifier")),
            }
        }
    }
}

fn check_values(key: &str, values: &BTreeSet<String>) -> Result<(), String> {
    let mut errors = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let rules = names::label_value(value);
        if !rules.is_empty() {
            errors.push(invalid(&format!("values[{index}][{key}]"), value, &rules.join("; ")));
        }
    }
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.concat()),
        _ => Err(format!("[{}]", errors.join(", "))),
    }
}

fn invalid(field: &str, value: &str, rule: &str) -> String {
    format!("{field}: {}", FieldError::invalid(field, quoted(value), rule).body())
}

fn invalid_list(rule: &str) -> String {
    format!("values: {}", FieldError::invalid("values", "[]", rule).body())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn labelled() -> Object {
        Object::from_value(json!({"metadata": {"labels": {"a": "1", "tier": "gold", "e": ""}}})).unwrap()
    }

    #[test]
    fn requirements_select_as_upstream_does() {
        let cases = [
            ("", true),
            ("  ", true),
            ("a", true),
            ("!a", false),
            ("!z", true),
            ("a=1", true),
            ("a==1,tier!=silver", true),
            ("z!=1", true),
            ("a in (1,3)", true),
            ("a in ( 2 )", false),
            ("tier notin (gold)", false),
            ("z notin (x)", true),
            ("e in (,x)", true),
            ("e=", true),
            ("e in ()", true),
            ("a>0", true),
            ("a<1", false),
            ("z>0", false),
            ("in", false),
            ("a in (in,1)", true),
        ];
        for (text, wanted) in cases {
            match LabelSelector::parse(text) {
                Ok(selector) => assert_eq!(selector.matches(&labelled()), wanted, "{text}"),
                Err(failure) => assert_eq!(text, "e in ()", "{failure}"),
            }
        }
    }

    #[test]
    fn bad_selectors_are_refused_in_upstreams_words() {
        let cases = [
            ("a b c", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("n gt 2", "unable to parse requirement: found 'gt', expected: in, notin, =, ==, !=, gt, lt"),
            ("a,", "found '', expected: identifier after ','"),
            (",a", "found ',', expected: !, identifier, or 'end of string'"),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            ("a in 1", "unable to parse requirement: found '1' expected: '('"),
            ("a in (1", "unable to parse requirement: found '', expected: ',' or ')'"),
            (
                "a in ()",
                "unable to parse requirement: values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty",
            ),
            (
                "a>x",
                "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
            ),
            ("=b", "found '=', expected: !, identifier, or 'end of string'"),
        ];
        for (text, wanted) in cases {
            let failure = LabelSelector::parse(text).unwrap_err();
            assert_eq!((failure.code, failure.message.as_str()), (400, wanted));
        }
        let failure = LabelSelector::parse("a=$").unwrap_err();
        let start = r#"unable to parse requirement: values[0][a]: Invalid value: "$": a valid label must be"#;
        assert!(failure.message.starts_with(start), "{failure}");
    }
}
