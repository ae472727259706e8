//! What the parties say to each other: ids, tasks, offers, calls and events, and their encoding.

pub mod codec;
pub mod identity;
