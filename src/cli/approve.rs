//! `ferrybox approve`.

use clap::Args;
use serde::Deserialize;

use super::client::Client;
use super::{Common, OK, block_on, print};

/// Let something through that ferrybox holds back, after you have looked at it
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ferrybox status --json | jq -r '.accounts[].remote.held'
  ferrybox approve listing-12

Exit codes: 0 let through, 4 no daemon runs, 64 nothing is held under this token")]
pub(super) struct Approve {
    /// The token that `ferrybox status` shows
    #[arg(value_name = "TOKEN")]
    token: String,
}

#[derive(Deserialize)]
struct Approved {
    approved: String,
}

impl Approve {
    pub(super) fn execute(&self, common: &Common) -> anyhow::Result<u8> {
        let loaded = common.load_lightly()?;
        let client = Client::new(&loaded.config.daemon.socket);
        let done: Approved = block_on(client.post("/v1/approve", &serde_json::json!({ "token": self.token }), false))?;
        if !common.quiet {
            print(&format!("Let through: {}\n", super::render::escape(&done.approved)))?;
        }
        Ok(OK)
    }
}
