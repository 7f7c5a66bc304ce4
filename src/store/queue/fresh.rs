//! Which rows have not failed yet, in SQL.

/// What has not failed since its path last changed: it may still show the problem of before, until it turns out to be none.
pub(crate) const FRESH: &str = "(code IS NULL OR attempts = 0)";
