//! Masters of production, played again from their journals.
//!
//! `apportion master --journal FOLDER` writes down what its master is told ([`apportion::master::journal`]). A [`Journal`] is what
//! one start of a master wrote. A [`Replay`] hands it to a master again, which decides the same: after each input its outputs are
//! compared with the recorded ones. It can be stopped at any time, and asked [why a task waited](Replay::why) then. A [`Takeover`]
//! makes a scenario of it: the cluster as it was at a time, and what its frameworks ran from then on, to run on with another weight,
//! quota or more agents.

mod files;
mod player;
mod takeover;
mod waiting;

pub use files::{Entries, Journal, JournalFilesError};
pub use player::{Difference, Replay, ReplayError, ReplayState};
pub use takeover::{Setting, SettingError, Takeover, TakeoverError};
pub use waiting::{WaitError, Waiting};
