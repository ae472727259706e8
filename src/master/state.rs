//! The cluster as operators see it.

use rustc_hash::FxHashMap;

use super::machine::Master;
use super::offers::Offer;
use crate::protocol::operator::{AgentState, ClusterState, FrameworkState, RoleState};
use crate::protocol::{AgentId, FrameworkId, OfferMode};
use crate::resources::{Resources, Role};
use crate::time::Time;

impl Master {
    /// The cluster at this moment. Costs time and memory in proportion to the number of tasks.
    pub fn cluster_state(&self, now: Time) -> ClusterState {
        let mut by_agent: FxHashMap<&AgentId, Resources> = FxHashMap::default();
        let mut by_framework: FxHashMap<&FrameworkId, Resources> = FxHashMap::default();
        let mut by_role: FxHashMap<&Role, Resources> = FxHashMap::default();
        let mut tasks = Vec::new();
        for (id, framework) in &self.frameworks {
            for task in framework.tasks.values() {
                if !task.state.is_terminal() {
                    *by_agent.entry(&task.agent).or_default() += &task.info.resources;
                    *by_framework.entry(id).or_default() += &task.info.resources;
                    *by_role.entry(&task.role).or_default() += &task.info.resources;
                }
                tasks.push(task.summary(id));
            }
            tasks.extend(framework.completed.iter().cloned());
        }
        tasks.sort_by(|a, b| (&a.framework, &a.status.task).cmp(&(&b.framework, &b.status.task)));

        let mut offered: FxHashMap<&AgentId, Resources> = FxHashMap::default();
        for Offer { allocation, .. } in self.offers.iter().filter(|offer| offer.mode == OfferMode::Exclusive)
        {
            *offered.entry(&allocation.agent).or_default() += &allocation.resources;
            *by_role.entry(&allocation.role).or_default() += &allocation.resources;
        }

        let mut agents: Vec<AgentState> = self
            .agents
            .iter()
            .map(|(id, agent)| {
                let window = self.maintenance.window(id);
                AgentState {
                    id: id.clone(),
                    hostname: agent.info.hostname.clone(),
                    address: agent.info.address,
                    connected: agent.connection.is_some(),
                    total: agent.info.resources.clone(),
                    allocated: by_agent.remove(id).unwrap_or_default(),
                    offered: offered.remove(id).unwrap_or_default(),
                    attributes: agent.info.attributes.clone(),
                    domain: agent.info.domain.clone(),
                    unavailability: window.map(|window| window.unavailability),
                    answers: window
                        .map(|window| window.answers.clone().into_iter().collect())
                        .unwrap_or_default(),
                }
            })
            .collect();
        agents.sort_by(|a, b| a.id.cmp(&b.id));

        let mut frameworks: Vec<FrameworkState> = self
            .frameworks
            .iter()
            .map(|(id, framework)| FrameworkState {
                id: id.clone(),
                roles: framework.info.roles.clone(),
                connected: framework.connection.is_some(),
                allocated: by_framework.remove(id).unwrap_or_default(),
                tasks_active: framework.tasks.values().filter(|task| !task.state.is_terminal()).count()
                    as u64,
                tasks_finished: framework.finished,
                tasks_failed: framework.failed,
                offers: framework.offers.len() as u64,
            })
            .collect();
        frameworks.sort_by(|a, b| a.id.cmp(&b.id));

        let roles = self
            .allocator
            .shares()
            .into_iter()
            .map(|share| RoleState {
                allocated: by_role.remove(&share.role).unwrap_or_default(),
                role: share.role,
                weight: share.weight,
                quota: share.quota,
                offers: share.offers,
                dominant_share: share.share.as_f64(),
                dominant_kind: share.dominant,
                frameworks: share.frameworks,
            })
            .collect();
        ClusterState { at: now, agents, frameworks, roles, tasks, allow_list: self.allow_list.clone() }
    }
}
