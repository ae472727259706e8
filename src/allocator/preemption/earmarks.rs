//! What preemption makes room for: kept on an agent for one framework until it has been offered it.

use rustc_hash::FxHashMap;

use crate::allocator::agents::AgentSlot;
use crate::allocator::tree::Leaf;
use crate::resources::Quantities;
use crate::time::Time;

/// Room on an agent that is being made for a framework in a role.
#[derive(Clone, Debug)]
pub(in crate::allocator) struct Earmark {
    pub(in crate::allocator) leaf: Leaf,
    pub(in crate::allocator) amounts: Quantities,
    /// Not kept for longer.
    until: Time,
}

/// All earmarks, by agent.
#[derive(Debug, Default)]
pub(in crate::allocator) struct Earmarks(FxHashMap<AgentSlot, Vec<Earmark>>);

impl Earmarks {
    pub(in crate::allocator) fn none_at(&self, agent: AgentSlot) -> bool {
        self.0.is_empty() || !self.0.contains_key(&agent)
    }

    /// How much of what is free on an agent a leaf can have: what is not kept for others, and as much as is kept for itself, unless
    /// others were before it.
    pub(in crate::allocator) fn open_to(
        &self,
        agent: AgentSlot,
        leaf: Leaf,
        free: &Quantities,
    ) -> Quantities {
        let (mut before, mut others, mut own) = (Quantities::new(), Quantities::new(), Quantities::new());
        for earmark in self.0.get(&agent).into_iter().flatten() {
            if earmark.leaf == leaf {
                own.add(&earmark.amounts);
                continue;
            }
            others.add(&earmark.amounts);
            if own.is_empty() {
                before.add(&earmark.amounts);
            }
        }
        free.minus_clamped(&others).max(&free.minus_clamped(&before).min(&own))
    }

    pub(in crate::allocator) fn is_for(&self, agent: AgentSlot, leaf: Leaf) -> bool {
        self.0.get(&agent).is_some_and(|here| here.iter().any(|earmark| earmark.leaf == leaf))
    }

    pub(in crate::allocator) fn add(
        &mut self,
        agent: AgentSlot,
        leaf: Leaf,
        amounts: Quantities,
        until: Time,
    ) {
        self.0.entry(agent).or_default().push(Earmark { leaf, amounts, until });
    }

    /// A leaf was offered so much of an agent: it had its turn for as many earmarks as that covers.
    pub(in crate::allocator) fn offered(&mut self, agent: AgentSlot, leaf: Leaf, amounts: &Quantities) {
        let mut left = amounts.clone();
        self.retain_at(agent, |earmark| earmark.leaf != leaf || left.try_subtract(&earmark.amounts).is_err());
    }

    pub(in crate::allocator) fn forget_agent(&mut self, agent: AgentSlot) {
        self.0.remove(&agent);
    }

    /// Drops what has expired, and what those do not want any more of whom `wants` says so. Returns the agents.
    pub(in crate::allocator) fn drop_stale(
        &mut self,
        now: Time,
        wants: impl Fn(Leaf) -> bool,
    ) -> Vec<AgentSlot> {
        self.drop_if(|earmark| earmark.until <= now || !wants(earmark.leaf))
    }

    /// A leaf has all of a gang with tasks of this shape, wherever it found it. Returns the agents with what was for it.
    pub(in crate::allocator) fn gathered(&mut self, leaf: Leaf, shape: &Quantities) -> Vec<AgentSlot> {
        self.drop_if(|earmark| earmark.leaf == leaf && earmark.amounts == *shape)
    }

    fn drop_if(&mut self, is_over: impl Fn(&Earmark) -> bool) -> Vec<AgentSlot> {
        let over = self.0.iter().filter(|(_, here)| here.iter().any(&is_over));
        let agents: Vec<AgentSlot> = over.map(|(agent, _)| *agent).collect();
        for agent in &agents {
            self.retain_at(*agent, |earmark| !is_over(earmark));
        }
        agents
    }

    pub(in crate::allocator) fn next_expiry(&self) -> Option<Time> {
        self.iter().map(|(_, earmark)| earmark.until).min()
    }

    pub(in crate::allocator) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::allocator) fn by_agent(&self) -> impl Iterator<Item = (AgentSlot, &[Earmark])> {
        self.0.iter().map(|(agent, here)| (*agent, here.as_slice()))
    }

    pub(in crate::allocator) fn iter(&self) -> impl Iterator<Item = (AgentSlot, &Earmark)> {
        self.by_agent().flat_map(|(agent, here)| here.iter().map(move |earmark| (agent, earmark)))
    }

    fn retain_at(&mut self, agent: AgentSlot, keep: impl FnMut(&mut Earmark) -> bool) {
        if let Some(here) = self.0.get_mut(&agent) {
            let mut keep = keep;
            here.retain_mut(|earmark| keep(earmark));
            if here.is_empty() {
                self.0.remove(&agent);
            }
        }
    }
}
