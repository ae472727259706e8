//! Writes a master's journal into a folder.
//!
//! Each start of a master writes files of its own, `<seconds since 1970>-<number>.journal`; a file of more than
//! 64 MiB is followed by the next number. What is written is handed to the system after each batch of inputs, and
//! not synced: a crash of the machine may cost the last seconds.
//!
//! The folder has a bound. The files of earlier starts make room first, oldest first. When those of this start alone reach it,
//! nothing more is recorded: what is there can still be replayed from its beginning, which a later part alone could not. A journal
//! that can't be written any more ends likewise; the master goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::RuntimeError;
use crate::allocator::Allocator;
use crate::master::journal::{Entry, HEADER, OutputsHash};
use crate::master::{Input, Output, PingOptions};
use crate::protocol::Epoch;
use crate::protocol::codec::encode_frame;
use crate::store::Record;
use crate::time::Time;

/// A file that is longer is followed by another, in bytes.
const SEGMENT_BYTES: u64 = 64 << 20;

/// Where a master's journal goes, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalConfig {
    /// The folder; made when it is not there.
    pub folder: PathBuf,
    /// All files in it together stay below this, in bytes, a segment more or less.
    pub max_bytes: u64,
}

/// Writes down what a master is told and how it answers.
#[derive(Debug)]
pub(super) struct Recorder {
    config: JournalConfig,
    /// When the master began, as its files' names tell.
    run: u64,
    segment: u32,
    out: Option<BufWriter<File>>,
    /// What this start has written in closed files, and in the open one.
    closed: u64,
    open: u64,
    inputs: u64,
    frame: Vec<u8>,
}

impl Recorder {
    /// A journal of a master that begins now, with the records of its registry if it has one.
    pub(super) fn start(
        config: JournalConfig,
        now: Time,
        epoch: Epoch,
        allocator: &dyn Allocator,
        pings: PingOptions,
        registry: Option<&[Record]>,
    ) -> Result<Self, RuntimeError> {
        let folder = config.folder.clone();
        let failed =
            |error| RuntimeError::File { action: "write the journal in", path: folder.clone(), error };
        std::fs::create_dir_all(&config.folder).map_err(failed)?;
        let mut run = now.as_nanos() / 1_000_000_000;
        while config.folder.join(name(run, 1)).exists() {
            run += 1;
        }
        let (out, closed, open) = (None, 0, 0);
        let mut recorder =
            Recorder { config, run, segment: 0, out, closed, open, inputs: 0, frame: Vec::new() };
        recorder.next_segment().map_err(failed)?;
        recorder.append(&Entry::begin(now, epoch, allocator.drf_options(), pings, registry.is_some()));
        for record in registry.unwrap_or_default() {
            recorder.append(&Entry::Record(std::borrow::Cow::Borrowed(record)));
        }
        recorder.write().and_then(|()| recorder.hand_over()).map_err(failed)?;
        Ok(recorder)
    }

    /// The same, where a journal is wanted.
    pub(super) fn start_if_asked(
        config: Option<&JournalConfig>,
        now: Time,
        epoch: Epoch,
        allocator: &dyn Allocator,
        pings: PingOptions,
        registry: Option<&[Record]>,
    ) -> Result<Option<Self>, RuntimeError> {
        config.map(|config| Self::start(config.clone(), now, epoch, allocator, pings, registry)).transpose()
    }

    /// The master is told something.
    pub(super) fn input(&mut self, now: Time, input: &Input) {
        self.inputs += 1;
        self.append(&Entry::input(now, input));
    }

    /// So it answered.
    pub(super) fn outputs(&mut self, outputs: &[Output]) {
        self.append(&Entry::Outputs(OutputsHash::of(outputs)));
        if let Err(error) = self.write() {
            self.end(&error);
        }
    }

    /// A batch is complete: hands what there is to the system.
    pub(super) fn flush(&mut self) {
        if let Err(error) = self.hand_over() {
            self.end(&error);
        }
    }

    fn append(&mut self, entry: &Entry<'_>) {
        if self.out.is_none() {
            return;
        }
        if let Err(error) = encode_frame(entry, &mut self.frame) {
            self.end(&io::Error::other(error));
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(out) = &mut self.out else { return Ok(()) };
        out.write_all(&self.frame)?;
        self.open += self.frame.len() as u64;
        self.frame.clear();
        if self.open >= SEGMENT_BYTES { self.next_segment() } else { Ok(()) }
    }

    fn hand_over(&mut self) -> io::Result<()> {
        self.out.as_mut().map_or(Ok(()), BufWriter::flush)
    }

    fn end(&mut self, error: &io::Error) {
        tracing::error!(folder = %self.config.folder.display(), %error, "the journal ends here; the master goes on");
        self.out = None;
        self.frame = Vec::new();
    }

    fn next_segment(&mut self) -> io::Result<()> {
        self.hand_over()?;
        self.closed += std::mem::take(&mut self.open);
        if self.closed + SEGMENT_BYTES > self.config.max_bytes && self.segment > 0 {
            let max = self.config.max_bytes;
            return Err(io::Error::other(format!("it has reached its bound of {max} bytes")));
        }
        make_room(
            &self.config.folder,
            self.run,
            self.config.max_bytes.saturating_sub(self.closed + SEGMENT_BYTES),
        )?;
        self.segment += 1;
        let file = self.config.folder.join(name(self.run, self.segment));
        // It holds what tasks are given, secrets among it.
        let mut out = BufWriter::new(OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?);
        out.write_all(&HEADER)?;
        self.out = Some(out);
        if self.segment > 1 {
            self.append(&Entry::Continue { inputs: self.inputs });
        }
        Ok(())
    }
}

fn name(run: u64, segment: u32) -> String {
    format!("{run:012}-{segment:06}.journal")
}

/// Deletes files of earlier starts, oldest first, until they have at most so many bytes together.
fn make_room(folder: &Path, run: u64, bytes: u64) -> io::Result<()> {
    let own = format!("{run:012}-");
    let mut others = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.ends_with(".journal") && !name.starts_with(&own)) {
            others.push((entry.path(), entry.metadata()?.len()));
        }
    }
    others.sort();
    let mut total: u64 = others.iter().map(|(_, length)| length).sum();
    for (path, length) in others {
        if total <= bytes {
            break;
        }
        std::fs::remove_file(path)?;
        total -= length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocator::DrfAllocator;
    use crate::master::journal::JournalReader;
    use crate::protocol::ConnectionId;

    fn files(folder: &Path) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    #[test]
    fn what_is_recorded_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let config = JournalConfig { folder: folder.path().join("journal"), max_bytes: 1 << 30 };
        let input = Input::Disconnected { connection: ConnectionId(1) };
        for _ in 0..2 {
            let mut recorder = Recorder::start(
                config.clone(),
                Time::from_secs(5),
                Epoch::FIRST,
                &DrfAllocator::default(),
                PingOptions::default(),
                None,
            )
            .unwrap();
            recorder.input(Time::from_secs(6), &input);
            recorder.outputs(&[]);
            recorder.flush();
        }
        let files = files(&config.folder);
        assert_eq!(files.len(), 2, "each start has a file");
        let mut reader = JournalReader::new(File::open(&files[1]).unwrap()).unwrap();
        let mut entries = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            entries.push(entry);
        }
        assert_eq!(entries[1], Entry::input(Time::from_secs(6), &input));
        assert_eq!((entries.len(), reader.torn_bytes()), (3, 0));
    }

    #[test]
    fn earlier_starts_make_room_and_the_own_ends_at_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let config = JournalConfig { folder: folder.path().to_owned(), max_bytes: SEGMENT_BYTES };
        std::fs::write(folder.path().join(name(1, 1)), vec![0; 1000]).unwrap();
        std::fs::write(folder.path().join("other"), "stays").unwrap();
        let mut recorder = Recorder::start(
            config,
            Time::from_secs(5),
            Epoch::FIRST,
            &DrfAllocator::default(),
            PingOptions::default(),
            None,
        )
        .unwrap();
        let names = |folder: &Path| -> Vec<String> {
            let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
            files(folder).iter().map(name).collect()
        };
        assert_eq!(names(folder.path()), [name(5, 1), "other".to_owned()]);
        recorder.open = SEGMENT_BYTES;
        recorder.input(Time::from_secs(6), &Input::Tick);
        recorder.outputs(&[]);
        assert!(recorder.out.is_none(), "it is full");
        recorder.input(Time::from_secs(7), &Input::Tick);
        recorder.outputs(&[]);
        recorder.flush();
        assert_eq!(names(folder.path()).len(), 2);
    }
}
