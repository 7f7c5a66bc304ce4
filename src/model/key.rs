//! Dropbox's key of a path (`path_lower`), as far as anybody outside can guess it.
//!
//! Nobody outside knows how Dropbox folds letters. So a guess is good for looking something up, and what the listing itself says (an entry's own
//! `path_lower`) is what counts: see `store::remote_key`, which finds the entry that a path is meant by.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_public_assigned;

/// The key that Dropbox most likely gives to a name or a path: NFC, lower case. What is found under it is surely there, unless another entry is
/// written exactly so. What is not found is surely absent only if the guess is sure, see [`is_sure`].
pub fn key_of(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.nfc().collect::<String>().to_lowercase() }
}

/// The second guess, where there is one: each letter by itself, whatever stands beside it (a sigma at a word's end, say).
pub fn other_key_of(text: &str) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    let other: String = text.nfc().flat_map(char::to_lowercase).collect();
    (other != key_of(text)).then_some(other)
}

/// One text for all that Dropbox may take for one path by either guess, and for some more: for what is careful when it takes two paths for one.
pub fn loose_key_of(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.nfc().flat_map(char::to_lowercase).map(|c| if c == 'ς' { 'σ' } else { c }).collect()
}

/// Whether nobody can fold this text otherwise: ASCII, or letters and signs that have no case at all. Those that the tables here do not know yet may
/// have one elsewhere.
pub fn is_sure(text: &str) -> bool {
    let plain = |c: char| is_public_assigned(c) && c.to_lowercase().eq([c]) && c.to_uppercase().eq([c]);
    text.is_ascii() || text.nfc().all(|c| c.is_ascii() || plain(c))
}

/// Whether two names are written the same, however their letters are composed.
pub fn same_letters(a: &str, b: &str) -> bool {
    a == b || !(a.is_ascii() && b.is_ascii()) && a.nfc().eq(b.nfc())
}

/// Whether Dropbox may take two paths for one: see [`loose_key_of`].
pub fn may_be_one(a: &str, b: &str) -> bool {
    loose_key_of(a) == loose_key_of(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i8_a_guess_knows_when_it_is_sure() {
        for sure in ["Plain.TXT", "日本", "a–b", "\u{1F980}", "שלום"] {
            assert!(is_sure(sure), "{sure:?}");
        }
        for unsure in ["Ä", "straße", "İ", "ς", "\u{a7de}", "\u{e000}"] {
            assert!(!is_sure(unsure), "{unsure:?}");
        }
        assert_eq!(key_of("A\u{308}/B"), "ä/b");
    }

    #[test]
    fn d4_a_sigma_has_two_guesses() {
        assert_eq!((key_of("/ΟΔΟΣ").as_str(), other_key_of("/ΟΔΟΣ").as_deref()), ("/οδος", Some("/οδοσ")));
        for one in ["Plain", "Ä", "Straße", "ΟΔΟΙ", "日本"] {
            assert_eq!(other_key_of(one), None, "{one}");
        }
        assert!(may_be_one("ΟΔΟΣ", "οδοσ") && may_be_one("ΟΔΟΣ", "οδος") && may_be_one("É", "e\u{301}"));
        assert!(!may_be_one("straße", "strasse") && !may_be_one("a", "b"));
    }
}
