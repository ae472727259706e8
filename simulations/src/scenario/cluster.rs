//! The machines of a scenario.

use std::path::PathBuf;

use apportion::protocol::Attributes;
use serde::{Deserialize, Serialize};

use crate::traces::{Format, Malformed};

/// Machines that are alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentGroup {
    /// How many.
    #[serde(default = "one")]
    pub count: u32,
    /// What they are called: a number is appended. Among all groups, by default, `agent000001` and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What each has, as Mesos writes it.
    pub resources: String,
    /// What frameworks can choose by; `gpu_model` is the model of its GPUs.
    #[serde(default)]
    pub attributes: Attributes,
}

fn one() -> u32 {
    1
}

/// A cluster as a trace has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterTable {
    /// The trace.
    pub nodes: NodeFile,
}

/// A file of nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeFile {
    /// Its format.
    pub format: Format,
    /// Where it is, from the scenario's folder.
    pub file: PathBuf,
    /// Only so many nodes, from the first on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// What becomes of lines that can't be read.
    #[serde(default)]
    pub malformed: Malformed,
}
