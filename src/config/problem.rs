//! What is wrong with a configuration: one sentence each.

use std::fmt;

use crate::model::shown::Shown;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, or what stands in its place: `upload.workers`, `unknown key upload.worker`. Empty when the whole file is meant.
    pub key: String,
    /// The file and line, the variable or the option.
    pub place: String,
    /// What is wrong with it and what would be right.
    pub text: String,
}

impl Problem {
    pub(super) fn new(key: impl Into<String>, place: impl Into<String>, text: impl Into<String>) -> Self {
        Self { key: key.into(), place: place.into(), text: text.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentence = match self.key.as_str() {
            "" => format!("{}: {}", self.place, self.text),
            key => format!("{key} in {}: {}", self.place, self.text),
        };
        // Keys and values come from a file: nothing in them may steer a terminal or begin a new line.
        write!(f, "{}", Shown(&sentence))
    }
}

/// Everything that is wrong, one sentence a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<Problem>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Files first, each by line, then the rest as found; the same sentence once.
pub(super) fn sort(problems: &mut Vec<Problem>) {
    let rank = |p: &Problem| match p.place.rsplit_once(" line ") {
        Some((file, line)) => {
            let digits: String = line.chars().take_while(char::is_ascii_digit).collect();
            (0, file.to_owned(), digits.parse().unwrap_or(0_u64))
        }
        None => (u8::from(!p.place.starts_with('/')), p.place.clone(), 0),
    };
    problems.sort_by_key(rank);
    let mut seen = std::collections::HashSet::new();
    problems.retain(|p| seen.insert(p.to_string()));
}
