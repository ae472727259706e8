//! Which master leads, by number.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Numbers the terms in which a master leads a cluster. Each term's epoch is greater than those of all terms before it, so that
/// whoever has heard of a later master knows an earlier one for deposed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of a master that leads without a registry, and so can't be succeeded.
    pub const FIRST: Epoch = Epoch(1);
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a master is not obeyed: another one leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error(
    "this master's epoch is {claimed}, but a master of epoch {newest} has been heard of: this one is deposed"
)]
pub struct Deposed {
    /// The epoch in which the master says that it leads.
    pub claimed: Epoch,
    /// The newest epoch that was heard of.
    pub newest: Epoch,
}

/// The newest epoch that a party has heard of.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewestEpoch(Epoch);

impl NewestEpoch {
    /// Takes note of the epoch of a master that claims to lead.
    ///
    /// # Errors
    /// [`Deposed`], when a later one has been heard of.
    pub fn admit(&mut self, claimed: Epoch) -> Result<(), Deposed> {
        if claimed < self.0 {
            return Err(Deposed { claimed, newest: self.0 });
        }
        self.0 = claimed;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_is_admitted_until_a_later_one_is_heard_of() {
        let mut newest = NewestEpoch::default();
        for epoch in [1, 1, 7, 7] {
            assert_eq!(newest.admit(Epoch(epoch)), Ok(()));
        }
        assert_eq!(newest.admit(Epoch(6)), Err(Deposed { claimed: Epoch(6), newest: Epoch(7) }));
        assert_eq!(newest.admit(Epoch(8)), Ok(()));
    }
}
