//! Preemption: tasks of roles that have more than they are entitled to make room for roles that have less.
//!
//! A role is *entitled* to its guarantee and, under [`PreemptionPolicy::FairShare`], to its fair share: at each level of the role
//! tree its weight's part of what is due to its parent, among the siblings that have or want something. A role whose frameworks
//! have [stated](crate::allocator::Allocator::set_demand) what they wait for and that has had less for longer than
//! [`PreemptionOptions::after`] is made room for, one stated task at a time: on the agent where the fewest tasks have to end for
//! it, and of those the tasks of the role that is furthest above its fair share, the revocable before others, those of lower
//! priority, the youngest. For a gang, room is made for all that lack to it, of at most 64 tasks, or for none. The room is earmarked:
//! nobody else is offered it, nor as much elsewhere where guarantees keep that back, until its framework has been.
//!
//! # Why it ends
//!
//! A task is taken only if its role keeps what it is entitled to by the same right or a higher one (a guarantee outranks fair
//! shares), as things stand when that is decided, and room is made only for a task that its role is entitled to. So within
//! guarantees nobody ever loses a task, and each preemption for a guarantee adds one; while guarantees stay as they are, nobody
//! loses a task within its fair share, and each preemption for a fair share adds one. As long as nothing changes from outside, the
//! number of preemptions is bounded by the number of tasks that fit within guarantees and fair shares, and none is ever taken back
//! by another. Where a role and one above it part only further down, the levels that both share neither gain nor lose.
//!
//! What a gang gathers in its turn is not its role's before it is complete, as it may have to give it back.
//!
//! | file | idea |
//! | --- | --- |
//! | `options` | for whom, after how long, with how much warning |
//! | `deprived` | who has had too little for how long |
//! | `sheet` | the tasks that run, and how to make room for one more |
//! | `earmarks` | the room that is being made |

mod deprived;
mod earmarks;
mod options;
mod sheet;

pub(super) use deprived::Deprived;
pub(super) use earmarks::Earmarks;
pub use options::{PreemptionOptions, PreemptionPolicy, UnknownPolicy};

use std::borrow::Cow;
use std::time::Duration;

use self::sheet::Sheet;
use super::DrfAllocator;
use super::agents::{AgentSlot, Amounts, is_charged};
use super::quota::cut_to;
use super::tree::{Leaf, Ledger};
use crate::protocol::{AgentId, FrameworkId, TaskId};
use crate::resources::{Quantities, Resources, Role};
use crate::time::Time;

/// A task that can be made to end.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningTask {
    /// Whose it is.
    pub framework: FrameworkId,
    /// Which.
    pub task: TaskId,
    /// The role that its resources count for.
    pub role: Role,
    /// Where it runs.
    pub agent: AgentId,
    /// What it takes.
    pub resources: Resources,
    /// Of two tasks the one of lower priority ends first.
    pub priority: i32,
    /// Since when it runs.
    pub started: Time,
    /// It is about to end for an earlier preemption.
    pub ending: bool,
}

/// Tasks that are to end so that another finds room.
#[derive(Clone, Debug, PartialEq)]
pub struct Preemption {
    /// For which framework.
    pub framework: FrameworkId,
    /// In which of its roles.
    pub role: Role,
    /// Where.
    pub agent: AgentId,
    /// When they have to have ended.
    pub deadline: Time,
    /// Which tasks are to end.
    pub victims: Vec<(FrameworkId, TaskId)>,
}

/// No more tasks than this find room by preemption for one role at a time; the others wait for the next time.
const MAX_AT_ONCE: usize = 64;

/// A role waits at least so long from one preemption to the next, so that each has its effect before.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

impl DrfAllocator {
    fn patience(&self) -> Duration {
        self.options.preemption.after.max(SHORTEST_WAIT)
    }

    fn counts_fair(&self) -> bool {
        self.options.preemption.policy == PreemptionPolicy::FairShare
    }

    /// Whether [`watch_deprived`](Self::watch_deprived) may find others than last time, though there is nothing to offer.
    pub(super) fn has_to_watch(&self) -> bool {
        self.options.preemption.policy != PreemptionPolicy::Never && self.deprived.is_outdated()
    }

    /// Notes who has too little, and lets go what was earmarked in vain. When to look again.
    pub(super) fn watch_deprived(&mut self, now: Time) -> Option<Time> {
        if self.options.preemption.policy == PreemptionPolicy::Never {
            return None;
        }
        for agent in self.earmarks.drop_stale(now, |leaf| self.tree.wants(leaf)) {
            self.agent_freed(agent);
        }
        let ledger = self.entitlements();
        let deprived = self
            .waiting_leaves()
            .filter(|(_, leaf)| ledger.is_deprived(self.tree.group_of(*leaf), self.counts_fair()));
        let roles = deprived.map(|(role, _)| role.clone()).collect();
        self.deprived.observe(now, roles);
        let due = self.deprived.oldest().map(|since| since + self.patience());
        due.into_iter().chain(self.earmarks.next_expiry()).min()
    }

    /// Names the tasks that are to end now for roles that have had too little for long enough.
    pub(super) fn plan_preemptions(&mut self, now: Time, running: &[RunningTask]) -> Vec<Preemption> {
        let due = self.deprived.take_due(now, self.patience());
        if due.is_empty() {
            return Vec::new();
        }
        let waiting: Vec<(Role, Leaf)> = self
            .waiting_leaves()
            .filter(|(role, _)| due.contains(role))
            .map(|(role, leaf)| (role.clone(), leaf))
            .collect();
        let mut sheet = Sheet::new(self, now, running);
        let mut planned = Vec::new();
        for (_, leaf) in waiting {
            planned.extend(sheet.make_room_for(leaf, MAX_AT_ONCE).into_iter().map(|room| (leaf, room)));
        }
        let deadline = now + self.options.preemption.grace;
        let mut preemptions = Vec::new();
        for (leaf, room) in planned {
            let framework = self.tree.member(leaf).and_then(|member| self.frameworks.get(member.slot));
            let (Some(member), Some(framework), Some(agent)) =
                (self.tree.member(leaf), framework, self.agents.get(room.agent))
            else {
                continue;
            };
            self.earmarks.add(room.agent, leaf, room.amounts.clone(), deadline + self.patience());
            if room.victims.is_empty() {
                continue;
            }
            let victim = |index: &usize| (running[*index].framework.clone(), running[*index].task.clone());
            preemptions.push(Preemption {
                framework: framework.id.clone(),
                role: member.role.clone(),
                agent: agent.id.clone(),
                deadline,
                victims: room.victims.iter().map(victim).collect(),
            });
        }
        preemptions
    }

    /// Whether the framework still waits for the room that is made for it there.
    pub(super) fn is_awaited(&self, preemption: &Preemption) -> bool {
        let leaf = self.leaf(&preemption.framework, &preemption.role);
        let agent = self.agents.slot(&preemption.agent);
        matches!((leaf, agent), (Some(leaf), Some(agent))
            if self.tree.wants(leaf) && self.earmarks.is_for(agent, leaf))
    }

    /// When tasks of others are to make room for a role that has too little, if ever; `None` when it has what it is entitled to.
    pub(super) fn preemption_of(&self, role: &Role, leaf: Leaf) -> Option<Option<Time>> {
        let ledger = self.entitlements();
        let is_deprived = ledger.is_deprived(self.tree.group_of(leaf), self.counts_fair());
        let due = self.deprived.since(role).map(|since| since + self.patience());
        is_deprived.then_some(due)
    }

    /// What of an agent's resources is not earmarked for others.
    pub(super) fn without_earmarked<'a>(
        &self,
        slot: AgentSlot,
        leaf: Leaf,
        visible: Cow<'a, Resources>,
    ) -> Cow<'a, Resources> {
        if self.earmarks.none_at(slot) {
            return visible;
        }
        let charged = visible.filter(is_charged);
        let left = self.earmarks.open_to(slot, leaf, &charged.quantities());
        Cow::Owned(visible.filter(|resource| !is_charged(resource)) + &cut_to(&charged, &left))
    }

    /// What is free, but not open to a leaf as it is earmarked for others, except where it is kept back for their guarantees anyway.
    pub(super) fn earmarked_beside(&self, leaf: Leaf) -> Quantities {
        let mut beside = Quantities::new();
        for (slot, earmarks) in self.earmarks.by_agent() {
            let Some(agent) = self.agents.get(slot) else { continue };
            let free = agent.available().resources.filter(is_charged).quantities();
            let mut here = free.minus_clamped(&self.earmarks.open_to(slot, leaf, &free));
            for other in earmarks.iter().filter(|earmark| earmark.leaf != leaf) {
                here.subtract_clamped(&self.tree.lacking(other.leaf).min(&other.amounts));
            }
            beside.add(&here);
        }
        beside
    }

    /// What roles have and what they are entitled to. What a gang gathers is not its role's before it is complete.
    pub(super) fn entitlements(&self) -> Ledger {
        let mut ledger = self.tree.ledger(self.share_total().into_owned());
        for (leaf, _, kept) in self.gangs.kept() {
            ledger.take(self.tree.group_of(leaf), &Amounts::of(kept));
        }
        ledger
    }

    /// Frameworks, in their roles, that want offers and have stated what for.
    fn waiting_leaves(&self) -> impl Iterator<Item = (&Role, Leaf)> {
        self.frameworks.memberships().map(|(_, membership)| (&membership.role, membership.leaf)).filter(
            |(_, leaf)| {
                let demand = self.tree.member(*leaf).and_then(|member| member.demand.as_ref());
                demand.is_some() && self.tree.wants(*leaf)
            },
        )
    }
}
