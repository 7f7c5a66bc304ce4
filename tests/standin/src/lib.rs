//! A stand-in Dropbox server for ferrybox's tests and demo.
//!
//! It is written from Dropbox's own specification (the Stone files of `dropbox/dropbox-api-spec`, `files.stone` above all) and, for what
//! that does not say, from `docs/dropbox-api.md`. It knows nothing of ferrybox. State is in memory; it listens on 127.0.0.1 only; one
//! port serves what Dropbox spreads over four hosts.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use ferrybox_standin::{Settings, Standin};
//!
//! let standin = Standin::start(Settings::default()).await?;
//! let token = standin.short_lived_token();
//! // ... point a client at standin.url() ...
//! assert!(standin.violations().is_empty());
//! # let _ = token; Ok(())
//! # }
//! ```

mod account;
mod call;
mod control;
mod edit;
mod fault;
mod hash;
mod http;
mod path;
mod routes;
mod settings;
mod shared;
mod standin;
mod state;
mod stats;
mod violation;
mod wire;

pub use account::{Account, FileInfo};
pub use edit::{Change, Next, PageEdit};
pub use fault::{Effect, Entries, Fault, Garbage, When};
pub use hash::{BLOCK, content_hash};
pub use settings::{Contents, Folding, Overlap, Pace, RepeatedFinish, Settings};
pub use standin::{FaultPlan, Standin};
pub use state::AccountKey;
pub use state::account::AccountSpec;
pub use state::sharing::{Mount, Obstacle, Rights};
pub use stats::{RouteStats, Told};
pub use violation::{Violation, ViolationKind};
