//! The problems of the files, a limited number of texts for each: a file may hold a million mistakes.

use std::collections::BTreeMap;

/// How many problems of one file are kept; the others are counted.
const MAX_SHOWN: usize = 20;
/// Longest text of one problem, in bytes: it may quote the file.
const MAX_TEXT: usize = 1_000;

/// The problems of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FileProblems {
    shown: Vec<String>,
    /// How many were not kept.
    more: usize,
}

impl FileProblems {
    pub(super) fn add(&mut self, mut text: String) {
        if self.shown.len() == MAX_SHOWN {
            self.more += 1;
            return;
        }
        if text.len() > MAX_TEXT {
            text.truncate(text.floor_char_boundary(MAX_TEXT));
            text.push('…');
            text.shrink_to_fit();
        }
        self.shown.push(text);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    #[cfg(test)]
    pub(super) fn shown(&self) -> &[String] {
        &self.shown
    }
}

/// The problems of all files.
#[derive(Clone, Debug, Default)]
pub(super) struct Problems(BTreeMap<String, FileProblems>);

impl Problems {
    pub(super) fn add(&mut self, file: &str, text: String) {
        self.0.entry(file.to_owned()).or_default().add(text);
    }

    pub(super) fn extend(&mut self, file: &str, problems: &FileProblems) {
        if problems.is_empty() {
            return;
        }
        let known = self.0.entry(file.to_owned()).or_default();
        problems.shown.iter().for_each(|text| known.add(text.clone()));
        known.more += problems.more;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.values().all(FileProblems::is_empty)
    }

    /// File by file; the number of further problems comes last.
    pub(super) fn into_texts(self) -> Vec<String> {
        let mut texts = Vec::new();
        for (file, problems) in self.0 {
            texts.extend(problems.shown);
            if problems.more > 0 {
                texts.push(format!("{file}: {} more problems are not shown", problems.more));
            }
        }
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_and_long_problems_are_cut() {
        let mut problems = Problems::default();
        for number in 0..300_000 {
            problems.add("a.yaml", format!("a.yaml: {number}"));
        }
        problems.add("b.yaml", "ä".repeat(1_000_000));
        let texts = problems.into_texts();
        assert_eq!(texts.len(), MAX_SHOWN + 2);
        assert_eq!(texts[0], "a.yaml: 0");
        assert_eq!(texts[MAX_SHOWN], "a.yaml: 299980 more problems are not shown");
        assert_eq!(texts[MAX_SHOWN + 1], format!("{}…", "ä".repeat(MAX_TEXT / 2)));
    }
}
