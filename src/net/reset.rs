//! How peers learn that a process which was killed has lost their connections.
//!
//! A server that is started again at its old address gets packets of connections that it knows nothing of, and answers each with a
//! stateless reset (RFC 9000, section 10.3). The peer believes one only if it holds what the server promised when they connected, so
//! the server must work that out anew: from a secret that outlives it. Without, its peers wait in vain until the idle timeout.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use quinn::EndpointConfig;
use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};
use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};

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
        let name = rustix::system::uname();
        // Machines that were cloned may have the same name, or those that run as containers none of their own.
        let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
        let place = format!("{address} of {} {}", name.nodename().to_string_lossy(), machine.trim());
        let derive = |what: &str| {
            let secret = hmac::sign(&self.0, format!("{what} at {place}").as_bytes());
            hmac::Key::new(hmac::HMAC_SHA256, secret.as_ref())
        };
        let ids = derive("connection ids");
        config
            .reset_key(Arc::new(derive("tokens")))
            .cid_generator(move || Box::new(Ids(ids.clone())))
            .min_reset_interval(MIN_INTERVAL);
    }
}

/// Connection ids that a server knows as its own: so many random bytes, and as many of what its key signs them with. An id is used
/// once, and can't be guessed; so nobody is told the token of a connection that is not lost.
struct Ids(hmac::Key);

const HALF_OF_ID: usize = 8;

impl Ids {
    fn id(&self, random: &[u8; HALF_OF_ID]) -> ConnectionId {
        let mut id = [0; 2 * HALF_OF_ID];
        let (first, second) = id.split_at_mut(HALF_OF_ID);
        first.copy_from_slice(random);
        second.copy_from_slice(&hmac::sign(&self.0, random).as_ref()[..HALF_OF_ID]);
        ConnectionId::new(&id)
    }
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut random = [0; HALF_OF_ID];
        SystemRandom::new().fill(&mut random).expect("the system has randomness, which TLS needs as well");
        self.id(&random)
    }

    fn validate(&self, cid: &ConnectionId) -> Result<(), InvalidCid> {
        let random = cid.first_chunk().ok_or(InvalidCid)?;
        if self.id(random) == *cid { Ok(()) } else { Err(InvalidCid) }
    }

    fn cid_len(&self) -> usize {
        2 * HALF_OF_ID
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_knows_its_own_ids_and_no_others() {
        let key = |secret: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, secret);
        let (mut before, after, other) = (Ids(key(b"a")), Ids(key(b"a")), Ids(key(b"b")));
        let id = before.generate_cid();
        assert!(after.validate(&id).is_ok() && other.validate(&id).is_err());
        assert_ne!(before.generate_cid(), id);
        assert!(after.validate(&ConnectionId::new(&id[..HALF_OF_ID])).is_err());
        assert!(after.validate(&ConnectionId::new(&[])).is_err());
    }
}
