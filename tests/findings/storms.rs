//! Calls without progress (group S).
