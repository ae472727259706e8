//! Looking for resources for a gang.

use crate::allocator::DrfAllocator;
use crate::allocator::agents::{Agent, AgentSlot, Amounts};
use crate::allocator::cycle::visible;
use crate::allocator::tree::Leaf;
use crate::protocol::DemandGroup;
use crate::resources::{GpuRequest, Kind, Quantities, Resource, Resources, Role, Scalar, Shape, Value};
use crate::time::Time;

/// Resources of an agent for some tasks of a gang.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::allocator) struct Part {
    pub(in crate::allocator) tasks: u32,
    pub(in crate::allocator) resources: Resources,
}

/// Where resources are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::allocator) enum Scope {
    /// Among what can be given now.
    Free,
    /// Among all that agents have, in use or not.
    Whole,
}

/// Whether tasks can use it without knowing of it: it has no volume, and stays until it is given back.
fn is_usable(resource: &Resource) -> bool {
    resource.volume().is_none() && !resource.is_revocable()
}

/// The shape of as much: so many ports, shared GPUs, and scalars. `None` when something can't be had in such an amount.
fn to_shape(amounts: &Quantities) -> Option<Shape> {
    let scalar = |(kind, amount): (&Kind, _)| Resource::new(kind.clone(), Value::Scalar(amount)).ok();
    let is_scalar = |(kind, _): &(&Kind, _)| **kind != Kind::Ports && !kind.is_gpu_milli();
    let scalars = amounts.iter().filter(is_scalar).map(scalar);
    let ports = u32::try_from(amounts.get(&Kind::Ports).milli() / 1000).ok()?;
    Some(Shape::new(scalars.collect::<Option<_>>()?, ports).with_gpus(gpus(amounts)))
}

/// Shared GPUs among amounts.
fn gpus(amounts: &Quantities) -> GpuRequest {
    let thousandths = amounts.get(&Kind::gpu_milli()).milli() / 1000;
    GpuRequest::of_total(Scalar::from_milli(thousandths).unwrap_or_default())
}

/// Resources for as many of these tasks as fit, at most so many; `None` when none fits.
pub(in crate::allocator) fn fit(
    resources: &Resources,
    role: &Role,
    shape: &Quantities,
    most: u32,
) -> Option<Part> {
    let amounts = resources.filter(is_usable).quantities();
    let mut left = amounts.clone();
    let tasks = left.take_multiples(shape, most);
    if tasks == 0 {
        return None;
    }
    if !gpus(shape).is_none() {
        return fit_one_by_one(resources, role, &to_shape(shape)?, tasks);
    }
    let resources = resources.find_shape(&to_shape(&amounts.minus_clamped(&left))?, role)?;
    Some(Part { tasks, resources })
}

/// As [`fit`], where amounts alone do not tell how many fit: no task takes parts of two devices for one.
fn fit_one_by_one(resources: &Resources, role: &Role, shape: &Shape, most: u32) -> Option<Part> {
    let (mut left, mut part) = (resources.clone(), Part::default());
    while part.tasks < most
        && let Some(found) = left.find_shape(shape, role)
    {
        left.try_subtract(&found).ok()?;
        part.resources += &found;
        part.tasks += 1;
    }
    (part.tasks > 0).then_some(part)
}

impl DrfAllocator {
    /// Resources for so many tasks of a gang, on all agents together; `None` when they are too few.
    pub(in crate::allocator) fn search(
        &self,
        now: Time,
        leaf: Leaf,
        group: &DemandGroup,
        tasks: u32,
        scope: Scope,
    ) -> Option<Vec<(AgentSlot, Part)>> {
        let (found, missing) = self.search_most(now, leaf, group, tasks, scope);
        (missing == 0).then_some(found)
    }

    /// Resources for as many tasks of a gang as there is room for, at most so many, in the order in which agents joined; and for how
    /// many there is none.
    pub(in crate::allocator) fn search_most(
        &self,
        now: Time,
        leaf: Leaf,
        group: &DemandGroup,
        tasks: u32,
        scope: Scope,
    ) -> (Vec<(AgentSlot, Part)>, u32) {
        let Some(member) = self.tree.member(leaf) else { return (Vec::new(), tasks) };
        let (mut found, mut missing, mut taken) = (Vec::new(), tasks, Quantities::new());
        for (slot, agent) in self.joined(scope) {
            let held = if scope == Scope::Free { agent.available() } else { agent.total() };
            // Most agents are too small, and that is soon seen.
            if !held.quantities.contains(&group.shape) || !self.serves_group(now, slot, agent, member, group)
            {
                continue;
            }
            let visible = visible(held, member, None);
            let room = match scope {
                Scope::Free => {
                    let visible = self.without_earmarked(slot, leaf, visible);
                    self.permitted(leaf, visible, &taken, || self.within_reach(leaf))
                }
                Scope::Whole => self.within_limits(leaf, visible, &taken).into_owned(),
            };
            let Some(part) = fit(&room, &member.role, &group.shape, missing) else { continue };
            if scope == Scope::Free && self.filters.hides(slot, leaf, &part.resources) {
                continue;
            }
            taken.add(&Amounts::of(&part.resources).charged());
            missing -= part.tasks;
            found.push((slot, part));
            if missing == 0 {
                break;
            }
        }
        (found, missing)
    }

    /// The agents that are there, in the order in which they joined.
    fn joined(&self, scope: Scope) -> Vec<(AgentSlot, &Agent)> {
        let mut agents: Vec<(AgentSlot, &Agent)> = match scope {
            Scope::Free => {
                let offering = self.agents.offering().members().iter();
                offering.filter_map(|slot| Some((*slot, self.agents.get(*slot)?))).collect()
            }
            Scope::Whole => self.agents.iter().filter(|(_, agent)| agent.active && agent.allowed).collect(),
        };
        agents.sort_unstable_by_key(|(_, agent)| agent.joined);
        agents
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_tasks_fit_and_nothing_is_taken_beyond_them() {
        let role: Role = "a".parse().unwrap();
        let held: Resources =
            "cpus:3;cpus(a):1.5;cpus{REV}:8;mem:900;ports:[1-9];disk(a)[v:data]:50;disk:50".parse().unwrap();
        let fit = |shape: &str, most| fit(&held, &role, &shape.parse().unwrap(), most);
        let part = fit("cpus:1;mem:100;ports:2", 9).unwrap();
        assert_eq!(part.tasks, 4);
        assert_eq!(part.resources, "cpus(a):1.5;cpus:2.5;mem:400;ports:[1-8]".parse().unwrap());
        assert_eq!(fit("cpus:1;mem:100", 2).unwrap().tasks, 2);
        assert_eq!(fit("disk:50", 9).unwrap().tasks, 1, "volumes do not count");
        assert_eq!(fit("cpus:5", 1), None, "nor does what is revocable");
        assert_eq!(fit("acres:1", 1), None);
    }

    #[test]
    fn tasks_of_a_gang_take_no_parts_of_two_gpus_for_one() {
        let held: Resources = "cpus:9;gpu_milli:[400-999,1000-1999]".parse().unwrap();
        let fit = |shape: &str, most| fit(&held, &Role::any(), &shape.parse().unwrap(), most);
        let part = fit("cpus:1;gpu_milli:600", 3).unwrap();
        assert_eq!(part.resources.to_string(), "cpus:2;gpu_milli:[400-1599]");
        assert_eq!(fit("cpus:1;gpu_milli:300", 9).unwrap().tasks, 5);
        assert_eq!(fit("gpu_milli:2000", 1), None, "the first device is not whole");
    }
}
