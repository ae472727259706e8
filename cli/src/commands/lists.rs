//! `apportion agents`, `tasks`, `roles` and `frameworks`: the parts of a cluster, as tables or JSON.

use std::time::Duration;

use apportion::protocol::FrameworkId;
use apportion::protocol::operator::{AgentState, ClusterState, TaskSummary};
use apportion::runtime::Clock;
use apportion::spec::Delay;

use super::control::quota_told;

use crate::failure::Failure;
use crate::output::{amounts, print_json, print_table};

/// What agents have, and what of it is used and offered.
pub(crate) fn agents(state: &ClusterState, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(&state.agents);
    }
    let rows = state.agents.iter().map(|agent| {
        [
            agent.id.to_string(),
            agent.hostname.clone(),
            connected(agent.connected),
            amounts(&agent.total),
            amounts(&agent.allocated),
            amounts(&agent.offered),
            away(agent),
        ]
    });
    let heading = ["AGENT", "HOST", "CONNECTED", "TOTAL", "USED", "OFFERED", "AWAY"];
    print_table(
        heading,
        rows.collect(),
        "no agents; make a token for one with `apportion token create agent`",
    )
}

/// Tasks, of one framework if so wanted.
pub(crate) fn tasks(
    state: &ClusterState,
    framework: Option<&FrameworkId>,
    json: bool,
) -> Result<(), Failure> {
    let wanted = |task: &&TaskSummary| framework.is_none_or(|framework| task.framework == *framework);
    let tasks: Vec<&TaskSummary> = state.tasks.iter().filter(wanted).collect();
    if json {
        return print_json(&tasks);
    }
    let rows = tasks.iter().map(|task| {
        [
            task.status.task.to_string(),
            task.framework.to_string(),
            task.role.to_string(),
            task.agent.to_string(),
            task.state.to_string(),
            amounts(&task.resources),
            task.status.message.clone(),
        ]
    });
    let heading = ["TASK", "FRAMEWORK", "ROLE", "AGENT", "STATE", "TAKES", "MESSAGE"];
    print_table(heading, rows.collect(), "no tasks")
}

/// Roles with their weights, shares and quotas.
pub(crate) fn roles(state: &ClusterState, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(&state.roles);
    }
    let rows = state.roles.iter().map(|role| {
        let kind = role.dominant_kind.as_ref().map(|kind| format!(" of {}", kind.as_str()));
        [
            role.role.to_string(),
            (f64::from(role.weight.milli()) / 1000.0).to_string(),
            format!("{:.1}%{}", role.dominant_share * 100.0, kind.unwrap_or_default()),
            amounts(&role.allocated),
            role.frameworks.to_string(),
            quota_told(&role.quota).join(", "),
            role.offers.to_string(),
        ]
    });
    let heading = ["ROLE", "WEIGHT", "SHARE", "HAS", "FRAMEWORKS", "QUOTA", "OFFERS"];
    print_table(heading, rows.collect(), "no roles are in use")
}

/// Frameworks and how many tasks they have.
pub(crate) fn frameworks(state: &ClusterState, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(&state.frameworks);
    }
    let rows = state.frameworks.iter().map(|framework| {
        let roles: Vec<String> = framework.roles.iter().map(ToString::to_string).collect();
        [
            framework.id.to_string(),
            roles.join(", "),
            connected(framework.connected),
            framework.tasks_active.to_string(),
            framework.tasks_finished.to_string(),
            framework.tasks_failed.to_string(),
            framework.offers.to_string(),
            amounts(&framework.allocated),
        ]
    });
    let heading = ["FRAMEWORK", "ROLES", "CONNECTED", "ACTIVE", "FINISHED", "FAILED", "OFFERS", "USES"];
    print_table(heading, rows.collect(), "no frameworks; start one with `apportion batch --role ROLE`")
}

/// When an agent will be away, and who has answered to that.
fn away(agent: &AgentState) -> String {
    let Some(window) = agent.unavailability else { return String::new() };
    let now = Clock::start().now();
    let rounded =
        |duration: Duration| Delay::from_secs(u32::try_from(duration.as_secs()).unwrap_or(u32::MAX));
    let begins = if window.covers(now) {
        "now".to_owned()
    } else {
        format!("in {}", rounded(window.start.since(now)))
    };
    let lasts = window.duration.map(|duration| format!(" for {}", rounded(duration))).unwrap_or_default();
    let answers = agent
        .answers
        .iter()
        .map(|(framework, accepts)| format!("; {framework} {}", if *accepts { "leaves" } else { "stays" }));
    format!("{begins}{lasts}{}", answers.collect::<String>())
}

fn connected(is_connected: bool) -> String {
    if is_connected { "yes".to_owned() } else { "no".to_owned() }
}
