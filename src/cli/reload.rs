//! `ferrybox reload`, and what `add`, `remove`, `link` and `unlink` tell a running daemon.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::client::{Client, NotRunning, is_running};
use super::render::escape;
use super::{Common, OK, Unfinished, block_on, print};
use crate::daemon::Lock;
use crate::env;

/// How long a daemon may take to start over, and how often it is looked for meanwhile.
const STARTING_OVER: Duration = Duration::from_secs(15);
const A_MOMENT: Duration = Duration::from_millis(100);

/// Let the running daemon read its configuration again
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ferrybox reload

The configuration is taken over as a whole or not at all: if something is wrong in it, that is said here and the
daemon goes on as before. `ferrybox add`, `remove`, `link` and `unlink` do this themselves. SIGHUP does the same.

Exit codes: 0 taken over, 4 no daemon runs, 64 the configuration is wrong; the daemon goes on with the old one")]
pub(super) struct Reload {}

impl Reload {
    pub(super) fn execute(&self, common: &Common) -> anyhow::Result<u8> {
        let loaded = common.load_lightly()?;
        let client = Client::new(&loaded.config.daemon);
        let _: serde_json::Value = block_on(client.post("/v1/reload", &json!({}), false))?;
        if !common.quiet {
            print("The daemon starts over with its configuration as it is now.\n")?;
        }
        Ok(OK)
    }
}

fn a_moment() -> anyhow::Result<()> {
    block_on(async {
        env::sleep(A_MOMENT).await;
        Ok(())
    })
}

/// After a change of the configuration or the credentials: a running daemon takes it over now. That it does not is said, and is no failure of the
/// command that made the change.
pub(super) fn tell(common: &Common) -> anyhow::Result<()> {
    let Ok(loaded) = common.load_lightly() else { return Ok(()) };
    let daemon = &loaded.config.daemon;
    let until = env::instant() + STARTING_OVER;
    // While the daemon starts over for another change, its socket is away for a moment.
    let starts_over = || env::instant() < until && Lock::is_held_at(&daemon.state_dir.join("lock"));
    loop {
        if !is_running(daemon) {
            if starts_over() {
                a_moment()?;
                continue;
            }
            if !common.quiet {
                print("No daemon runs; the next one (`ferrybox run`) takes this up.\n")?;
            }
            return Ok(());
        }
        match block_on(Client::new(daemon).post::<serde_json::Value>("/v1/reload", &json!({}), false)) {
            Ok(_) if common.quiet => {}
            Ok(_) => print("The running daemon takes this up now.\n")?,
            Err(error) if (error.is::<Unfinished>() || error.is::<NotRunning>()) && starts_over() => {
                a_moment()?;
                continue;
            }
            Err(error) => anstream::eprintln!(
                "ferrybox: the running daemon goes on as before: {}; mend that, then run `ferrybox reload`",
                escape(&format!("{error:#}"))
            ),
        }
        return Ok(());
    }
}
