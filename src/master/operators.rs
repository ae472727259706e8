//! Operators: what they ask of the cluster, relayed to frameworks where the frameworks know.

use rustc_hash::FxHashMap;

use super::machine::{Master, Output};
use crate::protocol::operator::{OperatorAnswer, OperatorRequest};
use crate::protocol::{
    ConnectionId, Explanation, FrameworkId, Obstacle, OperatorCall, OperatorEvent, RequestId, Rules,
    SchedulerEvent, TaskId,
};
use crate::store::{Change, Record};
use crate::time::Time;

/// How many questions of one operator's connection frameworks may have to answer at a time.
pub const QUESTIONS_PENDING: usize = 1024;

/// Questions that frameworks have not answered yet, under the request number that the master gave them.
#[derive(Debug, Default)]
pub(super) struct Relays {
    pending: FxHashMap<RequestId, Relay>,
    /// How many of them are of each operator.
    of_operator: FxHashMap<ConnectionId, usize>,
    last: u64,
}

impl Relays {
    fn is_full(&self, operator: ConnectionId) -> bool {
        self.of_operator.get(&operator).is_some_and(|pending| *pending >= QUESTIONS_PENDING)
    }

    /// Takes note of a question; returns its number.
    fn add(&mut self, relay: Relay) -> RequestId {
        self.last += 1;
        *self.of_operator.entry(relay.operator).or_default() += 1;
        self.pending.insert(RequestId(self.last), relay);
        RequestId(self.last)
    }

    fn remove(&mut self, relayed: RequestId) -> Option<Relay> {
        let relay = self.pending.remove(&relayed)?;
        if let Some(pending) = self.of_operator.get_mut(&relay.operator) {
            *pending -= 1;
            if *pending == 0 {
                self.of_operator.remove(&relay.operator);
            }
        }
        Some(relay)
    }

    /// Those that are as asked, in the order of their numbers.
    fn all(&self, is_one: impl Fn(&Relay) -> bool) -> Vec<RequestId> {
        let ones = self.pending.iter().filter(|(_, relay)| is_one(relay)).map(|(relayed, _)| *relayed);
        let mut ones: Vec<_> = ones.collect();
        ones.sort();
        ones
    }
}

#[derive(Debug)]
struct Relay {
    operator: ConnectionId,
    /// The operator's own number.
    request: RequestId,
    framework: FrameworkId,
    kind: RelayKind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum RelayKind {
    Request,
    Explain,
}

impl Master {
    pub(super) fn operator_request(
        &mut self,
        now: Time,
        connection: ConnectionId,
        OperatorRequest { request, call }: OperatorRequest,
        out: &mut Vec<Output>,
    ) {
        if let Err(denied) = self.permit_call(connection, &call) {
            return answer(connection, request, OperatorEvent::Refused(denied.to_string()), out);
        }
        let event = match call {
            OperatorCall::GetRules => OperatorEvent::Rules(Rules::clone(&self.rules)),
            OperatorCall::SetRules { rules } => {
                let done = self.set_rules(connection, rules, out);
                done.map_or_else(OperatorEvent::Refused, |()| OperatorEvent::Done)
            }
            OperatorCall::GetState => OperatorEvent::State(Box::new(self.cluster_state(now))),
            OperatorCall::Request { framework, data } => {
                let relay = |request| SchedulerEvent::Request { request, data };
                match self.ask(connection, request, framework, RelayKind::Request, relay, out) {
                    Ok(()) => return,
                    Err(reason) => OperatorEvent::Refused(reason),
                }
            }
            OperatorCall::Explain { task } => match self.explain(connection, request, task, out) {
                Some(answer) => answer,
                None => return,
            },
            OperatorCall::ExplainWaiting { framework, role } => OperatorEvent::ExplainedWaiting(
                self.allocator.explain_waiting(now, framework.as_ref(), role.as_ref()),
            ),
            OperatorCall::Kill { framework, task } => match self.owner_of(framework, &task) {
                Ok(framework) => {
                    self.kill(now, &framework, task, None, out);
                    OperatorEvent::Done
                }
                Err(reason) => OperatorEvent::Refused(reason),
            },
            OperatorCall::SetWeight { role, weight } => {
                self.allocator.set_weight(&role, weight);
                self.registry.note(Change::Put(Record::Weight { role, weight }));
                OperatorEvent::Done
            }
            OperatorCall::SetQuota { role, quota, force } => {
                let done = self.set_quota(now, role, quota, force, out);
                done.map_or_else(|error| OperatorEvent::Refused(error.to_string()), |()| OperatorEvent::Done)
            }
            OperatorCall::SetOfferMode { role, mode } => {
                self.set_offer_mode(role, mode);
                OperatorEvent::Done
            }
            OperatorCall::SetMaintenance { agent, unavailability } => {
                let done = self.set_maintenance(now, agent, unavailability, out);
                done.map_or_else(OperatorEvent::Refused, |()| OperatorEvent::Done)
            }
            OperatorCall::MarkGone { agent } => {
                let done = self.mark_gone(now, &agent, out);
                done.map_or_else(OperatorEvent::Refused, |()| OperatorEvent::Done)
            }
            OperatorCall::TakeBack { agent } => {
                let done = self.take_back(&agent, out);
                done.map_or_else(OperatorEvent::Refused, |()| OperatorEvent::Done)
            }
            OperatorCall::SetAllowList { hostnames } => {
                self.set_allow_list(now, hostnames, out);
                OperatorEvent::Done
            }
            OperatorCall::Teardown { framework } => {
                if self.frameworks.contains_key(&framework) {
                    self.teardown(now, &framework, out);
                    OperatorEvent::Done
                } else {
                    OperatorEvent::Refused(format!("there is no framework {framework}"))
                }
            }
            OperatorCall::CreateToken { .. } | OperatorCall::FreeName { .. } => {
                OperatorEvent::Refused("this master does not hold the cluster's authority".to_owned())
            }
        };
        answer(connection, request, event, out);
    }

    fn ask(
        &mut self,
        operator: ConnectionId,
        request: RequestId,
        framework: FrameworkId,
        kind: RelayKind,
        event: impl FnOnce(RequestId) -> SchedulerEvent,
        out: &mut Vec<Output>,
    ) -> Result<(), String> {
        let connection = self.frameworks.get(&framework).map(|framework| framework.connection);
        match connection {
            None => return Err(format!("there is no framework {framework}")),
            Some(None) => return Err(format!("framework {framework} is not connected")),
            Some(Some(_)) if self.relays.is_full(operator) => {
                return Err(format!(
                    "{QUESTIONS_PENDING} questions of this connection wait for an answer already"
                ));
            }
            Some(Some(_)) => {}
        }
        let relayed = self.relays.add(Relay { operator, request, framework: framework.clone(), kind });
        self.tell(&framework, event(relayed), out);
        Ok(())
    }

    /// A framework answers a relayed request.
    pub(super) fn relay_reply(
        &mut self,
        framework: &FrameworkId,
        relayed: RequestId,
        data: Vec<u8>,
        last: bool,
        out: &mut Vec<Output>,
    ) {
        let Some(relay) = self.relays.pending.get(&relayed) else { return };
        if relay.framework != *framework || relay.kind != RelayKind::Request {
            return;
        }
        answer(relay.operator, relay.request, OperatorEvent::Reply { data, last }, out);
        if last {
            self.relays.remove(relayed);
        }
    }

    /// Why a task does not run: launched tasks the master knows; for others it asks every framework.
    fn explain(
        &mut self,
        connection: ConnectionId,
        request: RequestId,
        task: String,
        out: &mut Vec<Output>,
    ) -> Option<OperatorEvent> {
        if let Ok(id) = TaskId::new(task.as_str())
            && let Some(explanation) = self.explain_launched(&id)
        {
            return Some(OperatorEvent::Explained(explanation));
        }
        let mut frameworks: Vec<FrameworkId> = self
            .frameworks
            .iter()
            .filter(|(_, framework)| framework.connection.is_some())
            .map(|(id, _)| id.clone())
            .collect();
        frameworks.sort();
        if frameworks.is_empty() {
            return Some(OperatorEvent::Refused("no framework is connected".to_owned()));
        }
        let mut refusal = None;
        let mut is_asked = false;
        for framework in frameworks {
            let event = |request| SchedulerEvent::Explain { request, task: task.clone() };
            match self.ask(connection, request, framework, RelayKind::Explain, event, out) {
                Ok(()) => is_asked = true,
                Err(reason) => refusal = Some(OperatorEvent::Refused(reason)),
            }
        }
        refusal.filter(|_| !is_asked)
    }

    fn explain_launched(&self, id: &TaskId) -> Option<Explanation> {
        let mut found: Vec<_> = self
            .frameworks
            .iter()
            .filter_map(|(framework, known)| Some((framework, known.tasks.get(id)?)))
            .collect();
        found.sort_by_key(|(framework, _)| (*framework).clone());
        let (framework, task) = found.first()?;
        let mut what = format!("{} on agent {} for framework {framework}", task.state, task.agent);
        if !task.status.message.is_empty() {
            what = format!("{what}: {}", task.status.message);
        }
        Some(Explanation::of(id.as_str(), Obstacle::InProgress { what }))
    }

    /// A framework tells its half of why a task does not run; the allocator knows the other.
    pub(super) fn explained(
        &mut self,
        now: Time,
        framework: &FrameworkId,
        relayed: RequestId,
        mut explanation: Explanation,
        out: &mut Vec<Output>,
    ) {
        let Some(relay) = self.relays.pending.get(&relayed) else { return };
        if relay.framework != *framework || relay.kind != RelayKind::Explain {
            return;
        }
        let (operator, request) = (relay.operator, relay.request);
        self.relays.remove(relayed);
        let others = self.relays.all(|relay| relay.operator == operator && relay.request == request);
        if explanation.task.is_some() {
            others.into_iter().for_each(|other| drop(self.relays.remove(other)));
            if let Some((role, wanted)) = &explanation.wants {
                let half = self.allocator.explain(now, framework, role, wanted);
                explanation.obstacles.extend(half.obstacles);
            }
            answer(operator, request, OperatorEvent::Explained(explanation), out);
        } else if others.is_empty() {
            answer(
                operator,
                request,
                OperatorEvent::Refused("no framework knows such a task".to_owned()),
                out,
            );
        }
    }

    /// A framework has not heard a question; another may have, when all are asked.
    pub(super) fn relay_undelivered(&mut self, relayed: RequestId, out: &mut Vec<Output>) {
        let Some(relay) = self.relays.remove(relayed) else { return };
        let Relay { operator, request, framework, .. } = relay;
        if self.relays.all(|other| other.operator == operator && other.request == request).is_empty() {
            let reason = format!("framework {framework} reads too slowly; ask again later");
            answer(operator, request, OperatorEvent::Refused(reason), out);
        }
    }

    pub(super) fn operator_disconnected(&mut self, connection: ConnectionId, out: &mut Vec<Output>) {
        for relayed in self.relays.all(|relay| relay.operator == connection) {
            if let Some(relay) = self.relays.remove(relayed) {
                self.tell(&relay.framework, SchedulerEvent::RequestCancelled(relayed), out);
            }
        }
    }

    /// A framework that is gone answers nothing any more.
    pub(super) fn drop_relays_of(&mut self, framework: &FrameworkId, out: &mut Vec<Output>) {
        for relayed in self.relays.all(|relay| relay.framework == *framework) {
            if let Some(relay) = self.relays.remove(relayed) {
                let reason = format!("framework {framework} has disconnected");
                answer(relay.operator, relay.request, OperatorEvent::Refused(reason), out);
            }
        }
    }

    pub(super) fn owner_of(
        &self,
        framework: Option<FrameworkId>,
        task: &TaskId,
    ) -> Result<FrameworkId, String> {
        let mut owners: Vec<&FrameworkId> = self
            .frameworks
            .iter()
            .filter(|(id, known)| {
                known.tasks.contains_key(task) && framework.as_ref().is_none_or(|wanted| wanted == *id)
            })
            .map(|(id, _)| id)
            .collect();
        owners.sort();
        match owners.as_slice() {
            [] => Err(format!("there is no task {task} that has not ended")),
            [owner] => Ok((*owner).clone()),
            [first, second, ..] => {
                Err(format!("several frameworks have a task {task} ({first}, {second}): name the framework"))
            }
        }
    }
}

fn answer(connection: ConnectionId, request: RequestId, event: OperatorEvent, out: &mut Vec<Output>) {
    out.push(Output::ToOperator { connection, answer: OperatorAnswer { request, event } });
}
