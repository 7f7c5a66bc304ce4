//! Whether a comparison of Dropbox's tree with base may make rows: not before a person agrees, if it would delete or overwrite most of what is here.
//!
//! The sizes are weighed by [`guard::inbound`](crate::plan::delete::guard::inbound); what is decided here is what a person's word is worth, and when
//! it is weighed at all. The word names one exact set of files and revisions: another set needs another word.

/// A person's word on what is held, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word<'a> {
    /// None.
    None,
    /// What was agreed to is being compared: until that comparison has ended nothing is weighed, also after a restart.
    UnderWay,
    /// The set with this token may come.
    Agrees(&'a str),
}

/// What is known. What is `None` has not been asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts<'a> {
    /// This very comparison was let through before.
    pub cleared: bool,
    /// Dropbox's changes come down to one of the folders at least.
    pub comes_down: bool,
    /// A person's word.
    pub word: Option<Word<'a>>,
    /// Whether just this was weighed before and held, and nothing came since in any listing.
    pub same_as_held: Option<bool>,
    /// What was weighed.
    pub weighed: Option<Weighed<'a>>,
}

/// What was weighed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weighed<'a> {
    /// It could not be read.
    Unread,
    /// It is no more than may come unasked.
    Little,
    /// It is too much; this is its token.
    TooMuch(&'a str),
}

/// A fact that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// [`Facts::word`].
    Word,
    /// [`Facts::same_as_held`].
    SameAsHeld,
    /// [`Facts::weighed`].
    Weighed,
}

/// Whether the comparison may make rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inbound {
    /// It may, as it may already.
    Go,
    /// It may: an earlier run let it through.
    GoesOn,
    /// It may, since it is little. It counts as recent from now on.
    Pass,
    /// It may, since a person has agreed to just this. What was recent is forgotten: it was looked at by the person, too.
    Agreed,
    /// It may not, as it might not before.
    StaysHeld,
    /// It may not. A word that was given for another set is forgotten.
    Hold {
        /// There is such a word.
        forget_word: bool,
    },
    /// Nothing can be said: it is asked again.
    Unread,
    /// That depends on this.
    Need(Need),
}

/// Whether the comparison may make rows.
pub fn inbound(facts: &Facts<'_>) -> Inbound {
    if facts.cleared || !facts.comes_down {
        return Inbound::Go;
    }
    let Some(word) = &facts.word else { return Inbound::Need(Need::Word) };
    if *word == Word::UnderWay {
        return Inbound::GoesOn;
    }
    // What is held is weighed again when any of it has gone on to another listing, or when a person has spoken.
    match facts.same_as_held {
        None => return Inbound::Need(Need::SameAsHeld),
        Some(true) if *word == Word::None => return Inbound::StaysHeld,
        Some(_) => {}
    }
    match facts.weighed {
        None => Inbound::Need(Need::Weighed),
        Some(Weighed::Unread) => Inbound::Unread,
        Some(Weighed::Little) => Inbound::Pass,
        Some(Weighed::TooMuch(token)) if *word == Word::Agrees(token) => Inbound::Agreed,
        Some(Weighed::TooMuch(_)) => Inbound::Hold { forget_word: *word != Word::None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [Word<'static>; 4] = [Word::None, Word::UnderWay, Word::Agrees("this"), Word::Agrees("other")];

    #[test]
    fn e12_too_much_comes_only_with_a_word_for_just_that() {
        for cleared in [false, true] {
            for comes_down in [false, true] {
                for word in WORDS {
                    for same_as_held in [false, true] {
                        for weighed in [Weighed::Unread, Weighed::Little, Weighed::TooMuch("this")] {
                            let facts = Facts {
                                cleared,
                                comes_down,
                                word: Some(word.clone()),
                                same_as_held: Some(same_as_held),
                                weighed: Some(weighed),
                            };
                            let expected = match (&word, weighed) {
                                _ if cleared || !comes_down => Inbound::Go,
                                (Word::UnderWay, _) => Inbound::GoesOn,
                                (Word::None, _) if same_as_held => Inbound::StaysHeld,
                                (_, Weighed::Unread) => Inbound::Unread,
                                (_, Weighed::Little) => Inbound::Pass,
                                (Word::Agrees("this"), _) => Inbound::Agreed,
                                (Word::Agrees(_), _) => Inbound::Hold { forget_word: true },
                                (Word::None, _) => Inbound::Hold { forget_word: false },
                            };
                            assert_eq!(inbound(&facts), expected, "{facts:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_not_known_is_asked_for_in_order() {
        let mut facts = Facts { cleared: false, comes_down: true, word: None, same_as_held: None, weighed: None };
        assert_eq!(inbound(&facts), Inbound::Need(Need::Word));
        facts.word = Some(Word::None);
        assert_eq!(inbound(&facts), Inbound::Need(Need::SameAsHeld));
        facts.same_as_held = Some(false);
        assert_eq!(inbound(&facts), Inbound::Need(Need::Weighed));
    }
}
