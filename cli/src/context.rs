//! Where the cluster is, and as whom to speak to it.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use apportion::net::Credentials;
use apportion::protocol::operator::ClusterState;
use apportion::protocol::{OperatorCall, OperatorEvent};
use apportion::runtime::{Addresses, OperatorClient, RuntimeError};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// The file's name where state is kept.
const FILE: &str = "operator.toml";

/// The file as it is written.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    master: Addresses,
    /// From the file's folder on.
    credentials: PathBuf,
}

/// The masters' addresses and the operator's credentials for it.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) master: Addresses,
    pub(crate) credentials: Credentials,
    /// Where the file is; other state of the cluster lies beside it.
    pub(crate) folder: PathBuf,
}

impl Context {
    /// Reads the file given, or the one where state is kept.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, Failure> {
        let file = match file {
            Some(file) => file.to_owned(),
            None => state_folder()?.join(FILE),
        };
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(Failure::NoCluster { file }),
            Err(error) => return Err(Failure::Unreadable { file, error }),
        };
        let wrong = |problem: String| Failure::Context { file: file.clone(), problem };
        let Written { master, credentials } =
            toml::from_str(&text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        let credentials =
            Credentials::load(&folder.join(credentials)).map_err(|error| wrong(error.to_string()))?;
        Ok(Context { master, credentials, folder })
    }

    /// Writes the file and the credentials into `folder`; returns the file.
    pub(crate) fn save(
        folder: &Path,
        master: Addresses,
        credentials: &Credentials,
    ) -> Result<PathBuf, Failure> {
        let file = folder.join(FILE);
        let written = Written { master, credentials: PathBuf::from("operator.pem") };
        credentials.save(&folder.join(&written.credentials)).map_err(RuntimeError::from)?;
        let text = toml::to_string(&written)
            .map_err(|error| Failure::Context { file: file.clone(), problem: error.to_string() })?;
        match std::fs::write(&file, text) {
            Ok(()) => Ok(file),
            Err(error) => Err(Failure::Unwritable { file, error }),
        }
    }

    /// Connects to the master.
    pub(crate) async fn connect(&self) -> Result<OperatorClient, Failure> {
        Ok(OperatorClient::connect(self.master.clone(), &self.credentials).await?)
    }

    /// Asks the master one thing.
    pub(crate) async fn ask(&self, call: OperatorCall) -> Result<OperatorEvent, Failure> {
        let client = self.connect().await?;
        let answer = client.call(call).await;
        client.close().await;
        Ok(answer?)
    }

    /// The cluster as it is now.
    pub(crate) async fn state(&self) -> Result<ClusterState, Failure> {
        match self.ask(OperatorCall::GetState).await? {
            OperatorEvent::State(state) => Ok(*state),
            other => Err(Failure::Answer(format!("{other:?}"))),
        }
    }
}

/// Where state is kept unless the command line says otherwise.
pub(crate) fn state_folder() -> Result<PathBuf, Failure> {
    state_folder_by(|name| std::env::var_os(name)).ok_or(Failure::NoStateFolder)
}

fn state_folder_by(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("APPORTION_STATE")
        .or_else(|| folder("XDG_STATE_HOME").map(|state| state.join("apportion")))
        .or_else(|| folder("HOME").map(|home| home.join(".local/state/apportion")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_kept_at_the_most_particular_place() {
        let found = |set: &[(&str, &str)]| {
            state_folder_by(|name| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
            })
        };
        let (home, state) = (("HOME", "/h"), ("XDG_STATE_HOME", "/x"));
        assert_eq!(found(&[home, state, ("APPORTION_STATE", "/a")]), Some("/a".into()));
        assert_eq!(found(&[home, state, ("APPORTION_STATE", "")]), Some("/x/apportion".into()));
        assert_eq!(found(&[home]), Some("/h/.local/state/apportion".into()));
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn a_missing_file_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let failure = Context::load(Some(&folder.path().join(FILE))).unwrap_err();
        assert!(failure.to_string().contains("apportion up"), "{failure}");
    }
}
