//! `ferrybox remove`.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use super::{Common, OK, Usage, print, reload};
use crate::config::Edit;

/// Take a folder out of the configuration; no file is touched on either side
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ferrybox remove ~/Documents

Local files, and what is in Dropbox, stay. Comments in the configuration file stay. A running daemon is told,
and lets go of the folder at once.

Exit codes: 0 written, 1 the file cannot be written, 64 the folder is not in the file or the command line is wrong")]
pub(super) struct Remove {
    /// The local directory, as in the configuration
    local: PathBuf,
}

impl Remove {
    pub(super) fn execute(&self, common: &Common) -> anyhow::Result<u8> {
        let options = common.options(true);
        let file = common.file_to_edit(&options)?;
        let whole = std::path::absolute(&self.local)?;
        let real = fs::canonicalize(&whole).ok();
        let home = options.surroundings.home.clone();
        let mut edit = Edit::open(&file)?;
        let removed = edit.remove_folders(|text| {
            let path = match text.strip_prefix('~') {
                Some(below) => home.join(below.trim_start_matches('/')),
                None => PathBuf::from(text),
            };
            path == whole || (real.is_some() && fs::canonicalize(&path).ok() == real)
        });
        if removed == 0 {
            return Err(Usage(format!("{} is no folder in {}", whole.display(), file.display())).into());
        }
        edit.save(&options)?;
        if !common.quiet {
            print(&format!(
                "Removed {} from {}. Its files stay, here and in Dropbox.\n",
                whole.display(),
                file.display()
            ))?;
        }
        reload::tell(common)?;
        Ok(OK)
    }
}
