//! Reading a task's files from its agent, on a stream of its own.

use serde::{Deserialize, Serialize};

use super::ids::{FrameworkId, TaskId};

/// The first frame of a bulk stream from an operator to an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadLog {
    /// Whose task it is.
    pub framework: FrameworkId,
    /// Which.
    pub task: TaskId,
    /// Which of its outputs.
    pub output: OutputName,
    /// From which byte on.
    pub offset: u64,
    /// Whether to go on with what is written later, until the task ends.
    pub follow: bool,
}

/// One of the two outputs of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputName {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl OutputName {
    /// The file's name in the task's sandbox.
    pub fn file_name(self) -> &'static str {
        match self {
            OutputName::Stdout => "stdout",
            OutputName::Stderr => "stderr",
        }
    }
}

/// The agent's answer, before the bytes themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogAnswer {
    /// The bytes follow, to the end of the stream.
    Bytes,
    /// There is no such file, and why.
    Refused(String),
}
