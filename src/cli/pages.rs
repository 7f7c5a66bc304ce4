//! Lists that come in pages.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::render::count;

/// What one page may hold.
const PAGE: u64 = 1000;

/// As much of a list as was asked for.
#[derive(Serialize, Deserialize)]
pub(super) struct Listed<T> {
    pub(super) items: Vec<T>,
    /// Entries there are in all.
    pub(super) total: u64,
}

impl<T: DeserializeOwned> Listed<T> {
    /// Asks page after page until `limit` entries are there or the list is at its end. `route` may have a query.
    pub(super) async fn fetch(client: &Client, route: &str, limit: u64) -> anyhow::Result<Self> {
        let mut all = Self { items: Vec::new(), total: 0 };
        let and = if route.contains('?') { '&' } else { '?' };
        loop {
            let offset = all.items.len() as u64;
            let want = PAGE.min(limit.saturating_sub(offset));
            // With nothing wanted, one entry still tells the total.
            let page: Self = client.get(&format!("{route}{and}offset={offset}&limit={}", want.max(1))).await?;
            all.total = page.total;
            if want == 0 || page.items.is_empty() {
                return Ok(all);
            }
            all.items.extend(page.items);
            if all.items.len() as u64 >= all.total {
                return Ok(all);
            }
        }
    }

    /// `and 12 more`, if some are not among the items.
    pub(super) fn rest(&self) -> String {
        let shown = self.items.len() as u64;
        if shown < self.total { format!("and {} more\n", count(self.total - shown)) } else { String::new() }
    }
}
