//! What can be typed.

mod processes;
mod sim;

use std::num::NonZeroU32;
use std::path::PathBuf;

use apportion::protocol::{AgentId, FrameworkId, IdentityKind, Limits, OfferMode, TaskId, Weight};
use apportion::resources::{Quantities, Role, Scalar};
use apportion::spec::Delay;
use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use processes::{
    AgentArguments, EtcdArguments, FrameworkArguments, JoinArguments, MasterArguments, SimulatedArguments,
    UpArguments,
};
pub(crate) use sim::{
    FaultsArguments, ReplayArguments, SimCommand, SimRunArguments, SweepArguments, TraceArguments,
    TraceCommand, ValidateArguments, WhatIfArguments,
};

const EXIT_CODES: &str = "\
Exit codes: 0 it worked; 1 it failed, or the cluster refused it; 2 the command line or a file is wrong; \
3 the cluster can't be reached.

Environment: APPORTION_STATE is where state is kept (else $XDG_STATE_HOME/apportion, else ~/.local/state/apportion); \
APPORTION_TOKEN is a token to join with; RUST_LOG filters what is logged to standard error; NO_COLOR turns colours off.

Start with: apportion run --local examples/trace-stats/batch.toml
Or with a cluster to look at: apportion up";

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
