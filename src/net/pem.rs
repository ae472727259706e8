//! PEM texts that hold a private key and certificates, and the files that keep them.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{PemObject, SectionKind},
};

/// Only the owner reads or writes a private key.
const PRIVATE_MODE: u32 = 0o600;

/// Why a PEM text, or its file, is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// The file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The text is not PEM.
    #[error("not a PEM text: {reason}")]
    Syntax {
        /// What the parser objected to.
        reason: String,
    },
    /// A part that belongs in the text is missing.
    #[error("the PEM text holds no {part}")]
    Missing {
        /// `private key`, `certificate` or `authority certificate`.
        part: &'static str,
    },
}

/// A PEM text's parts.
pub(super) struct Bundle {
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

pub(super) fn parse(text: &str) -> Result<Bundle, PemError> {
    let (mut key, mut certificates) = (None, Vec::new());
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
        let (kind, der) = section.map_err(|error| PemError::Syntax { reason: error.to_string() })?;
        match kind {
            SectionKind::Certificate => certificates.push(der.into()),
            kind => key = PrivateKeyDer::from_pem(kind, der).or(key),
        }
    }
    let key = key.ok_or(PemError::Missing { part: "private key" })?;
    Ok(Bundle { key, certificates })
}

/// Writes `text` to `path`, readable by the owner alone from the first byte on; a reader sees the old file or the new one, whole.
pub(super) fn save(path: &Path, text: &str) -> Result<(), PemError> {
    let write = || {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let temporary = path.with_file_name(name);
        let mut file: File =
            OpenOptions::new().write(true).create(true).truncate(true).mode(PRIVATE_MODE).open(&temporary)?;
        file.set_permissions(Permissions::from_mode(PRIVATE_MODE))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|source| PemError::File { path: path.to_owned(), source })
}

pub(super) fn load(path: &Path) -> Result<String, PemError> {
    fs::read_to_string(path).map_err(|source| PemError::File { path: path.to_owned(), source })
}
