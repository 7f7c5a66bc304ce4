//! `ferrybox reject`.

use clap::Args;

use super::Common;
use super::approve::answer;

/// Undo a held mass deletion: Dropbox keeps the files
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ferrybox reject 3f0c9a1be27d4456

The files stay in Dropbox, and are not asked about again until something is at their paths here. Files that come back
with other content than Dropbox has are kept beside it as conflicted copies.

Exit codes: 0 given up; 4 no daemon runs; 64 no held deletions have this token, or the configuration is wrong")]
pub(super) struct Reject {
    /// As `ferrybox status` or `ferrybox approve` shows it
    token: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Reject {
    pub(super) fn execute(&self, common: &Common) -> anyhow::Result<u8> {
        answer(common, "/v1/reject", &self.token, self.json, |n| format!("{n} given up; nothing is deleted"))
    }
}
