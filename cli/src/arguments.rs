//! What can be typed.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use apportion::allocator::{PreemptionOptions, PreemptionPolicy};
use apportion::isolation::IsolationPreference;
use apportion::master::{AGENT_PING_LIMIT, PingInterval, PingIntervalError, PingOptions};
use apportion::protocol::{AgentId, FrameworkId, IdentityKind, Limits, OfferMode, TaskId, Weight};
use apportion::resources::{Quantities, Resources, Role, Scalar};
use apportion::runtime::Addresses;
use apportion::scheduler::Placement;
use apportion::spec::{Delay, Memory, UnitError};
use apportion::store::etcd::{DEFAULT_LEASE, EtcdLocation};
use apportion_simulations::output::PlotFormat;
use apportion_simulations::replay::Setting;
use apportion_simulations::sweep::{Axis, Shard};
use apportion_simulations::traces::Format;
use apportion_simulations::values::Span;
use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::Shell;

const EXIT_CODES: &str = "\
Exit codes: 0 it worked; 1 it failed, or the cluster refused it; 2 the command line or a file is wrong; \
3 the cluster can't be reached.

Environment: APPORTION_STATE is where state is kept (else $XDG_STATE_HOME/apportion, else ~/.local/state/apportion); \
APPORTION_TOKEN is a token to join with; RUST_LOG filters what is logged to standard error; NO_COLOR turns colours off.

Start with: apportion run --local examples/trace-stats/batch.toml
Or with a cluster to look at: apportion up";

/// Where a master listens unless it is told otherwise.
const DEFAULT_LISTEN: &str = "127.0.0.1:7450";

/// Schedules services and batch jobs fairly on shared machines.
#[derive(Debug, Parser)]
#[command(name = "apportion", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Print JSON, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// The file that tells where the master is and as whom to speak [default: operator.toml where state is kept]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) cluster: Option<PathBuf>,

    /// Log more to standard error; twice for all
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,

    /// Log errors alone, and tell no progress
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a whole cluster on this machine, until Ctrl-C
    #[command(after_help = "\
It is a master, agents that share what this machine has, and the frameworks for batch jobs and services. Ctrl-C ends it with all \
that it runs, and so does its death: what is to outlive that runs by `apportion master`, `agent`, `batch` and `service`.

With --simulated-agents it is a large cluster to try frameworks on, and to load a master with: agents that speak with the master as \
all do, each on a QUIC connection and with a certificate of its own, but run nothing. A task of theirs lasts for as long as \
its environment says (SIMULATED_TIME = \"90s\"), else for --task-time, and succeeds.

Example: apportion up
Then, in another terminal: apportion run examples/trace-stats/batch.toml
A thousand machines: apportion up --simulated-agents 1000")]
    Up(UpArguments),
    /// Submit a batch job or a service, and follow it to its end
    #[command(after_help = "\
The kind of each spec says which framework gets it. A batch job is followed until it ends, a service until it is as the spec \
says. Interrupting this command stops the following, not the job. With --local there is a cluster on this machine for as long as \
the command runs, and no longer.

Example: apportion run nightly.toml --also web.toml
Submit and go: apportion run nightly.toml --detach
Without a cluster: apportion run --local examples/trace-stats/batch.toml")]
    Run(RunArguments),
    /// Be the master of a cluster, until Ctrl-C
    #[command(after_help = "\
On its first start it makes the cluster's certificate authority; it also writes operator.toml, with which the other commands \
find it.

Example: apportion master --listen 0.0.0.0:7450")]
    Master(MasterArguments),
    /// Be an agent: give this machine to a cluster, until it is asked to end
    #[command(after_help = "\
It offers what this machine has, runs tasks, and serves what they write. It keeps its credentials for the next start, so that a \
token is needed once. Ctrl-C ends it with its tasks, and the cluster forgets it. SIGTERM, a crash or kill -9 \
end it alone: tasks run on, and the next start with the same name takes them over, which is how to upgrade it. (systemd: KillMode=process.) \
Those that no start takes over within --recovery-timeout end then.

Example: ssh 10.0.0.1 apportion token create agent | apportion agent --master 10.0.0.1:7450 --token-file -
Beside the master: apportion agent")]
    Agent(AgentArguments),
    /// Be the command executor that an agent starts
    #[command(hide = true)]
    Executor,
    /// Run the framework of batch jobs, until Ctrl-C
    #[command(after_help = "\
Without a token it joins with the operator's authority, which works where operator.toml is. It keeps its credentials for the \
next start. What it must not forget is in framework-NAME.redb where state is kept: after a crash or kill -9 the next start goes on with it.

Example: apportion batch")]
    Batch(FrameworkArguments),
    /// Run the framework of services, until Ctrl-C
    #[command(after_help = "\
Without a token it joins with the operator's authority, which works where operator.toml is. It keeps its credentials for the \
next start. What it must not forget is in framework-NAME.redb where state is kept: after a crash or kill -9 the next start goes on with it.

Example: apportion service --role web")]
    Service(FrameworkArguments),
    /// Show the cluster at a glance
    Status,
    /// List agents: what they have, what is used and offered
    Agents,
    /// List tasks: those that go on, and the most recent that ended
    Tasks {
        /// Only those of this framework
        #[arg(long)]
        framework: Option<FrameworkId>,
    },
    /// List roles: weights, shares and quotas
    Roles,
    /// List frameworks: what they run
    Frameworks,
    /// Print what a task wrote
    #[command(after_help = "Example: apportion logs nightly-1.merge.0.1 -f")]
    Logs {
        #[command(flatten)]
        task: TaskArguments,
        /// Go on with what is written later, until the task ends
        #[arg(short, long)]
        follow: bool,
        /// Its standard error instead of its standard output
        #[arg(long)]
        stderr: bool,
    },
    /// Stop a task
    Kill {
        #[command(flatten)]
        task: TaskArguments,
    },
    /// Say why a task does not run, or why frameworks have no offers
    #[command(after_help = "\
Without a task, it tells for each group of tasks that frameworks have said they wait for what stands in the way; where a framework \
has not said what it waits for, of any offer.

Example: apportion why nightly-1.merge.0.1
For a framework: apportion why --framework batch
For a role: apportion why --role research")]
    Why {
        /// The task
        #[arg(conflicts_with_all = ["framework", "role"])]
        task: Option<String>,
        /// What this framework waits for
        #[arg(long)]
        framework: Option<FrameworkId>,
        /// What is waited for in this role
        #[arg(long)]
        role: Option<Role>,
    },
    /// Set a role's weight
    #[command(after_help = "\
A role of weight 2 is due twice the share of a role of weight 1, which is what roles start with.

Example: apportion weight research 2.5")]
    Weight {
        /// The role
        role: Role,
        /// Its weight, with up to three decimals
        #[arg(value_parser = weight)]
        weight: Weight,
    },
    /// Set what a role is guaranteed, and the most that it may have
    #[command(after_help = "\
What is not given is taken away. A guarantee is set aside for the role until it has as much; a limit is never exceeded.

Example: apportion quota research --guarantee 'cpus:8;mem:16384' --limit 'cpus:32'
No quota any more: apportion quota research")]
    Quota {
        /// The role
        role: Role,
        /// What is set aside for it, as kind:amount;...
        #[arg(long, value_name = "AMOUNTS", default_value = "")]
        guarantee: Quantities,
        /// The most that it may have of each kind that is named
        #[arg(long, value_name = "AMOUNTS", default_value = "")]
        limit: Limits,
        /// Even if the cluster has less than all guarantees, or the role has more than its limit
        #[arg(long)]
        force: bool,
    },
    /// Set how a role's resources are offered: exclusively, or optimistically
    #[command(after_help = "\
Exclusive offers, which roles start with, are one framework's until it answers. Optimistic ones are made to several at once: the
first that accepts gets them, and the others plan again; a framework that takes long to decide keeps nothing from others.

Example: apportion offers research optimistic")]
    Offers {
        /// The role
        role: Role,
        /// How
        #[arg(value_parser = offer_mode)]
        mode: OfferMode,
    },
    /// Say when an agent will be away: frameworks are asked to leave it, and nothing of it is offered then
    #[command(after_help = "\
What runs there goes on for as long as the machine does; `apportion agents` shows who has said that they will have left.

Example: apportion maintenance node7 --in 30m --for 2h
Not after all: apportion maintenance node7 --cancel")]
    Maintenance {
        /// The agent
        agent: AgentId,
        /// When it begins, from now
        #[arg(long = "in", value_name = "DURATION", default_value = "0s")]
        begins_in: Delay,
        /// How long it lasts [default: for ever]
        #[arg(long = "for", value_name = "DURATION")]
        lasts: Option<Delay>,
        /// The agent will not be away
        #[arg(long, conflicts_with_all = ["begins_in", "lasts"])]
        cancel: bool,
    },
    /// Say that an agent is gone for good: frameworks start its tasks elsewhere at once
    #[command(after_help = "\
Say so only of a machine that does not run any more, or tasks run twice for a while: should the agent come back, it is made to end \
what it has, and turned away. Agents that can't be reached are waited for otherwise.

Example: apportion gone node7
It is there again: apportion gone node7 --back")]
    Gone {
        /// The agent
        agent: AgentId,
        /// It may come back
        #[arg(long)]
        back: bool,
    },
    /// Offer only what is on some machines
    #[command(after_help = "\
Tasks that run elsewhere go on.

Example: apportion allow node1 node2
All machines again: apportion allow --all")]
    Allow {
        /// The machines' names
        #[arg(required_unless_present = "all")]
        hostnames: Vec<String>,
        /// Offer what is on all machines
        #[arg(long, conflicts_with = "hostnames")]
        all: bool,
    },
    /// Say who may do what
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Make tokens with which processes join the cluster
    #[command(subcommand)]
    Token(TokenCommand),
    /// Simulate clusters in virtual time, on the production code
    #[command(subcommand)]
    Sim(SimCommand),
    /// Look at specs of services and batch jobs
    #[command(subcommand)]
    Spec(SpecCommand),
    /// Print a script that completes this command in your shell
    #[command(
        after_help = "For bash: apportion completions bash > ~/.local/share/bash-completion/completions/apportion"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// The spec, as TOML or JSON
    pub(crate) spec: PathBuf,
    /// Further specs, to run beside it
    #[arg(long, value_name = "SPEC", num_args = 1..)]
    pub(crate) also: Vec<PathBuf>,
    /// Submit and don't wait
    #[arg(long)]
    pub(crate) detach: bool,
    /// On a cluster of its own, on this machine, that ends with this command
    #[arg(long, conflicts_with_all = ["detach", "cluster"])]
    pub(crate) local: bool,
    /// With --local: how many agents share this machine [default: as many as have a whole cpu each, at most 3]
    #[arg(long, value_name = "NUMBER", requires = "local")]
    pub(crate) agents: Option<NonZeroU32>,
    /// The framework for batch jobs
    #[arg(long, value_name = "NAME", default_value = "batch")]
    pub(crate) batch_framework: FrameworkId,
    /// The framework for services
    #[arg(long, value_name = "NAME", default_value = "service")]
    pub(crate) service_framework: FrameworkId,
}

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
    /// What it offers, such as "cpus:4;mem:8192;ports:[31000-32000]" [default: what this machine has]
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

#[derive(Debug, Args)]
pub(crate) struct TaskArguments {
    /// The task
    pub(crate) task: TaskId,
    /// Whose it is, where several frameworks have such a task
    #[arg(long)]
    pub(crate) framework: Option<FrameworkId>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token, good for one join within a day
    #[command(after_help = "Example: apportion token create framework")]
    Create {
        /// What may join by it: agent, framework, operator, ...
        kind: IdentityKind,
        /// Let who had this name join by it again, whose credentials are lost or out of date
        #[arg(long, value_name = "NAME")]
        again: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Print the rules that hold
    Show,
    /// Go by the rules of a file from now on
    #[command(after_help = "\
Once there are rules, everything that none of them allows is refused. A rule names principals (operator/alice, framework/team-*, \
or * for everyone), actions (register, reserve, run-as, set-weight, set-quota, kill, read-logs, submit, view, operate), and, if it is not \
about all of them, roles; those below a role are meant with it. Limits bound how many calls a second a principal may send on a \
connection.

    [[allow]]
    principals = [\"operator/admin\"]
    actions = [\"view\", \"operate\", \"submit\", \"kill\", \"read-logs\", \"set-weight\", \"set-quota\"]

    [[allow]]
    principals = [\"framework/research-*\"]
    actions = [\"register\", \"reserve\"]
    roles = [\"research\"]

    [[limit]]
    principals = [\"framework/*\"]
    calls_per_s = 10000

Example: apportion rules set rules.toml")]
    Set {
        /// The rules, as TOML or JSON
        file: PathBuf,
    },
    /// Allow everyone in the cluster everything again
    Clear,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SimCommand {
    /// Run a scenario, print what came out, and write tables of it
    #[command(after_help = "\
Into the folder of --out go summary.json, manifest.json, jobs.csv, tasks.csv, roles.csv, agents.csv and report.html; on request, \
events.jsonl, the tables as Parquet, and the figures as files. The same scenario and \
seed give the same tables and the same hash of events, on any machine.

Example: apportion sim run examples/scenarios/drf.toml --json
With tables: apportion sim run examples/scenarios/drf.toml --seed 7 --out results")]
    Run(SimRunArguments),
    /// Drive the allocator alone by a script, and compare its offers to those that the script expects
    #[command(after_help = "\
Prints each step with the offers that it brought about; with --json, as one line of JSON each. Ends with exit code 1 at the \
first expectation that is not met, and tells what was expected, what was found, and why.

Example: apportion sim allocator simulations/tests/scripts/drf-unreserved.toml")]
    Allocator {
        /// The script, as TOML or JSON
        script: PathBuf,
    },
    /// Play cases whose right answers are known, and print what was expected beside what came out
    #[command(after_help = "\
The cases are from the papers on dominant-resource fairness, from queueing theory, and from published runs and traces. Ends with \
exit code 1 when anything differs.

Example: apportion sim validate
Some of them: apportion sim validate 1 22 --json
Those that take no time: apportion sim validate --quick")]
    Validate(ValidateArguments),
    /// Let an adversary crash, cut off and slow down simulated clusters, and check that nothing is lost or given twice
    #[command(after_help = "\
Each seed is a cluster of its own: the production master, agents, executors, service and batch frameworks, what is asked of them, and \
a plan of faults. Safety is checked with each step; after the last fault everything has to come to rest. When a seed fails, the \
fewest faults for which it does are looked for and told, with the last steps before the end. Ends with exit code 1 then.

Example: apportion sim faults --seeds 1000 --jobs 2
Again, exactly: apportion sim faults --seed 42")]
    Faults(FaultsArguments),
    /// Say whether scenarios are right, traces included; if not, where and what to do
    #[command(after_help = "Example: apportion sim check examples/scenarios/drf.toml")]
    Check {
        /// Scenarios, as TOML or JSON
        #[arg(required = true)]
        scenarios: Vec<PathBuf>,
    },
    /// Run a scenario for every combination of some values, in parallel
    #[command(after_help = "\
Runs that differ in their seed alone are replicates of one cell: cells.csv tells means and 95 % confidence intervals, runs.csv \
every run, and sweep.html shows the cells side by side. Interrupted, the sweep goes on where it was when it is started again.

Example: apportion sim sweep s.toml --set frameworks.0.placement=best-fit,fgd --set seed=1..20 --out results
One of four parts: apportion sim sweep s.toml --set seed=1..20 --out part2 --shard 2/4
All of them: apportion sim sweep s.toml --set seed=1..20 --out results --merge part1 part2 part3 part4")]
    Sweep(SweepArguments),
    /// Look at traces of clusters and workloads, and convert them
    #[command(subcommand)]
    Trace(TraceCommand),
    /// Play a master again from its journal, to the same decisions
    #[command(after_help = "\
The journal is what `apportion master --journal FOLDER` writes. What the master decides is compared with what it decided then; ends \
with exit code 1 at the first difference. It can be stopped at any time, and asked why a task that ran later waited then.

Example: apportion sim replay journal
Why did it wait: apportion sim replay journal --until 90s --why nightly-1.merge.0.1")]
    Replay(ReplayArguments),
    /// Go on from a master's journal with another weight, quota, or more agents
    #[command(after_help = "\
The cluster is taken over as it was at a time, with the tasks that ran and those that came later, for as long as they ran. It is \
simulated as it was and with what is changed; both are printed side by side. Paths lead into the scenario that --scenario prints, \
with roles by name.

Example: apportion sim whatif journal --set roles.web.weight=2
More agents, from a time on: apportion sim whatif journal --from 1h --set agents.0.count=20 --out results")]
    Whatif(WhatIfArguments),
}

/// Which journal.
#[derive(Debug, Args)]
pub(crate) struct JournalArguments {
    /// The journal's folder, or a file in it
    #[arg(value_name = "JOURNAL")]
    pub(crate) path: PathBuf,
    /// Which start of the master, from 1 [default: the last, or that of the file]
    #[arg(long, value_name = "N")]
    pub(crate) start: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArguments {
    #[command(flatten)]
    pub(crate) journal: JournalArguments,
    /// Stop at this time from the master's start, such as 90s [default: at the end]
    #[arg(long, value_name = "DURATION")]
    pub(crate) until: Option<Span>,
    /// Say why this task did not run then
    #[arg(long, value_name = "TASK")]
    pub(crate) why: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WhatIfArguments {
    #[command(flatten)]
    pub(crate) journal: JournalArguments,
    /// Go on from this time after the master's start [default: just before the first task was launched]
    #[arg(long, value_name = "DURATION")]
    pub(crate) from: Option<Span>,
    /// What is to be otherwise, such as roles.web.weight=2; may be repeated
    #[arg(long = "set", value_name = "PATH=VALUE", required_unless_present = "scenario")]
    pub(crate) settings: Vec<Setting>,
    /// Write tables and reports of both runs into this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// Print the scenario that is made of the journal, and run nothing
    #[arg(long, conflicts_with_all = ["settings", "out"])]
    pub(crate) scenario: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SweepArguments {
    /// The scenario, as TOML or JSON
    pub(crate) scenario: PathBuf,
    /// What to set to what: path=value,value or path=first..last; may be repeated. A path leads into the scenario: keys, and of lists
    /// places from 0 or names
    #[arg(long = "set", value_name = "PATH=VALUES", required = true)]
    pub(crate) axes: Vec<Axis>,
    /// Keep runs and write tables in this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: PathBuf,
    /// Run only this part, such as 3/16
    #[arg(long, default_value = "1/1")]
    pub(crate) shard: Shard,
    /// Take over what is kept in these folders of the same sweep, such as those of its shards on other machines
    #[arg(long, value_name = "FOLDER", num_args = 1..)]
    pub(crate) merge: Vec<PathBuf>,
    /// Run so many at a time [default: one per core]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TraceCommand {
    /// Say what a trace holds, and which of its lines can't be read
    #[command(after_help = "Example: apportion sim trace info log.swf.gz")]
    Info(TraceArguments),
    /// Convert a trace to the table that the simulator documents, as CSV or, for a file that ends with .parquet, as Parquet
    #[command(after_help = "Example: apportion sim trace convert log.swf.gz --out jobs.csv --skip-malformed")]
    Convert {
        #[command(flatten)]
        trace: TraceArguments,
        /// Where to write the table [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Leave out lines that can't be read, instead of refusing the trace
        #[arg(long)]
        skip_malformed: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TraceArguments {
    /// The trace; gzip is unpacked
    pub(crate) file: PathBuf,
    /// Its format [default: as its name and first lines say]
    #[arg(long, value_parser = trace_format)]
    pub(crate) format: Option<Format>,
}

#[derive(Debug, Args)]
pub(crate) struct SimRunArguments {
    /// The scenario, as TOML or JSON
    pub(crate) scenario: PathBuf,
    /// Seed random numbers with this instead of the scenario's seed
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Write summary, manifest, tables and a report into this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// The length of the intervals of roles.csv, agents.csv and the report's charts, such as 10s [default: that of the scenario, or
    /// about a two-hundredth of the run]
    #[arg(long, value_name = "DURATION", requires = "out")]
    pub(crate) interval: Option<Span>,
    /// Write events.jsonl too: what happened to jobs and tasks, a line each
    #[arg(long, requires = "out")]
    pub(crate) events: bool,
    /// Write the tables as Parquet too
    #[arg(long, requires = "out")]
    pub(crate) parquet: bool,
    /// Write each figure of the report as a file too: svg or png
    #[arg(long, value_name = "FORMAT", requires = "out", value_parser = plot_format)]
    pub(crate) plot: Option<PlotFormat>,
}

/// What `sim faults` runs.
#[derive(Debug, Args)]
pub(crate) struct FaultsArguments {
    /// Run so many seeds
    #[arg(long, value_name = "N", default_value_t = 100, conflicts_with = "seed")]
    pub(crate) seeds: u64,
    /// Begin with this seed
    #[arg(long, value_name = "SEED", default_value_t = 1, conflicts_with = "seed")]
    pub(crate) first: u64,
    /// Run this seed alone; the same one is the same run
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Print the last steps of the seed, also when it does not fail
    #[arg(long, requires = "seed")]
    pub(crate) trace: bool,
    /// Run so many at a time [default: one per core]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
}

/// What `sim validate` plays.
#[derive(Debug, Args)]
pub(crate) struct ValidateArguments {
    /// Numbers of cases; all by default
    pub(crate) cases: Vec<String>,
    /// Leave out cases that take longer than about a second
    #[arg(long)]
    pub(crate) quick: bool,
    /// Play those too that take longer than about ten seconds
    #[arg(long, conflicts_with = "quick")]
    pub(crate) long: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SpecCommand {
    /// Say whether specs are right; if not, where and what to do
    Check {
        /// Specs, as TOML or JSON
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Print a spec with its defaults filled in
    Explain {
        /// The spec, as TOML or JSON
        file: PathBuf,
    },
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

fn plot_format(text: &str) -> Result<PlotFormat, String> {
    match text {
        "svg" => Ok(PlotFormat::Svg),
        "png" => Ok(PlotFormat::Png),
        _ => Err("it is 'svg' or 'png'".to_owned()),
    }
}

fn trace_format(text: &str) -> Result<Format, String> {
    let known: Vec<&str> = Format::ALL.into_iter().map(Format::as_str).collect();
    Format::named(text).ok_or_else(|| format!("known are {}", known.join(", ")))
}

fn offer_mode(text: &str) -> Result<OfferMode, String> {
    [OfferMode::Exclusive, OfferMode::Optimistic]
        .into_iter()
        .find(|mode| mode.to_string() == text)
        .ok_or_else(|| "it is 'exclusive' or 'optimistic'".to_owned())
}

fn weight(text: &str) -> Result<Weight, String> {
    let amount: Scalar = text.parse().map_err(|error| format!("{error}"))?;
    let milli = u32::try_from(amount.milli()).map_err(|_| "a weight is at most 4294967.295".to_owned())?;
    Weight::from_milli(milli).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn weights_have_three_decimals_and_are_above_zero() {
        assert_eq!(weight("2.5").map(Weight::milli), Ok(2500));
        for wrong in ["0", "-1", "x", "5000000"] {
            assert!(weight(wrong).is_err(), "{wrong}");
        }
    }
}
