//! Counts of calls and bytes, by route.

use std::collections::BTreeMap;

use serde::Serialize;

/// What one route has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RouteStats {
    /// Requests that arrived.
    pub calls: u64,
    /// Bytes of their bodies.
    pub bytes_in: u64,
    /// Bytes of the replies' bodies.
    pub bytes_out: u64,
    /// Replies with a status of 400 or more, and connections that a fault broke.
    pub errors: u64,
    /// Replies by status; a broken connection counts as 0.
    pub statuses: BTreeMap<u16, u64>,
    /// The most requests of this route that were under way at once.
    pub peak: u64,
    /// Requests under way now.
    pub running: u64,
}

/// What a request's head said of whose and which tree it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Told {
    /// The route.
    pub route: String,
    /// Whether it had an `Authorization` header.
    pub authorized: bool,
    /// `Dropbox-API-Select-User`.
    pub select_user: Option<String>,
    /// `Dropbox-API-Select-Admin`.
    pub select_admin: Option<String>,
    /// `Dropbox-API-Path-Root`, as it came.
    pub path_root: Option<String>,
}

/// All routes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stats {
    pub(crate) routes: BTreeMap<String, RouteStats>,
}

impl Stats {
    /// A request has arrived.
    pub(crate) fn begin(&mut self, route: &str) {
        let stats = self.routes.entry(route.to_owned()).or_default();
        stats.calls += 1;
        stats.running += 1;
        stats.peak = stats.peak.max(stats.running);
    }

    /// Its reply is ready; status 0 is a connection that was broken.
    pub(crate) fn end(&mut self, route: &str, status: u16, bytes_in: u64, bytes_out: u64) {
        let stats = self.routes.entry(route.to_owned()).or_default();
        stats.running = stats.running.saturating_sub(1);
        stats.bytes_in += bytes_in;
        stats.bytes_out += bytes_out;
        stats.errors += u64::from(!(1..400).contains(&status));
        *stats.statuses.entry(status).or_default() += 1;
    }

    /// Forgets the counts, not the requests under way.
    pub(crate) fn reset(&mut self) {
        self.routes.retain(|_, stats| {
            *stats = RouteStats { running: stats.running, peak: stats.running, ..RouteStats::default() };
            stats.running > 0
        });
    }
}
