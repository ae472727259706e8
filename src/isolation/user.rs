//! As whom a process runs.

use std::ffi::CString;
use std::io;
use std::path::Path;

use nix::unistd::{Gid, Uid, getgrouplist};

/// A user of this machine, with the groups that it is in.
///
/// ```
/// use apportion::isolation::User;
///
/// assert_eq!(User::named("root")?.uid(), 0);
/// assert!(User::named("no-such-user").is_err());
/// # Ok::<(), apportion::isolation::UserError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

/// A user can't be had.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// There is none of this name.
    #[error("this machine has no user {name:?}")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The system's users can't be looked up.
    #[error("cannot look user {name:?} up: {source}")]
    LookUp {
        /// The name.
        name: String,
        /// The system's reason.
        source: io::Error,
    },
}

impl User {
    /// The user of this name.
    ///
    /// # Errors
    /// When there is none, or users can't be looked up.
    pub fn named(name: &str) -> Result<Self, UserError> {
        let unknown = || UserError::Unknown { name: name.to_owned() };
        let failed = |error: nix::Error| UserError::LookUp { name: name.to_owned(), source: error.into() };
        let user = nix::unistd::User::from_name(name).map_err(failed)?.ok_or_else(unknown)?;
        let text = CString::new(name).map_err(|_| unknown())?;
        let groups = getgrouplist(&text, user.gid).map_err(failed)?;
        let groups = groups.into_iter().map(Gid::as_raw).collect();
        Ok(User { uid: user.uid.as_raw(), gid: user.gid.as_raw(), groups })
    }

    /// The user's number.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    pub(super) fn gid(&self) -> u32 {
        self.gid
    }

    pub(super) fn groups(&self) -> &[u32] {
        &self.groups
    }

    /// Whether this process runs as the user already.
    pub(super) fn is_current(&self) -> bool {
        Uid::effective().as_raw() == self.uid
    }

    /// Makes a file or folder the user's own.
    ///
    /// # Errors
    /// What the system says: it takes root to give files away.
    pub fn own(&self, path: &Path) -> io::Result<()> {
        if self.is_current() {
            return Ok(());
        }
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
    }
}
