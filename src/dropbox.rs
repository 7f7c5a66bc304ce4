//! The wire: everything ferrybox says to Dropbox, and nothing about why it says it.
//!
//! # Own types, not the SDK's
//! The routes that are called here have thin types of their own, written against Dropbox's Stone specification, instead of
//! `dropbox-sdk`'s. Bodies must stream from disk; `Retry-After`, request ids and the text of unknown tags must survive; unions are
//! open and must be understood wherever `.tag` stands in the object. Errors are therefore kept as a *path of tags*
//! (`path/conflict/file`) beside the reply's own JSON, and one table turns such a path into a [`Failure`](crate::model::Failure).
//! `dropbox-sdk` is used by the tests of the stand-in server (`tests/standin`) only: it proves that server, which then tries ours.
//!
//! # Rules
//! - **One try.** A call is sent once, and once more only after an expired access token was renewed. Everything else goes back to
//!   the caller: the one retry policy lives on the queue's row.
//! - **An unknown outcome is told.** [`CallError::outcome_unknown`] says whether the server may have acted; whoever commits must then
//!   look before the commit is repeated.
//! - **No reply is believed by its status alone**: type, size, tags and counts are checked, so that a captive portal is never a result.
//! - **Secrets never print.** They are [`secrecy::SecretString`]s, the header is marked sensitive, and errors carry neither headers nor forms.
//!
//! # Where
//! [`Settings`] and [`Tokens`] make a [`Dropbox`]; `account`, `sessions`, `commits`, `moves`, `files`, `revisions`, `download` and
//! `listing` hold its routes. `client` sends, `reply`
//! judges, `refusals` remembers those that stay, `wire` writes arguments and reads tags, `gate` makes calls wait, `body` streams, `auth` and `pkce` deal in tokens, and
//! `credentials` knows where they are kept.

mod auth;
mod client;
pub mod credentials;
mod error;
mod routes;

pub use crate::dropbox::auth::pkce::{LinkError, Linked, Pkce, authorize_url, exchange};
pub use crate::dropbox::client::body::{Body, ByteStream};
pub use crate::dropbox::client::gate::Gates;
pub use crate::dropbox::client::settings::{Endpoints, PathRoot, Settings, SetupError, Timeouts, install_tls_provider};
pub use crate::dropbox::routes::account::{Account, Space};
pub use crate::dropbox::routes::commits::{DeleteEntry, FinishEntry, Launch, Poll};
pub use crate::dropbox::routes::download::{Download, Version};
pub use crate::dropbox::routes::files::{FileMetadata, Metadata};
pub use crate::dropbox::routes::listing::{Changes, SharedLink};
pub use crate::dropbox::routes::moves::RelocateEntry;
pub use crate::dropbox::routes::revisions::{Lineage, Revisions};
pub use crate::dropbox::routes::sessions::{AppendEntry, append_batch_fixed_len, append_batch_header_len};
pub use auth::Tokens;
pub use client::{Dropbox, Going, Governor, Meter};
pub use credentials::{CredentialError, Credentials, Source};
pub use error::{ApiError, AuthError, CallError, EntryError, RootError, Throttled, Transport, TransportKind};
