//! `ferrybox completions`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, OK, print};

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ferrybox completions bash > ~/.local/share/bash-completion/completions/ferrybox

Exit codes: 0 printed, 64 no such shell")]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn execute(&self) -> anyhow::Result<u8> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "ferrybox", &mut script);
        print(&String::from_utf8(script)?)?;
        Ok(OK)
    }
}
