//! A guarantee that fits is met, whoever comes first.

use proptest::prelude::*;

use super::{agent, framework, role};
use crate::allocator::{AgentProfile, Allocator, DrfAllocator, DrfOptions, FrameworkProfile, Quota};
use crate::resources::{Quantities, Resources};
use crate::time::Time;

const ROLES: [&str; 4] = ["a", "b", "c", "d"];

proptest! {
    #[test]
    fn a_guarantee_that_fits_is_met(
        agents in prop::collection::vec((0..8_u32, 0..8_u32), 1..6),
        guarantees in prop::collection::vec((0..8_u32, 0..8_u32), ROLES.len()),
        order in Just((0..ROLES.len()).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let mut allocator =
            DrfAllocator::new(DrfOptions { min_allocatable: Vec::new(), ..DrfOptions::default() });
        for (number, (cpus, mem)) in agents.iter().enumerate() {
            let total = Resources::cpus_mem(cpus * 500, mem * 64);
            allocator.add_agent(&agent(&format!("a{number}")), &AgentProfile::default(), &total, &[]);
        }
        let mut kept: Vec<(&str, Quantities)> = Vec::new();
        for (name, (cpus, mem)) in ROLES.into_iter().zip(guarantees) {
            let guarantee = Resources::cpus_mem(cpus * 500, mem * 64).quantities();
            let quota = Quota { guarantee: guarantee.clone(), ..Quota::default() };
            // What does not fit beside the others is refused.
            if allocator.set_quota(&role(name), &quota, false).is_ok() {
                kept.push((name, guarantee));
            }
        }
        for place in order {
            let name = ROLES[place];
            allocator.add_framework(&framework(name), &FrameworkProfile::new(&[role(name)]));
            allocator.allocate(Time::ZERO, &mut Vec::new());
        }
        let shares = allocator.shares();
        for (name, guarantee) in kept {
            let share = shares.iter().find(|share| share.role == role(name)).unwrap();
            prop_assert!(share.allocated.contains(&guarantee), "{name} has {}, not {guarantee}", share.allocated);
        }
    }
}
