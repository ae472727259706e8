//! The machines of a scenario.

use std::collections::BTreeMap;
use std::path::PathBuf;

use apportion::protocol::Attributes;
use serde::{Deserialize, Deserializer, Serialize};

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
    /// What frameworks can choose by; `gpu_model` is the model of its GPUs. Numbers are taken as they are written.
    #[serde(default, deserialize_with = "attributes")]
    pub attributes: Attributes,
}

fn one() -> u32 {
    1
}

/// Attributes are texts; people write numbers, too.
fn attributes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Attributes, D::Error> {
    struct Text(String);
    impl<'de> Deserialize<'de> for Text {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct TextOrNumber;
            impl serde::de::Visitor<'_> for TextOrNumber {
                type Value = Text;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a text, a number, or true or false")
                }
                fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                    Ok(Text(text.to_owned()))
                }
                fn visit_i64<E>(self, number: i64) -> Result<Text, E> {
                    Ok(Text(number.to_string()))
                }
                fn visit_u64<E>(self, number: u64) -> Result<Text, E> {
                    Ok(Text(number.to_string()))
                }
                fn visit_f64<E>(self, number: f64) -> Result<Text, E> {
                    Ok(Text(number.to_string()))
                }
                fn visit_bool<E>(self, is: bool) -> Result<Text, E> {
                    Ok(Text(is.to_string()))
                }
            }
            deserializer.deserialize_any(TextOrNumber)
        }
    }
    let texts = BTreeMap::<String, Text>::deserialize(deserializer)?;
    Ok(texts.into_iter().map(|(name, Text(text))| (name, text)).collect())
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
