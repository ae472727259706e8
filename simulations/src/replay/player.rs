//! Hands recorded inputs to a master again.

use std::borrow::Cow;
use std::path::PathBuf;

use apportion::allocator::{Allocator, DrfAllocator, DrfOptions};
use apportion::master::journal::{Entry, OutputsHash};
use apportion::master::{Input, Master, Output};
use apportion::protocol::operator::ClusterState;
use apportion::protocol::{ConnectionId, FrameworkId, Identity, IdentityKind};
use apportion::time::Time;
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::{Entries, Journal, JournalFilesError};

/// Why a replay does not go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The journal can't be read.
    #[error(transparent)]
    Files(#[from] JournalFilesError),
    /// Its entries are not in the order in which they are written.
    #[error("{}: {problem}", file.display())]
    Disorder {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
}

/// Where a replay decides otherwise than the journal tells.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// After how many inputs.
    pub input: u64,
    /// When, in seconds from the beginning.
    pub at_s: f64,
    /// The input.
    pub told: String,
    /// How many outputs the journal tells.
    pub recorded: u32,
    /// The outputs of the replay.
    pub replayed: Vec<String>,
}

/// How far a replay is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ReplayState {
    /// Inputs that were handed over.
    pub inputs: u64,
    /// Outputs that came of them.
    pub outputs: u64,
    /// Allocations among the inputs.
    pub ticks: u64,
    /// From the beginning to the last input, in seconds.
    pub at_s: f64,
    /// The version of the program that wrote the journal.
    pub software: String,
    /// The first difference, if there is one.
    pub difference: Option<Difference>,
    /// Whether all of the journal was played.
    pub is_complete: bool,
    /// Bytes at the end of the journal that a crash cut off.
    pub torn_bytes: usize,
}

const OWN_ALLOCATOR: &str = "the master had an allocator of its own, and is replayed with the same";

/// A master that is told again what it was told.
pub struct Replay<'a> {
    entries: Entries<'a>,
    pub(super) master: Master,
    begun: Time,
    pub(super) now: Time,
    /// An input that is read and not yet due.
    next: Option<(Time, Input)>,
    pub(super) peers: FxHashMap<ConnectionId, Identity>,
    /// What its allocator was made with, if that is known.
    pub(super) options: Option<DrfOptions>,
    state: ReplayState,
}

impl<'a> Replay<'a> {
    /// A replay by an allocator like the one that the master had.
    ///
    /// # Errors
    /// When the journal can't be read, or the master's allocator was someone's own.
    pub fn new(journal: &'a Journal) -> Result<Self, ReplayError> {
        Self::begin(journal, |entries, options| {
            let options = options.ok_or_else(|| disorder(entries, OWN_ALLOCATOR))?;
            Ok(DrfAllocator::new(*options))
        })
    }

    /// A replay by an allocator of one's own, which should be like that of the master.
    ///
    /// # Errors
    /// When the journal can't be read.
    pub fn with_allocator(
        journal: &'a Journal,
        allocator: impl Allocator + 'static,
    ) -> Result<Self, ReplayError> {
        Self::begin(journal, |_, _| Ok(allocator))
    }

    fn begin<A: Allocator + 'static>(
        journal: &'a Journal,
        allocator: impl FnOnce(&Entries<'a>, Option<Box<DrfOptions>>) -> Result<A, ReplayError>,
    ) -> Result<Self, ReplayError> {
        let mut entries = journal.entries();
        let Some(Entry::Begin { at, software, epoch, allocator: options, pings, has_registry }) =
            entries.next_entry()?
        else {
            return Err(JournalFilesError::NoBeginning { file: entries.file() }.into());
        };
        let allocator = allocator(&entries, options)?;
        let options = allocator.drf_options().cloned();
        let mut records = Vec::new();
        let next = loop {
            match entries.next_entry()? {
                Some(Entry::Record(record)) => records.push(record.into_owned()),
                Some(Entry::Input { at, input }) => break Some((at, input.into_owned())),
                None => break None,
                Some(Entry::Outputs(_) | Entry::Begin { .. } | Entry::Continue { .. }) => {
                    return Err(disorder(&entries, "it does not begin with a registry and inputs"));
                }
            }
        };
        let master = Master::new(allocator).in_epoch(epoch).with_pings(pings);
        let master = if has_registry { master.with_registry(at, records) } else { master };
        let state = ReplayState { software, ..ReplayState::default() };
        Ok(Replay { entries, master, begun: at, now: at, next, peers: FxHashMap::default(), options, state })
    }

    /// Hands over what was told up to a time, in nanoseconds from the beginning, or all; `see` sees each input and what came of it.
    /// Stops at the first difference: what follows would be told to another master.
    ///
    /// # Errors
    /// When the journal can't be read.
    pub fn run(
        &mut self,
        until: Option<u64>,
        mut see: impl FnMut(Time, &Input, &[Output]),
    ) -> Result<(), ReplayError> {
        let end =
            until.map_or(Time::MAX, |nanos| Time::from_nanos(self.begun.as_nanos().saturating_add(nanos)));
        let mut outputs = Vec::new();
        while self.state.difference.is_none() {
            let Some((at, _)) = &self.next else {
                self.state.is_complete = true;
                self.state.torn_bytes = self.entries.torn_bytes();
                break;
            };
            if *at > end {
                break;
            }
            let Some((at, input)) = self.next.take() else { break };
            self.play(at, input, &mut outputs, &mut see)?;
        }
        Ok(())
    }

    fn play(
        &mut self,
        at: Time,
        input: Input,
        outputs: &mut Vec<Output>,
        see: &mut impl FnMut(Time, &Input, &[Output]),
    ) -> Result<(), ReplayError> {
        if let Input::Connected { connection, peer } = &input {
            self.peers.insert(*connection, peer.clone());
        }
        outputs.clear();
        self.now = at;
        self.master.handle(at, input.clone(), outputs);
        see(at, &input, outputs);
        self.state.inputs += 1;
        self.state.outputs += outputs.len() as u64;
        self.state.ticks += u64::from(input == Input::Tick);
        self.state.at_s = at.since(self.begun).as_secs_f64();
        let recorded = match self.entries.next_entry()? {
            Some(Entry::Outputs(recorded)) => Some(recorded),
            None => None,
            Some(_) => return Err(disorder(&self.entries, "an input is not followed by what came of it")),
        };
        // A crash may have cut off what came of the last one.
        if let Some(recorded) = recorded.filter(|recorded| *recorded != OutputsHash::of(outputs)) {
            self.state.difference = Some(Difference {
                input: self.state.inputs,
                at_s: self.state.at_s,
                told: format!("{input:?}"),
                recorded: recorded.count,
                replayed: outputs.iter().map(|output| format!("{output:?}")).collect(),
            });
        }
        self.next = match self.entries.next_entry()? {
            Some(Entry::Input { at, input }) => Some((at, Cow::into_owned(input))),
            None => None,
            Some(_) => return Err(disorder(&self.entries, "something else than an input follows")),
        };
        Ok(())
    }

    /// How far it is.
    pub fn state(&self) -> &ReplayState {
        &self.state
    }

    /// The cluster, as operators would see it now.
    pub fn cluster(&self) -> ClusterState {
        self.master.cluster_state(self.now)
    }

    /// When the master began.
    pub fn begun(&self) -> Time {
        self.begun
    }

    /// The framework of a connection.
    pub(super) fn framework_of(&self, connection: ConnectionId) -> Option<FrameworkId> {
        let peer = self.peers.get(&connection).filter(|peer| peer.kind() == IdentityKind::Framework)?;
        FrameworkId::new(peer.name()).ok()
    }

    /// What is told later, without telling the master; the replay is over then.
    pub(super) fn later(&mut self, mut see: impl FnMut(Time, &Input) -> bool) -> Result<(), ReplayError> {
        let mut next = self.next.take();
        loop {
            if let Some((at, input)) = next.take()
                && !see(at, &input)
            {
                return Ok(());
            }
            next = match self.entries.next_entry()? {
                Some(Entry::Input { at, input }) => Some((at, input.into_owned())),
                Some(_) => None,
                None => return Ok(()),
            };
        }
    }
}

fn disorder(entries: &Entries<'_>, problem: &'static str) -> ReplayError {
    ReplayError::Disorder { file: entries.file(), problem }
}
