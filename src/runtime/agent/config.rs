//! What an agent needs to run.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::launcher::ExecutorLauncher;
use crate::isolation::IsolationPreference;
use crate::net::Credentials;
use crate::protocol::{Attributes, FaultDomain};
use crate::resources::Resources;
use crate::runtime::Addresses;

/// What an agent needs to run.
#[derive(Debug)]
pub struct AgentConfig {
    /// Its certificate; its name is the agent's id.
    pub credentials: Credentials,
    /// Where the masters listen.
    pub master: Addresses,
    /// Where it takes connections of operators who read logs; port 0 lets the system choose one.
    pub listen: SocketAddr,
    /// Where operators find it, if that is not where it listens. Needed only behind address translation: an agent that listens on
    /// all of its machine's addresses names the one from which it reaches the master.
    pub advertise: Option<SocketAddr>,
    /// Where sandboxes and executors' files are kept; of this agent alone.
    pub work_dir: PathBuf,
    /// What it has to give; see [`machine_resources`](super::machine_resources).
    pub resources: Resources,
    /// For frameworks to choose by.
    pub attributes: Attributes,
    /// Where it is; `None`: where the master is.
    pub domain: Option<FaultDomain>,
    /// How tasks are contained.
    pub isolation: IsolationPreference,
    /// For how long tasks outlive the agent's death, if at all: so long executors wait for its next life, which finds what it must know
    /// on disk, in `work_dir`. `None`: nothing is kept there, and executors end soon after their agent.
    pub recovery_timeout: Option<Duration>,
    /// How long a sandbox is kept after its task has ended; [`KEEP_SANDBOXES`](Self::KEEP_SANDBOXES) by default. Where more than half
    /// of the disk is in use it is kept for less, and where less than a tenth is free, not at all.
    pub keep_sandboxes: Duration,
    /// How executors are started.
    pub launcher: ExecutorLauncher,
}

impl AgentConfig {
    /// How long sandboxes are kept when nothing else is said: a week, as in Mesos.
    pub const KEEP_SANDBOXES: Duration = Duration::from_secs(7 * 24 * 3600);
}
