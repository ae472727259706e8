//! An agent's records on disk, and the thread that makes them durable.
//!
//! Records are appended, everything that waits at a time with one `fdatasync`. When the file has grown, it is written anew with what
//! its records add up to. Room for what comes next is taken ahead: on a full disk, where every task fails, the agent can still keep
//! records of that, and say so.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{self, Receiver, Sender};
use rustix::fs::{FallocateFlags, fallocate};
use tokio::sync::watch;

use crate::agent::{Checkpoint, Record, encode_records};
use crate::protocol::AgentId;
use crate::runtime::RuntimeError;

/// A file that has grown by this much since it was written anew is written anew again.
const GROWTH_BYTES: u64 = 32 << 20;

/// So much room is taken ahead, and again when half of it is used.
const ROOM_BYTES: u64 = 1 << 20;

/// How often a full disk is tried again.
const FULL_DISK_RETRY: Duration = Duration::from_secs(1);

/// Records, and their number.
type Batch = (u64, Vec<Record>);

/// The file with an agent's records.
#[derive(Debug)]
struct RecordFile {
    agent: AgentId,
    path: PathBuf,
    file: File,
    /// How much of it is written as a whole.
    length: u64,
    /// Its length when it was written anew.
    compact: u64,
    /// Up to where room on the disk was taken for it.
    room: u64,
    /// The number up to which all is durable.
    durable: u64,
}

impl RecordFile {
    /// Opens or makes the file, and tells what its records add up to.
    fn open(path: &Path, agent: &AgentId) -> Result<(Self, Checkpoint), RuntimeError> {
        let failed = |action| move |error| RuntimeError::File { action, path: path.to_owned(), error };
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed("read")(error)),
        };
        let corrupt = |problem: String| RuntimeError::Corrupt { path: path.to_owned(), problem };
        let mut checkpoint = Checkpoint::new(agent.clone());
        let whole = checkpoint.read(&bytes).map_err(|error| corrupt(error.to_string()))?;
        if whole < bytes.len() {
            tracing::info!(bytes = bytes.len() - whole, "dropped records that were not written to their end");
        }
        let compact = checkpoint.to_bytes().map_err(|error| corrupt(error.to_string()))?;
        let file = replace(path, &compact).map_err(failed("write"))?;
        let length = compact.len() as u64;
        let (agent, path) = (agent.clone(), path.to_owned());
        let mut records = RecordFile { agent, path, file, length, compact: length, room: length, durable: 0 };
        records.make_room();
        Ok((records, checkpoint))
    }

    /// Takes room for what comes next, where the file system lets it: without, records need what is free when they come.
    fn make_room(&mut self) {
        if self.room.saturating_sub(self.length) <= ROOM_BYTES / 2
            && fallocate(&self.file, FallocateFlags::KEEP_SIZE, self.length, ROOM_BYTES).is_ok()
        {
            self.room = self.length + ROOM_BYTES;
        }
    }

    /// Appends records; they are durable when this returns, unless their number says that nothing waits for them.
    fn write(&mut self, number: u64, bytes: &[u8]) -> Result<(), RuntimeError> {
        let failed = |error| RuntimeError::File { action: "write", path: self.path.clone(), error };
        while let Err(error) = self.file.write_all(bytes) {
            if error.kind() != ErrorKind::StorageFull {
                return Err(failed(error));
            }
            tracing::error!(path = %self.path.display(), "the disk is full; tasks and their updates wait");
            // What was written of it would end the records there.
            self.file.set_len(self.length).map_err(failed)?;
            self.room = self.length;
            std::thread::sleep(FULL_DISK_RETRY);
        }
        self.length += bytes.len() as u64;
        if number > self.durable {
            self.file.sync_data().map_err(failed)?;
            self.durable = number;
        }
        self.make_room();
        if self.length > self.compact + GROWTH_BYTES {
            let (compacted, _) = RecordFile::open(&self.path, &self.agent)?;
            *self = RecordFile { durable: self.durable, ..compacted };
        }
        Ok(())
    }
}

/// Puts a file in the place of another, or of none, in one step.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<File> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    OpenOptions::new().append(true).open(path)
}

/// Makes an agent's records durable on a thread of its own. Dropping it waits until all are.
#[derive(Debug)]
pub(super) struct Checkpoints {
    writes: Option<Sender<Batch>>,
    thread: Option<JoinHandle<()>>,
    durable: watch::Receiver<Result<u64, String>>,
}

impl Checkpoints {
    /// Opens or makes the file, and tells what its records add up to.
    ///
    /// # Errors
    /// When the file can't be used, or holds something else.
    pub(super) fn open(path: &Path, agent: &AgentId) -> Result<(Self, Checkpoint), RuntimeError> {
        let (file, checkpoint) = RecordFile::open(path, agent)?;
        let (writes, inbox) = channel::unbounded();
        let (report, durable) = watch::channel(Ok(0));
        let thread = std::thread::Builder::new()
            .name("apportion-checkpoints".to_owned())
            .spawn(move || keep_writing(file, &inbox, &report))
            .map_err(|error| RuntimeError::Start { what: "the thread that writes checkpoints", error })?;
        Ok((Checkpoints { writes: Some(writes), thread: Some(thread), durable }, checkpoint))
    }

    /// Has records written. Numbers go up, or stay.
    pub(super) fn write(&self, number: u64, records: Vec<Record>) {
        if let Some(writes) = &self.writes {
            // After a failure nobody takes it; the failure was reported.
            let _ = writes.send((number, records));
        }
    }

    /// Waits until more is durable, and tells up to which number all is. Safe to drop and call again.
    ///
    /// # Errors
    /// When records can't be written: nothing more becomes durable.
    pub(super) async fn progress(&mut self) -> Result<u64, RuntimeError> {
        // It fails when the thread has ended: then the last report says why.
        let _ = self.durable.changed().await;
        self.durable.borrow_and_update().clone().map_err(RuntimeError::Checkpoint)
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.writes = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it has been printed.
            let _ = thread.join();
        }
    }
}

fn keep_writing(mut file: RecordFile, inbox: &Receiver<Batch>, report: &watch::Sender<Result<u64, String>>) {
    let mut bytes = Vec::new();
    while let Ok(first) = inbox.recv() {
        bytes.clear();
        let mut last = 0;
        let encoded = std::iter::once(first).chain(inbox.try_iter()).try_for_each(|(number, records)| {
            last = number;
            encode_records(&records, &mut bytes)
        });
        let outcome = match encoded {
            Ok(()) => file.write(last, &bytes).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let has_failed = outcome.is_err();
        // The one before is of no interest any more.
        let _ = report.send_replace(outcome.map(|()| last));
        if has_failed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(executor: &str) -> Vec<Record> {
        vec![Record::ExecutorStarted {
            framework: "f1".parse().unwrap(),
            role: "web".parse().unwrap(),
            executor: executor.parse().unwrap(),
            info: None,
        }]
    }

    #[tokio::test]
    async fn what_was_written_is_there_when_the_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        let agent = "a1".parse().unwrap();
        let (mut checkpoints, before) = Checkpoints::open(&path, &agent).unwrap();
        assert!(before.is_empty());
        checkpoints.write(1, started("e1"));
        while checkpoints.progress().await.unwrap() < 1 {}
        checkpoints.write(2, started("e2"));
        drop(checkpoints);
        // As a crash in the middle of a write leaves it.
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&[9, 0, 0, 0, 1]).unwrap();
        let (checkpoints, found) = Checkpoints::open(&path, &agent).unwrap();
        assert_eq!(found.records(), [started("e1"), started("e2")].concat());
        drop(checkpoints);
        assert_eq!(std::fs::read(&path).unwrap(), found.to_bytes().unwrap(), "it was written anew");
    }

    #[test]
    fn room_for_records_is_taken_ahead() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        let (mut file, _) = RecordFile::open(&path, &"a1".parse().unwrap()).unwrap();
        let has_room = |file: &RecordFile| {
            let metadata = file.file.metadata().unwrap();
            assert_eq!(metadata.len(), file.length, "room is not content");
            // In blocks of 512 bytes.
            metadata.blocks() * 512 >= file.length + ROOM_BYTES / 2
        };
        let is_taken_here = fallocate(&file.file, FallocateFlags::KEEP_SIZE, 0, 1).is_ok();
        assert_eq!(has_room(&file), is_taken_here);
        let mut bytes = Vec::new();
        encode_records(&started(&"e".repeat(200)), &mut bytes).unwrap();
        for _ in 0..2 * ROOM_BYTES / bytes.len() as u64 {
            file.write(0, &bytes).unwrap();
        }
        assert_eq!(has_room(&file), is_taken_here);
    }

    #[test]
    fn a_file_that_holds_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        std::fs::write(&path, "something else").unwrap();
        let error = Checkpoints::open(&path, &"a1".parse().unwrap()).unwrap_err();
        assert!(matches!(error, RuntimeError::Corrupt { .. }), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"something else");
    }
}
