//! How long an agent may be silent.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often an agent is asked whether it is there, unless the master is told otherwise. Mesos' default (`agent_ping_timeout`).
pub const AGENT_PING_INTERVAL: Duration = Duration::from_secs(15);

/// After so many pings in a row without an answer an agent counts as unreachable, unless the master is told otherwise. Mesos' default
/// (`max_agent_ping_timeouts`).
pub const AGENT_PING_LIMIT: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// How often agents are asked whether they are there, and how often in vain before they count as unreachable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingOptions {
    /// From one ping to the next.
    pub interval: PingInterval,
    /// After so many pings in a row without an answer an agent counts as unreachable.
    pub limit: NonZeroU32,
}

impl Default for PingOptions {
    fn default() -> Self {
        PingOptions { interval: PingInterval(AGENT_PING_INTERVAL), limit: AGENT_PING_LIMIT }
    }
}

/// From one ping to the next: between [`SHORTEST`](Self::SHORTEST), since more would only load the master, and
/// [`LONGEST`](Self::LONGEST).
///
/// ```
/// use std::time::Duration;
///
/// use apportion::master::PingInterval;
///
/// assert!(PingInterval::try_from(Duration::from_secs(5)).is_ok());
/// assert!(PingInterval::try_from(Duration::ZERO).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Duration", into = "Duration")]
pub struct PingInterval(Duration);

/// Why agents can't be asked so often, or so rarely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("agents can be asked whether they are there every 100ms to 24h, not every {0:?}")]
pub struct PingIntervalError(
    /// How often it was to be.
    pub Duration,
);

impl PingInterval {
    /// The shortest one.
    pub const SHORTEST: Duration = Duration::from_millis(100);

    /// The longest one.
    pub const LONGEST: Duration = Duration::from_secs(24 * 3600);
}

impl TryFrom<Duration> for PingInterval {
    type Error = PingIntervalError;

    fn try_from(interval: Duration) -> Result<Self, PingIntervalError> {
        let is_sensible = (Self::SHORTEST..=Self::LONGEST).contains(&interval);
        is_sensible.then_some(PingInterval(interval)).ok_or(PingIntervalError(interval))
    }
}

impl fmt::Display for PingInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl From<PingInterval> for Duration {
    fn from(interval: PingInterval) -> Self {
        interval.0
    }
}
