//! Rules for transfers: how files share a call.

pub mod pack;
