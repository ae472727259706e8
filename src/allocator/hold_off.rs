//! Holding offers off after a failover, until most agents are back.

use std::time::Duration;

use super::DrfAllocator;
use crate::time::Time;

/// Nothing is offered before this.
#[derive(Clone, Copy, Debug)]
pub(super) struct HoldOff {
    /// How many agents must be there.
    agents: usize,
    /// When it is over, however many there are.
    until: Time,
}

/// The part of the agents that must be back, as Mesos has it.
const RECOVERED_PERCENT: usize = 80;

impl DrfAllocator {
    /// Holds offers off until most of the agents that a master expects back after a failover are there, or the time is over:
    /// otherwise the first agents' resources would go to roles whose quota is used up on agents that come later. Without quotas
    /// it changes nothing.
    pub fn hold_off(&mut self, now: Time, expected_agents: usize, timeout: Duration) {
        if self.tree.has_quota() {
            let agents = expected_agents * RECOVERED_PERCENT / 100;
            self.hold_off = Some(HoldOff { agents, until: now + timeout });
        }
    }

    /// Until when offers are held off; `None` when they are not.
    pub(super) fn held_off_until(&self) -> Option<Time> {
        self.hold_off.filter(|hold_off| self.agents.count() < hold_off.agents).map(|hold_off| hold_off.until)
    }

    /// Whether offers are held off now; once they are not, they are not any more.
    pub(super) fn is_held_off(&mut self, now: Time) -> bool {
        let holds = self.held_off_until().is_some_and(|until| now < until);
        if !holds {
            self.hold_off = None;
        }
        holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocator::{AgentProfile, Allocator, FrameworkProfile, Quota};
    use crate::protocol::{AgentId, FrameworkId};
    use crate::resources::{Resources, Role};

    fn offers(allocator: &mut DrfAllocator, now: u64) -> usize {
        let mut offers = Vec::new();
        allocator.allocate(Time::from_secs(now), &mut offers);
        offers.len()
    }

    fn recovering() -> DrfAllocator {
        let mut allocator = DrfAllocator::default();
        let role: Role = "a".parse().unwrap();
        let quota = Quota { limit: "cpus:100".parse().unwrap(), ..Quota::default() };
        allocator.set_quota(&role, &quota, false).unwrap();
        allocator.hold_off(Time::ZERO, 5, Duration::from_secs(600));
        allocator.add_framework(&FrameworkId::new("f").unwrap(), &FrameworkProfile::new(&[role]));
        allocator
    }

    fn add_agent(allocator: &mut DrfAllocator, number: u32) {
        let id = AgentId::new(format!("agent{number}")).unwrap();
        allocator.add_agent(&id, &AgentProfile::default(), &Resources::cpus_mem(1000, 64), &[]);
    }

    #[test]
    fn most_agents_must_be_back() {
        let mut allocator = recovering();
        for number in 0..3 {
            add_agent(&mut allocator, number);
            assert_eq!(offers(&mut allocator, 1), 0);
            assert_eq!(allocator.next_deadline(), Some(Time::from_secs(600)));
        }
        add_agent(&mut allocator, 3);
        assert_eq!(allocator.next_deadline(), Some(Time::ZERO));
        assert_eq!(offers(&mut allocator, 1), 4);
    }

    #[test]
    fn it_is_over_at_last() {
        let mut allocator = recovering();
        add_agent(&mut allocator, 0);
        assert_eq!(offers(&mut allocator, 599), 0);
        assert_eq!(offers(&mut allocator, 600), 1);
    }
}
