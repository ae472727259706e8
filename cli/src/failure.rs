//! How a command fails.

use std::path::PathBuf;
use std::process::ExitCode;

use apportion::runtime::{OperatorError, RuntimeError};
use apportion::spec::SpecErrors;
use apportion_simulations::columnar::ColumnarError;
use apportion_simulations::engine::RunError;
use apportion_simulations::output::OutputError;
use apportion_simulations::replay::{JournalFilesError, ReplayError, TakeoverError, WaitError};
use apportion_simulations::scenario::ModelError;
use apportion_simulations::sweep::SweepError;
use apportion_simulations::traces::TraceError;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot read {}: {error}", file.display())]
    Unreadable { file: PathBuf, error: std::io::Error },
    #[error("cannot write {}: {error}", file.display())]
    Unwritable { file: PathBuf, error: std::io::Error },
    #[error("{}: {problem}", file.display())]
    Context { file: PathBuf, problem: String },
    #[error("no cluster is known: {} does not exist; start one with `apportion up`, or name another file with --cluster", file.display())]
    NoCluster { file: PathBuf },
    #[error("no folder for state is known: set APPORTION_STATE, XDG_STATE_HOME or HOME")]
    NoStateFolder,
    #[error("{0}")]
    Spec(#[from] SpecErrors),
    #[error("{0}")]
    Usage(String),
    #[error("cannot write the output: {0}")]
    Output(#[from] std::io::Error),
    #[error("cannot write the output as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Journal(#[from] JournalFilesError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Wait(#[from] WaitError),
    #[error(transparent)]
    Takeover(#[from] TakeoverError),
    #[error(transparent)]
    Sweep(#[from] SweepError),
    #[error("cannot write the table {0}")]
    Columnar(#[from] ColumnarError),
    #[error(transparent)]
    Trace(#[from] TraceError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Simulation(#[from] RunError),
    #[error(transparent)]
    Tables(#[from] OutputError),
    #[error(transparent)]
    Operator(#[from] OperatorError),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("the answer is not what was asked for: {0}")]
    Answer(String),
    #[error("{0}")]
    Unsuccessful(String),
}

impl Failure {
    /// 3 when the cluster can't be reached, 2 when the command line or a file is wrong, 1 otherwise.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::NoCluster { .. }
            | Failure::Operator(OperatorError::Unreachable { .. } | OperatorError::Lost { .. }) => 3,
            Failure::Unreadable { .. }
            | Failure::Context { .. }
            | Failure::NoStateFolder
            | Failure::Spec(_)
            | Failure::Model(_)
            | Failure::Journal(_)
            | Failure::Replay(_)
            | Failure::Takeover(_)
            | Failure::Sweep(_)
            | Failure::Columnar(_)
            | Failure::Trace(_)
            | Failure::Usage(_) => 2,
            Failure::Unwritable { .. }
            | Failure::Output(_)
            | Failure::Json(_)
            | Failure::Wait(_)
            | Failure::Simulation(_)
            | Failure::Tables(_)
            | Failure::Operator(_)
            | Failure::Runtime(_)
            | Failure::Answer(_)
            | Failure::Unsuccessful(_) => 1,
        })
    }
}
