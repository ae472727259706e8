//! One signal that tells everything to stop.

use tokio::sync::watch;

/// Gives the signal. When it is dropped the signal is given too, so that nothing runs on unattended.
#[derive(Debug)]
pub struct ShutdownHandle(watch::Sender<Signal>);

/// Sees the signal. Clones see the same one.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<Signal>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    GoOn,
    StepAside,
    Stop,
}

impl ShutdownHandle {
    /// A signal that has not been given, and its first receiver.
    pub fn new() -> (ShutdownHandle, Shutdown) {
        let (sender, receiver) = watch::channel(Signal::GoOn);
        (ShutdownHandle(sender), Shutdown(receiver))
    }

    /// Gives the signal.
    pub fn stop(&self) {
        self.0.send_replace(Signal::Stop);
    }

    /// Gives the signal to make room for a next life: agents that keep checkpoints end at once, and leave their tasks to it. All others
    /// stop as they always do.
    pub fn step_aside(&self) {
        self.0.send_replace(Signal::StepAside);
    }
}

impl Shutdown {
    /// Whether the signal has been given.
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow() != Signal::GoOn || self.0.has_changed().is_err()
    }

    /// Whether what runs is to be left to a next life.
    pub(super) fn is_stepping_aside(&self) -> bool {
        *self.0.borrow() == Signal::StepAside
    }

    /// Waits for the signal. Safe to drop and call again.
    pub async fn stopped(&mut self) {
        // An error means that the handle is gone, which counts as the signal.
        let _ = self.0.wait_for(|signal| *signal != Signal::GoOn).await;
    }
}
