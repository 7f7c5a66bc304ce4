//! Until the routes are there.
#![allow(missing_docs)]
use super::client::Dropbox;
use super::error::{CallError, EntryError, Transport};
use super::files::{FileMetadata, Metadata};
use super::{Launch, Poll};
use crate::model::RemotePath;
#[derive(Debug)]
pub struct Coming {
    pub metadata: Option<FileMetadata>,
    pub from: u64,
}
impl Coming {
    pub async fn chunk(&mut self) -> Result<Option<bytes::Bytes>, CallError> {
        Ok(None)
    }
}
impl Dropbox {
    pub async fn download(&self, _rev: &str, _range: Option<std::ops::Range<u64>>) -> Result<Coming, CallError> {
        Err(Transport::protocol("not yet").into())
    }
    pub async fn create_folder_batch(&self, _p: &[&RemotePath]) -> Result<Launch<Metadata>, CallError> {
        Err(Transport::protocol("not yet").into())
    }
    pub async fn create_folder_batch_check(&self, _j: &str, _n: usize) -> Result<Poll<Metadata>, CallError> {
        Err(Transport::protocol("not yet").into())
    }
}
