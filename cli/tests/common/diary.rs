//! Tasks that tell when they begin and end.

use std::path::{Path, PathBuf};

use crate::common::{printed, wait_until};
use crate::jobs::batch;

/// What the tasks of a job wrote.
pub(crate) struct Diary {
    run: String,
    count: u32,
    begun: PathBuf,
    ended: PathBuf,
}

impl Diary {
    /// Submits a job of so many tasks, each of which notes its number in a file, lasts a moment, and notes it in another.
    pub(crate) fn submit(state: &Path, folder: &Path, name: &str, count: u32, seconds: f64) -> Self {
        let (begun, ended) = (folder.join("begun"), folder.join("ended"));
        let line = format!(
            "echo $INDEX >> {}; sleep {seconds}; echo $INDEX >> {}",
            begun.display(),
            ended.display()
        );
        let spec = batch(folder, name, count, &line);
        let run = printed(state, &["run", &spec, "--detach"]).trim().to_owned();
        Diary { run, count, begun, ended }
    }

    pub(crate) fn has_begun(&self) -> bool {
        std::fs::read_to_string(&self.begun).is_ok_and(|text| !text.is_empty())
    }

    /// Waits until all tasks have finished: each has begun and ended once.
    pub(crate) fn complete(self, state: &Path) {
        let finished = || {
            let tasks: serde_json::Value =
                serde_json::from_str(&printed(state, &["tasks", "--json"])).expect("JSON");
            let tasks = tasks.as_array().expect("a list").iter();
            let of_run = |task: &&serde_json::Value| {
                task["status"]["task"].as_str().is_some_and(|id| id.starts_with(&self.run))
            };
            tasks.filter(of_run).filter(|task| task["state"] == "finished").count()
        };
        wait_until("all tasks finish", || finished() == self.count as usize);
        for file in [&self.begun, &self.ended] {
            let text = std::fs::read_to_string(file).expect("the tasks wrote it");
            let mut numbers: Vec<u32> = text.lines().map(|line| line.parse().expect("a number")).collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (0..self.count).collect::<Vec<_>>(), "{}", file.display());
        }
    }
}
