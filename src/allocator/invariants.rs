//! What must always hold of an allocator, for simulators and tests.

use rustc_hash::FxHashMap;

use super::DrfAllocator;
use super::agents::Amounts;
use super::tree::Leaf;
use crate::protocol::AgentId;
use crate::resources::{Quantities, Resources};

/// The allocator's books do not add up: a defect of the allocator.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Inconsistency {
    /// What is free and what is allocated on an agent are not all that it has.
    #[error("agent {agent} has {total}, but {available} are free and {in_use} in use")]
    Agent {
        /// Which.
        agent: AgentId,
        /// All that it has.
        total: Box<Resources>,
        /// What is free.
        available: Box<Resources>,
        /// What is allocated.
        in_use: Box<Resources>,
    },
    /// The agents' resources are not the cluster's.
    #[error("the agents have {agents} together, but the cluster {cluster}")]
    Cluster {
        /// The sum over agents.
        agents: Box<Quantities>,
        /// What shares are of.
        cluster: Box<Quantities>,
    },
    /// A framework's share in a role is of other amounts than what it has on agents.
    #[error("{framework} has {held} on agents, but {counted} count for its share")]
    Leaf {
        /// Which framework, in which role.
        framework: String,
        /// What it has on agents.
        held: Box<Quantities>,
        /// What is counted.
        counted: Box<Quantities>,
    },
    /// Optimistic offers are noted of agents that are gone, or to frameworks that are.
    #[error("{offers} optimistic offers are noted that are nobody's")]
    StrayOffers {
        /// How many.
        offers: usize,
    },
    /// More is kept for a gang on an agent than its framework has there.
    #[error("{kept} are kept for a gang on {agent}, but its framework has {held} there")]
    Kept {
        /// Where.
        agent: AgentId,
        /// What is kept.
        kept: Box<Resources>,
        /// What its framework has there.
        held: Box<Resources>,
    },
}

impl DrfAllocator {
    /// Checks that nothing was lost or handed out twice: on each agent, for each framework, and for the cluster.
    ///
    /// # Errors
    /// The first thing that does not add up.
    pub fn check_invariants(&self) -> Result<(), Inconsistency> {
        let mut cluster = Quantities::new();
        let mut held: FxHashMap<Leaf, Quantities> = FxHashMap::default();
        for (_, agent) in self.agents.iter() {
            cluster.add(&Amounts::of(&agent.total().resources).scalars);
            for (leaf, resources) in agent.allocated() {
                held.entry(*leaf).or_default().add(&Amounts::of(resources).scalars);
            }
            let (total, available) = (&agent.total().resources, &agent.available().resources);
            let in_use = agent.in_use();
            let adds_up = if agent.is_overcommitted() {
                available.is_empty() && !total.contains(&in_use)
            } else {
                total.checked_sub(&in_use).is_ok_and(|left| left == *available)
            };
            if !adds_up {
                return Err(Inconsistency::Agent {
                    agent: agent.id.clone(),
                    total: Box::new(total.clone()),
                    available: Box::new(available.clone()),
                    in_use: Box::new(in_use),
                });
            }
        }
        if cluster != self.total {
            return Err(Inconsistency::Cluster {
                agents: Box::new(cluster),
                cluster: Box::new(self.total.clone()),
            });
        }
        for (leaf, slot, kept) in self.gangs.kept() {
            let Some(agent) = self.agents.get(slot) else { continue };
            let held = agent.held_by(leaf).cloned().unwrap_or_default();
            if !held.contains(kept) {
                let (kept, held) = (Box::new(kept.clone()), Box::new(held));
                return Err(Inconsistency::Kept { agent: agent.id.clone(), kept, held });
            }
        }
        for (framework, membership) in self.frameworks.memberships() {
            let held = held.remove(&membership.leaf).unwrap_or_default();
            let counted = self.tree.allocated(membership.leaf);
            if held != *counted {
                let framework = format!("{} in {}", framework.id, membership.role);
                return Err(Inconsistency::Leaf {
                    framework,
                    held: Box::new(held),
                    counted: Box::new(counted.clone()),
                });
            }
        }
        let is_stray = |(agent, leaf)| self.agents.get(agent).is_none() || self.tree.member(leaf).is_none();
        let offers = self.optimistic.iter().filter(|out| is_stray(*out)).count();
        if offers > 0 {
            return Err(Inconsistency::StrayOffers { offers });
        }
        match held.into_iter().find(|(_, held)| !held.is_empty()) {
            Some((_, held)) => Err(Inconsistency::Leaf {
                framework: "a framework that is gone".to_owned(),
                held: Box::new(held),
                counted: Box::default(),
            }),
            None => Ok(()),
        }
    }
}
