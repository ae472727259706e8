//! Names of processes.

use std::fmt;

/// A process that can fail by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Node {
    /// A master, from 0.
    Master(usize),
    /// An agent, from 0.
    Agent(usize),
    /// A framework, from 0.
    Framework(usize),
    /// An executor, in the order in which all of them were started.
    Executor(u64),
}

impl Node {
    pub(super) fn is_executor(self) -> bool {
        matches!(self, Node::Executor(_))
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Master(place) => write!(f, "master-{}", place + 1),
            Node::Agent(place) => write!(f, "agent-{}", place + 1),
            Node::Framework(0) => write!(f, "service"),
            Node::Framework(1) => write!(f, "batch"),
            Node::Framework(place) => write!(f, "framework-{}", place + 1),
            Node::Executor(number) => write!(f, "executor-{number}"),
        }
    }
}
