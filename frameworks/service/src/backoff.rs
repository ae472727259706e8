//! How long to wait before instances of a version that fails are launched again.

use std::time::Duration;

use apportion::time::Time;

/// How the delay grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BackoffPolicy {
    /// After the first failure.
    pub(crate) initial: Duration,
    /// By how much each further failure multiplies it; at least 1.
    pub(crate) factor: f64,
    /// It does not grow beyond this.
    pub(crate) max: Duration,
}

/// The launch backoff of one version, as Marathon has it.
///
/// A failure begins a delay in which nothing of the version is launched. Instances that fail during a delay were launched
/// before it: they belong to the failure that began it and change nothing, so that a hundred instances that fall together
/// count once. When no instance failed for the policy's longest delay after the last delay's end, the next failure is
/// a first one again. A new version has a backoff of its own, which begins at nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Backoff {
    delay: Duration,
    until: Time,
}

impl Backoff {
    /// An instance failed, or ended by itself.
    pub(crate) fn failed(&mut self, now: Time, policy: BackoffPolicy) {
        if self.is_waiting(now) {
            return;
        }
        let is_first = self.delay.is_zero() || now.since(self.until) > policy.max;
        let delay = if is_first { policy.initial } else { self.delay.mul_f64(policy.factor) };
        self.delay = delay.min(policy.max);
        self.until = now + self.delay;
    }

    /// Whether nothing may be launched.
    pub(crate) fn is_waiting(&self, now: Time) -> bool {
        now < self.until
    }

    /// When the delay ends, while it goes on.
    pub(crate) fn waits_until(&self, now: Time) -> Option<Time> {
        self.is_waiting(now).then_some(self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: BackoffPolicy =
        BackoffPolicy { initial: Duration::from_secs(1), factor: 1.15, max: Duration::from_secs(300) };

    #[test]
    fn delays_grow_by_the_factor_up_to_the_longest() {
        let (mut backoff, mut now) = (Backoff::default(), Time::from_secs(5));
        let mut delays = Vec::new();
        for _ in 0..60 {
            backoff.failed(now, POLICY);
            let until = backoff.waits_until(now).unwrap();
            delays.push(until.since(now));
            now = until;
            assert!(!backoff.is_waiting(now));
        }
        let millis: Vec<u128> = delays[..4].iter().map(Duration::as_millis).collect();
        assert_eq!(millis, [1000, 1150, 1322, 1520]);
        assert!(delays.is_sorted());
        // 1.15^40 is below 300, 1.15^41 is above it.
        assert!(delays[40] < POLICY.max);
        assert_eq!(delays[41..], [POLICY.max; 19]);
    }

    #[test]
    fn failures_during_a_delay_belong_to_the_one_that_began_it() {
        let mut backoff = Backoff::default();
        for _ in 0..100 {
            backoff.failed(Time::from_secs(5), POLICY);
        }
        assert_eq!(backoff.waits_until(Time::from_secs(5)), Some(Time::from_secs(6)));
    }

    #[test]
    fn a_failure_long_after_the_last_is_a_first_one() {
        let mut backoff = Backoff::default();
        backoff.failed(Time::from_secs(0), POLICY);
        backoff.failed(Time::from_secs(301), POLICY);
        assert_eq!(backoff.delay, Duration::from_millis(1150));
        backoff.failed(Time::from_secs(700), POLICY);
        assert_eq!(backoff.delay, Duration::from_secs(1));
    }
}
