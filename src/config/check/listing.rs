//! `[listing]`, `[account.listing]` and `[account.folder.listing]`.

use std::time::Duration;

use config::ValueKind;

use super::{Reader, Section, count_within, one_of, text};
use crate::config::Listing;
use crate::model::listing::Question;

/// `ListFolderArg.limit`: `UInt32(max_value=2000, min_value=1)`.
const MOST: u64 = 2000;

impl Reader<'_> {
    pub(super) fn listing(&mut self, section: &Section<'_>) -> Listing {
        let scope = self.text(section, "scope", |t| one_of(t, &[("folders", false), ("account", true)]));
        Listing {
            whole: scope.unwrap_or_default(),
            // What is not set here stands in the built-in layer.
            question: self.question(section, &Question::default()),
            longpoll: self.text(section, "longpoll", longpoll).unwrap_or_default(),
            patience: self.time(section, "patience", Duration::ZERO),
        }
    }

    /// A question as `usual`, with what the section says otherwise.
    pub(super) fn question(&mut self, section: &Section<'_>, usual: &Question) -> Question {
        let limit = self.field(section, "limit", |kind| {
            let ValueKind::U64(count) = kind else { return Ok(None) };
            count_within(*count, 1, MOST).map(|limit| u32::try_from(limit).ok())
        });
        let groups = self.field(section, "include_property_groups", |kind| {
            let ValueKind::Array(list) = kind else { return Ok(Vec::new()) };
            Ok(list.iter().map(|v| text(&v.kind)).collect())
        });
        let mut flag = |name: &str, usual: bool| {
            self.field(section, name, |kind| Ok(matches!(kind, ValueKind::Boolean(true)))).unwrap_or(usual)
        };
        Question {
            limit: limit.unwrap_or(usual.limit),
            include_has_explicit_shared_members: flag(
                "include_has_explicit_shared_members",
                usual.include_has_explicit_shared_members,
            ),
            include_mounted_folders: flag("include_mounted_folders", usual.include_mounted_folders),
            include_non_downloadable_files: flag(
                "include_non_downloadable_files",
                usual.include_non_downloadable_files,
            ),
            include_property_groups: groups.unwrap_or_else(|| usual.include_property_groups.clone()),
        }
    }
}

/// `ListFolderLongpollArg.timeout`: `UInt64(max_value=480, min_value=30)`.
fn longpoll(given: &str) -> Result<Duration, String> {
    let time = crate::config::parse_duration(given)?;
    if (30..=480).contains(&time.as_secs()) { Ok(time) } else { Err(format!("{given} is not from 30s to 8m")) }
}
