//! How names look where people read them: on a terminal, in an error, in a log.

use std::fmt::{self, Write as _};

/// A text with everything written out that could steer a terminal, turn the text around, or hide in it: two names that differ look different.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = None;
        let mut rest = self.0.chars();
        while let Some(c) = rest.next() {
            if !is_unseen(c) || belongs(c, before, rest.clone().next()) {
                f.write_char(c)?;
            } else {
                write!(f, "{}", c.escape_default())?;
            }
            before = Some(c);
        }
        Ok(())
    }
}

/// Controls, and what takes no room or looks like a plain space.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Joiners and variants of signs are part of how words and pictures are written, though never beside plain letters.
fn belongs(c: char, before: Option<char>, after: Option<char>) -> bool {
    let carries = |c: Option<char>| c.is_some_and(|c| !c.is_ascii() && (!is_unseen(c) || c == '\u{fe0f}'));
    match c {
        '\u{200c}' | '\u{200d}' => carries(before) && carries(after),
        '\u{fe0e}' | '\u{fe0f}' => before.is_some_and(|c| !c.is_ascii() && !is_unseen(c)),
        _ => false,
    }
}
