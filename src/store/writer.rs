//! Makes changes durable on a thread of its own, so that deciding does not wait for the disk.

use std::thread::JoinHandle;

use crossbeam::channel::{self, Receiver, Sender};

use super::{Change, Store, StoreError};

/// Numbered changes that wait.
type Write = (u64, Vec<Change>);

/// Commits what it is handed, in order, everything that has gathered meanwhile in one commit. Dropping it waits until all is
/// committed.
#[derive(Debug)]
pub struct Writer {
    writes: Option<Sender<Write>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. `report` is called on it with the number up to which all writes are durable; an error is the last
    /// report, after which nothing is written.
    ///
    /// # Errors
    /// When the system refuses the thread.
    pub fn start(
        mut store: Box<dyn Store>,
        report: impl Fn(Result<u64, StoreError>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (writes, inbox) = channel::unbounded();
        let thread = std::thread::Builder::new().name("apportion-store".to_owned()).spawn(move || {
            while let Some((number, changes)) = gather(&inbox) {
                let outcome = store.commit(&changes).map(|()| number);
                let has_failed = outcome.is_err();
                report(outcome);
                if has_failed {
                    return;
                }
            }
        })?;
        Ok(Writer { writes: Some(writes), thread: Some(thread) })
    }

    /// Has changes committed. Numbers go up from write to write.
    pub fn write(&self, number: u64, changes: Vec<Change>) {
        if let Some(writes) = &self.writes {
            // After a failure nobody takes it; the failure was reported.
            let _ = writes.send((number, changes));
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.writes = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it has been printed.
            let _ = thread.join();
        }
    }
}

/// Waits for a write, and takes those that wait behind it along.
fn gather(inbox: &Receiver<Write>) -> Option<Write> {
    let (mut last, mut changes) = inbox.recv().ok()?;
    for (number, more) in inbox.try_iter() {
        last = number;
        changes.extend(more);
    }
    Some((last, changes))
}
