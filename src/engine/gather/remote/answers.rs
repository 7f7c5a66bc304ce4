//! What is held of what comes down, and a person's verdict on it.

use std::sync::Arc;

use super::{Lane, RemoteCache, token};
use crate::engine::account::Account;
use crate::engine::listing::inbound_guard;
use crate::env::rfc3339;
use crate::model::{FolderId, status};
use crate::store::{Store, StoreError};

/// Paths that are shown of what is held.
const SAMPLE: usize = 5;

impl RemoteCache {
    /// What is held: listings that lost too much, and changes that are too many.
    pub(crate) async fn held(&self, account: &Account) -> Result<Vec<status::Held>, StoreError> {
        Self::held_of(account, self.lanes.iter()).await
    }

    /// The same of the listing that covers one folder.
    pub(crate) async fn held_in(&self, account: &Account, folder: FolderId) -> Result<Vec<status::Held>, StoreError> {
        Self::held_of(account, self.lane_of(folder).into_iter()).await
    }

    async fn held_of(
        account: &Account,
        lanes: impl Iterator<Item = &Arc<Lane>>,
    ) -> Result<Vec<status::Held>, StoreError> {
        let mut all = Vec::new();
        for lane in lanes {
            let listing = account.store.listing(lane.id).await?;
            if let (Some(reason), Some(next)) = (listing.held.filter(|why| why != "approved"), &listing.next) {
                all.push(status::Held {
                    kind: "listing".to_owned(),
                    token: token(next.id),
                    account: account.name.clone(),
                    folder: lane.scope.to_string(),
                    deletions: listing.live.as_ref().map_or(0, |live| live.entries).saturating_sub(next.entries),
                    since: rfc3339(next.updated_at),
                    sample: account.store.lost_entries(lane.id, SAMPLE).await?,
                    reason,
                });
            }
            all.extend(Self::held_roots(&account.store, &account.name, lane).await?);
            all.extend(lane.held().map(|held| status::Held {
                kind: "changes".to_owned(),
                token: held.token,
                account: account.name.clone(),
                folder: held.place,
                deletions: held.changes,
                since: rfc3339(held.since),
                sample: held.sample,
                reason: held.reason,
            }));
        }
        Ok(all)
    }

    /// A person's verdict on held changes: they come down, or what is here goes up again.
    async fn answer_changes(
        store: &Store,
        lane: &Arc<Lane>,
        text: &str,
        approve: bool,
    ) -> Result<Option<status::Answered>, StoreError> {
        let Some(held) = lane.held().filter(|held| held.token == text) else { return Ok(None) };
        if approve {
            store.approve_inbound(lane.id, text).await?;
        } else {
            inbound_guard::put_back(store, lane).await?;
            store.forget_recent_inbound(lane.id).await?;
            lane.set(|now| now.held = None);
        }
        lane.nudge.notify_one();
        let outcome = if approve { "approved" } else { "rejected" }.to_owned();
        Ok(Some(status::Answered { outcome, deletions: held.changes }))
    }

    /// A person's verdict on a held listing: it is used, or thrown away and asked for anew. `None`: no listing of that token is held here.
    pub(crate) async fn answer(
        &self,
        store: &Store,
        text: &str,
        approve: bool,
    ) -> Result<Option<status::Answered>, StoreError> {
        for lane in &self.lanes {
            if let Some(answered) = Self::answer_changes(store, lane, text, approve).await? {
                return Ok(Some(answered));
            }
            let listing = store.listing(lane.id).await?;
            let (Some(_), Some(next)) = (&listing.held, &listing.next) else { continue };
            if token(next.id) != text {
                continue;
            }
            let known = listing.live.as_ref().map_or(0, |live| live.entries);
            let outcome = if approve { "approved" } else { "rejected" }.to_owned();
            if approve {
                store.approve_listing(next.id).await?;
            } else {
                store.lose_cursor(lane.id).await?;
            }
            lane.nudge.notify_one();
            return Ok(Some(status::Answered { outcome, deletions: known.saturating_sub(next.entries) }));
        }
        Ok(None)
    }
}
