//! What the system underneath can do: file systems that send no events, and the limits of inotify.

use super::Root;
use crate::model::Disk;

/// File systems whose other users' changes never reach this kernel's watches.
///
/// Numbers from the kernel's `include/uapi/linux/magic.h`, and from statfs(2) for the others.
#[cfg(target_os = "linux")]
const REMOTE: [(u32, &str); 15] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFE53_4D42, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9p"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
    (0x7375_7245, "Coda"),
    (0x564C, "NCP"),
    (0x0BD0_0BD0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x7461_636F, "OCFS2"),
    (0x0116_1970, "GFS2"),
    (0x786F_4256, "VirtualBox shared folder"),
];

impl Root {
    /// The kind of a network or FUSE file system that the root lies on: changes made elsewhere send no events, so that it must be scanned from time to time.
    pub fn is_remote_fs(&self) -> Option<&'static str> {
        #[cfg(target_os = "linux")]
        {
            let kind = rustix::fs::fstatfs(self.handle().ok()?.top()).ok()?.f_type;
            // The field's width and sign differ by architecture; the magic numbers have 32 bits.
            let kind = u32::try_from(kind & 0xFFFF_FFFF).ok()?;
            REMOTE.iter().find(|(magic, _)| *magic == kind).map(|(_, name)| *name)
        }
        #[cfg(not(target_os = "linux"))]
        {
            None
        }
    }
}

/// File systems whose names are Windows': FAT and vfat, exFAT, the kernel's two drivers for NTFS.
#[cfg(target_os = "linux")]
const WINDOWS: [u32; 4] = [0x4D44, 0x2011_BAB0, 0x5346_544E, 0x7366_746E];

impl Root {
    /// Which names the disk can hold.
    pub fn disk(&self) -> Disk {
        #[cfg(target_os = "linux")]
        if let Ok(handle) = self.handle()
            && let Ok(told) = rustix::fs::fstatfs(handle.top())
            && u32::try_from(told.f_type & 0xFFFF_FFFF).is_ok_and(|kind| WINDOWS.contains(&kind))
        {
            return Disk::Windows;
        }
        Disk::Plain
    }
}

/// The kernel's limits on inotify, where it tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InotifyLimits {
    /// Directories that one user may watch, in all programs together.
    pub max_user_watches: Option<u64>,
    /// Directories that may be watched in this user namespace: a container's own limit.
    pub max_namespace_watches: Option<u64>,
    /// Watchers that one user may have.
    pub max_user_instances: Option<u64>,
}

/// Reads the limits; containers and other systems may hide some or all.
pub fn inotify_limits() -> InotifyLimits {
    let number = |path: String| std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
    let read = |name: &str| number(format!("/proc/sys/fs/inotify/{name}"));
    InotifyLimits {
        max_user_watches: read("max_user_watches"),
        max_namespace_watches: number("/proc/sys/user/max_inotify_watches".to_owned()),
        max_user_instances: read("max_user_instances"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_disk_is_not_remote_and_limits_are_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Root::open(dir.path()).unwrap().is_remote_fs(), None);
        assert_eq!(Root::open(dir.path()).unwrap().disk(), Disk::Plain);
        if cfg!(target_os = "linux") {
            assert!(inotify_limits().max_user_watches.is_none_or(|n| n > 0));
        }
    }
}
