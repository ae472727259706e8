//! What the tests that look at tasks share.

use std::collections::BTreeSet;
use std::path::Path;

/// The numbers of the processes with this text among their arguments or in their environment.
pub(crate) fn processes_with(text: &str) -> BTreeSet<u32> {
    let processes = std::fs::read_dir("/proc").expect("procfs").flatten();
    let numbers = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    let has_it = |number: &u32| {
        let read = |file| std::fs::read(format!("/proc/{number}/{file}")).unwrap_or_default();
        ["cmdline", "environ"]
            .iter()
            .any(|file| String::from_utf8_lossy(&read(file)).replace('\0', " ").contains(text))
    };
    numbers.filter(|number| *number != std::process::id()).filter(has_it).collect()
}

pub(crate) fn write(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(format!("{name}.toml"));
    std::fs::write(&file, text).expect("it can be written");
    file.to_string_lossy().into_owned()
}
