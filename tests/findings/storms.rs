//! No loop without progress (group S).

mod listings;
