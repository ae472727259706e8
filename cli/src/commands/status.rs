//! `apportion status`: the cluster at a glance.

use apportion::protocol::operator::ClusterState;
use apportion::resources::Resources;

use crate::failure::Failure;
use crate::output::{amounts, print, print_json};

/// Prints how much there is, is used and waits.
pub(crate) fn print_status(state: &ClusterState, json: bool) -> Result<(), Failure> {
    if json { print_json(state) } else { print(&glance(state)) }
}

fn glance(state: &ClusterState) -> String {
    let mut total = Resources::new();
    let mut used = Resources::new();
    for agent in &state.agents {
        total.add(&agent.total);
        used.add(&agent.allocated);
    }
    let agents = state.agents.iter().filter(|agent| agent.connected).count();
    let frameworks = state.frameworks.iter().filter(|framework| framework.connected).count();
    let active = state.tasks.iter().filter(|task| !task.state.is_terminal()).count();
    format!(
        "agents      {agents} connected of {}\n\
         frameworks  {frameworks} connected of {}\n\
         tasks       {active} that have not ended\n\
         has         {}\n\
         used        {}\n",
        state.agents.len(),
        state.frameworks.len(),
        amounts(&total),
        amounts(&used),
    )
}
