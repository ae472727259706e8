//! One signal that tells everything to stop.

use tokio::sync::watch;

/// Gives the signal. When it is dropped the signal is given too, so that nothing runs on unattended.
#[derive(Debug)]
pub struct ShutdownHandle(watch::Sender<bool>);

/// Sees the signal. Clones see the same one.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

impl ShutdownHandle {
    /// A signal that has not been given, and its first receiver.
    pub fn new() -> (ShutdownHandle, Shutdown) {
        let (sender, receiver) = watch::channel(false);
        (ShutdownHandle(sender), Shutdown(receiver))
    }

    /// Gives the signal.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Whether the signal has been given.
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits for the signal. Safe to drop and call again.
    pub async fn stopped(&mut self) {
        // An error means that the handle is gone, which counts as the signal.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }
}
