//! Why a task waited.

use apportion::master::{Input, Output};
use apportion::protocol::operator::{OperatorAnswer, OperatorRequest};
use apportion::protocol::{
    ConnectionId, Explanation, FrameworkId, Identity, IdentityKind, OperatorCall, OperatorEvent, RequestId,
    SchedulerCall, SchedulerEvent, TaskInfo,
};
use apportion::resources::{Quantities, Role};
use serde::Serialize;

use super::{Replay, ReplayError};

/// The connection of who asks, which no master gives.
const ASKER: ConnectionId = ConnectionId(u64::MAX);

/// What stood in a task's way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Waiting {
    /// Whose the task is.
    pub framework: Option<FrameworkId>,
    /// When it was launched, in seconds from the beginning, where the journal tells.
    pub launched_at_s: Option<f64>,
    /// Why it did not run when the replay stopped.
    pub explanation: Explanation,
}

/// Why that can't be told.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The journal can't be read.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The journal has no such task.
    #[error(
        "the journal has no task '{task}' that runs at this time or is launched later; what a task asks for that never runs only its framework knows"
    )]
    Unknown {
        /// The task.
        task: String,
    },
    /// The framework was not there.
    #[error("framework {framework} of task '{task}' is not connected at this time")]
    Absent {
        /// The task.
        task: String,
        /// Its framework.
        framework: FrameworkId,
    },
    /// The master refuses to tell.
    #[error("the master does not tell: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
}

/// A launch that comes later.
struct Launch {
    at_s: f64,
    framework: FrameworkId,
    role: Role,
    wanted: Quantities,
}

impl Replay<'_> {
    /// Why a task does not run where the replay has stopped. What it asks for is told by its launch, later in the journal; in the
    /// place of its framework the journal answers the master, and the master's allocator tells the rest. The replay is over then.
    ///
    /// # Errors
    /// When the journal can't be read, or does not know the task.
    pub fn why(&mut self, task: &str) -> Result<Waiting, WaitError> {
        let mut out = Vec::new();
        self.ask(task, &mut out)?;
        if let Some(explanation) = answer(&out)? {
            return Ok(Waiting { framework: None, launched_at_s: None, explanation });
        }
        let asked: Vec<(ConnectionId, RequestId)> = out
            .iter()
            .filter_map(|output| match output {
                Output::ToScheduler { connection, event: SchedulerEvent::Explain { request, .. } } => {
                    Some((*connection, *request))
                }
                _ => None,
            })
            .collect();
        let launch = self.launch_of(task)?.ok_or_else(|| WaitError::Unknown { task: task.to_owned() })?;
        let owner = asked
            .iter()
            .find(|(connection, _)| self.framework_of(*connection).as_ref() == Some(&launch.framework));
        let Some((connection, request)) = owner.copied() else {
            return Err(WaitError::Absent { task: task.to_owned(), framework: launch.framework });
        };
        let half = Explanation {
            task: Some(task.to_owned()),
            wants: Some((launch.role, launch.wanted)),
            obstacles: Vec::new(),
        };
        out.clear();
        let call = SchedulerCall::Explained { request, explanation: Box::new(half) };
        self.master.handle(self.now, Input::Scheduler { connection, call }, &mut out);
        let explanation = answer(&out)?.ok_or_else(|| WaitError::Unknown { task: task.to_owned() })?;
        Ok(Waiting { framework: Some(launch.framework), launched_at_s: Some(launch.at_s), explanation })
    }

    /// Asks the master as an operator does: as one that was there, since rules may not allow it to others.
    fn ask(&mut self, task: &str, out: &mut Vec<Output>) -> Result<(), WaitError> {
        let mut operators: Vec<&Identity> =
            self.peers.values().filter(|peer| peer.kind() == IdentityKind::Operator).collect();
        operators.sort_by_key(|peer| peer.name());
        let cluster = self.peers.values().next().map_or("apportion", Identity::cluster);
        let peer = match operators.first() {
            Some(peer) => (*peer).clone(),
            None => Identity::new(cluster, IdentityKind::Operator, "replay")
                .map_err(|error| WaitError::Refused { reason: error.to_string() })?,
        };
        self.master.handle(self.now, Input::Connected { connection: ASKER, peer }, out);
        let call = OperatorCall::Explain { task: task.to_owned() };
        let request = OperatorRequest { request: RequestId(0), call };
        self.master.handle(self.now, Input::Operator { connection: ASKER, request }, out);
        Ok(())
    }

    fn launch_of(&mut self, task: &str) -> Result<Option<Launch>, ReplayError> {
        let mut found = None;
        let begun = self.begun();
        let mut roles = Vec::new();
        self.later(|at, input| {
            if let Some((connection, info)) = launches(input).find(|(_, info)| info.id.as_str() == task) {
                found = Some((at.since(begun).as_secs_f64(), connection, info.resources.quantities()));
            }
            if let Input::Scheduler { connection, call: SchedulerCall::Subscribe { framework, .. } } = input {
                roles.push((*connection, framework.roles.first().cloned()));
            }
            found.is_none()
        })?;
        let Some((at_s, connection, wanted)) = found else { return Ok(None) };
        let Some(framework) = self.framework_of(connection) else { return Ok(None) };
        let known = self.cluster().frameworks.into_iter().find(|known| known.id == framework);
        let role = known.and_then(|known| known.roles.into_iter().next());
        Ok(role.map(|role| Launch { at_s, framework, role, wanted }))
    }
}

/// The tasks that an input launches.
pub(super) fn launches(input: &Input) -> impl Iterator<Item = (ConnectionId, &TaskInfo)> {
    let operations = match input {
        Input::Scheduler { connection, call: SchedulerCall::Accept { operations, .. } } => {
            vec![(*connection, operations)]
        }
        Input::Scheduler { connection, call: SchedulerCall::AcceptSet { parts, .. } } => {
            parts.iter().map(|(_, operations)| (*connection, operations)).collect()
        }
        _ => Vec::new(),
    };
    operations.into_iter().flat_map(|(connection, operations)| {
        operations.iter().flat_map(|operation| operation.tasks()).map(move |task| (connection, task))
    })
}

fn answer(outputs: &[Output]) -> Result<Option<Explanation>, WaitError> {
    let events = outputs.iter().filter_map(|output| match output {
        Output::ToOperator { connection, answer: OperatorAnswer { event, .. } } if *connection == ASKER => {
            Some(event)
        }
        _ => None,
    });
    for event in events {
        match event {
            OperatorEvent::Explained(explanation) => return Ok(Some(explanation.clone())),
            OperatorEvent::Refused(reason) => return Err(WaitError::Refused { reason: reason.clone() }),
            _ => {}
        }
    }
    Ok(None)
}
