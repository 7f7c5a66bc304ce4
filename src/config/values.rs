//! Sizes, times, shares and rates as people write them.

use std::time::Duration;

use bytesize::ByteSize;
use jiff::fmt::friendly::SpanParser;

/// `16 MiB`, `350 GB`, or bytes.
///
/// # Errors
/// A sentence's end: what is wrong with the text.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size: write a number and a unit, such as \"16 MiB\"");
    let trimmed = text.trim();
    if !trimmed.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(wrong());
    }
    trimmed.parse::<ByteSize>().map(|size| size.as_u64()).map_err(|_| wrong())
}

/// `500ms`, `1s`, `1m 30s`, `48h`.
///
/// # Errors
/// A sentence's end: what is wrong with the text.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    static PARSER: SpanParser = SpanParser::new();
    PARSER
        .parse_unsigned_duration(text.trim())
        .map_err(|_| format!("`{text}` is not a duration: write a number and one of ms, s, m, h, such as \"30s\""))
}

/// `25%`, as a share of one.
pub(super) fn parse_share(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is not a percentage from 0% to 100%, such as \"25%\"");
    let digits = text.trim().strip_suffix('%').ok_or_else(wrong)?.trim_end();
    let percent: f64 = digits.parse().map_err(|_| wrong())?;
    if (0.0..=100.0).contains(&percent) { Ok(percent / 100.0) } else { Err(wrong()) }
}

/// `unlimited` or `2 MiB/s`.
pub(super) fn parse_bandwidth(text: &str) -> Result<Option<u64>, String> {
    let trimmed = text.trim();
    if trimmed == "unlimited" {
        return Ok(None);
    }
    if trimmed.contains([',', ';']) || trimmed.matches(':').count() > 0 {
        return Err("timetables are not in this version; write \"unlimited\" or a rate such as \"2 MiB/s\"".to_owned());
    }
    let wrong = || format!("`{text}` is not a rate: write \"unlimited\" or a rate such as \"2 MiB/s\"");
    let rate = trimmed.strip_suffix("/s").ok_or_else(wrong).and_then(|size| parse_size(size).map_err(|_| wrong()))?;
    if rate == 0 {
        Err("a rate of 0 would never finish; write \"unlimited\" or a rate such as \"2 MiB/s\"".to_owned())
    } else {
        Ok(Some(rate))
    }
}

/// `info`, or directives: `info,ferrybox::daemon=debug`.
pub(super) fn parse_level(text: &str) -> Result<String, String> {
    let level = |word: &str| {
        ["off", "error", "warn", "info", "debug", "trace"].iter().any(|known| word.trim().eq_ignore_ascii_case(known))
    };
    let directive = |part: &str| {
        part.split_once('=').map_or_else(|| level(part), |(target, word)| !target.trim().is_empty() && level(word))
    };
    if text.split(',').all(directive) {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}` is not a level: write error, warn, info, debug or trace, or such as \"info,ferrybox=debug\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_as_written() {
        assert_eq!(parse_size("16 MiB"), Ok(16 << 20));
        assert_eq!(parse_size("350 GB"), Ok(350_000_000_000));
        assert_eq!(parse_size("7"), Ok(7));
        for bad in ["", "-1 MiB", "8 QiB", "MiB", "1.2.3 MB"] {
            assert!(parse_size(bad).is_err(), "{bad:?}");
        }
        assert_eq!(parse_duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("48h"), Ok(Duration::from_secs(48 * 3600)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["", "1", "soon", "-3s", "1 fortnight"] {
            assert!(parse_duration(bad).is_err(), "{bad:?}");
        }
        assert_eq!(parse_share("25%"), Ok(0.25));
        for bad in ["25", "101%", "-1%", "NaN%", "%"] {
            assert!(parse_share(bad).is_err(), "{bad:?}");
        }
        assert_eq!(parse_bandwidth("unlimited"), Ok(None));
        assert_eq!(parse_bandwidth("2 MiB/s"), Ok(Some(2 << 20)));
        assert!(parse_bandwidth("08:00-18:00 1 MiB/s").unwrap_err().contains("not in this version"));
        for bad in ["2 MiB", "0 B/s", "fast"] {
            assert!(parse_bandwidth(bad).is_err(), "{bad:?}");
        }
    }
}
