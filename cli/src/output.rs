//! What is printed: text, tables, JSON; and amounts as people read them.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use apportion::resources::{Kind, Resources, Scalar};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::failure::Failure;

/// Writes to standard output. A reader that has seen enough is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Writes a line to standard error, for whoever reads it: where nobody does any more, what is told of goes on.
pub(crate) fn note(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Writes a value as JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Writes a value as JSON, on one line.
pub(crate) fn print_json_line(value: &impl Serialize) -> Result<(), Failure> {
    print(&format!("{}\n", serde_json::to_string(value)?))
}

/// Writes rows under a heading; when there are none, says so instead.
pub(crate) fn print_table<const N: usize>(
    heading: [&str; N],
    rows: Vec<[String; N]>,
    none: &str,
) -> Result<(), Failure> {
    if rows.is_empty() {
        return print(&format!("{none}\n"));
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(heading).add_rows(rows);
    print(&format!("{}\n", table.trim_fmt()))
}

/// Resources in one line, such as `2 cpus, 1.5 GiB mem`.
pub(crate) fn amounts(resources: &Resources) -> String {
    let texts: Vec<String> = resources
        .quantities()
        .iter()
        .map(|(kind, amount)| match kind {
            Kind::Mem | Kind::Disk => format!("{} {}", mebibytes(amount), kind.as_str()),
            _ => format!("{amount} {}", kind.as_str()),
        })
        .collect();
    if texts.is_empty() { "-".to_owned() } else { texts.join(", ") }
}

/// An amount of MiB in the largest unit that it has one of.
fn mebibytes(amount: Scalar) -> String {
    const UNITS: [&str; 4] = ["MiB", "GiB", "TiB", "PiB"];
    let mut value = amount.as_f64();
    let mut units = UNITS.into_iter();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    let rounded = (value * 10.0).round() / 10.0;
    format!("{rounded} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_units_that_people_read() {
        let text = |resources: &str| amounts(&resources.parse().unwrap());
        assert_eq!(text("cpus:0.5;mem:512"), "0.5 cpus, 512 MiB mem");
        assert_eq!(text("cpus:2;mem:1536;disk:2097152"), "2 cpus, 1.5 GiB mem, 2 TiB disk");
        assert_eq!(text("ports:[31000-31009]"), "10 ports");
        assert_eq!(text(""), "-");
    }
}
