//! How peers learn that a process which was killed has lost their connections.
//!
//! A server that is started again at its old address gets packets of connections that it knows nothing of, and answers each with a
//! stateless reset (RFC 9000, section 10.3). The peer believes one only if it holds what the server promised when they connected, so
//! the server must work that out anew: from a secret that outlives it. Without, its peers wait in vain until the idle timeout.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use quinn::EndpointConfig;
use quinn_proto::HashedConnectionIdGenerator;
use ring::hmac;

use crate::protocol::identity::Identity;

/// Resets are shorter than what they answer, so that many do no harm; and a thousand peers that wait for theirs should not wait long.
const MIN_INTERVAL: Duration = Duration::from_micros(100);

/// From this a party's endpoints take what resets are made of. It is an authority's secret, and known to nobody else.
#[derive(Clone)]
pub(super) struct ResetSecret(hmac::Key);

impl ResetSecret {
    /// Of a party whose credentials the holder of this key issues to itself.
    pub(super) fn new(authority_key: &[u8], identity: &Identity) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, authority_key);
        let secret = hmac::sign(&key, format!("stateless resets of {identity}").as_bytes());
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_ref()))
    }

    /// Has an endpoint at this address know connections of those that were there before it.
    ///
    /// Each machine and address has keys of its own: of two servers with the same ones, one could be made to reset the other's
    /// connections (RFC 9000, section 10.3.2).
    pub(super) fn apply(&self, address: SocketAddr, config: &mut EndpointConfig) {
        let machine = rustix::system::uname();
        let place = format!("{address} of {}", machine.nodename().to_string_lossy());
        let derive = |what: &str| hmac::sign(&self.0, format!("{what} at {place}").as_bytes());
        let ids = derive("connection ids");
        let mut id_key = [0; 8];
        id_key.copy_from_slice(&ids.as_ref()[..8]);
        let id_key = u64::from_le_bytes(id_key);
        config
            .reset_key(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, derive("tokens").as_ref())))
            .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(id_key)))
            .min_reset_interval(MIN_INTERVAL);
    }
}
