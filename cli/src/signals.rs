//! Ctrl-C and SIGTERM.

use std::io;

use apportion::runtime::{RuntimeError, ShutdownHandle};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::output::note;

/// What the shell reports for a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// What a signal asks for. Only agents tell the two apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Ctrl-C: end, with all that runs.
    ToEnd,
    /// SIGTERM, as service managers send it: make room for the next start.
    ToStepAside,
}

/// The signals that ask a program to end.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals from now on.
    pub(crate) fn take() -> io::Result<Self> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the first one. From then on another one ends the program at once.
    pub(crate) async fn asked_to_end(mut self) -> Asked {
        let asked = self.next().await;
        note("ending; once more to end at once");
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(INTERRUPTED);
        });
        asked
    }

    /// Drives a party until it ends by itself, or has ended because a signal asked it to.
    pub(crate) async fn stop_on_request(
        self,
        stop: ShutdownHandle,
        party: impl Future<Output = Result<(), RuntimeError>>,
    ) -> Result<(), RuntimeError> {
        let mut party = std::pin::pin!(party);
        tokio::select! {
            ended = &mut party => ended,
            asked = self.asked_to_end() => {
                match asked {
                    Asked::ToEnd => stop.stop(),
                    Asked::ToStepAside => stop.step_aside(),
                }
                party.await
            }
        }
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::ToEnd,
            _ = self.terminate.recv() => Asked::ToStepAside,
        }
    }
}
