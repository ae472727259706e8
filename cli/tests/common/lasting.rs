//! Tasks that run until they are let go.

use std::path::{Path, PathBuf};

use crate::common::{printed, wait_until};
use crate::jobs::batch;

pub(crate) struct Lasting {
    count: usize,
    begun: PathBuf,
    ended: PathBuf,
    go: PathBuf,
}

impl Lasting {
    /// Starts so many tasks that tell once that they have begun, and in the end that they were never disturbed.
    pub(crate) fn start(state: &Path, folder: &Path, count: u32) -> Self {
        let file = |name: &str| folder.join(name);
        let (begun, ended, go) = (file("begun"), file("ended"), file("go"));
        let line = format!(
            "echo $INDEX >> {}; while [ ! -e {} ]; do sleep 0.05; done; echo $INDEX >> {}",
            begun.display(),
            go.display(),
            ended.display()
        );
        printed(state, &["run", &batch(folder, "lasting", count, &line), "--detach"]);
        wait_until("all tasks run", || lines(&begun) == count as usize);
        Lasting { count: count as usize, begun, ended, go }
    }

    /// None was started twice or has ended; lets them end.
    pub(crate) fn expect_undisturbed(self) {
        assert_eq!(
            (lines(&self.begun), lines(&self.ended)),
            (self.count, 0),
            "no task was started twice or ended"
        );
        std::fs::write(&self.go, "").expect("it can be written");
        wait_until("all tasks end", || lines(&self.ended) == self.count);
        assert_eq!(lines(&self.begun), self.count);
    }
}

/// Lines in a file that tasks write to.
fn lines(file: &Path) -> usize {
    std::fs::read_to_string(file).unwrap_or_default().lines().count()
}
