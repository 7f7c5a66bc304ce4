//! One commit lane for one Dropbox account on a host, whatever the process, the state directory or the account's name in a configuration.
//!
//! Commits of one account must be serial (`files.stone`, `upload_session/finish_batch`), and one process cannot see the jobs of another. On Linux
//! the lock is the name of an abstract socket: the kernel holds it, it goes with the process, and it is the same for all users, state directories
//! and private `/tmp` directories of a host. Elsewhere it is a locked file in the temporary directory.
//!
//! `FERRYBOX_HOST` tells apart what counts as several hosts on one kernel, such as containers that share a network.

use std::collections::BTreeMap;
#[cfg(not(target_os = "linux"))]
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use sha2::{Digest as _, Sha256};

use crate::env::lock;

/// Lanes that this process holds: by the lock's name, for which account of the configuration.
fn held() -> &'static Mutex<BTreeMap<String, (String, Hold)>> {
    static HELD: OnceLock<Mutex<BTreeMap<String, (String, Hold)>>> = OnceLock::new();
    HELD.get_or_init(Mutex::default)
}

/// Who has the lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Another account of this configuration.
    Account(String),
    /// Another process; its pid, where the system tells it.
    Process(Option<i32>),
}

impl Taken {
    /// One sentence that says what to do.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Account(name) => format!(
                "this is the same Dropbox account as `{name}`, and commits of one account must not run side by side: move the folders to `{name}` and remove this one"
            ),
            Self::Process(pid) => {
                let pid = pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
                format!(
                    "another ferrybox (pid {pid}) works on the same Dropbox account on this host, and their commits must not run side by side: stop it, or sync its folders here, too"
                )
            }
        }
    }
}

/// Takes the lane of the Dropbox account `account_id` at `endpoint` for an account of the configuration, which may hold it already.
///
/// # Errors
/// Who has it.
pub(crate) fn take(account: &str, endpoint: &str, account_id: &str) -> Result<(), Taken> {
    let name = name(endpoint, account_id);
    let mut held = lock(held());
    match held.get(&name) {
        Some((holder, _)) if holder == account => return Ok(()),
        Some((holder, _)) => return Err(Taken::Account(holder.clone())),
        None => {}
    }
    match Hold::take(&name) {
        Ok(hold) => {
            held.insert(name, (account.to_owned(), hold));
            Ok(())
        }
        Err(Busy::Held(pid)) => Err(Taken::Process(pid)),
        // A system without such locks must not keep anybody from their files.
        Err(Busy::Failed(why)) => {
            tracing::warn!(
                account,
                why,
                "the account's commit lane cannot be locked on this host: run one daemon only"
            );
            Ok(())
        }
    }
}

/// Lets the lanes of an account go, at the end of its life.
pub(crate) fn release(account: &str) {
    lock(held()).retain(|_, (holder, _)| holder != account);
}

/// The lock's name: it tells nothing of the account to other users.
fn name(endpoint: &str, account_id: &str) -> String {
    let host = std::env::var_os("FERRYBOX_HOST").unwrap_or_default();
    let mut hash = Sha256::new();
    for part in [host.as_encoded_bytes(), endpoint.as_bytes(), account_id.as_bytes()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let hex: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("ferrybox-lane-{hex}")
}

enum Busy {
    Held(Option<i32>),
    Failed(String),
}

#[cfg(target_os = "linux")]
struct Hold {
    _socket: std::os::unix::net::UnixListener,
}

#[cfg(target_os = "linux")]
impl Hold {
    fn take(name: &str) -> Result<Self, Busy> {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::{SocketAddr, UnixListener};
        let failed = |e: std::io::Error| Busy::Failed(e.to_string());
        let address = SocketAddr::from_abstract_name(name).map_err(failed)?;
        match UnixListener::bind_addr(&address) {
            Ok(socket) => Ok(Self { _socket: socket }),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(Busy::Held(holder(name))),
            Err(error) => Err(failed(error)),
        }
    }
}

/// The pid of whoever listens under this name. Nobody accepts there: without a free place in the queue, nobody is named.
#[cfg(target_os = "linux")]
fn holder(name: &str) -> Option<i32> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
    let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).ok()?;
    rustix::net::connect(&socket, &address).ok()?;
    let peer = rustix::net::sockopt::socket_peercred(&socket).ok()?;
    Some(peer.pid.as_raw_nonzero().get())
}

#[cfg(not(target_os = "linux"))]
struct Hold {
    _file: crate::engine::lock::Lock,
}

#[cfg(not(target_os = "linux"))]
impl Hold {
    fn take(name: &str) -> Result<Self, Busy> {
        use crate::engine::lock::{Lock, LockError};
        let path = std::env::temp_dir().join(name);
        match Lock::take(&path, Path::new("this account's commit lane")) {
            Ok(file) => Ok(Self { _file: file }),
            Err(LockError::Held { pid, .. }) => Err(Busy::Held(pid.parse().ok())),
            Err(error) => Err(Busy::Failed(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l2_one_account_of_the_configuration_has_the_lane() {
        let id = "dbid:of this test alone";
        assert_eq!(take("first", "http://x", id), Ok(()));
        assert_eq!(take("first", "http://x", id), Ok(()), "again, after a reload");
        assert_eq!(take("second", "http://x", id), Err(Taken::Account("first".to_owned())));
        assert_eq!(take("second", "http://other", id), Ok(()), "another server");
        release("first");
        assert_eq!(take("second", "http://x", id), Ok(()));
        release("second");
    }
}
