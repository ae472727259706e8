//! How a command fails.

use std::path::PathBuf;
use std::process::ExitCode;

use apportion::spec::SpecErrors;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot read {}: {error}", file.display())]
    Unreadable { file: PathBuf, error: std::io::Error },
    #[error("{0}")]
    Spec(#[from] SpecErrors),
    #[error("cannot write the output: {0}")]
    Output(#[from] std::io::Error),
    #[error("cannot write the output as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Failure {
    /// 2 when the command line or a file is wrong, 1 otherwise.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Unreadable { .. } | Failure::Spec(_) => ExitCode::from(2),
            Failure::Output(_) | Failure::Json(_) => ExitCode::FAILURE,
        }
    }
}
