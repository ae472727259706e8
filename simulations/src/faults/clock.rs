//! Clocks that are wrong: each process has one of its own.

use apportion::time::Time;

/// The rate of a clock that is right.
pub(super) const TRUE_RATE: u64 = 1_000_000;

/// A clock that starts at some time of day and goes at some rate. Within a process' life it never goes back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// When, in the world's time, it showed `local`.
    world: Time,
    local: Time,
    /// Its nanoseconds per millisecond of the world's.
    rate: u64,
}

impl Clock {
    pub(super) fn new(world: Time, local: Time, rate: u64) -> Self {
        Clock { world, local, rate }
    }

    /// What it shows.
    pub(super) fn read(&self, now: Time) -> Time {
        self.local + scaled(now.as_nanos().saturating_sub(self.world.as_nanos()), self.rate, TRUE_RATE)
    }

    /// When, in the world's time, it shows `local` or more.
    pub(super) fn when(&self, local: Time) -> Time {
        // One nanosecond more covers what both divisions cut off.
        let ahead = local.as_nanos().saturating_sub(self.local.as_nanos());
        self.world + scaled(ahead, TRUE_RATE, self.rate) + std::time::Duration::from_nanos(1)
    }

    /// It goes at another rate from now on.
    pub(super) fn set_rate(&mut self, now: Time, rate: u64) {
        *self = Clock { world: now, local: self.read(now), rate };
    }
}

fn scaled(nanos: u64, by: u64, over: u64) -> std::time::Duration {
    let nanos = u128::from(nanos) * u128::from(by) / u128::from(over);
    std::time::Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_the_time_that_it_was_asked_for_when_it_said_so() {
        let mut clock = Clock::new(Time::from_secs(100), Time::from_secs(70), 1_200_007);
        for _ in 0..3 {
            for nanos in [0, 1, 999, 1_000_000_007] {
                let local = Time::from_nanos(clock.read(Time::from_secs(130)).as_nanos() + nanos);
                assert!(clock.read(clock.when(local)) >= local);
            }
            let before = clock.read(Time::from_secs(130));
            clock.set_rate(Time::from_secs(130), 833_331);
            assert_eq!(clock.read(Time::from_secs(130)), before);
        }
    }
}
