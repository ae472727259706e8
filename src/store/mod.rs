//! What a master must not forget: the registry, and where it is kept.
//!
//! A [`Record`] is one thing that the master knows (an agent, a framework, a role's weight) under a [`Key`]; a [`Change`] puts or
//! deletes one. A [`Store`] keeps records: [`RedbStore`] in a file, `etcd` (a feature)
//! where several masters share them, [`MemoryStore`] for tests and simulations. The
//! [`Master`](crate::master::Master) hands out changes as outputs and holds back whatever follows until it hears that they are
//! durable; a [`Writer`] makes them so on a thread of its own, all that wait in one commit.
//!
//! Frameworks' tasks are not here: agents tell them again. What a framework must not forget is its own affair: a [`FrameworkStore`] keeps it in a
//! file beside it.

#[cfg(feature = "runtime")]
mod embedded;
mod error;
#[cfg(feature = "etcd")]
pub mod etcd;
#[cfg(feature = "runtime")]
mod file;
#[cfg(feature = "runtime")]
mod framework;
mod gate;
mod memory;
mod record;
#[cfg(feature = "runtime")]
mod writer;

#[cfg(feature = "runtime")]
pub use embedded::RedbStore;
pub use error::StoreError;
#[cfg(feature = "runtime")]
pub use framework::FrameworkStore;
pub(crate) use gate::Gate;
pub use memory::MemoryStore;
pub use record::{Change, FORMAT_VERSION, Key, Record, Secret};
#[cfg(feature = "runtime")]
pub use writer::Writer;

use crate::protocol::Epoch;

/// Keeps a master's records.
pub trait Store: Send {
    /// Begins a master's term, and says which. It is later than all that began before in this store.
    ///
    /// # Errors
    /// When that is not certain to be remembered.
    fn begin_term(&mut self) -> Result<Epoch, StoreError>;

    /// All records, in the order of their keys' texts.
    ///
    /// # Errors
    /// When the store can't be read, or holds what this version does not know.
    fn load(&mut self) -> Result<Vec<Record>, StoreError>;

    /// Applies the changes in order. They are durable when this returns.
    ///
    /// # Errors
    /// When that is not certain. All, none, or only the first of them may then be there.
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError>;
}
