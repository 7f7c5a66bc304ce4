//! `ferrybox resume`.

use clap::Args;

use super::Common;
use super::pause::change;

/// End a pause
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ferrybox resume
  ferrybox resume personal

Exit codes: 0 it goes on, 4 no daemon runs, 64 there is no such account, or the command line or the configuration is wrong")]
pub(super) struct Resume {
    /// Which account; all if left out
    account: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Resume {
    pub(super) fn execute(&self, common: &Common) -> anyhow::Result<u8> {
        change(common, "/v1/resume", self.account.as_deref(), None, self.json)
    }
}
