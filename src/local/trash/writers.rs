//! Which files of the trash some program still has open for writing, where the system tells.

use std::collections::HashSet;

use crate::model::Stat;

/// The files that were open for writing at one moment. Nobody opens a file of the trash anew, so that what is not among them stays as it is.
#[derive(Debug, Default)]
pub(crate) struct Writers {
    open: HashSet<(u64, u64)>,
    /// Inodes only: some file systems tell another device for what is mapped.
    mapped: HashSet<u64>,
}

impl Writers {
    /// Whether the file may still be written to.
    pub(crate) fn have(&self, stat: &Stat) -> bool {
        self.open.contains(&(stat.dev, stat.ino)) || self.mapped.contains(&stat.ino)
    }

    /// Asks `/proc` of every process that may be looked into: those of the same user, as a rule.
    #[cfg(target_os = "linux")]
    pub(crate) fn look() -> Self {
        let mut found = Self::default();
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            if process.file_name().to_str().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit())) {
                found.ask(&process.path());
            }
        }
        found
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn look() -> Self {
        Self::default()
    }

    #[cfg(target_os = "linux")]
    fn ask(&mut self, process: &std::path::Path) {
        use std::os::unix::fs::MetadataExt;
        let trash = format!("/{}/{}/", crate::local::private_dir::OWN, crate::local::private_dir::TRASH);
        for open in std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
            let in_trash = std::fs::read_link(open.path()).is_ok_and(|to| to.to_string_lossy().contains(&trash));
            // Only those are looked at: a file system that is gone would not answer.
            if !in_trash || !writes(&process.join("fdinfo").join(open.file_name())) {
                continue;
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "the link leads to the open file itself, whatever its name is now"
            )]
            if let Ok(file) = std::fs::metadata(open.path()) {
                self.open.insert((file.dev(), file.ino()));
            }
        }
        let maps = std::fs::read(process.join("maps")).unwrap_or_default();
        for line in String::from_utf8_lossy(&maps).lines().filter(|line| line.contains(&trash)) {
            let mut words = line.split_ascii_whitespace().skip(1);
            let shared = words.next().is_some_and(|may| may.contains('w') && may.contains('s'));
            if let Some(ino) = words.nth(2).and_then(|ino| ino.parse().ok()).filter(|_| shared) {
                self.mapped.insert(ino);
            }
        }
    }
}

/// Whether an open file is one for writing. If that cannot be read, it is.
#[cfg(target_os = "linux")]
fn writes(info: &std::path::Path) -> bool {
    const ACCESS: u32 = 3;
    let Ok(text) = std::fs::read_to_string(info) else { return true };
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).is_none_or(|flags| flags & ACCESS != 0)
}
