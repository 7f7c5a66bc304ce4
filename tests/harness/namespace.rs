//! A user and mount namespace of its own: mounts, limits and file systems of a test's own, without root.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code, unreachable_pub)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::look_for;

/// The namespaces, held open by a process that sleeps; they and their mounts go with it.
pub struct Namespace {
    holder: Child,
}

impl Namespace {
    /// Fails loudly where the system allows none: a test that was skipped in silence proves nothing.
    pub fn new() -> Self {
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "--", "sleep", "infinity"])
            .stdin(Stdio::null())
            .spawn()
            .expect("this test needs `unshare` and `nsenter` of util-linux");
        let comm = format!("/proc/{}/comm", holder.id());
        let mut ended = None;
        // unshare becomes sleep when everything is set up.
        let set_up = look_for(Duration::from_secs(20), || {
            ended = holder.try_wait().unwrap();
            let set_up = std::fs::read_to_string(&comm).is_ok_and(|name| name.trim() == "sleep");
            (set_up || ended.is_some()).then_some(set_up)
        });
        assert!(
            set_up == Some(true),
            "no user namespaces here ({ended:?}): allow them (sysctl kernel.unprivileged_userns_clone=1, or \
             kernel.apparmor_restrict_unprivileged_userns=0), or run the tests as root; CONTRIBUTING.md says more"
        );
        Self { holder }
    }

    /// A command inside.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args([
            "--target",
            &self.holder.id().to_string(),
            "--user",
            "--mount",
            "--preserve-credentials",
            "--wd=/",
            "--",
        ]);
        command.arg(program).stdin(Stdio::null());
        command
    }

    /// Runs a line of shell inside; it must succeed.
    pub fn run(&self, line: &str) {
        let out = self.command("sh").args(["-ec", line]).output().unwrap();
        assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
    }

    /// A path inside, as the test can reach it.
    pub fn path(&self, path: &Path) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(path.strip_prefix("/").unwrap())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
