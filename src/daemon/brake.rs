//! The brake on what comes down: a comparison that would delete or overwrite most of a folder's files makes no rows before a person agrees.
//!
//! The cache itself always follows Dropbox; what waits is the work. The token names exactly the files and the revisions that would come over
//! them, so that another wave has another token. What was approved stays approved until that comparison has ended, across restarts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::daemon::clock::now_ms;
use crate::daemon::remote::{HeldChanges, Lane};
use crate::model::FolderId;
use crate::plan::guard::{Limits, Seal, Wave, inbound};
use crate::plan::listing::{holds, key_of};
use crate::store::{Fate, Inbound, Naming, Store, StoreError, Tree, TreeId};

/// Paths that are shown.
const SAMPLE: usize = 5;
/// In the place of a token: that comparison is under way.
const RUNNING: &str = "running";

/// What one listing's brake remembers between steps.
#[derive(Debug, Default)]
pub(crate) struct Brake {
    /// The comparison under way may go on to its end.
    cleared: bool,
    /// What was weighed and held: this tree, after so many pages.
    weighed: Option<(TreeId, u64)>,
}

/// The key of a person's word on a listing's changes.
pub(crate) fn approved(lane: &Lane) -> String {
    format!("listing.{}.approved", lane.id.0)
}

impl Brake {
    /// Whether the comparison may make rows.
    pub(crate) async fn lets(
        &mut self,
        store: &Store,
        lane: &Arc<Lane>,
        limits: Limits,
        live: &Tree,
    ) -> Result<bool, StoreError> {
        if self.cleared || !lane.folders.iter().any(|f| f.down) {
            return Ok(true);
        }
        let word = store.meta(&approved(lane)).await?;
        if word.as_deref() == Some(RUNNING) {
            self.cleared = true;
            return Ok(true);
        }
        if self.weighed == Some((live.id, live.pages)) && word.is_none() {
            return Ok(false);
        }
        let held = weigh(store, lane, limits).await?;
        match held {
            Some(held) if word.as_deref() != Some(held.token.as_str()) => {
                if lane.held().as_ref().map(|h| &h.token) != Some(&held.token) {
                    tracing::warn!(scope = %lane.scope, why = %held.reason, "changes of Dropbox's are held");
                }
                if word.is_some() {
                    store.unset_meta(&approved(lane)).await?;
                }
                lane.set(|now| now.held = Some(held));
                self.weighed = Some((live.id, live.pages));
                store.poke();
                Ok(false)
            }
            held => {
                if held.is_some() {
                    store.set_meta(&approved(lane), RUNNING).await?;
                }
                lane.set(|now| now.held = None);
                self.cleared = true;
                Ok(true)
            }
        }
    }

    /// There is nothing to compare (any more): the next wave is weighed anew.
    pub(crate) async fn ended(&mut self, store: &Store, lane: &Lane) -> Result<(), StoreError> {
        if self.cleared && lane.folders.iter().any(|f| f.down) {
            store.unset_meta(&approved(lane)).await?;
        }
        *self = Self::default();
        lane.set(|now| now.held = None);
        Ok(())
    }
}

/// What would come down, if that is too much to come unasked.
async fn weigh(store: &Store, lane: &Arc<Lane>, limits: Limits) -> Result<Option<HeldChanges>, StoreError> {
    let (at, of) = (store.clone(), Arc::clone(lane));
    let read = tokio::task::spawn_blocking(move || {
        let mut waves: BTreeMap<FolderId, (Wave, Vec<String>)> = BTreeMap::new();
        let mut seal = Seal::new("changes");
        let mut each = |change: Inbound| {
            let (wave, sample) = waves.entry(change.folder).or_default();
            match change.fate {
                Fate::Gone => wave.gone += 1,
                Fate::Replaced => wave.replaced += 1,
                Fate::Same(_) => return,
            }
            seal.add(change.path.as_str(), &change.rev);
            if sample.len() < SAMPLE {
                sample.push(change.path.to_string());
            }
        };
        at.inbound_blocking(of.id, &of.folders, Naming { key_of, holds }, &mut each)?;
        Ok::<_, StoreError>((waves, seal.token()))
    });
    let Ok(read) = read.await else { return Ok(None) };
    let (waves, token) = read?;
    let mut held: Option<HeldChanges> = None;
    for (folder, (wave, sample)) in waves {
        let wave = Wave { files: store.files_in_sync(folder).await?, ..wave };
        let Err(limit) = inbound(wave, limits) else { continue };
        let place = lane.folders.iter().find(|f| f.folder == folder).map(|f| f.remote.to_string()).unwrap_or_default();
        let Wave { gone, replaced, files } = wave;
        let told = held.get_or_insert_with(|| HeldChanges {
            token: token.clone(),
            since: lane.held().map_or_else(now_ms, |held| held.since),
            ..HeldChanges::default()
        });
        told.changes += gone + replaced;
        told.files += files;
        told.sample.extend(sample.into_iter().take(SAMPLE - told.sample.len().min(SAMPLE)));
        told.reason = format!(
            "in Dropbox {gone} files of {place} were deleted and {replaced} got another content, of {files} ({limit}): nothing of it is brought down. \
             `ferrybox approve {token}` lets it, `ferrybox reject {token}` keeps what is here; or restore the files in Dropbox"
        );
        told.place = place;
    }
    Ok(held)
}
