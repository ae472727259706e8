//! The task that owns the machine.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::JoinSet;

use super::AgentConfig;
use super::backlog::{self, Backlog};
use super::checkpoints::Checkpoints;
use super::executors::take_executors;
use super::launcher::Launches;
use super::logs::take_operators;
use super::sandboxes::remove_in_time;
use super::work_dir::WorkDir;
use crate::agent::{Agent, AgentInput, AgentOutput};
use crate::net::{CloseCode, Credentials, Endpoint, Expect, Link, Outbox, OutboxError, Settings};
use crate::protocol::{
    AgentCall, AgentEvent, AgentInfo, ConnectionId, ExecutorCall, ExecutorEvent, ExecutorId, FrameworkId,
    Identity, IdentityKind, TaskId,
};
use crate::runtime::admission::keep_fresh_by;
use crate::runtime::peer::{Peer, PeerEvent, any_address_like, sleep_or_forever};
use crate::runtime::{Clock, RuntimeError, Shutdown};

/// Events that wait for the machine; more hold up those whom they come from.
const EVENTS_WAITING: usize = 64;

/// Where executors come to: any free port, reachable from this machine alone.
const FOR_EXECUTORS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What the tasks around the machine tell it.
#[derive(Debug)]
pub(super) enum Event {
    ExecutorConnected {
        connection: ConnectionId,
        framework: FrameworkId,
        executor: ExecutorId,
        outbox: Outbox<ExecutorEvent>,
        link: Link,
    },
    ExecutorCalls {
        connection: ConnectionId,
        calls: Vec<ExecutorCall>,
        /// To be kept until they are dealt with.
        permit: OwnedSemaphorePermit,
    },
    ExecutorDisconnected(ConnectionId),
    ExecutorExited {
        framework: FrameworkId,
        executor: ExecutorId,
        message: String,
    },
    CheckReader {
        who: Identity,
        framework: FrameworkId,
        task: TaskId,
        reply: oneshot::Sender<Result<(), String>>,
    },
    IsTaskLive {
        framework: FrameworkId,
        task: TaskId,
        reply: oneshot::Sender<bool>,
    },
}

/// Runs an agent until the signal is given; then it ends its executors, with their tasks, and returns when all have ended. One that
/// is to [step aside](crate::runtime::ShutdownHandle::step_aside), and keeps checkpoints, returns at once and leaves them running.
///
/// # Errors
/// When the folder or an address can't be used, or the master refuses the agent before it was ever connected. Later refusals
/// are logged and leave the tasks running. When checkpoints can't be written: then it leaves them running, too.
pub async fn run_agent(config: AgentConfig, mut shutdown: Shutdown) -> Result<(), RuntimeError> {
    let work_dir = WorkDir::open(&config.work_dir)?;
    let identity = config.credentials.identity().clone();
    let id = crate::protocol::AgentId::new(identity.name())
        .expect("a certificate's names are a subset of the valid ids");
    let operators = Endpoint::server(config.listen, &config.credentials, Settings::default())?;
    let address =
        config.advertise.unwrap_or_else(|| reachable(operators.local_address(), config.master.first()));
    tracing::info!(agent = identity.name(), %address, "agent serves logs");
    let authority = Arc::new(work_dir.authority(identity.name())?);
    let for_executors = authority.issue(&identity)?;
    let executors = listen_for_executors(&work_dir, &for_executors)?;
    let (events, mut inbox) = mpsc::channel(EVENTS_WAITING);
    let launches = Launches::new(
        &config,
        authority.clone(),
        executors.local_address(),
        work_dir.clone(),
        events.clone(),
    );
    let mut peer = Peer::seek(
        &config.master,
        Expect::Kind(IdentityKind::Master),
        &config.credentials,
        Settings::default(),
    )?;
    let mut listening = JoinSet::new();
    listening.spawn(take_operators(operators, work_dir.clone(), events.clone()));
    listening.spawn(remove_in_time(work_dir.clone(), config.keep_sandboxes, events.clone()));
    listening.spawn(take_executors(executors, authority.clone(), events));
    listening.spawn(async move { keep_fresh_by(&authority, &for_executors).await });
    let info = AgentInfo {
        hostname: hostname(),
        address: Some(address),
        resources: config.resources,
        attributes: config.attributes,
        domain: config.domain,
    };
    let clock = Clock::start();
    let mut outputs = Vec::new();
    let (machine, checkpoints) = if config.recovery_timeout.is_some() {
        let (checkpoints, found) = Checkpoints::open(&work_dir.checkpoint(), &id)?;
        (Agent::recovered(clock.now(), id, info, found, &mut outputs), Some(checkpoints))
    } else {
        work_dir.forget_checkpoint()?;
        (Agent::new(id, info), None)
    };
    let mut driver = Driver {
        machine,
        clock,
        outputs,
        master: None,
        executors: FxHashMap::default(),
        launches,
        checkpoints,
        backlog: Backlog::default(),
        unsent: VecDeque::new(),
        was_connected: false,
        ended: false,
    };
    driver.carry_out();
    let outcome = driver.run(&mut peer, &mut inbox, &mut shutdown).await;
    peer.end(driver.master.take().map(|(outbox, _)| outbox)).await;
    outcome
}

/// Takes executors where the agent's last life did, if it can: there those that it started look for it.
fn listen_for_executors(work_dir: &WorkDir, credentials: &Credentials) -> Result<Endpoint, RuntimeError> {
    let again = work_dir.executors_address().map(|address| {
        Endpoint::server(address, credentials, Settings::default()).inspect_err(|error| {
            tracing::error!(%error, "executors that outlived the agent will not find it");
        })
    });
    let endpoint = match again {
        Some(Ok(endpoint)) => endpoint,
        Some(Err(_)) | None => Endpoint::server(FOR_EXECUTORS, credentials, Settings::default())?,
    };
    work_dir.save_executors_address(endpoint.local_address())?;
    Ok(endpoint)
}

/// So many calls are queued before it is looked whether the way to the master is free: few enough that there is room for the largest.
const TOLD_AT_ONCE: usize = 16;

struct Driver {
    machine: Agent,
    clock: Clock,
    outputs: Vec<AgentOutput>,
    master: Option<(Outbox<AgentCall>, Link)>,
    executors: FxHashMap<ConnectionId, (Outbox<ExecutorEvent>, Link)>,
    launches: Launches,
    /// `None`: the agent keeps no records.
    checkpoints: Option<Checkpoints>,
    backlog: Backlog,
    /// What is told to the master when the way is free: after a time without one there can be more to say than a connection holds.
    unsent: VecDeque<AgentCall>,
    was_connected: bool,
    ended: bool,
}

impl Driver {
    async fn run(
        &mut self,
        peer: &mut Peer<AgentCall, AgentEvent>,
        inbox: &mut mpsc::Receiver<Event>,
        shutdown: &mut Shutdown,
    ) -> Result<(), RuntimeError> {
        let mut ending = false;
        while !self.ended {
            let mut wait = self.machine.next_deadline().map(|deadline| self.clock.until(deadline));
            let is_crowded = self.master.as_ref().is_some_and(|(outbox, _)| outbox.is_crowded());
            if is_crowded || !self.unsent.is_empty() || self.backlog.waits_for_the_way() {
                wait = Some(wait.map_or(backlog::LOOK, |wait| wait.min(backlog::LOOK)));
            }
            tokio::select! {
                event = peer.next() => self.master_event(event)?,
                Some(event) = inbox.recv(), if !is_crowded => self.event(event),
                durable = progress(&mut self.checkpoints) => {
                    let number = durable?;
                    self.backlog.stored(number);
                    self.handle(AgentInput::Stored(number));
                }
                () = sleep_or_forever(wait) => {}
                () = shutdown.stopped(), if !ending => {
                    ending = true;
                    if self.checkpoints.is_some() && shutdown.is_stepping_aside() {
                        return Ok(());
                    }
                    self.handle(AgentInput::Shutdown);
                }
            }
            if self.machine.next_deadline().is_some_and(|deadline| deadline <= self.clock.now()) {
                self.handle(AgentInput::Tick);
            }
            self.carry_out();
            if self.master.as_ref().is_none_or(|(outbox, _)| outbox.is_light()) {
                self.backlog.release();
            }
        }
        Ok(())
    }

    fn handle(&mut self, input: AgentInput) {
        self.machine.handle(self.clock.now(), input, &mut self.outputs);
    }

    fn master_event(&mut self, event: PeerEvent<AgentCall, AgentEvent>) -> Result<(), RuntimeError> {
        match event {
            PeerEvent::Connected { outbox, link } => {
                self.was_connected = true;
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
            PeerEvent::Refused(error) if self.was_connected => {
                tracing::error!(%error, "the master takes this agent no more; its tasks run on, unattended");
            }
            PeerEvent::Refused(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::ExecutorConnected { connection, framework, executor, outbox, link } => {
                self.executors.insert(connection, (outbox, link));
                self.handle(AgentInput::ExecutorConnected { connection, framework, executor });
            }
            Event::ExecutorCalls { connection, calls, permit } => {
                let before = self.outputs.len();
                calls.into_iter().for_each(|call| self.handle(AgentInput::ExecutorCall { connection, call }));
                let writes = self.outputs[before..].iter().filter_map(|output| match output {
                    AgentOutput::Store { number, .. } => Some(*number),
                    _ => None,
                });
                self.backlog.add(writes.max().unwrap_or(0), permit);
            }
            Event::ExecutorDisconnected(connection) => {
                self.executors.remove(&connection);
                self.handle(AgentInput::ExecutorDisconnected { connection });
            }
            Event::ExecutorExited { framework, executor, message } => {
                self.launches.ended(&framework, &executor);
                self.handle(AgentInput::ExecutorExited { framework, executor, message });
            }
            Event::CheckReader { who, framework, task, reply } => {
                // Whoever asked may have left.
                let _ = reply.send(self.machine.check_reader(&who, &framework, &task));
            }
            Event::IsTaskLive { framework, task, reply } => {
                // Whoever asked may have left.
                let _ = reply.send(self.machine.task_is_live(&framework, &task));
            }
        }
    }

    fn carry_out(&mut self) {
        let mut to_flush = Vec::new();
        for output in self.outputs.drain(..) {
            match output {
                AgentOutput::ToMaster(call) => self.unsent.push_back(call),
                AgentOutput::RefuseMaster(deposed) => {
                    tracing::warn!(%deposed, "a master is refused");
                    if let Some((_, link)) = &self.master {
                        link.close(CloseCode::Deposed, &deposed.to_string());
                    }
                }
                AgentOutput::ToExecutor { connection, event } => {
                    let Some((outbox, link)) = self.executors.get(&connection) else { continue };
                    // An acknowledgement only ends a repetition that has not begun.
                    let is_urgent = !matches!(event, ExecutorEvent::Acknowledge { .. });
                    if let Err(error) = outbox.push_later(event) {
                        link.close(CloseCode::Overflow, &error.to_string());
                    }
                    if is_urgent && to_flush.last() != Some(&connection) {
                        to_flush.push(connection);
                    }
                }
                AgentOutput::DisconnectExecutor { connection, reason } => {
                    if let Some((_, link)) = self.executors.remove(&connection) {
                        link.close(CloseCode::Replaced, &reason);
                    }
                }
                AgentOutput::StartExecutor { framework, executor, info } => {
                    self.launches.start(framework, executor, info);
                }
                AgentOutput::Store { number, records } => {
                    if let Some(checkpoints) = &self.checkpoints {
                        checkpoints.write(number, records);
                    }
                }
                AgentOutput::AdoptExecutor { framework, executor } => {
                    self.launches.adopt(framework, executor);
                }
                AgentOutput::StopExecutor { framework, executor } => {
                    self.launches.kill(&framework, &executor);
                }
                AgentOutput::KeepVolumes(volumes) => self.launches.keep_volumes(&volumes),
                AgentOutput::Stop => self.ended = true,
            }
        }
        for (outbox, _) in to_flush.iter().filter_map(|connection| self.executors.get(connection)) {
            outbox.flush();
        }
        if let Err(error) = self.tell_master() {
            tracing::warn!(%error, "cannot send to the master");
            self.master = None;
        }
        if self.master.is_none() {
            // It is told again on the next connection, which begins when this one has no sender.
            self.unsent.clear();
        }
    }

    fn tell_master(&mut self) -> Result<(), OutboxError> {
        let Some((master, _)) = &self.master else { return Ok(()) };
        // Its last words go out whatever waits: there is no later.
        while !self.unsent.is_empty() && (self.ended || !master.is_crowded()) {
            let next: Vec<_> = self.unsent.drain(..self.unsent.len().min(TOLD_AT_ONCE)).collect();
            master.push_all(next)?;
        }
        Ok(())
    }
}

/// Waits until more records are durable; for ever when none are kept.
async fn progress(checkpoints: &mut Option<Checkpoints>) -> Result<u64, RuntimeError> {
    match checkpoints {
        Some(checkpoints) => checkpoints.progress().await,
        None => std::future::pending().await,
    }
}

/// Where an endpoint that is bound to `local` can be reached by those who also reach the master.
fn reachable(local: SocketAddr, master: SocketAddr) -> SocketAddr {
    if !local.ip().is_unspecified() {
        return local;
    }
    // Connecting a UDP socket sends nothing: it asks the system which address it would send from.
    let source = UdpSocket::bind(any_address_like(master))
        .and_then(|socket| socket.connect(master).and_then(|()| socket.local_addr()));
    match source {
        Ok(source) => SocketAddr::new(source.ip(), local.port()),
        Err(_) => local,
    }
}

fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_listens_everywhere_names_the_address_towards_the_master() {
        let everywhere: SocketAddr = "0.0.0.0:7000".parse().unwrap();
        let master: SocketAddr = "127.0.0.1:7450".parse().unwrap();
        assert_eq!(reachable(everywhere, master), "127.0.0.1:7000".parse().unwrap());
        let bound: SocketAddr = "10.0.0.7:7000".parse().unwrap();
        assert_eq!(reachable(bound, master), bound);
    }
}
