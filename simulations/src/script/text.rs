//! Values that are written as text, and resources as scripts see them.

use std::fmt;
use std::str::FromStr;

use apportion::resources::{ItemSet, Reservation, Resource, Resources, Role, Value};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Anything that is written as text.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Text<T>(pub(super) T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Text).map_err(D::Error::custom)
    }
}

/// The name of something: as text, or as a table of the one key `id`, `agent`, `framework` or `task`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Name(pub(super) String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const KEYS: &[&str] = &["id", "agent", "framework", "task"];
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, or a table with an id")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Name, E> {
                Ok(Name(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Name, A::Error> {
                let mut name = None;
                while let Some(key) = table.next_key::<String>()? {
                    if !KEYS.contains(&key.as_str()) {
                        return Err(A::Error::unknown_field(&key, KEYS));
                    }
                    name = Some(table.next_value()?);
                }
                name.map(Name).ok_or_else(|| A::Error::missing_field("id"))
            }
        }
        deserializer.deserialize_any(Names)
    }
}

/// Machines' names: a list, or a table of the one key `agents`; an empty table means all machines.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hosts(pub(super) Option<Vec<String>>);

impl<'de> Deserialize<'de> for Hosts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Hosts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of agents, or a table of `agents`")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Hosts, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(Hosts(Some(names)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Hosts, A::Error> {
                let mut names = None;
                while let Some(key) = table.next_key::<String>()? {
                    if key != "agents" {
                        return Err(A::Error::unknown_field(&key, &["agents"]));
                    }
                    names = Some(table.next_value()?);
                }
                Ok(Hosts(names))
            }
        }
        deserializer.deserialize_any(Names)
    }
}

/// Something without details: `true`, or an empty table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plainly;

impl<'de> Deserialize<'de> for Plainly {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Anything;
        impl<'de> Visitor<'de> for Anything {
            type Value = Plainly;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, or an empty table")
            }

            fn visit_bool<E: Error>(self, yes: bool) -> Result<Plainly, E> {
                if yes { Ok(Plainly) } else { Err(E::custom("leave the step out instead of saying false")) }
            }

            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Plainly, A::Error> {
                match table.next_key::<String>()? {
                    Some(key) => Err(A::Error::unknown_field(&key, &[])),
                    None => Ok(Plainly),
                }
            }
        }
        deserializer.deserialize_any(Anything)
    }
}

/// An attribute's value: text, or a number or truth value as text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Attribute(pub(super) String);

impl<'de> Deserialize<'de> for Attribute {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalars;
        impl Visitor<'_> for Scalars {
            type Value = Attribute;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, a number, true or false")
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Attribute, E> {
                Ok(Attribute(value.to_owned()))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Attribute, E> {
                Ok(Attribute(value.to_string()))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Attribute, E> {
                Ok(Attribute(value.to_string()))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Attribute, E> {
                Ok(Attribute(value.to_string()))
            }
        }
        deserializer.deserialize_any(Scalars)
    }
}

/// Resources as scripts write them: of reservations only the role that holds them counts.
pub(super) fn as_written(resources: &Resources) -> Resources {
    let simple = |resource: &Resource| {
        let reservations: Vec<Reservation> =
            resource.reserved_to().map(|role| Reservation::fixed(role.clone())).into_iter().collect();
        rebuilt(resource, resource.value().clone(), &reservations)
    };
    resources.iter().filter_map(simple).collect()
}

/// A resource with another value and other reservations; `None` when they don't go together.
pub(super) fn rebuilt(like: &Resource, value: Value, reservations: &[Reservation]) -> Option<Resource> {
    let mut resource = Resource::new(like.kind().clone(), value).ok()?;
    if like.is_revocable() {
        resource = resource.into_revocable().ok()?;
    }
    for reservation in reservations {
        resource = resource.push_reservation(reservation.clone()).ok()?;
    }
    match like.volume() {
        Some(volume) => resource.with_volume(volume.clone(), like.is_shared()).ok(),
        None => Some(resource),
    }
}

/// The part of `held` that is meant by `wanted`, where of reservations only the role that holds them counts; `None` when there
/// isn't as much. What is wanted without a reservation may be reserved to the role or those above it, if there is too little
/// that is not.
pub(super) fn pick(held: &Resources, wanted: &Resources, role: &Role) -> Option<Resources> {
    pick_exactly(held, wanted).or_else(|| held.find(wanted, role))
}

/// As [`pick`], but what is wanted without a reservation must have none.
pub(super) fn pick_exactly(held: &Resources, wanted: &Resources) -> Option<Resources> {
    let mut left = held.clone();
    let mut picked = Resources::new();
    for wish in wanted {
        let mut missing = wish.value().clone();
        let candidates: Vec<Resource> = left.iter().filter(|held| is_meant(held, wish)).cloned().collect();
        for candidate in candidates {
            let Some((part, rest)) = split(candidate.value(), &missing) else { continue };
            let part = Resources::from(rebuilt(&candidate, part, candidate.reservations())?);
            left.try_subtract(&part).ok()?;
            picked += part;
            missing = rest;
        }
        if !missing.is_empty() {
            return None;
        }
    }
    Some(picked)
}

fn is_meant(held: &Resource, wish: &Resource) -> bool {
    held.kind() == wish.kind()
        && held.reserved_to() == wish.reserved_to()
        && held.is_revocable() == wish.is_revocable()
        && held.volume() == wish.volume()
}

/// What of `missing` is held, and what is still missing then.
fn split(held: &Value, missing: &Value) -> Option<(Value, Value)> {
    match (held, missing) {
        (Value::Scalar(held), Value::Scalar(missing)) => {
            let part = *held.min(missing);
            Some((Value::Scalar(part), Value::Scalar(missing.checked_sub(part)?)))
        }
        (Value::Ranges(held), Value::Ranges(missing)) => {
            Some((Value::Ranges(held.intersect(missing)), Value::Ranges(missing.subtract(held))))
        }
        (Value::Set(held), Value::Set(missing)) => {
            let both: ItemSet = held.intersect(missing);
            Some((Value::Set(both), Value::Set(missing.subtract(held))))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Resources {
        text.parse().unwrap()
    }

    #[test]
    fn only_the_role_of_reservations_counts() {
        let held = parsed("cpus(reservations: [(STATIC,eng),(DYNAMIC,eng/dev,ann)]):2;cpus:1;ports:[1-9]");
        assert_eq!(as_written(&held), parsed("cpus(eng/dev):2;cpus:1;ports:[1-9]"));
        let picked = pick_exactly(&held, &parsed("cpus(eng/dev):0.5;ports:[3-4]")).unwrap();
        assert_eq!(
            picked,
            parsed("cpus(reservations: [(STATIC,eng),(DYNAMIC,eng/dev,ann)]):0.5;ports:[3-4]")
        );
        assert_eq!(pick_exactly(&held, &parsed("cpus:2")), None);
        let role = "eng/dev".parse().unwrap();
        assert_eq!(pick(&held, &parsed("cpus:3"), &role).map(|all| all.cpus()), Some(held.cpus()));
    }
}
