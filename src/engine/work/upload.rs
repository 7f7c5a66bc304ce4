//! Uploading: small files in packs, large ones in parts, and copies in Dropbox in place of bytes.

pub(crate) mod dedup_copy;
pub(crate) mod large;
pub(crate) mod pack;
pub(crate) mod session_pool;
pub(crate) mod transfer;
