//! What the properties of this module are tested on: small values, so that they meet often.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;

use super::{
    GPU_MILLI, ItemSet, Kind, Labels, Quantities, Range, Ranges, Reservation, Resource, Resources, Role,
    Scalar, Value, Volume,
};

pub(super) fn role() -> impl Strategy<Value = Role> {
    select(vec!["eng", "eng/dev", "eng/dev/ci", "ops", "a:b,(c)"]).prop_map(|role| role.parse().unwrap())
}

pub(super) fn ranges() -> impl Strategy<Value = Ranges> {
    let low = (0_u64..40, 0_u64..6).prop_map(|(begin, more)| Range::new(begin, begin + more).unwrap());
    let high = (0_u64..8, 0_u64..4)
        .prop_map(|(less, more)| Range::new(u64::MAX - less - more, u64::MAX - less).unwrap());
    prop::collection::vec(prop_oneof![4 => low, 1 => high], 0..6).prop_map(Ranges::from)
}

/// Some thousandths of the first three GPUs.
fn gpu_milli() -> impl Strategy<Value = Ranges> {
    let part = (0_u64..3, 0_u64..8, 0_u64..4)
        .prop_map(|(device, first, more)| (device * 1000 + first, device * 1000 + first + more));
    prop::collection::vec(part.prop_map(|part| Range::try_from(part).unwrap()), 0..4).prop_map(Ranges::from)
}

fn items() -> impl Strategy<Value = ItemSet> {
    prop::collection::vec(select(vec!["a", "b", "c d", "\"", "", "é", "{REV}"]), 0..4)
        .prop_map(|items| items.into_iter().collect())
}

fn labels() -> impl Strategy<Value = Labels> {
    prop::collection::btree_map("[a-z:]{1,2}", "[a-z,\n]{0,2}", 0..2)
        .prop_map(|labels| labels.into_iter().map(|(key, text)| (key.into(), text.into())).collect())
}

/// Stacks of up to three reservations, each of which refines the one below.
fn reservations() -> impl Strategy<Value = Vec<Reservation>> {
    let principal = prop::option::of(select(vec!["ann", "spiffe://c/framework/f", "{"]));
    (role(), any::<bool>(), 0_usize..4, principal, labels()).prop_map(
        |(role, fixed, levels, principal, labels)| {
            let mut stack: Vec<_> = std::iter::once(role.clone()).chain(role.ancestors()).collect();
            stack.reverse();
            stack.truncate(levels);
            let dynamic = |role| Reservation {
                labels: labels.clone(),
                ..Reservation::dynamic(role, principal.map(Into::into))
            };
            let level = |(place, role)| {
                if place == 0 && fixed { Reservation::fixed(role) } else { dynamic(role) }
            };
            stack.into_iter().enumerate().map(level).collect()
        },
    )
}

fn plain() -> impl Strategy<Value = Resource> {
    let scalar = (select(vec!["cpus", "mem", "disk", "bandwidth"]), 0_i64..5000)
        .prop_map(|(kind, milli)| (kind, Value::Scalar(Scalar::from_milli(milli).unwrap())));
    let gpus = (0_u32..4).prop_map(|gpus| ("gpus", Value::Scalar(Scalar::whole(gpus))));
    let ports = ranges().prop_map(|ranges| ("ports", Value::Ranges(ranges)));
    let shared = gpu_milli().prop_map(|ranges| (GPU_MILLI, Value::Ranges(ranges)));
    let tags = items().prop_map(|items| ("tags", Value::Set(items)));
    prop_oneof![3 => scalar, 1 => gpus, 2 => ports, 1 => shared, 1 => tags]
        .prop_map(|(kind, value)| Resource::new(kind.parse().unwrap(), value).unwrap())
}

/// Any valid resource.
pub(super) fn resource() -> impl Strategy<Value = Resource> {
    let volume = prop::option::weighted(0.3, (select(vec!["v1", "v:2"]), any::<bool>()));
    (plain(), reservations(), any::<bool>(), volume).prop_map(|(plain, reservations, revocable, volume)| {
        let reserve = |resource: Resource, reservation| resource.push_reservation(reservation).unwrap();
        let reserved = reservations.into_iter().fold(plain, reserve);
        let with_volume = volume.and_then(|(id, shared)| {
            let volume = Volume { id: id.into(), container_path: "da ta".into() };
            reserved.clone().with_volume(volume, shared).ok()
        });
        let revocable = || reserved.clone().into_revocable().ok().filter(|_| revocable);
        with_volume.or_else(revocable).unwrap_or(reserved)
    })
}

pub(super) fn resources() -> impl Strategy<Value = Resources> {
    prop::collection::vec(resource(), 0..7).prop_map(|resources| resources.into_iter().collect())
}

pub(super) fn quantities() -> impl Strategy<Value = Quantities> {
    let kind = select(vec!["cpus", "mem", "ports", "bandwidth", "licences"]);
    prop::collection::vec((kind, 0_i64..5000), 0..5).prop_map(|amounts| {
        let amount =
            |(kind, milli): (&str, _)| (kind.parse::<Kind>().unwrap(), Scalar::from_milli(milli).unwrap());
        amounts.into_iter().map(amount).collect()
    })
}

/// The model of a multiset: how often each smallest unit of each identity is there.
pub(super) fn units(resources: &Resources) -> BTreeMap<String, i64> {
    let mut units = BTreeMap::new();
    for resource in resources {
        let mut count = |value: Value, times: i64| {
            *units.entry(resource.with_value(value).to_string()).or_insert(0) += times;
        };
        match resource.value() {
            whole if resource.volume().is_some() => count(whole.clone(), 1),
            Value::Scalar(amount) => count(Value::Scalar(Scalar::from_milli(1).unwrap()), amount.milli()),
            Value::Ranges(ranges) => {
                ranges.values().for_each(|value| count(Value::Ranges(Range::single(value).into()), 1));
            }
            Value::Set(items) => {
                items.iter().for_each(|item| count(Value::Set([item].into_iter().collect()), 1))
            }
        }
    }
    units
}
