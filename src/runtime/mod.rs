//! Drives the state machines in the real world: tokio, QUIC, processes, a durable store.
