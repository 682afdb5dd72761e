//! The file of `--token-auth-file`: upstream's CSV form (contract §7.6).

use std::collections::HashSet;

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticToken {
    /// The bearer token.
    pub token: String,
    /// User name.
    pub user: String,
    /// User id.
    pub uid: String,
    /// Groups, without `system:authenticated`.
    pub groups: Vec<String>,
}

/// A line that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text}")]
pub struct TokenProblem {
    /// From 1.
    pub line: usize,
    /// What is wrong and how to mend it; never shows a token.
    pub text: String,
}

/// Parses `token,user,uid,"group1,group2"` lines; empty lines are skipped.
///
/// # Errors
/// Every line that cannot be used.
pub fn parse_tokens(text: &str) -> Result<Vec<StaticToken>, Vec<TokenProblem>> {
    let (mut tokens, mut problems, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let parsed = parse_line(line).and_then(|token| {
            if seen.insert(token.token.clone()) {
                Ok(token)
            } else {
                Err("the same token stands on an earlier line; every token must be its own".to_owned())
            }
        });
        match parsed {
            Ok(token) => tokens.push(token),
            Err(text) => problems.push(TokenProblem { line: index + 1, text }),
        }
    }
    if problems.is_empty() { Ok(tokens) } else { Err(problems) }
}

fn parse_line(line: &str) -> Result<StaticToken, String> {
    let fields = split_fields(line)?;
    let count = fields.len();
    let mut fields = fields.into_iter();
    let (Some(token), Some(user), Some(uid)) = (fields.next(), fields.next(), fields.next()) else {
        return Err(format!("at least 3 columns are needed (token,user,uid,\"groups\"), there are {count}"));
    };
    if count > 4 {
        return Err(format!("{count} columns; put several groups into quotes: token,user,uid,\"a,b\""));
    }
    if token.is_empty() || user.is_empty() {
        return Err("token and user must not be empty".to_owned());
    }
    let groups = fields.next().unwrap_or_default();
    if [&user, &uid, &groups].into_iter().any(|field| field.contains(char::is_control)) {
        return Err(
            "user, uid and groups must not have control characters: no header can carry them".to_owned()
        );
    }
    let groups = groups.split(',').map(str::trim).filter(|g| !g.is_empty()).map(str::to_owned).collect();
    Ok(StaticToken { token, user, uid, groups })
}

/// Splits a CSV record; a quoted field may hold commas, and `""` for a quote.
fn split_fields(line: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start();
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => take_quoted(quoted)?,
            None => {
                let (field, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                if field.contains('"') {
                    return Err("a quote stands inside a field that does not begin with one".to_owned());
                }
                (field.trim_end().to_owned(), after)
            }
        };
        fields.push(field);
        match after.trim_start().strip_prefix(',') {
            Some(next) => rest = next,
            None if after.trim().is_empty() => return Ok(fields),
            None => return Err("a comma must follow a closing quote".to_owned()),
        }
    }
}

fn take_quoted(text: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let Some(end) = rest.find('"') else {
            return Err("a quote is opened and not closed".to_owned());
        };
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Ok((field, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_quotes_and_empty_lines_are_understood() {
        let tokens = parse_tokens("t1,jo,7,\"a, b\"\n\n t2 , \"d\"\"o\" ,\nt3,x,1,one\n").unwrap();
        assert_eq!(tokens.len(), 3);
        assert_eq!(tokens[0].groups, ["a", "b"]);
        assert_eq!((tokens[1].user.as_str(), tokens[1].uid.as_str()), ("d\"o", ""));
        assert_eq!(tokens[2].groups, ["one"]);
    }

    #[test]
    fn every_broken_line_is_told_and_no_token_is_shown() {
        let told = parse_tokens(
            "secret1,jo\nsecret2,jo,1,a,b\n,jo,1\nsecret3,jo,1,\"a\nok,jo,1\nok,al,2\nsecret4,j\u{7}o,1\n",
        );
        let told: Vec<String> = told.unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "line 1: at least 3 columns are needed (token,user,uid,\"groups\"), there are 2",
                "line 2: 5 columns; put several groups into quotes: token,user,uid,\"a,b\"",
                "line 3: token and user must not be empty",
                "line 4: a quote is opened and not closed",
                "line 6: the same token stands on an earlier line; every token must be its own",
                "line 7: user, uid and groups must not have control characters: no header can carry them",
            ]
        );
    }
}
