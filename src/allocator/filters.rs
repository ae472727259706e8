//! What frameworks refused lately.

use std::collections::BTreeSet;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::resources::Resources;
use crate::time::Time;

/// Whose refusal it is: framework, role and agent, by their slots.
pub(super) type FilterKey = (usize, usize, usize);

/// Refused offers, each until it expires. What is larger than, or different from, what was refused passes.
#[derive(Debug, Default)]
pub(super) struct Filters {
    refused: FxHashMap<FilterKey, Vec<(Time, Resources)>>,
    expiries: BTreeSet<(Time, FilterKey)>,
}

impl Filters {
    pub(super) fn refuse(&mut self, now: Time, key: FilterKey, resources: Resources, refuse: Duration) {
        let until = now + refuse;
        self.refused.entry(key).or_default().push((until, resources));
        self.expiries.insert((until, key));
    }

    pub(super) fn hides(&self, key: FilterKey, resources: &Resources) -> bool {
        self.refused
            .get(&key)
            .is_some_and(|refused| refused.iter().any(|(_, large)| large.contains(resources)))
    }

    /// Until when something is hidden.
    pub(super) fn until(&self, key: FilterKey) -> Option<Time> {
        self.refused.get(&key)?.iter().map(|(until, _)| *until).max()
    }

    pub(super) fn next_expiry(&self) -> Option<Time> {
        self.expiries.first().map(|(until, _)| *until)
    }

    /// Drops what has expired, and returns the agents that can be offered again.
    pub(super) fn expire(&mut self, now: Time) -> Vec<usize> {
        let mut agents = Vec::new();
        while let Some((until, key)) = self.expiries.first().copied().filter(|(until, _)| *until <= now) {
            self.expiries.pop_first();
            if let Some(refused) = self.refused.get_mut(&key) {
                refused.retain(|(end, _)| *end > until);
                if refused.is_empty() {
                    self.refused.remove(&key);
                }
            }
            agents.push(key.2);
        }
        agents
    }

    /// Drops the refusals of which `matches` says so.
    pub(super) fn clear(&mut self, matches: impl Fn(&FilterKey) -> bool) {
        self.refused.retain(|key, _| !matches(key));
        self.expiries.retain(|(_, key)| !matches(key));
    }
}
