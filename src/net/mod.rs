//! Identities, certificates and QUIC.
