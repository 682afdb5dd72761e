//! Static bearer tokens in upstream's CSV form: `token,user,uid,"group1,group2"` (contract §7.6).

use crate::model::identity::Caller;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

/// Why a token file is unusable; every wrong line is named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct TokenFileError(pub Vec<String>);

/// Which caller shows which token. Tokens are kept as SHA-256 only: a lookup compares no secret byte by byte,
/// so its time tells nothing about the tokens that exist.
#[derive(Debug, Default)]
pub struct TokenTable(HashMap<[u8; 32], Arc<Caller>>);

impl TokenTable {
    /// Reads a token file. Lines that are empty are skipped; a token that stands twice is an error, because
    /// which of the two would count is anybody's guess.
    ///
    /// # Errors
    /// Names every wrong line with its number and what is wrong with it, never the token itself.
    pub fn parse(text: &str) -> Result<Self, TokenFileError> {
        let (mut table, mut lines, mut errors) = (HashMap::new(), HashMap::new(), Vec::new());
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            if line.trim().is_empty() {
                continue;
            }
            match parse_line(line) {
                Err(cause) => errors.push(format!("line {number}: {cause}")),
                Ok((token, caller)) => {
                    let digest = hash(token.as_bytes());
                    if let Some(first) = lines.insert(digest, number) {
                        errors.push(format!("line {number}: the same token stands in line {first}"));
                    }
                    table.insert(digest, Arc::new(caller));
                }
            }
        }
        if errors.is_empty() { Ok(Self(table)) } else { Err(TokenFileError(errors)) }
    }

    /// The caller that shows `token`.
    pub fn find(&self, token: &[u8]) -> Option<&Arc<Caller>> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&hash(token))
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn hash(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

fn parse_line(line: &str) -> Result<(String, Caller), String> {
    let mut fields = split_fields(line)?.into_iter();
    let (Some(token), Some(user), Some(uid)) = (fields.next(), fields.next(), fields.next()) else {
        return Err(
            "at least 3 columns are needed: token,user,uid and optionally \"group1,group2\"".to_owned()
        );
    };
    if token.is_empty() {
        return Err("the token (column 1) is empty".to_owned());
    }
    if user.is_empty() {
        return Err("the user name (column 2) is empty".to_owned());
    }
    let groups: Vec<String> = fields
        .next()
        .unwrap_or_default()
        .split(',')
        .map(|group| group.trim().to_owned())
        .filter(|group| !group.is_empty())
        .collect();
    if fields.next().is_some() {
        return Err(
            "more than 4 columns; put several groups into one quoted column: \"group1,group2\"".to_owned()
        );
    }
    Ok((token, Caller::authenticated(user, uid, groups, Vec::new())))
}

/// Splits one CSV line: quotes around a field, doubled inside it, blanks around fields ignored.
fn split_fields(line: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start();
        let field;
        (field, rest) = match rest.strip_prefix('"') {
            Some(quoted) => take_quoted(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (field, tail) = rest.split_at(end);
                if field.contains('"') {
                    return Err("a quote stands inside a field that does not begin with one".to_owned());
                }
                (field.trim_end().to_owned(), tail)
            }
        };
        fields.push(field);
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(fields);
        }
        rest = rest.strip_prefix(',').ok_or("text follows a closing quote")?;
    }
}

fn take_quoted(text: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"').ok_or("a quote is not closed")?;
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(tail) => {
                field.push('"');
                rest = tail;
            }
            None => return Ok((field, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_find_their_callers() {
        let text = "t1,ann,7,\"system:masters, ops\"\n\n t2 , \"b \"\"o\"\"b\" ,\r\n";
        let table = TokenTable::parse(text).unwrap();
        let ann = table.find(b"t1").unwrap();
        assert_eq!((ann.user.as_str(), ann.uid.as_str()), ("ann", "7"));
        assert_eq!(ann.groups, ["system:masters", "ops", "system:authenticated"]);
        assert_eq!(table.find(b"t2").unwrap().user, "b \"o\"b");
        assert!(table.find(b"t3").is_none());
    }

    #[test]
    fn every_wrong_line_is_named_and_no_token_is_shown() {
        let text = "secret,ann\nok,u,1\n,ann,1\nok,v,2\n\"open,ann,1\na,u,1,g,h\n\"a\"b,u,1\n";
        let TokenFileError(errors) = TokenTable::parse(text).unwrap_err();
        let starts: Vec<&str> = errors.iter().filter_map(|e| e.split(':').next()).collect();
        assert_eq!(starts, ["line 1", "line 3", "line 4", "line 5", "line 6", "line 7"]);
        assert!(!errors.join(" ").contains("secret"), "{errors:?}");
    }
}
