//! A cluster as it begins: who is there, and who plays whom.

use std::collections::VecDeque;

use apportion::allocator::{Allocator, DrfAllocator, DrfOptions};
use apportion::master::{Input, Master};
use apportion::protocol::operator::OperatorRequest;
use apportion::protocol::{ConnectionId, FrameworkId, Identity, IdentityKind, OperatorCall, RequestId};
use apportion::resources::Quantities;
use apportion::scheduler::{SchedulerInput, SchedulerProcess};
use apportion::time::Time;
use rustc_hash::FxHashMap;

use super::{Core, Event, Message, OPERATOR, RunError, Simulation, agent_connection, framework_connection};
use crate::digest::Digester;
use crate::engine::agent::TimerAgent;
use crate::engine::calendar::{Calendar, Class};
use crate::engine::contention::Contention;
use crate::engine::failures::Failures;
use crate::engine::observer::Observer;
use crate::engine::offers::OfferHistory;
use crate::engine::placement::PlacementCluster;
use crate::engine::post::{Edge, Post};
use crate::engine::seat::Seat;
use crate::frameworks::production::{BatchParty, Blueprint, ServiceParty};
use crate::frameworks::{Party, QueueFramework};
use crate::gpus;
use crate::random::Stream;
use crate::scenario::{
    AllocatorTable, Decision, Fidelity, FrameworkModel, Model, Player, RoleModel, Simultaneous,
};

impl<'a> Simulation<'a> {
    /// The cluster of a model, before anything has happened.
    ///
    /// # Errors
    /// When a name can't be an identity.
    pub fn new(model: &Model) -> Result<Self, RunError> {
        Simulation::with(model, Box::new(drf(model)), FxHashMap::default())
    }

    /// The same with an allocator, and with the parties that play some of the frameworks, by their places in the model, instead of its own.
    pub(crate) fn with(
        model: &Model,
        mut allocator: Box<dyn Allocator>,
        mut parties: FxHashMap<usize, Box<dyn Party>>,
    ) -> Result<Self, RunError> {
        set_quotas(model, allocator.as_mut())?;
        let mut simulation = Simulation {
            now: Time::ZERO,
            events: 0,
            events_at_once: 0,
            cycles: 0,
            digester: Digester::default(),
            calendar: Calendar::default(),
            instant: VecDeque::new(),
            post: Post::new(model.latency.clone(), model.seed),
            batch: model.allocator.batch,
            interval_ns: model.allocator.interval.nanos(),
            core: match model.fidelity {
                Fidelity::Full => {
                    let master = Box::new(Master::boxed(allocator).without_pings());
                    Core::Full { master, agents: Vec::new() }
                }
                Fidelity::Placement => Core::Placement(Box::new(PlacementCluster::new(allocator))),
            },
            seats: Vec::new(),
            workloads: Vec::new(),
            by_name: FxHashMap::default(),
            due: VecDeque::new(),
            tasks: Vec::new(),
            gpu_parts: model
                .agents
                .iter()
                .any(|agent| gpus::are_numbered(&agent.resources))
                .then(FxHashMap::default),
            to_end: 0,
            running: 0,
            arrivals_to_come: 0,
            arrivals: match model.simultaneous {
                Simultaneous::EndsFirst => Class::Arrival,
                Simultaneous::ArrivalsFirst => Class::EarlyArrival,
            },
            open_ended: false,
            active_at: Time::ZERO,
            said: Vec::new(),
            outputs: Vec::new(),
            deeds: Vec::new(),
            effects: Vec::new(),
            failures: Failures::new(model),
            contention: model.slowdown.map(Contention::new),
            moved: Vec::new(),
            names: Vec::new(),
            offer_history: OfferHistory::default(),
            observers: Vec::new(),
        };
        simulation.connect(OPERATOR, IdentityKind::Operator, "simulation")?;
        for role in &model.roles {
            simulation.rule(role);
        }
        for agent in &model.agents {
            simulation.add_agent(agent)?;
        }
        let per_agent = model.agents.iter().map(|agent| agent.resources.quantities());
        let largest = per_agent.fold(Quantities::new(), |largest, amounts| largest.max(&amounts));
        for (place, framework) in model.frameworks.iter().enumerate() {
            let party = parties.remove(&place).unwrap_or_else(|| {
                let stream = Stream::named(model.seed, &format!("framework/{}/placement", framework.id));
                party(framework, &largest, stream)
            });
            simulation.add_framework(framework, party)?;
        }
        simulation.expect_failures();
        Ok(simulation)
    }

    /// Sets what operators set of a role.
    fn rule(&mut self, model: &RoleModel) {
        if let Core::Placement(cluster) = &mut self.core {
            return cluster.rule(model);
        }
        let role = || model.role.clone();
        for call in [
            OperatorCall::SetWeight { role: role(), weight: model.weight },
            OperatorCall::SetOfferMode { role: role(), mode: model.offers },
        ] {
            let request = OperatorRequest { request: RequestId(0), call };
            self.tell_master(Input::Operator { connection: OPERATOR, request });
        }
    }

    fn add_agent(&mut self, model: &crate::scenario::AgentModel) -> Result<(), RunError> {
        let (place, call) = match &mut self.core {
            Core::Placement(cluster) => {
                cluster.add_agent(model);
                return Ok(());
            }
            Core::Full { agents, .. } => {
                let agent = TimerAgent::new(model.id.clone());
                let call = agent.register(model);
                agents.push(agent);
                (agents.len() as u32 - 1, call)
            }
        };
        let connection = agent_connection(place);
        self.connect(connection, IdentityKind::Agent, model.id.as_str())?;
        self.send(Edge::FromAgent(place), Message::Master(Box::new(Input::Agent { connection, call })));
        Ok(())
    }

    fn add_framework(&mut self, model: &FrameworkModel, party: Box<dyn Party>) -> Result<(), RunError> {
        let place = self.plug(model.id.clone(), party, model.decision)?;
        let seat = &mut self.seats[place as usize];
        seat.record.retries = model.player != Player::Queue;
        seat.thinks |= model.workload.jobs.iter().any(|job| job.terms().decision.is_some());
        let workload = model.workload.clone();
        let ends = workload.jobs.iter().filter(|job| job.lengths.of(0).is_some());
        self.to_end += ends.map(|job| u64::from(job.tasks)).sum::<u64>();
        self.arrivals_to_come += workload.jobs.len();
        if let Some(first) = workload.jobs.first() {
            self.calendar.push(first.at, self.arrivals, Event::Arrival(place));
        }
        self.workloads[place as usize] = workload;
        Ok(())
    }

    /// Adds a framework of any scheduler; returns its place. Its tasks last as long as [`TimerTask`](crate::frameworks::TimerTask) or their
    /// label `length` says, and otherwise until they are stopped.
    ///
    /// # Errors
    /// When the name can't be an identity.
    pub fn plug(
        &mut self,
        id: FrameworkId,
        party: Box<dyn Party>,
        decision: Decision,
    ) -> Result<u32, RunError> {
        let place = self.seats.len() as u32;
        self.connect(framework_connection(place), IdentityKind::Framework, id.as_str())?;
        if let Core::Placement(cluster) = &mut self.core {
            cluster.add_framework(id.clone());
        }
        self.names.push(id.clone());
        self.by_name.insert(id, place);
        self.seats.push(Seat::new(party, decision));
        self.workloads.push(std::sync::Arc::default());
        self.tell_framework(place, SchedulerInput::Connected);
        Ok(place)
    }

    /// Lets somebody be told what happens.
    pub fn observe(&mut self, observer: &'a mut dyn Observer) {
        self.observers.push(observer);
    }

    fn connect(&mut self, connection: ConnectionId, kind: IdentityKind, name: &str) -> Result<(), RunError> {
        let peer = Identity::new("simulation", kind, name).map_err(|_| RunError::Name(name.to_owned()))?;
        self.tell_master(Input::Connected { connection, peer });
        Ok(())
    }
}

/// The framework of production or of models that plays a framework's workload.
fn party(model: &FrameworkModel, largest: &Quantities, stream: Stream) -> Box<dyn Party> {
    let blueprint = Blueprint {
        name: model.id.as_str().to_owned(),
        role: model.role.clone(),
        placement: model.options.placement,
        own: model.own_placement.clone(),
        per_offer: model.options.per_offer,
        workload: model.workload.clone(),
        largest: largest.clone(),
        stream,
    };
    match model.player {
        Player::Batch => Box::new(BatchParty::new(blueprint)),
        Player::Service => Box::new(ServiceParty::new(blueprint)),
        Player::Queue => {
            let Blueprint { name, role, own, workload, largest, stream, .. } = blueprint;
            let queue = QueueFramework::new(&name, role, model.options, workload, largest, stream);
            Box::new(SchedulerProcess::new(queue.placing_by(own)))
        }
    }
}

/// The allocator of production, as the model has it.
pub(crate) fn drf(model: &Model) -> DrfAllocator {
    let AllocatorTable { interval, batches_only, ties, .. } = model.allocator;
    DrfAllocator::new(DrfOptions {
        allocation_interval: interval.duration(),
        allocate_on_events: !batches_only,
        ties,
        preemption: model.allocator.preemption(),
        ..DrfOptions::default()
    })
}

fn set_quotas(model: &Model, allocator: &mut dyn Allocator) -> Result<(), RunError> {
    let mut roles: Vec<_> = model.roles.iter().filter(|role| !role.quota.is_default()).collect();
    // Parents first: what is guaranteed to their children is part of what is guaranteed to them.
    roles.sort_unstable_by(|a, b| a.role.cmp(&b.role));
    for role in roles {
        // The agents that are to meet the guarantees come later.
        let set = allocator.set_quota(&role.role, &role.quota, true);
        set.map_err(|error| RunError::Quota { role: role.role.clone(), error })?;
    }
    Ok(())
}
