//! `ferrybox service`: the unit that starts the daemon, written for this program and this configuration.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, Subcommand};

use super::{Common, FAILED, OK, Usage, check_folders, print};
use crate::config::{Config, check_name};

const USER_UNIT: &str = include_str!("../../systemd/ferrybox.service");
const SYSTEM_UNIT: &str = include_str!("../../systemd/ferrybox@.service");
const AGENT: &str = include_str!("../../launchd/org.ferrybox.agent.plist");
/// Where a unit takes the folders.
const FOLDERS: &str = "# @folders@\n";

/// Let systemd or launchd start the daemon
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Example:
  ferrybox service print
  ferrybox service install
  sudo ferrybox service install --system --user alice"
)]
pub(super) struct Service {
    #[command(subcommand)]
    command: Which,
}

#[derive(Debug, Subcommand)]
enum Which {
    /// Write the unit, and have it started now and at each boot
    #[command(after_help = "Example:
  ferrybox service install

Run it again after `ferrybox add` and `ferrybox remove`: the unit may write to the configured folders only.

Exit codes: 0 done, 1 the manager refused, 64 there is no manager, or the command line or the configuration is wrong")]
    Install(Place),
    /// Stop it, and take the unit away
    #[command(after_help = "Example:
  ferrybox service uninstall

Configuration, credentials and databases stay.

Exit codes: 0 done, 1 the manager refused, 64 there is no manager, or the command line is wrong")]
    Uninstall(Place),
    /// Show what install would write, and write nothing
    #[command(after_help = "Example:
  ferrybox service print > ~/.config/systemd/user/ferrybox.service

Exit codes: 0 shown, 64 the command line or the configuration is wrong")]
    Print(Place),
}

#[derive(Debug, Args)]
struct Place {
    /// A unit of the system, one instance a user, in place of one of yours
    #[arg(long)]
    system: bool,
    /// Whose instance: the user whose files they are
    #[arg(long, value_name = "NAME", requires = "system")]
    user: Option<String>,
}

/// A file to write.
struct File {
    path: PathBuf,
    text: String,
}

/// What installing does.
struct Plan {
    files: Vec<File>,
    /// Directories that the unit needs to be there.
    dirs: Vec<PathBuf>,
    start: Vec<Vec<String>>,
    stop: Vec<Vec<String>>,
    reload: Option<Vec<String>>,
}

impl Service {
    pub(super) fn execute(&self, common: &Common) -> anyhow::Result<u8> {
        match &self.command {
            Which::Print(place) => {
                let mut out = String::new();
                let plan = plan(common, place, true)?;
                for file in &plan.files {
                    if plan.files.len() > 1 {
                        let _ = writeln!(out, "# {}", file.path.display());
                    }
                    let _ = writeln!(out, "{}", file.text.trim_end());
                }
                print(&out)?;
                Ok(OK)
            }
            Which::Install(place) => install(&plan(common, place, true)?, place),
            Which::Uninstall(place) => uninstall(&plan(common, place, false)?, place),
        }
    }
}

fn install(plan: &Plan, place: &Place) -> anyhow::Result<u8> {
    manager(place)?;
    for dir in &plan.dirs {
        make(dir)?;
    }
    for file in &plan.files {
        if let Some(parent) = file.path.parent() {
            make(parent)?;
        }
        fs::write(&file.path, &file.text).map_err(|e| told(&file.path, &e))?;
        print(&format!("wrote {}\n", file.path.display()))?;
    }
    let code = run_all(&plan.start)?;
    if code == OK && !place.system && cfg!(target_os = "linux") {
        print("it runs while you are logged in; `loginctl enable-linger` lets it run from boot to shutdown\n")?;
    }
    Ok(code)
}

fn uninstall(plan: &Plan, place: &Place) -> anyhow::Result<u8> {
    manager(place)?;
    let mut code = run_all(&plan.stop)?;
    for file in &plan.files {
        match fs::remove_file(&file.path) {
            Ok(()) => print(&format!("removed {}\n", file.path.display()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                print(&format!("{} was not there\n", file.path.display()))?;
            }
            Err(error) => return Err(told(&file.path, &error)),
        }
    }
    if let Some(reload) = &plan.reload {
        code = code.max(run_all(std::slice::from_ref(reload))?);
    }
    print("configuration, credentials and databases are as they were\n")?;
    Ok(code)
}

/// Runs the manager's commands, each said before.
fn run_all(commands: &[Vec<String>]) -> anyhow::Result<u8> {
    for command in commands {
        let Some((program, arguments)) = command.split_first() else { continue };
        print(&format!("running {}\n", command.join(" ")))?;
        let status = Command::new(program).args(arguments).status();
        if !status.as_ref().is_ok_and(std::process::ExitStatus::success) {
            let how = status.map_or_else(|e| e.to_string(), |s| s.to_string());
            anstream::eprintln!(
                "ferrybox: `{}` failed ({how}): run it yourself once that is mended",
                command.join(" ")
            );
            return Ok(FAILED);
        }
    }
    Ok(OK)
}

/// Refuses where nothing could start a unit.
fn manager(place: &Place) -> anyhow::Result<()> {
    if cfg!(target_os = "macos") {
        return Ok(());
    }
    if !Path::new("/run/systemd/system").is_dir() {
        return Err(Usage(
            "systemd does not run this machine: let your own supervisor start `ferrybox run` (`ferrybox service print` shows a unit to copy from)".to_owned(),
        )
        .into());
    }
    if place.system && !rustix::process::geteuid().is_root() {
        return Err(Usage("a unit of the system can be installed by root only: use sudo".to_owned()).into());
    }
    Ok(())
}

fn plan(common: &Common, place: &Place, filled: bool) -> anyhow::Result<Plan> {
    let program = std::env::current_exe()?;
    if cfg!(target_os = "macos") {
        return Ok(agent(common, &program));
    }
    if place.system { system(common, place, &program, filled) } else { user(common, &program, filled) }
}

fn user(common: &Common, program: &Path, filled: bool) -> anyhow::Result<Plan> {
    let around = common.options(false).surroundings;
    let dir = around.user_file.parent().and_then(Path::parent).map(|c| c.join("systemd/user"));
    let dir = dir
        .filter(|d| d.is_absolute())
        .ok_or_else(|| Usage("there is no home directory to write the unit to".to_owned()))?;
    let mut plan = Plan {
        files: vec![File { path: dir.join("ferrybox.service"), text: String::new() }],
        dirs: Vec::new(),
        start: commands(&[
            "systemctl --user daemon-reload",
            "systemctl --user enable ferrybox.service",
            "systemctl --user restart ferrybox.service",
        ]),
        stop: commands(&["systemctl --user disable --now ferrybox.service"]),
        reload: commands(&["systemctl --user daemon-reload"]).pop(),
    };
    if !filled {
        return Ok(plan);
    }
    let config = common.load_lightly()?.config;
    check_folders(&config)?;
    let mut lines = String::new();
    for folder in writable(&config) {
        // Missing ones do not keep the others from being synced: the daemon waits for them.
        let _ = writeln!(lines, "ReadWritePaths=-{}", quoted(&folder)?);
    }
    let socket = config.daemon.socket.parent().filter(|dir| !dir.starts_with("/run/user"));
    if let Some(dir) = socket {
        let _ = writeln!(lines, "ReadWritePaths=-{}", quoted(dir)?);
        plan.dirs.push(dir.to_owned());
    }
    let start = exec_start(program, common.config.as_deref(), USER_START)?;
    let text = USER_UNIT.replace(FOLDERS, &lines).replace(USER_START, &start).replace(
        "ReadWritePaths=-%h/.local/state/ferrybox\n",
        &format!("ReadWritePaths={}\n", quoted(&config.daemon.state_dir)?),
    );
    if let Some(file) = plan.files.first_mut() {
        file.text = text;
    }
    plan.dirs.push(config.daemon.state_dir);
    Ok(plan)
}

const USER_START: &str = "ExecStart=/usr/bin/ferrybox run\n";
const SYSTEM_START: &str = "ExecStart=/usr/bin/ferrybox --config /etc/ferrybox/%i.toml run\n";

fn system(common: &Common, place: &Place, program: &Path, filled: bool) -> anyhow::Result<Plan> {
    let name =
        place.user.as_deref().ok_or_else(|| Usage("say whose files they are: --system --user NAME".to_owned()))?;
    check_name(name).map_err(|problem| Usage(format!("--user {name}: {problem}")))?;
    let units = Path::new("/etc/systemd/system");
    let unit = format!("ferrybox@{name}.service");
    let mut plan = Plan {
        // The instance's own file first: the template stays when another instance still needs it.
        files: vec![File { path: units.join(format!("{unit}.d/folders.conf")), text: String::new() }],
        dirs: Vec::new(),
        start: commands(&[
            "systemctl daemon-reload",
            &format!("systemctl enable {unit}"),
            &format!("systemctl restart {unit}"),
        ]),
        stop: commands(&[&format!("systemctl disable --now {unit}")]),
        reload: commands(&["systemctl daemon-reload"]).pop(),
    };
    if !filled {
        return Ok(plan);
    }
    let file = common.config.clone().unwrap_or_else(|| PathBuf::from(format!("/etc/ferrybox/{name}.toml")));
    let mut options = common.options(false);
    options.file = Some(file.clone());
    let config = Config::load(&options)?.config;
    check_folders(&config)?;
    let mut lines = String::from("[Unit]\n");
    for folder in writable(&config) {
        // Stopped with the disk, started again with it: a bind keeps seeing a disk that was unmounted behind it.
        let _ = writeln!(lines, "RequiresMountsFor={}", quoted(&folder)?);
    }
    lines.push_str("\n[Service]\n");
    for folder in writable(&config) {
        let _ = writeln!(lines, "BindPaths={}", quoted(&folder)?);
    }
    for account in &config.accounts {
        let credentials = account.credentials.strip_prefix("file:").map(Path::new);
        for file in [credentials, account.endpoints.ca_file.as_deref()].into_iter().flatten() {
            if let Some(place) = bound_for(file) {
                let _ = writeln!(lines, "BindReadOnlyPaths=-{}", quoted(&place)?);
            }
        }
    }
    if file != Path::new(&format!("/etc/ferrybox/{name}.toml")) {
        let start = exec_start(program, Some(&file), SYSTEM_START)?;
        if let Some(place) = bound_for(&file) {
            let _ = writeln!(lines, "BindReadOnlyPaths={}", quoted(&place)?);
        }
        let _ = writeln!(lines, "ExecStart=\n{}", start.trim_end());
    }
    if hidden(program).is_some() {
        let _ = writeln!(lines, "BindReadOnlyPaths={}", quoted(program)?);
    }
    let start = SYSTEM_START.replace("/usr/bin/ferrybox", &quoted(program)?);
    if let Some(first) = plan.files.first_mut() {
        first.text = lines;
    }
    plan.files.push(File { path: units.join("ferrybox@.service"), text: SYSTEM_UNIT.replace(SYSTEM_START, &start) });
    Ok(plan)
}

fn agent(common: &Common, program: &Path) -> Plan {
    let home = common.options(false).surroundings.home;
    let path = home.join("Library/LaunchAgents/org.ferrybox.agent.plist");
    let escape = |text: &Path| text.to_string_lossy().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let file = common.config.as_ref().map_or_else(String::new, |file| {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        format!("    <string>--config</string>\n    <string>{}</string>\n", escape(&file))
    });
    let text = AGENT
        .replace("/usr/local/bin/ferrybox", &escape(program))
        .replace("    <string>run</string>\n", &format!("{file}    <string>run</string>\n"))
        .replace("@home@", &escape(&home));
    let domain = format!("gui/{}", rustix::process::getuid().as_raw());
    let shown = path.to_string_lossy().into_owned();
    Plan {
        start: vec![vec!["launchctl".to_owned(), "bootstrap".to_owned(), domain.clone(), shown]],
        stop: vec![vec!["launchctl".to_owned(), "bootout".to_owned(), format!("{domain}/org.ferrybox.agent")]],
        files: vec![File { path, text }],
        dirs: Vec::new(),
        reload: None,
    }
}

fn commands(lines: &[&str]) -> Vec<Vec<String>> {
    lines.iter().map(|line| line.split(' ').map(ToOwned::to_owned).collect()).collect()
}

/// What a unit does not see (`ProtectHome=`, `PrivateTmp=`), each with how many components the path of one home in it has.
const HIDDEN: [(&str, usize); 5] = [("/home", 3), ("/root", 2), ("/run/user", 4), ("/tmp", 2), ("/var/tmp", 3)];

/// How many components a home has where the path lies; `None`: a unit sees it.
fn hidden(path: &Path) -> Option<usize> {
    HIDDEN.into_iter().find(|(hidden, _)| path.starts_with(hidden)).map(|(_, home)| home)
}

/// What has to be bound so that the unit sees a file: its directory, since a file that is bound by itself stays the old one when it is replaced, as
/// `ferrybox link` and `ferrybox add` do; a file that lies in a home itself is bound alone. `None`: it is seen anyway.
fn bound_for(file: &Path) -> Option<PathBuf> {
    let home = hidden(file)?;
    let dir = file.parent()?;
    Some(if dir.components().count() > home { dir } else { file }.to_owned())
}

/// How to let an installed service write to a folder that was added, if it may not yet.
pub(super) fn has_to_learn_of(common: &Common, local: &Path) -> Option<String> {
    let lacks = |unit: &Path| {
        let text = fs::read_to_string(unit).ok()?;
        let named = |line: &str| {
            local.to_str().is_some_and(|local| line.trim_end_matches('"').ends_with(&local.replace('%', "%%")))
        };
        let lists = |line: &&str| line.starts_with("ReadWritePaths=") || line.starts_with("BindPaths=");
        (!text.lines().filter(lists).any(named)).then_some(())
    };
    let config = common.config.as_ref().map_or_else(String::new, |file| format!(" --config {}", file.display()));
    let user_file = common.options(false).surroundings.user_file;
    if let Some(configs) = user_file.parent().and_then(Path::parent)
        && lacks(&configs.join("systemd/user/ferrybox.service")).is_some()
    {
        return Some(format!("ferrybox{config} service install"));
    }
    // The system's instances read /etc/ferrybox/NAME.toml.
    let name = common.config.as_deref().filter(|file| file.starts_with("/etc/ferrybox"))?.file_stem()?.to_str()?;
    lacks(Path::new(&format!("/etc/systemd/system/ferrybox@{name}.service.d/folders.conf")))?;
    Some(format!("sudo ferrybox service install --system --user {name}"))
}

/// The folders, each once.
fn writable(config: &Config) -> Vec<PathBuf> {
    config.accounts.iter().flat_map(|a| &a.folders).map(|f| f.local.clone()).collect()
}

fn exec_start(program: &Path, file: Option<&Path>, shipped: &str) -> anyhow::Result<String> {
    let Some(file) = file else { return Ok(shipped.replace("/usr/bin/ferrybox", &quoted(program)?)) };
    let file = std::path::absolute(file)?;
    Ok(format!("ExecStart={} --config {} run\n", quoted(program)?, quoted(&file)?))
}

/// A path as a unit's line takes it: `%` means something there, and spaces separate; `$` and `:` mean something in some lines, so paths that have
/// them are refused.
fn quoted(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().filter(|text| !text.contains(['\n', '\r', '"', '\\', '$', ':']));
    let text = text.ok_or_else(|| {
        Usage(format!(
            "{} cannot be written into a unit: rename it, or make a bind mount with a plain name",
            path.display()
        ))
    })?;
    let text = text.replace('%', "%%");
    Ok(if text.contains([' ', '\t', '\'', ';', '#']) { format!("\"{text}\"") } else { text })
}

fn make(dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).map_err(|e| told(dir, &e))
}

fn told(path: &Path, error: &io::Error) -> anyhow::Error {
    anyhow::anyhow!("cannot write {}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stand_in_units_as_they_are_meant() {
        assert_eq!(quoted(Path::new("/a/b")).unwrap(), "/a/b");
        assert_eq!(quoted(Path::new("/a b/100%")).unwrap(), "\"/a b/100%%\"");
        quoted(Path::new("/a\n[Service]\nExecStart=/evil")).unwrap_err();
    }

    #[test]
    fn v8_a_file_that_is_replaced_is_bound_by_its_directory() {
        let bound = |file: &str| bound_for(Path::new(file)).map(|place| place.display().to_string());
        assert_eq!(bound("/home/alice/.config/ferrybox/c.json").as_deref(), Some("/home/alice/.config/ferrybox"));
        assert_eq!(bound("/etc/ferrybox/c.json"), None);
        for (place, components) in HIDDEN {
            let mut home = PathBuf::from(place);
            while home.components().count() < components {
                home.push("alice");
            }
            let home = home.display();
            // Not all of a home for one file.
            assert_eq!(bound(&format!("{home}/c.json")), Some(format!("{home}/c.json")));
            assert_eq!(bound(&format!("{home}/.ferrybox/c.json")), Some(format!("{home}/.ferrybox")));
        }
    }

    #[test]
    fn v1_v5_v6_v7_the_units_show_what_needs_a_person_restart_patiently_and_keep_groups() {
        for unit in [USER_UNIT, SYSTEM_UNIT] {
            let has = |line: &str| unit.lines().any(|l| l == line);
            assert!(!unit.contains("--quiet"));
            assert!(has("RestartSec=60") && has("StartLimitIntervalSec=0"));
            let filters: Vec<_> = unit.lines().filter(|line| line.starts_with("SystemCallFilter=")).collect();
            let last = filters.last().copied();
            assert_eq!(last, Some("SystemCallFilter=fchown fchownat"), "after what takes them out");
        }
        assert!(!AGENT.contains("--quiet"));
        assert!(USER_UNIT.contains("\nReadWritePaths=-%h/.local/state/ferrybox\n"));
        // With it, no file could be given another group than the service's own.
        assert!(!SYSTEM_UNIT.contains("PrivateUsers=yes"));
    }

    #[test]
    fn the_shipped_units_have_the_places_that_are_filled_in() {
        assert!(USER_UNIT.contains(FOLDERS) && USER_UNIT.contains(USER_START));
        assert!(SYSTEM_UNIT.contains(SYSTEM_START));
        assert!(AGENT.contains("/usr/local/bin/ferrybox") && AGENT.contains("@home@"));
    }
}
