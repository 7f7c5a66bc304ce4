//! `ferrybox pause`.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::client::Client;
use super::render::{ago, escape};
use super::{Common, OK, block_on, print};
use crate::config::parse_duration;
use crate::env;
use crate::model::api::PauseAnswer;

/// Stop uploading, committing and listing for a while; changes are still noticed
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ferrybox pause
  ferrybox pause personal --for 2h

A pause outlives restarts. What is under way comes to its end; `ferrybox resume` ends the pause.

Exit codes: 0 paused, 4 no daemon runs, 64 there is no such account, or the command line or the configuration is wrong")]
pub(super) struct Pause {
    /// Which account; all if left out
    account: Option<String>,
    /// Go on by itself after this long, such as 30m or 2h
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    time: Option<Duration>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// As the daemon allows.
const LONGEST: Duration = Duration::from_secs(315_360_000);

fn time(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text)?;
    if time < Duration::from_secs(1) {
        return Err("a pause lasts one second at least".to_owned());
    }
    if time > LONGEST {
        return Err("a pause lasts ten years at most; leave --for out for one without an end".to_owned());
    }
    Ok(time)
}

#[derive(Serialize)]
struct Body<'a> {
    account: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    for_s: Option<u64>,
}

impl Pause {
    pub(super) fn execute(&self, common: &Common) -> anyhow::Result<u8> {
        change(common, "/v1/pause", self.account.as_deref(), self.time, self.json)
    }
}

/// Sends the order and tells what became of each account.
pub(super) fn change(
    common: &Common,
    route: &str,
    account: Option<&str>,
    time: Option<Duration>,
    json: bool,
) -> anyhow::Result<u8> {
    let loaded = common.load_lightly()?;
    let client = Client::new(&loaded.config.daemon);
    let body = Body { account, for_s: time.map(|time| time.as_secs()) };
    let answers: Vec<PauseAnswer> = block_on(client.post(route, &body, false))?;
    if json {
        print(&format!("{}\n", serde_json::to_string_pretty(&answers)?))?;
    } else if !common.quiet {
        let now = env::timestamp();
        print(&answers.iter().map(|answer| line(answer, now)).collect::<String>())?;
    }
    Ok(OK)
}

fn line(answer: &PauseAnswer, now: Timestamp) -> String {
    let name = escape(&answer.account);
    match (answer.paused, answer.changed, &answer.until) {
        (true, _, Some(until)) => format!("{name}: paused; goes on {}\n", ago(until, now)),
        (true, _, None) => format!("{name}: paused until `ferrybox resume {name}`\n"),
        (false, true, _) => format!("{name}: goes on\n"),
        (false, false, _) => format!("{name}: was not paused\n"),
    }
}
