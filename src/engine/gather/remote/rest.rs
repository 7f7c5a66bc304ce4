//! What only Dropbox has, for the look at rest.

use super::RemoteCache;
use crate::model::{FolderId, RelPath};
use crate::plan::listing::holds;
use crate::store::{Naming, Store, StoreError};

impl RemoteCache {
    /// The next paths that only Dropbox has, after a key, and the key after which it goes on. Blocks.
    pub(crate) fn unmet_blocking(
        &self,
        store: &Store,
        folder: FolderId,
        after: String,
    ) -> Result<(Vec<RelPath>, Option<String>), StoreError> {
        let lane = self.lane_of(folder);
        let of = lane.and_then(|lane| Some((lane, lane.folders.iter().find(|f| f.folder == folder && f.down)?)));
        let Some((lane, of)) = of else { return Ok((Vec::new(), None)) };
        store.unmet_page_blocking(lane.id, of, Naming { holds }, after)
    }
}
