//! The task that owns the machine.

use std::fmt;
use std::time::Duration;

use tokio::sync::mpsc;

use super::ExecutorConfig;
use crate::executor::{Executor, ExecutorInput, ExecutorOutput, ExecutorProcess};
use crate::net::{Expect, Outbox, Settings};
use crate::protocol::{ExecutorCall, ExecutorEvent, IdentityKind};
use crate::runtime::peer::{Peer, PeerEvent, sleep_or_forever};
use crate::runtime::{Clock, RuntimeError};

/// Reports what happens in the world to an [`Executor`]. Clones report to the same one.
pub struct Reporter<E>(mpsc::UnboundedSender<E>);

impl<E> Reporter<E> {
    /// Reports an event, from any thread. One that comes after the executor's end is dropped.
    pub fn report(&self, event: E) {
        let _ = self.0.send(event);
    }
}

impl<E> Clone for Reporter<E> {
    fn clone(&self) -> Self {
        Reporter(self.0.clone())
    }
}

impl<E> fmt::Debug for Reporter<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reporter")
    }
}

/// Runs an executor until its agent asks it to end, or has been gone for longer than the recovery timeout, and no task is left.
///
/// `act` carries out an action; it must not block, and reports what comes of it through the [`Reporter`], at once or later.
///
/// # Errors
/// When the credentials can't be used, or the agent refuses the executor for good.
pub async fn run_executor<E: Executor>(
    executor: E,
    config: ExecutorConfig,
    mut act: impl FnMut(E::Action, &Reporter<E::Event>),
) -> Result<(), RuntimeError> {
    let ExecutorConfig { agent, credentials, framework, executor: id, recovery_timeout, .. } = config;
    let identity = credentials.identity();
    tracing::debug!(%identity, %agent, "executor starts");
    let expect = Expect::Kind(IdentityKind::Agent);
    let settings = Settings { keep_alive: KEEP_ALIVE, ..Settings::default() };
    let mut peer = Peer::<ExecutorCall, ExecutorEvent>::seek(&agent.into(), expect, &credentials, settings)?;
    let (events, mut world) = mpsc::unbounded_channel();
    let reporter = Reporter(events);
    let mut driver = Driver {
        machine: ExecutorProcess::new(executor, framework, id, recovery_timeout),
        clock: Clock::start(),
        outputs: Vec::new(),
        agent: None,
        ended: false,
    };
    // An agent that never comes is as one that has gone.
    driver.handle(ExecutorInput::Disconnected);
    let mut outcome = Ok(());
    let mut reports = Vec::new();
    while !driver.ended {
        let wait = driver.machine.next_deadline().map(|deadline| driver.clock.until(deadline));
        tokio::select! {
            event = peer.next() => match event {
                PeerEvent::Refused(error) => {
                    outcome = Err(error.into());
                    break;
                }
                event => driver.agent_event(event),
            },
            _ = world.recv_many(&mut reports, MAX_REPORTS) => {
                reports.drain(..).for_each(|event| driver.handle(ExecutorInput::World(event)));
            }
            () = sleep_or_forever(wait) => {}
        }
        if driver.machine.next_deadline().is_some_and(|deadline| deadline <= driver.clock.now()) {
            driver.handle(ExecutorInput::Tick);
        }
        driver.carry_out(|action| act(action, &reporter));
    }
    peer.end(driver.agent.take()).await;
    outcome
}

/// An executor learns so soon that its agent was killed, and finds the next one. On one machine a sign of life costs next to nothing.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// With so many tasks at work, an update waits some milliseconds for others to go with: each message of its own would cost every machine on
/// its way more than the task's launch does.
const MANY_TASKS: usize = 8;

/// Reports of the world that are taken at a time.
const MAX_REPORTS: usize = 1024;

struct Driver<E: Executor> {
    machine: ExecutorProcess<E>,
    clock: Clock,
    outputs: Vec<ExecutorOutput<E::Action>>,
    agent: Option<Outbox<ExecutorCall>>,
    ended: bool,
}

impl<E: Executor> Driver<E> {
    fn handle(&mut self, input: ExecutorInput<E::Event>) {
        self.machine.handle(self.clock.now(), input, &mut self.outputs);
    }

    fn agent_event(&mut self, event: PeerEvent<ExecutorCall, ExecutorEvent>) {
        match event {
            PeerEvent::Connected { outbox, .. } => {
                self.agent = Some(outbox);
                self.handle(ExecutorInput::Connected);
            }
            PeerEvent::Received(events) => {
                events.into_iter().for_each(|event| self.handle(ExecutorInput::Agent(event)));
            }
            PeerEvent::Disconnected => {
                self.agent = None;
                self.handle(ExecutorInput::Disconnected);
            }
            PeerEvent::Refused(_) => {}
        }
    }

    fn carry_out(&mut self, mut act: impl FnMut(E::Action)) {
        let mut calls = Vec::new();
        for output in self.outputs.drain(..) {
            match output {
                ExecutorOutput::Send(call) => calls.push(call),
                ExecutorOutput::Act(action) => act(action),
                ExecutorOutput::Stop => self.ended = true,
            }
        }
        let Some(agent) = &self.agent else { return };
        let is_first = calls.iter().any(|call| matches!(call, ExecutorCall::Register { .. }));
        if let Err(error) = calls.into_iter().try_for_each(|call| agent.push_later(call)) {
            tracing::warn!(%error, "cannot send to the agent");
            // What was not sent is told again on the next connection, which begins when this one has no sender.
            self.agent = None;
        } else if is_first || self.machine.tasks() < MANY_TASKS {
            agent.flush();
        }
    }
}
