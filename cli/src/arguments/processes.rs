//! The command lines of a cluster's processes.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use apportion::allocator::{PreemptionOptions, PreemptionPolicy};
use apportion::isolation::IsolationPreference;
use apportion::master::{AGENT_PING_LIMIT, PingInterval, PingIntervalError, PingOptions};
use apportion::resources::{Resources, Role};
use apportion::runtime::Addresses;
use apportion::scheduler::Placement;
use apportion::spec::{Delay, Memory, UnitError};
use apportion::store::etcd::{DEFAULT_LEASE, EtcdLocation};
use clap::Args;

/// Where a master listens unless it is told otherwise.
const DEFAULT_LISTEN: &str = "127.0.0.1:7450";

#[derive(Debug, Args)]
pub(crate) struct MasterArguments {
    /// Share the registry with other masters in etcd, where they elect one to lead: etcd://HOST:PORT[,HOST:PORT...]/PREFIX. Whoever
    /// reads what is there can be anyone in the cluster
    #[arg(long, value_name = "LOCATION")]
    pub(crate) store: Option<EtcdLocation>,
    #[command(flatten)]
    pub(crate) etcd: EtcdArguments,
    /// Where others reach this master, if it listens on all of its machine's addresses
    #[arg(long, value_name = "ADDRESS", requires = "store")]
    pub(crate) advertise: Option<SocketAddr>,
    /// Where the other masters are, for operator.toml to name them too
    #[arg(long, value_name = "ADDRESS[,...]", requires = "store")]
    pub(crate) peers: Option<Addresses>,
    /// After how many seconds without a sign of life another master takes the lead; 2 at least
    #[arg(long, value_name = "SECONDS", requires = "store", default_value_t = DEFAULT_LEASE.as_secs(), value_parser = clap::value_parser!(u64).range(2..))]
    pub(crate) lease: u64,
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_LISTEN)]
    pub(crate) listen: SocketAddr,
    /// Where to keep the authority and the operator's credentials
    #[arg(long, value_name = "FOLDER")]
    pub(crate) state_dir: Option<PathBuf>,
    /// The cluster's name, part of every identity; kept from the first start on
    #[arg(long, value_name = "NAME", default_value = "apportion")]
    pub(crate) cluster_name: String,
    /// How long the certificates are valid that it signs; parties renew theirs, while they run, when a third of that is left
    #[arg(long, value_name = "DURATION", default_value = "90d")]
    pub(crate) certificate_lifetime: Delay,
    /// Write down all that happens to it in this folder, for `apportion sim replay`; tasks' environments are in it
    #[arg(long, value_name = "FOLDER")]
    pub(crate) journal: Option<PathBuf>,
    /// What the journal's folder may hold; files of earlier starts make room, and then recording ends
    #[arg(long, value_name = "SIZE", default_value = "4GiB", requires = "journal")]
    pub(crate) journal_max: Memory,
    #[command(flatten)]
    pub(crate) pings: PingArguments,
    #[command(flatten)]
    pub(crate) preemption: PreemptionArguments,
}

/// How a master speaks with etcd.
#[derive(Debug, Args)]
pub(crate) struct EtcdArguments {
    /// Who signs the certificates of etcd's members, as `etcdctl --cacert`
    #[arg(long = "etcd-ca", value_name = "FILE", requires_all = ["store", "certificate", "key"])]
    pub(crate) authority: Option<PathBuf>,
    /// The certificate that this master shows to etcd, as `etcdctl --cert`
    #[arg(long = "etcd-cert", value_name = "FILE", requires = "authority")]
    pub(crate) certificate: Option<PathBuf>,
    /// The key of that certificate, as `etcdctl --key`
    #[arg(long = "etcd-key", value_name = "FILE", requires = "authority")]
    pub(crate) key: Option<PathBuf>,
    /// Speak with etcd on other machines without TLS: everyone on the way can read the cluster's private key, and write whatever they like
    #[arg(long = "etcd-plaintext", requires = "store", conflicts_with = "authority")]
    pub(crate) plaintext: bool,
}

/// How long an agent may be silent.
#[derive(Debug, Args)]
pub(crate) struct PingArguments {
    /// How often agents are asked whether they are there
    #[arg(long, value_name = "TIME", default_value_t = PingOptions::default().interval, value_parser = ping_interval)]
    agent_ping_interval: PingInterval,
    /// After so many questions in a row without an answer an agent counts as unreachable, and so do its tasks
    #[arg(long, value_name = "NUMBER", default_value_t = AGENT_PING_LIMIT)]
    agent_ping_limit: NonZeroU32,
}

impl PingArguments {
    pub(crate) fn options(&self) -> PingOptions {
        PingOptions { interval: self.agent_ping_interval, limit: self.agent_ping_limit }
    }
}

/// Whether tasks of roles that have more than they are entitled to make room for roles that have less.
#[derive(Debug, Args)]
pub(crate) struct PreemptionArguments {
    /// For whom tasks of others are stopped: never, guarantees (roles below their guarantee) or fair-share (also below that)
    #[arg(long, value_name = "POLICY", default_value_t)]
    preemption: PreemptionPolicy,
    /// How long a role must have had too little before [default: 60s]
    #[arg(long, value_name = "TIME")]
    preemption_after: Option<Delay>,
    /// How long before it is stopped a task's framework is warned [default: 30s]
    #[arg(long, value_name = "TIME")]
    preemption_grace: Option<Delay>,
}

impl PreemptionArguments {
    pub(crate) fn options(&self) -> PreemptionOptions {
        let defaults = PreemptionOptions::default();
        PreemptionOptions {
            policy: self.preemption,
            after: self.preemption_after.map_or(defaults.after, Delay::duration),
            grace: self.preemption_grace.map_or(defaults.grace, Delay::duration),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct UpArguments {
    /// How many agents share this machine
    #[arg(long, value_name = "NUMBER", default_value = "3")]
    pub(crate) agents: NonZeroU32,
    /// Where the master listens; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_LISTEN)]
    pub(crate) listen: SocketAddr,
    /// Where to keep certificates, sandboxes and what tasks write
    #[arg(long, value_name = "FOLDER")]
    pub(crate) state_dir: Option<PathBuf>,
    /// How tasks are contained: auto (cgroups if they may be used), cgroups or plain
    #[arg(long, default_value_t)]
    pub(crate) isolation: IsolationPreference,
    /// Instead of agents that share this machine, so many simulated ones, whose tasks are timers
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["agents", "isolation"])]
    pub(crate) simulated_agents: Option<NonZeroU32>,
    #[command(flatten)]
    pub(crate) simulated: SimulatedArguments,
    #[command(flatten)]
    pub(crate) preemption: PreemptionArguments,
}

/// What simulated agents are like.
#[derive(Debug, Args)]
pub(crate) struct SimulatedArguments {
    /// What each simulated agent offers
    #[arg(
        long,
        value_name = "RESOURCES",
        default_value = "cpus:8;mem:32768;disk:102400;ports:[31000-32000]",
        requires = "simulated_agents"
    )]
    pub(crate) simulated_resources: Resources,
    /// How long simulated tasks last whose environment does not say so by SIMULATED_TIME
    #[arg(long, value_name = "DURATION", default_value = "10s", requires = "simulated_agents")]
    pub(crate) task_time: Delay,
}

#[derive(Debug, Args)]
pub(crate) struct AgentArguments {
    #[command(flatten)]
    pub(crate) join: JoinArguments,
    /// The agent's name, unique in the cluster [default: this machine's name]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Where it serves what tasks write; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:0")]
    pub(crate) listen: SocketAddr,
    /// Where others find it, if that is not where it listens
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) advertise: Option<SocketAddr>,
    /// What it offers, such as "cpus:4;mem:8192;ports:[31000-32000]" [default: what this machine has, without GPUs]
    ///
    /// GPUs are "gpus:2" where each is of one task at a time, and "gpu_milli:[0-1999]" where tasks share two of them: numbered thousandths,
    /// of which device 0 has those up to 999. A spec asks for 'gpus = 1' or 'shared_gpus = 0.5'; its task finds the numbers of its devices
    /// in APPORTION_GPUS and CUDA_VISIBLE_DEVICES.
    #[arg(long)]
    pub(crate) resources: Option<Resources>,
    /// Something for frameworks to choose by, such as zone=a; may be repeated
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    pub(crate) attributes: Vec<(String, String)>,
    /// The region that it is in: frameworks are offered other regions than the master's only if they ask for it
    #[arg(long, requires = "zone")]
    pub(crate) region: Option<String>,
    /// The zone of its region that it is in
    #[arg(long, requires = "region")]
    pub(crate) zone: Option<String>,
    /// Where to keep sandboxes and what tasks write [default: agents/NAME where state is kept]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) work_dir: Option<PathBuf>,
    /// How tasks are contained: auto (cgroups if they may be used), cgroups or plain
    #[arg(long, default_value_t)]
    pub(crate) isolation: IsolationPreference,
    /// How long tasks wait for an agent that died, or stepped aside, to be started again; with 0s they end with it, and it keeps no
    /// checkpoints
    #[arg(long, value_name = "DURATION", default_value = "15m")]
    pub(crate) recovery_timeout: Delay,
    /// How long a task's sandbox is kept after it has ended; less where more than half of the disk is in use
    #[arg(long, value_name = "DURATION", default_value = "7d")]
    pub(crate) keep_sandboxes: Delay,
    /// Instead of this machine, be so many simulated agents, NAME-1 and so on, whose tasks are timers: to load a master
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["token_file", "credentials", "resources", "recovery_timeout"])]
    pub(crate) simulated_agents: Option<NonZeroU32>,
    #[command(flatten)]
    pub(crate) simulated: SimulatedArguments,
}

#[derive(Debug, Args)]
pub(crate) struct FrameworkArguments {
    /// A role to run work of; may be repeated [default: any that work asks for]
    #[arg(long = "role", value_name = "ROLE")]
    pub(crate) roles: Vec<Role>,
    /// The framework's name [default: that of the command]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Where tasks go among the machines that they fit: first-fit, best-fit, worst-fit, random, dot-product, gpu-packing,
    /// gpu-clustering or fgd
    #[arg(long, value_name = "POLICY", default_value_t)]
    pub(crate) placement: Placement,
    #[command(flatten)]
    pub(crate) join: JoinArguments,
}

/// How a party gets into the cluster.
#[derive(Debug, Args)]
pub(crate) struct JoinArguments {
    /// Where the master is, or where the masters are [default: as in operator.toml]
    #[arg(long, value_name = "ADDRESS[,...]")]
    pub(crate) master: Option<Addresses>,
    /// The file with a token to join with, from `apportion token create`; - is standard input [default: the environment variable
    /// APPORTION_TOKEN, if there is one]
    #[arg(long, value_name = "FILE", conflicts_with = "credentials", requires = "master")]
    pub(crate) token_file: Option<PathBuf>,
    /// Credentials to use, instead of joining
    #[arg(long, value_name = "FILE", requires = "master")]
    pub(crate) credentials: Option<PathBuf>,
}

fn ping_interval(text: &str) -> Result<PingInterval, String> {
    let interval: Delay = text.parse().map_err(|error: UnitError| error.to_string())?;
    interval.duration().try_into().map_err(|error: PingIntervalError| error.to_string())
}

fn attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("an attribute is of the form NAME=VALUE".to_owned()),
    }
}
