//! How numbers, times and names look to people.

use std::fmt::Write as _;
use std::time::Duration;

use bytesize::ByteSize;
use jiff::Timestamp;

use crate::model::attention::Severity;
use crate::model::shown::Shown;
use crate::model::status::{AccountState, AccountStatus, FolderState, FolderStatus};

pub(super) const BOLD: &str = "\x1b[1m";
pub(super) const DIM: &str = "\x1b[2m";
pub(super) const GREEN: &str = "\x1b[32m";
pub(super) const YELLOW: &str = "\x1b[33m";
pub(super) const RED: &str = "\x1b[31m";
pub(super) const PLAIN: &str = "\x1b[0m";

/// A name as it may be printed: see [`Shown`].
pub(super) fn escape(name: &str) -> String {
    Shown(name).to_string()
}

/// `3.1 GiB`.
pub(super) fn bytes(count: u64) -> String {
    ByteSize(count).display().iec().to_string()
}

/// `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 file`, `2 files`.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// `2d 3h`, `3h 12m`, `4m 5s`, `6s`.
pub(super) fn seconds(total: u64) -> String {
    let (days, hours, minutes, rest) = (total / 86_400, total / 3_600 % 24, total / 60 % 60, total % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest}s"),
        (0, 0, _) => format!("{minutes}m {rest}s"),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// `3m 5s ago`, or the text as it is if it is not a time.
pub(super) fn ago(rfc3339: &str, now: Timestamp) -> String {
    let Ok(then) = rfc3339.parse::<Timestamp>() else { return escape(rfc3339) };
    let gone = now.duration_since(then);
    match Duration::try_from(gone) {
        Ok(gone) => format!("{} ago", seconds(gone.as_secs())),
        Err(_) => format!("in {}", seconds(gone.unsigned_abs().as_secs())),
    }
}

/// When something is tried next: `in 5s`. What is due by now waits for its turn.
pub(super) fn next(rfc3339: &str, now: Timestamp) -> String {
    let is_due = |at: Timestamp| at.duration_since(now).as_secs() <= 0;
    if rfc3339.parse().is_ok_and(is_due) { "as soon as it has its turn".to_owned() } else { ago(rfc3339, now) }
}

/// The word of a state, as JSON has it, with spaces.
pub(super) fn word(state: &impl serde::Serialize) -> String {
    match serde_json::to_value(state) {
        Ok(serde_json::Value::String(word)) => word.replace('_', " "),
        _ => String::new(),
    }
}

/// An account's colour. The words of its states are fixed and have none for what one of its folders waits for: its reason tells of that, and its colour.
pub(super) fn account_colour(account: &AccountStatus) -> &'static str {
    match account.state {
        AccountState::Idle | AccountState::Syncing | AccountState::Starting => {
            let worst = account.folders.iter().map(|folder| folder.state.severity()).max();
            match (worst, &account.reason) {
                (Some(Severity::Attention), _) => RED,
                (Some(Severity::Problems), _) | (_, Some(_)) => YELLOW,
                _ => GREEN,
            }
        }
        AccountState::Offline | AccountState::RateLimited | AccountState::Paused | AccountState::Stopping => YELLOW,
        AccountState::AuthRequired | AccountState::AccountMismatch | AccountState::QuotaFull | AccountState::Failed => {
            RED
        }
    }
}

pub(super) fn folder_colour(state: FolderState) -> &'static str {
    match state.severity() {
        Severity::Good | Severity::Working => GREEN,
        Severity::Problems => YELLOW,
        Severity::Attention => RED,
    }
}

/// What a folder still has to do, in one phrase: `12 files to upload, 3.1 MiB, 1.2 MiB/s, 3m 2s left`. Empty when it is nothing.
pub(super) fn work(folder: &FolderStatus) -> String {
    let pending = &folder.pending;
    let mut out = String::new();
    let mut add = |text: String| {
        let comma = if out.is_empty() { "" } else { ", " };
        let _ = write!(out, "{comma}{text}");
    };
    if pending.uploads > 0 {
        add(format!("{} to upload", counted(pending.uploads, "file", "files")));
    }
    if pending.downloads > 0 {
        add(format!("{} to download", counted(pending.downloads, "file", "files")));
    }
    if pending.comparing > 0 {
        add(format!("{} to compare", counted(pending.comparing, "file", "files")));
    }
    if pending.remote_changes > 0 {
        add(format!("{} to commit", counted(pending.remote_changes, "change", "changes")));
    }
    if pending.local_changes > 0 {
        add(format!("{} to apply", counted(pending.local_changes, "change", "changes")));
    }
    if pending.bytes > 0 {
        add(bytes(pending.bytes));
    }
    if folder.rate.up_bytes_s > 0 {
        add(format!("{}/s up", bytes(folder.rate.up_bytes_s)));
    }
    if folder.rate.down_bytes_s > 0 {
        add(format!("{}/s down", bytes(folder.rate.down_bytes_s)));
    }
    if let Some(left) = folder.eta_s {
        add(format!("{} left", seconds(left)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_steer_the_terminal() {
        assert_eq!(escape("a\u{1b}[2Jb\nc\u{202e}d"), "a\\u{1b}[2Jb\\nc\\u{202e}d");
        assert_eq!(escape("Grüße 日本"), "Grüße 日本");
    }

    #[test]
    fn q4_what_nobody_sees_in_a_name_is_written_out() {
        for (name, expected) in [
            ("a\u{200b}b", "a\\u{200b}b"),
            ("\u{feff}a\u{ad}", "\\u{feff}a\\u{ad}"),
            ("a\u{2060}\u{34f}\u{3164}", "a\\u{2060}\\u{34f}\\u{3164}"),
            ("a\u{200d}b\u{200c}", "a\\u{200d}b\\u{200c}"),
            ("a\u{e0041}\u{fff9}", "a\\u{e0041}\\u{fff9}"),
            ("a\u{a0}b\u{2003}", "a\\u{a0}b\\u{2003}"),
            // Part of how people write: of a word, of a picture, of a letter.
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
            ("👩\u{200d}💻 ❤\u{fe0f}", "👩\u{200d}💻 ❤\u{fe0f}"),
            ("U\u{308}ber 100 %", "U\u{308}ber 100 %"),
        ] {
            assert_eq!(escape(name), expected);
        }
    }

    #[test]
    fn t2_an_account_whose_folder_is_held_is_not_green() {
        let mut account = AccountStatus { state: AccountState::Idle, ..AccountStatus::default() };
        let folder = |state| FolderStatus { state, ..FolderStatus::default() };
        assert_eq!(account_colour(&account), GREEN);
        account.folders = vec![folder(FolderState::InSync), folder(FolderState::Syncing)];
        assert_eq!(account_colour(&account), GREEN);
        account.folders.push(folder(FolderState::DegradedWatch));
        assert_eq!(account_colour(&account), YELLOW);
        account.folders.push(folder(FolderState::Held));
        assert_eq!(account_colour(&account), RED);
        account.folders.clear();
        account.reason = Some("calls are slowed down".to_owned());
        assert_eq!(account_colour(&account), YELLOW);
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(999), "999");
        assert_eq!(counted(1, "file", "files"), "1 file");
        assert_eq!(bytes(3 << 20), "3.0 MiB");
        assert_eq!(seconds(59), "59s");
        assert_eq!(seconds(11_520), "3h 12m");
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        assert_eq!(ago("2026-11-21T11:57:00Z", now), "3m 0s ago");
        assert_eq!(ago("2026-11-21T12:01:00Z", now), "in 1m 0s");
    }

    #[test]
    fn t9_a_next_try_never_lies_in_the_past() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        assert_eq!(next("2026-11-21T12:00:05.4Z", now), "in 5s");
        for past in ["2026-11-21T12:00:00.4Z", "2026-11-21T12:00:00Z", "2026-11-21T11:49:53Z"] {
            assert_eq!(next(past, now), "as soon as it has its turn", "{past}");
        }
    }
}
