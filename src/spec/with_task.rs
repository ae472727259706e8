//! A task's keys among those of another table.
//!
//! Serde's `flatten` would do it, were it not for `deny_unknown_fields`, which it can't be used with, and for the places of
//! errors, which it forgets. So the keys of the table are sorted while they are read: those of the task are kept, and the
//! others are passed on to the other struct's own visitor.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize, forward_to_deserialize_any};

use super::TaskTable;
use super::task::TaskKeys;

/// A table that has the keys of a [`TaskTable`] besides those of `T`, a struct that derives `Deserialize` with
/// `deny_unknown_fields` and has none of [`TaskTable::KEYS`].
///
/// ```
/// use apportion::spec::{Document, WithTask};
///
/// #[derive(Debug, serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Step {
///     name: String,
/// }
///
/// let document = Document::new("job.toml", "name = 'train'\ncmd = ['train']\ncpus = 4");
/// let step: WithTask<Step> = document.parse()?;
/// assert_eq!((step.rest.name.as_str(), step.task.cpus.milli()), ("train", 4000));
/// # Ok::<(), apportion::spec::SpecErrors>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WithTask<T> {
    /// The other keys.
    #[serde(flatten)]
    pub rest: T,
    /// The task's keys.
    #[serde(flatten)]
    pub task: TaskTable,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for WithTask<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut task = None;
        let rest = T::deserialize(Sorting { inner: deserializer, task: &mut task })?;
        let task = task.ok_or_else(|| D::Error::custom("the other keys do not come from a struct"))?;
        Ok(WithTask { rest, task })
    }
}

/// The deserializer that `T` sees.
struct Sorting<'k, D> {
    inner: D,
    task: &'k mut Option<TaskTable>,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Sorting<'_, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_map(SortingVisitor { inner: visitor, task: self.task, fields: &[] })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_map(SortingVisitor { inner: visitor, task: self.task, fields })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct SortingVisitor<'k, V> {
    inner: V,
    task: &'k mut Option<TaskTable>,
    fields: &'static [&'static str],
}

impl<'de, V: Visitor<'de>> Visitor<'de> for SortingVisitor<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        let keys = TaskKeys::default();
        self.inner.visit_map(SortingMap { inner: map, keys, task: self.task, fields: self.fields })
    }
}

struct SortingMap<'k, A> {
    inner: A,
    keys: TaskKeys,
    task: &'k mut Option<TaskTable>,
    fields: &'static [&'static str],
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for SortingMap<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let mut seed = Some(seed);
        loop {
            match self.inner.next_key_seed(KeySeed { inner: &mut seed, fields: self.fields })? {
                None => {
                    // Here the format still knows which table a mistake is in.
                    *self.task = Some(std::mem::take(&mut self.keys).finish()?);
                    return Ok(None);
                }
                Some(Key::Other(key)) => return Ok(Some(key)),
                Some(Key::Task(key)) => self.keys.read(key, &mut self.inner)?,
            }
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.next_value_seed(seed)
    }
}

enum Key<K> {
    Task(&'static str),
    Other(K),
}

/// Sorts a key while the format still knows where it stands. The seed within is used up by the first key that is not the
/// task's.
struct KeySeed<'s, K> {
    inner: &'s mut Option<K>,
    fields: &'static [&'static str],
}

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for KeySeed<'_, K> {
    type Value = Key<K::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl<'de, K: DeserializeSeed<'de>> Visitor<'de> for KeySeed<'_, K> {
    type Value = Key<K::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        if let Some(known) = TaskTable::KEYS.iter().find(|known| **known == key) {
            return Ok(Key::Task(known));
        }
        let seed = self.inner.take().filter(|_| self.fields.contains(&key));
        match seed {
            Some(seed) => seed.deserialize(StrDeserializer::new(key)).map(Key::Other),
            None => {
                let known: Vec<&str> = self.fields.iter().chain(&TaskTable::KEYS).copied().collect();
                // In serde's own words, as if one struct had all the keys.
                Err(E::custom(format!("unknown field `{key}`, expected one of `{}`", known.join("`, `"))))
            }
        }
    }
}
