//! A task per agent that connects it with the master.

use std::time::Duration;

use tokio::task::JoinSet;

use super::machine::{SimulatedAgent, Wish};
use crate::agent::AgentInput;
use crate::net::{CloseCode, Credentials, Endpoint, Expect, Link, Outbox, Settings};
use crate::protocol::{AgentCall, AgentEvent, AgentId, AgentInfo, IdentityKind};
use crate::resources::Resources;
use crate::runtime::limits::allow_many_files;
use crate::runtime::peer::{Peer, PeerEvent, any_address_like, sleep_or_forever};
use crate::runtime::{Addresses, Clock, RuntimeError, Shutdown};

/// So few that a socket's buffer holds what all of them are told at a time: when they have lost their master, and are connected again.
const AGENTS_PER_SOCKET: usize = 16;

/// Agents of one program whose tasks are timers.
#[derive(Debug)]
pub struct SimulatedAgents {
    /// Where the masters listen.
    pub master: Addresses,
    /// A certificate per agent; its name is the agent's id.
    pub credentials: Vec<Credentials>,
    /// What each agent has to give.
    pub resources: Resources,
    /// How long tasks last whose environment does not say so by [`TASK_TIME`](super::TASK_TIME).
    pub task_time: Duration,
}

/// Runs simulated agents until the signal is given. A few share a socket each; they connect again whenever they lose their master.
///
/// # Errors
/// When there is no socket to be had, or the master refuses an agent for good: the others end, too.
pub async fn run_simulated_agents(agents: SimulatedAgents, shutdown: Shutdown) -> Result<(), RuntimeError> {
    let SimulatedAgents { master, credentials, resources, task_time } = agents;
    // Each connection is watched by a socket of its own.
    allow_many_files();
    let mut running = JoinSet::new();
    let mut endpoint: Option<Endpoint> = None;
    for (number, own) in credentials.iter().enumerate() {
        let endpoint = match &endpoint {
            Some(endpoint) if number % AGENTS_PER_SOCKET > 0 => endpoint.shared_by(own)?,
            _ => {
                let local = any_address_like(master.first());
                endpoint.insert(Endpoint::client(local, own, Settings::default())?).shared_by(own)?
            }
        };
        let name = own.identity().name();
        let id = AgentId::new(name).expect("a certificate's names are a subset of the valid ids");
        let machine = SimulatedAgent::new(id, AgentInfo::new(name, resources.clone()), task_time);
        let expect = Expect::Kind(IdentityKind::Master);
        let peer = Peer::seek_from(endpoint, &master, expect, own);
        let driver =
            Driver { machine, clock: Clock::start(), wishes: Vec::new(), master: None, ended: false };
        running.spawn(driver.run(peer, shutdown.clone()));
    }
    while let Some(ended) = running.join_next().await {
        // A panic has been printed.
        ended.unwrap_or(Ok(()))?;
    }
    Ok(())
}

struct Driver {
    machine: SimulatedAgent,
    clock: Clock,
    wishes: Vec<Wish>,
    master: Option<(Outbox<AgentCall>, Link)>,
    ended: bool,
}

impl Driver {
    async fn run(
        mut self,
        mut peer: Peer<AgentCall, AgentEvent>,
        mut shutdown: Shutdown,
    ) -> Result<(), RuntimeError> {
        let mut outcome = Ok(());
        let mut is_ending = false;
        while !self.ended {
            let wait = self.machine.next_deadline().map(|deadline| self.clock.until(deadline));
            tokio::select! {
                event = peer.next() => match event {
                    PeerEvent::Connected { outbox, link } => {
                        self.master = Some((outbox, link));
                        self.handle(AgentInput::MasterConnected);
                    }
                    PeerEvent::Received(events) => {
                        events.into_iter().for_each(|event| self.handle(AgentInput::Master(event)));
                    }
                    PeerEvent::Disconnected => {
                        self.master = None;
                        self.handle(AgentInput::MasterDisconnected);
                    }
                    PeerEvent::Refused(error) => {
                        outcome = Err(error.into());
                        break;
                    }
                },
                () = sleep_or_forever(wait) => {}
                () = shutdown.stopped(), if !is_ending => {
                    is_ending = true;
                    self.handle(AgentInput::Shutdown);
                }
            }
            let now = self.clock.now();
            if self.machine.next_deadline().is_some_and(|deadline| deadline <= now) {
                self.machine.tick(now, &mut self.wishes);
            }
            self.carry_out();
        }
        peer.end(self.master.take().map(|(outbox, _)| outbox)).await;
        outcome
    }

    fn handle(&mut self, input: AgentInput) {
        self.machine.handle(self.clock.now(), input, &mut self.wishes);
    }

    fn carry_out(&mut self) {
        let mut calls = Vec::new();
        for wish in self.wishes.drain(..) {
            match wish {
                Wish::Tell(call) => calls.push(call),
                Wish::Refuse(deposed) => {
                    if let Some((_, link)) = &self.master {
                        link.close(CloseCode::Deposed, &deposed.to_string());
                    }
                }
                Wish::Stop => self.ended = true,
            }
        }
        if let Some(Err(error)) = self.master.as_ref().map(|(master, _)| master.push_all(calls)) {
            tracing::warn!(%error, "cannot send to the master");
            // What was not sent is told again on the next connection, which begins when this one has no sender.
            self.master = None;
        }
    }
}
