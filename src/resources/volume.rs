//! Persistent volumes.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::{ResourceError, Role};

/// A persistent volume on reserved disk. It is known by its id: where a task mounts it is not part of
/// its identity, so that tasks may mount a shared volume at different paths.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Volume {
    /// Unique per role and agent; names a directory, so that it is one component of a path.
    pub id: CompactString,
    /// Where the task sees it; never with `..`.
    pub container_path: CompactString,
}

impl Volume {
    /// The longest id, in bytes: the longest name of a directory.
    pub const MAX_ID_LEN: usize = 255;

    /// Both parts become paths on the agent, and must not lead out of where they belong.
    pub(super) fn check(&self) -> Result<(), ResourceError> {
        let (id, path) = (self.id.as_str(), self.container_path.as_str());
        let unprintable = |text: &str| text.is_empty() || text.contains(char::is_control);
        if unprintable(id) || id.len() > Self::MAX_ID_LEN || id.contains('/') || matches!(id, "." | "..") {
            return Err(ResourceError::VolumeId { id: self.id.clone() });
        }
        if unprintable(path) || path.split('/').any(|component| component == "..") {
            return Err(ResourceError::VolumePath { path: self.container_path.clone() });
        }
        Ok(())
    }
}

/// What a volume is called on its agent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VolumeName {
    /// The role that its disk is reserved to.
    pub role: Role,
    /// Its id.
    pub id: CompactString,
}

impl VolumeName {
    /// Where the volume is in the folder of all volumes: a folder for its role, and one for itself in that. A role's name is one
    /// component, so that its volumes are apart from those of roles below.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        let role = self.role.as_str().replace('%', "%25").replace('/', "%2F");
        Path::new(&role).join(self.id.as_str())
    }
}

impl PartialEq for Volume {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Volume {}

impl Hash for Volume {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl Ord for Volume {
    fn cmp(&self, other: &Self) -> Ordering {
        self.id.cmp(&other.id)
    }
}

impl PartialOrd for Volume {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_of_overlapping_roles_are_apart() {
        let folder =
            |role: &str, id: &str| VolumeName { role: role.parse().unwrap(), id: id.into() }.folder();
        assert_eq!(folder("a/b", "v"), Path::new("a%2Fb/v"));
        assert_ne!(folder("a", "b"), folder("a/b", "v").parent().unwrap());
        assert_ne!(folder("a%2Fb", "v"), folder("a/b", "v"));
    }

    #[test]
    fn neither_part_leads_out_of_its_place() {
        let check = |id: &str, path: &str| Volume { id: id.into(), container_path: path.into() }.check();
        assert_eq!(check("data", "/var/lib/data..old"), Ok(()));
        for id in ["", ".", "..", "a/b", "a\0", &"x".repeat(256)] {
            assert_eq!(check(id, "data"), Err(ResourceError::VolumeId { id: id.into() }));
        }
        for path in ["", "..", "a/../b", "a\n"] {
            assert_eq!(check("data", path), Err(ResourceError::VolumePath { path: path.into() }));
        }
    }
}
