//! The files of a journal.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use apportion::master::journal::{Entry, JournalError, JournalReader};

/// What one start of a master wrote: its files, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    segments: Vec<PathBuf>,
}

/// Why a journal can't be had.
#[derive(Debug, thiserror::Error)]
pub enum JournalFilesError {
    /// A file or folder can't be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// There is none.
    #[error("{} has no journal of a master; `apportion master --journal FOLDER` writes one", folder.display())]
    None {
        /// The folder.
        folder: PathBuf,
    },
    /// There is no such start.
    #[error("there is no start {asked} of a master in {}; there are 1 to {known}", folder.display())]
    NoSuchStart {
        /// The folder.
        folder: PathBuf,
        /// Which was asked for.
        asked: usize,
        /// How many there are.
        known: usize,
    },
    /// The beginning is missing.
    #[error("{} is not the beginning of a journal: files before it are missing", file.display())]
    NoBeginning {
        /// The first file that is there.
        file: PathBuf,
    },
    /// What is in a file is not what should be.
    #[error("{}: {error}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        error: JournalError,
    },
    /// A file in the middle ends within an entry.
    #[error("{} ends within an entry, though other files follow it", file.display())]
    Torn {
        /// The file.
        file: PathBuf,
    },
}

impl Journal {
    /// The journal of a start of a master, from 1, or of the last one; `path` is the folder or a file in it, which tells the start.
    ///
    /// # Errors
    /// When the folder can't be read, or there is no such journal.
    pub fn open(path: &Path, start: Option<usize>) -> Result<Self, JournalFilesError> {
        if path.is_file() {
            let Some(folder) = path.parent() else { return Ok(Journal { segments: vec![path.to_owned()] }) };
            let of_file = starts(folder)?.into_iter().find(|start| start.iter().any(|file| file == path));
            return Ok(Journal { segments: of_file.unwrap_or_else(|| vec![path.to_owned()]) });
        }
        let mut starts = starts(path)?;
        let known = starts.len();
        let folder = path.to_owned();
        if known == 0 {
            return Err(JournalFilesError::None { folder });
        }
        let asked = start.unwrap_or(known);
        if !(1..=known).contains(&asked) {
            return Err(JournalFilesError::NoSuchStart { folder, asked, known });
        }
        Ok(Journal { segments: starts.swap_remove(asked - 1) })
    }

    /// Its entries, from the first on.
    pub fn entries(&self) -> Entries<'_> {
        Entries { left: self.segments.iter(), open: None, torn: None }
    }
}

/// The files of each start in a folder.
fn starts(folder: &Path) -> Result<Vec<Vec<PathBuf>>, JournalFilesError> {
    let unreadable = |error| JournalFilesError::Unreadable { path: folder.to_owned(), error };
    let mut starts: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name =
            path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".journal"));
        if let Some((start, _)) = name.and_then(|name| name.split_once('-')) {
            starts.entry(start.to_owned()).or_default().push(path);
        }
    }
    starts.values_mut().for_each(|files| files.sort());
    Ok(starts.into_values().collect())
}

/// The entries of a journal, across its files.
#[derive(Debug)]
pub struct Entries<'a> {
    left: std::slice::Iter<'a, PathBuf>,
    open: Option<(&'a PathBuf, JournalReader<File>)>,
    torn: Option<usize>,
}

impl<'a> Entries<'a> {
    /// The next one; `None` at the end.
    ///
    /// # Errors
    /// When a file can't be read, or is damaged. What a crash left at the end of the last one is no error: see
    /// [`Entries::torn_bytes`].
    pub fn next_entry(&mut self) -> Result<Option<Entry<'static>>, JournalFilesError> {
        loop {
            let Some((file, reader)) = &mut self.open else {
                if !self.open_next()? {
                    return Ok(None);
                }
                continue;
            };
            let damaged = |error| JournalFilesError::Damaged { file: file.to_path_buf(), error };
            match reader.next_entry().map_err(damaged)? {
                Some(Entry::Continue { .. }) => {}
                Some(entry) => return Ok(Some(entry)),
                None if reader.torn_bytes() > 0 && self.left.len() > 0 => {
                    return Err(JournalFilesError::Torn { file: file.to_path_buf() });
                }
                None if self.left.len() == 0 => {
                    self.torn = Some(reader.torn_bytes());
                    return Ok(None);
                }
                None => self.open = None,
            }
        }
    }

    /// How many bytes a crash left of an entry that it cut off; known at the end.
    pub fn torn_bytes(&self) -> usize {
        self.torn.unwrap_or(0)
    }

    fn open_next(&mut self) -> Result<bool, JournalFilesError> {
        let Some(file) = self.left.next() else { return Ok(false) };
        let opened = File::open(file)
            .map_err(|error| JournalFilesError::Unreadable { path: file.to_owned(), error })?;
        let reader = JournalReader::new(opened)
            .map_err(|error| JournalFilesError::Damaged { file: file.to_owned(), error })?;
        self.open = Some((file, reader));
        Ok(true)
    }

    /// The file that is being read.
    pub(super) fn file(&self) -> PathBuf {
        self.open.as_ref().map(|(file, _)| file.to_path_buf()).unwrap_or_default()
    }
}
