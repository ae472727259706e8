//! A list of resources that its copies share until one of them changes.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use smallvec::SmallVec;

use super::Resource;

/// Tasks mostly take two resources, cores and memory: these lie where the count of copies does, a single look into memory away.
type List = SmallVec<[Resource; 2]>;

/// Resources, shared between copies: the same machine's resources are known to agents, allocator, master and offers at
/// once, and mostly nobody changes them. Nothing at all takes no memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts(Option<Arc<List>>);

impl Parts {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// Whether both are the same list in memory, and so equal.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (None, None) => true,
            _ => false,
        }
    }

    /// The list for changing it; copied first when it is shared.
    pub(super) fn to_mut(&mut self) -> &mut List {
        Arc::make_mut(self.0.get_or_insert_default())
    }

    pub(super) fn into_vec(self) -> Vec<Resource> {
        self.0.map(Arc::unwrap_or_clone).unwrap_or_default().into_vec()
    }
}

impl Deref for Parts {
    type Target = [Resource];

    fn deref(&self) -> &[Resource] {
        self.0.as_deref().map_or(&[], SmallVec::as_slice)
    }
}

impl From<Vec<Resource>> for Parts {
    fn from(parts: Vec<Resource>) -> Self {
        Self((!parts.is_empty()).then(|| Arc::new(parts.into())))
    }
}

impl PartialEq for Parts {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || **self == **other
    }
}

impl Eq for Parts {}

impl PartialOrd for Parts {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Parts {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl Hash for Parts {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl Serialize for Parts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}
