//! How many connections a master takes, and an agent: so many that it can serve, and of no one so many that others would feel it.

use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::protocol::Identity;

/// Handshakes that are under way at a time: each costs about a millisecond of a processor, and one that hangs ends within ten seconds.
pub const MOST_HANDSHAKES: usize = 1024;

/// Handshakes of one address that are under way at a time. A whole cluster on one machine, or behind one address, gets in step by step.
pub const MOST_HANDSHAKES_OF_ADDRESS: usize = MOST_HANDSHAKES / 4;

/// Connections of one principal. A party needs one; operators share an identity, and a few people and programs may be at it.
pub const MOST_CONNECTIONS_OF_PRINCIPAL: usize = 128;

/// Connections of all: as many agents as there may be, and more.
pub const MOST_CONNECTIONS: usize = 200_000;

/// Counts what goes on, in all and by whom.
#[derive(Debug)]
pub(super) struct Door<K> {
    most: usize,
    most_of_one: usize,
    inside: Mutex<Inside<K>>,
}

#[derive(Debug)]
struct Inside<K> {
    all: usize,
    by_whom: FxHashMap<K, usize>,
}

/// Why one more does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DoorError {
    /// There are too many in all.
    #[error("there is the limit of {most} connections already")]
    Full { most: usize },
    /// There are too many of this one.
    #[error("you have the limit of {most} connections already")]
    FullOfOne { most: usize },
}

/// Someone who is inside, until this is dropped.
#[derive(Debug)]
pub(super) struct Stay<K: Eq + Hash> {
    door: Arc<Door<K>>,
    who: K,
}

impl Door<IpAddr> {
    /// For connections that are being made.
    pub(super) fn of_handshakes() -> Arc<Self> {
        Self::new(MOST_HANDSHAKES, MOST_HANDSHAKES_OF_ADDRESS)
    }
}

impl Door<Identity> {
    /// For connections that are made.
    pub(super) fn of_members() -> Arc<Self> {
        Self::new(MOST_CONNECTIONS, MOST_CONNECTIONS_OF_PRINCIPAL)
    }
}

impl<K: Eq + Hash + Clone> Door<K> {
    fn new(most: usize, most_of_one: usize) -> Arc<Self> {
        let inside = Mutex::new(Inside { all: 0, by_whom: FxHashMap::default() });
        Arc::new(Door { most, most_of_one, inside })
    }

    /// Lets someone in, if there is room.
    pub(super) fn enter(self: &Arc<Self>, who: K) -> Result<Stay<K>, DoorError> {
        let mut inside = self.inside.lock();
        if inside.all >= self.most {
            return Err(DoorError::Full { most: self.most });
        }
        let of_one = inside.by_whom.entry(who.clone()).or_default();
        if *of_one >= self.most_of_one {
            return Err(DoorError::FullOfOne { most: self.most_of_one });
        }
        *of_one += 1;
        inside.all += 1;
        Ok(Stay { door: self.clone(), who })
    }
}

impl<K: Eq + Hash> Drop for Stay<K> {
    fn drop(&mut self) {
        let mut inside = self.door.inside.lock();
        inside.all -= 1;
        if let Some(of_one) = inside.by_whom.get_mut(&self.who) {
            *of_one -= 1;
            if *of_one == 0 {
                inside.by_whom.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_so_many_and_for_so_many_of_one() {
        let door = Door::new(3, 2);
        let stays = [door.enter("a").unwrap(), door.enter("a").unwrap()];
        assert_eq!(door.enter("a").unwrap_err(), DoorError::FullOfOne { most: 2 });
        let other = door.enter("b").unwrap();
        assert_eq!(door.enter("c").unwrap_err(), DoorError::Full { most: 3 });
        drop((stays, other));
        assert!(door.inside.lock().by_whom.is_empty());
        assert!(door.enter("a").is_ok());
    }
}
