//! Batch jobs that tests submit.

use std::path::Path;

/// The file with a job of so many equal tasks, each of which runs a line of shell.
pub(crate) fn batch(folder: &Path, name: &str, count: u32, line: &str) -> String {
    let text = format!(
        "schema = 1\nkind = \"batch\"\nid = \"/{name}\"\nrole = \"research\"\n\
         [[step]]\nname = \"work\"\ncount = {count}\ncpus = 0.1\nmemory = \"16MiB\"\nshell = '''{line}'''\n"
    );
    let file = folder.join(format!("{name}.toml"));
    std::fs::write(&file, text).expect("it can be written");
    file.to_string_lossy().into_owned()
}
