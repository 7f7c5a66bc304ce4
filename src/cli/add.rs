//! `ferrybox add`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Common, OK, Usage, print, reload, service};
use crate::config::Edit;
use crate::model::{Mode, RemotePath};

/// The first account's name, if nobody says another.
const USUAL: &str = "personal";

/// Add a folder to the configuration
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ferrybox add ~/Documents /Documents
  ferrybox add /srv/photos /Photos --mode backup

The configuration file is made if there is none; comments in it stay. A running daemon is told, and
takes the folder up at once.

Exit codes: 0 written, 1 the file cannot be written, 64 the command line or the result is wrong (nothing is written)")]
pub(super) struct Add {
    /// The local directory
    local: PathBuf,
    /// The folder in Dropbox, such as /Documents
    remote: String,
    /// The account; may be left out if there is only one
    #[arg(long, short, value_name = "A")]
    account: Option<String>,
    /// two-way, backup (changes go up, deletions do not), mirror (deletions too), download
    #[arg(long, short, value_name = "M", default_value = "two-way")]
    mode: Mode,
    /// Add a directory of the system although files of Dropbox would come down into it
    #[arg(long)]
    yes: bool,
}

/// Directories whose files a system starts and runs with.
const SYSTEM: [&str; 13] = [
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr", "/var/lib", "/System",
];

/// Whether what comes down into this directory could change how the machine works.
fn belongs_to_the_system(local: &Path) -> bool {
    local == Path::new("/") || SYSTEM.iter().any(|system| local.starts_with(system))
}

impl Add {
    pub(super) fn execute(&self, common: &Common) -> anyhow::Result<u8> {
        let options = common.options(true);
        let file = common.file_to_edit(&options)?;
        let whole = std::path::absolute(&self.local)?;
        // `..` is resolved now: what it means can change later.
        let dots = whole.components().any(|c| c == std::path::Component::ParentDir);
        let whole = if dots { fs::canonicalize(&whole).unwrap_or(whole) } else { whole };
        let local = whole.to_str().ok_or_else(|| Usage(format!("{} is not UTF-8", whole.display())))?;
        let remote = RemotePath::parse(&self.remote)
            .map_err(|_| Usage(format!("{} is not a path in Dropbox, such as /Documents", self.remote)))?;
        let comes_down = matches!(self.mode, Mode::TwoWay | Mode::Download);
        let real = fs::canonicalize(&whole).unwrap_or_else(|_| whole.clone());
        if comes_down && !self.yes && belongs_to_the_system(&real) {
            return Err(Usage(format!(
                "{local} is a directory of the system, and mode {mode} lets files of Dropbox replace what is in it: say --mode backup to send it only, or --yes",
                mode = self.mode
            ))
            .into());
        }
        let mut edit = Edit::open(&file)?;
        let names = edit.account_names();
        let account = match (&self.account, names.as_slice()) {
            (Some(name), _) => name.clone(),
            (None, [only]) => only.clone(),
            (None, []) => USUAL.to_owned(),
            (None, several) => {
                return Err(Usage(format!("say which account with --account: {}", several.join(", "))).into());
            }
        };
        let new = !names.contains(&account);
        if new && !names.is_empty() {
            let known = names.join(", ");
            return Err(Usage(format!(
                "there is no account `{account}` (there is {known}): run `ferrybox link {account}`"
            ))
            .into());
        }
        if new {
            edit.set_account(&account, None, None)?;
        }
        edit.add_folder(&account, local, &remote.to_string(), self.mode)?;
        edit.save(&options)?;
        if !common.quiet {
            let shown = file.display();
            print(&format!("Added {local} -> {remote} ({}) to account {account} in {shown}.\n", self.mode))?;
            if new {
                print(&format!("The account is new: run `ferrybox link {account}` to link it.\n"))?;
            }
        }
        if let Some(command) = service::has_to_learn_of(common, &whole) {
            print(&format!("The installed service may not write there yet: run `{command}`.\n"))?;
        }
        reload::tell(common)?;
        Ok(OK)
    }
}
