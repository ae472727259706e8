//! What goes wrong, and when: all of it is drawn before a run begins, so that a run with fewer faults is the same run up to the
//! first that is left out.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::random::Stream;

/// How a cluster can be hurt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// A master's process dies; writes that are not durable are lost.
    MasterCrash,
    /// Another master takes over, and the one that led does not know of it yet.
    LostLeadership,
    /// An agent's process dies; its executors and their tasks go on.
    AgentCrash,
    /// An agent's machine starts anew: nothing on it goes on.
    Reboot,
    /// A framework's process dies, with all that it knows.
    FrameworkCrash,
    /// An executor's process dies, with its tasks.
    ExecutorCrash,
    /// A task's process dies.
    TaskCrash,
    /// A connection breaks; the last messages of each direction are lost.
    ConnectionCut,
    /// Nothing goes either way between a master and a client.
    Partition,
    /// Nothing goes from a client to its master, but the other way.
    DeafMaster,
    /// Nothing goes from a master to its client, but the other way.
    DeafClient,
    /// Messages to and from a client take seconds.
    SlowNetwork,
    /// A process does nothing for a while, then goes on where it was.
    Stall,
    /// The writes of a master or an agent take seconds.
    SlowDisk,
    /// The next write of a master or an agent fails; it ends.
    WriteError,
    /// The disk of a master or an agent takes no writes for a while.
    FullDisk,
    /// A process' clock goes up to a fifth too fast or too slowly.
    ClockDrift,
    /// An agent dies and comes back with other resources.
    ChangedResources,
    /// An agent leaves in order, and comes back.
    AgentLeaves,
    /// The leading master's process dies, and another master leads when its lease has run out.
    Takeover,
    /// The next write of a framework fails, which ends it; or its writes take seconds, while it does nothing else.
    FrameworkDisk,
    /// An executor does nothing for a while, and neither sees what its tasks do.
    ExecutorStall,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [FaultKind; 22] = [
        FaultKind::MasterCrash,
        FaultKind::LostLeadership,
        FaultKind::AgentCrash,
        FaultKind::Reboot,
        FaultKind::FrameworkCrash,
        FaultKind::ExecutorCrash,
        FaultKind::TaskCrash,
        FaultKind::ConnectionCut,
        FaultKind::Partition,
        FaultKind::DeafMaster,
        FaultKind::DeafClient,
        FaultKind::SlowNetwork,
        FaultKind::Stall,
        FaultKind::SlowDisk,
        FaultKind::WriteError,
        FaultKind::FullDisk,
        FaultKind::ClockDrift,
        FaultKind::ChangedResources,
        FaultKind::AgentLeaves,
        FaultKind::Takeover,
        FaultKind::FrameworkDisk,
        FaultKind::ExecutorStall,
    ];

    /// The kind's name, as it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            FaultKind::MasterCrash => "master crash",
            FaultKind::LostLeadership => "lost leadership",
            FaultKind::AgentCrash => "agent crash",
            FaultKind::Reboot => "reboot",
            FaultKind::FrameworkCrash => "framework crash",
            FaultKind::ExecutorCrash => "executor crash",
            FaultKind::TaskCrash => "task crash",
            FaultKind::ConnectionCut => "connection cut",
            FaultKind::Partition => "partition",
            FaultKind::DeafMaster => "deaf master",
            FaultKind::DeafClient => "deaf client",
            FaultKind::SlowNetwork => "slow network",
            FaultKind::Stall => "stall",
            FaultKind::SlowDisk => "slow disk",
            FaultKind::WriteError => "write error",
            FaultKind::FullDisk => "full disk",
            FaultKind::ClockDrift => "clock drift",
            FaultKind::ChangedResources => "changed resources",
            FaultKind::AgentLeaves => "agent leaves",
            FaultKind::Takeover => "takeover",
            FaultKind::FrameworkDisk => "framework disk",
            FaultKind::ExecutorStall => "executor stall",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The step of a process in the middle of which it is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Moment {
    /// Whatever it does: just when it is time.
    Any,
    /// It has something to say that others act on: a launch, an update, a registration.
    Speaking,
    /// It acknowledges something.
    Acknowledging,
    /// It has handed out a write that is not durable.
    Writing,
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// How long after the start; or from when on it waits for its moment.
    pub(super) at: Duration,
    pub(super) kind: FaultKind,
    /// Chooses whom it hits.
    pub(super) whom: usize,
    /// How long it lasts: until the process starts again, or the path is free.
    pub(super) lasts: Duration,
    pub(super) moment: Moment,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s {}, {:.3} s long", self.at.as_secs_f64(), self.kind, self.lasts.as_secs_f64())?;
        match self.moment {
            Moment::Any => Ok(()),
            Moment::Speaking => write!(f, ", when it speaks next"),
            Moment::Acknowledging => write!(f, ", when it acknowledges next"),
            Moment::Writing => write!(f, ", when it writes next"),
        }
    }
}

/// All that goes wrong in one run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    /// In the order of their times.
    pub(super) faults: Vec<Fault>,
    /// When nothing goes wrong any more, and all is repaired.
    pub(super) ends: Duration,
}

impl Plan {
    /// The plan of a seed, with faults of these kinds. Each seed uses some kinds of faults only: what one kind hides, another seed shows (swarm testing, Groce
    /// et al., ISSTA 2012).
    pub(super) fn draw(seed: u64, all: &[FaultKind]) -> Self {
        let mut stream = Stream::named(seed, "faults/plan");
        let minutes = libm::exp(stream.unit() * libm::log(60.0)) * 2.0;
        let ends = Duration::from_secs_f64(minutes * 60.0);
        let mut kinds: Vec<FaultKind> = all.iter().copied().filter(|_| stream.unit() < 0.4).collect();
        if kinds.is_empty() {
            kinds.extend(all);
        }
        let count = 3 + stream.below(10 + (minutes * 2.0) as usize).min(60);
        let mut faults: Vec<Fault> = (0..count).map(|_| Fault::draw(&kinds, ends, &mut stream)).collect();
        faults.sort_by_key(|fault| fault.at);
        // Trouble comes in company.
        for place in 1..faults.len() {
            if stream.unit() < 0.3 {
                let close = faults[place - 1].at + Duration::from_secs_f64(3.0 * stream.unit());
                faults[place].at = faults[place].at.min(close);
            }
        }
        faults.sort_by_key(|fault| fault.at);
        Plan { faults, ends }
    }
}

impl Fault {
    fn draw(kinds: &[FaultKind], ends: Duration, stream: &mut Stream) -> Self {
        let at = ends.mul_f64(stream.unit());
        let kind = kinds[stream.below(kinds.len())];
        let whom = stream.below(1 << 16);
        // From a tenth of a second to a quarter of an hour, short ones as often as long ones.
        let lasts = Duration::from_secs_f64(0.1 * libm::exp(stream.unit() * libm::log(9000.0)));
        let can_wait = matches!(
            kind,
            FaultKind::MasterCrash
                | FaultKind::LostLeadership
                | FaultKind::Takeover
                | FaultKind::AgentCrash
                | FaultKind::FrameworkCrash
                | FaultKind::ExecutorCrash
                | FaultKind::ConnectionCut
        );
        let moment = match stream.below(8) {
            0 | 1 if can_wait => Moment::Speaking,
            2 if can_wait => Moment::Acknowledging,
            3 if can_wait => Moment::Writing,
            _ => Moment::Any,
        };
        Fault { at, kind, whom, lasts, moment }
    }
}
