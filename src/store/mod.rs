//! The registry's durable store.
