//! The time of day, carried forward by a monotonic clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::time::Time;

/// Reads the time for the machines: it starts at the time of day and never goes back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    epoch: Time,
}

impl Clock {
    /// A clock that starts at the system's time of day.
    pub fn start() -> Self {
        // A system whose clock stands before 1970 counts from 1970 on.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Clock { started: Instant::now(), epoch: Time::ZERO + since_epoch }
    }

    /// The time.
    pub fn now(&self) -> Time {
        self.epoch + self.started.elapsed()
    }

    /// How long it is until `at`; zero when that has passed.
    pub fn until(&self, at: Time) -> Duration {
        at.since(self.now())
    }
}
