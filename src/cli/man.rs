//! `ferrybox man`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};

use super::{Cli, OK, print};

/// Print the manual page, or write one for every command
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ferrybox man | man -l -
  ferrybox man --dir ~/.local/share/man/man1

Exit codes: 0 printed or written, 1 the directory cannot be written")]
pub(super) struct Man {
    /// Write ferrybox.1, ferrybox-run.1 and so on into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(super) fn execute(&self) -> anyhow::Result<u8> {
        if let Some(dir) = &self.dir {
            clap_mangen::generate_to(Cli::command(), dir)
                .with_context(|| format!("cannot write to {}", dir.display()))?;
            return Ok(OK);
        }
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        print(&String::from_utf8(page)?)?;
        Ok(OK)
    }
}
