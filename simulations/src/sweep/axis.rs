//! An axis of a sweep: what is set to what.

use std::str::FromStr;

use serde_json::{Value, json};

/// A path into a scenario, and the values that it takes: `frameworks.0.placement=best-fit,fgd` or `seed=1..20`.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Keys, separated by dots; of lists, places (from 0) or the names of what is in them.
    pub path: String,
    /// At least one.
    pub values: Vec<Value>,
}

/// What is wrong with an axis.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AxisError {
    /// It is not of the form `path=values`.
    #[error("'{0}' is not of the form path=value,value or path=first..last")]
    Form(String),
    /// A range is empty, or too long.
    #[error(
        "'{0}' is no range: it goes from a number to one that is not below it, and has at most {LONGEST} of them"
    )]
    Range(String),
    /// The scenario has nothing at the path that could be set.
    #[error("there is nothing to set at '{path}': '{part}' is not there; known are {known}")]
    Path {
        /// The path.
        path: String,
        /// Its first part that is not there.
        part: String,
        /// What is there instead.
        known: String,
    },
}

/// A range has at most so many values.
const LONGEST: i64 = 1_000_000;

impl FromStr for Axis {
    type Err = AxisError;

    fn from_str(text: &str) -> Result<Self, AxisError> {
        let form = || AxisError::Form(text.to_owned());
        let (path, values) = text.split_once('=').ok_or_else(form)?;
        let range = values.split_once("..").and_then(|(first, last)| {
            let (first, last) =
                (first.parse::<i64>().ok()?, last.trim_start_matches('=').parse::<i64>().ok()?);
            (first <= last && last - first < LONGEST).then(|| (first..=last).map(Value::from).collect())
        });
        let is_reversed = range.is_none()
            && values.split_once("..").is_some_and(|(first, last)| {
                first.parse::<i64>().is_ok() && last.trim_start_matches('=').parse::<i64>().is_ok()
            });
        if is_reversed {
            return Err(AxisError::Range(values.to_owned()));
        }
        let values: Vec<Value> = range.unwrap_or_else(|| values.split(',').map(value).collect());
        if path.is_empty() || values.iter().any(|value| value == "") {
            return Err(form());
        }
        Ok(Axis { path: path.to_owned(), values })
    }
}

/// Numbers and truth values as such, all else as text.
pub(crate) fn value(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
        _ => Value::String(text.to_owned()),
    }
}

/// Sets what is at a path. Keys of tables may be new, as what is left out of a file is; whether there are such keys is seen when it is
/// read.
///
/// # Errors
/// When the path leads nowhere.
pub(crate) fn set(document: &mut Value, path: &str, value: Value) -> Result<(), AxisError> {
    let nowhere = |part: &str, at: &Value| AxisError::Path {
        path: path.to_owned(),
        part: part.to_owned(),
        known: match at {
            Value::Object(table) => table.keys().cloned().collect::<Vec<_>>().join(", "),
            Value::Array(list) => format!("places 0 to {}", list.len().saturating_sub(1)),
            _ => "no parts".to_owned(),
        },
    };
    let mut at = document;
    let mut parts = path.split('.').peekable();
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        if is_last && let Value::Object(table) = at {
            table.insert(part.to_owned(), value);
            return Ok(());
        }
        let known = nowhere(part, at);
        let next = match at {
            Value::Object(table) => Some(table.entry(part).or_insert_with(|| json!({}))),
            Value::Array(list) => {
                let named = list.iter().position(|item| item.get("name").is_some_and(|name| name == part));
                named.or_else(|| part.parse().ok()).and_then(|place: usize| list.get_mut(place))
            }
            _ => None,
        };
        at = next.ok_or(known)?;
        if is_last {
            *at = value;
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_lists_or_ranges() {
        let axis = |text: &str| text.parse::<Axis>();
        assert_eq!(
            axis("frameworks.0.placement=best-fit,fgd").unwrap().values,
            [json!("best-fit"), json!("fgd")]
        );
        assert_eq!(axis("seed=1..4").unwrap().values, [json!(1), json!(2), json!(3), json!(4)]);
        assert_eq!(axis("a=1.5,true,10s").unwrap().values, [json!(1.5), json!(true), json!("10s")]);
        for wrong in ["seed", "=1", "a=", "a=1,,2", "seed=5..2", "seed=1..9000000"] {
            assert!(axis(wrong).is_err(), "{wrong}");
        }
        assert!(axis("seed=5..2").unwrap_err().to_string().starts_with("'5..2' is no range"));
    }

    #[test]
    fn paths_lead_into_tables_and_lists() {
        let mut document = json!({ "seed": 1, "frameworks": [{ "name": "a" }] });
        set(&mut document, "frameworks.0.placement", json!("fgd")).unwrap();
        set(&mut document, "seed", json!(7)).unwrap();
        assert_eq!(document, json!({ "seed": 7, "frameworks": [{ "name": "a", "placement": "fgd" }] }));
        // What a file leaves out can be set, and things in lists have names.
        set(&mut document, "allocator.interval", json!("1s")).unwrap();
        set(&mut document, "frameworks.a.decision.per_job", json!("1ms")).unwrap();
        assert_eq!(document["allocator"], json!({ "interval": "1s" }));
        assert_eq!(document["frameworks"][0]["decision"], json!({ "per_job": "1ms" }));
        let error = set(&mut document, "frameworks.1.placement", json!("fgd")).unwrap_err().to_string();
        assert_eq!(
            error,
            "there is nothing to set at 'frameworks.1.placement': '1' is not there; known are places 0 to 0"
        );
    }
}
