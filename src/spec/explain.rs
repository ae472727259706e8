//! A spec with its defaults filled in.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Document;
use super::paths::Paths;

/// The resolved spec as TOML; lines whose key the source does not have end with `# default`.
///
/// What can't be written as TOML (a spec type that does not serialise to a table) is explained by a comment.
pub fn explain<T: Serialize>(resolved: &T, source: &Document) -> String {
    let text = match toml::to_string(resolved) {
        Ok(text) => text,
        Err(error) => return format!("# can't be written as TOML: {error}\n"),
    };
    let written = source.paths();
    // Ends of the values (of the headers of empty tables) that are not in the source.
    let mut defaults = BTreeSet::new();
    let paths = Paths::of_toml(&text);
    for (path, place) in paths.iter() {
        // Elements of a list may end within a line that goes on, even with text of several lines; the list does not.
        let is_inline =
            (1..path.len()).any(|len| paths.get(&path[..len]).is_some_and(|outer| !outer.is_branch));
        if !place.is_branch && !is_inline && written.get(path).is_none() {
            defaults.insert(line_of(&text, place.value.end));
        }
    }
    // Not `lines`, which would take a carriage return out of a text.
    let lines = text.split_terminator('\n').enumerate().map(|(number, line)| {
        if defaults.contains(&number) { format!("{line}  # default\n") } else { format!("{line}\n") }
    });
    lines.collect()
}

/// The number of the line, from 0, in which a value ends.
fn line_of(text: &str, end: usize) -> usize {
    text.as_bytes()[..end.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
}
