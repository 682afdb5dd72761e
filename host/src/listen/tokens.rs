//! Static bearer tokens in upstream's CSV form: `token,user,uid,"group1,group2"` (contract §7.6).

use crate::config::{StaticToken, parse_tokens};
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
        let tokens = parse_tokens(text)
            .map_err(|problems| TokenFileError(problems.iter().map(ToString::to_string).collect()))?;
        let entry = |token: StaticToken| {
            let caller = Caller::authenticated(token.user, token.uid, token.groups, Vec::new());
            (hash(token.token.as_bytes()), Arc::new(caller))
        };
        Ok(Self(tokens.into_iter().map(entry).collect()))
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
