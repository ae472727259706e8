//! Cases whose right answers are known from theory or publications, and what the simulator makes of them.
//!
//! A [`Case`] plays something and puts down what was expected beside what came out ([`Checks`]). [`cases`] has all of them, in
//! the order of their numbers; a room of cases is a file here with a list `CASES`, named in `ROOMS`. `apportion sim validate`
//! prints the table; the tests run the [quick](Pace::Quick) ones.

mod checks;
mod fairness;
mod laws;
#[cfg(feature = "live")]
mod live;
mod packing;
mod papers;
mod queueing;
mod ramp;

use serde::Serialize;

pub use checks::{Check, Checks};

use crate::engine::RunError;
use crate::scenario::ModelError;
use crate::traces::TraceError;
use crate::{Progress, Run, Scenario};
use apportion::spec::{Document, SpecErrors};

/// All rooms of cases.
const ROOMS: &[&[Case]] = &[
    fairness::CASES,
    queueing::CASES,
    ramp::CASES,
    packing::CASES,
    laws::CASES,
    papers::CASES,
    #[cfg(feature = "live")]
    live::CASES,
];

/// Something whose right answer is known.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its number in the list of cases, and a letter where a number has several; the name of a paper's experiment.
    pub number: &'static str,
    /// What is played.
    pub title: &'static str,
    /// How long it takes.
    pub pace: Pace,
    /// Plays it.
    pub play: fn(&mut Checks) -> Result<(), CaseError>,
}

/// How long a case takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// Less than about a second without optimisation.
    Quick,
    /// Less than about ten seconds with optimisation.
    Slow,
    /// Longer.
    Long,
}

/// Why a case could not be played.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// Its scenario is wrong.
    #[error(transparent)]
    Scenario(#[from] SpecErrors),
    /// Its scenario can't be made ready.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// One of its traces can't be read.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// Its run can't go on.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Something else, in words.
    #[error("{0}")]
    Other(String),
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The case's number.
    pub case: &'static str,
    /// What was played.
    pub title: &'static str,
    /// What was expected and obtained.
    pub checks: Vec<Check>,
    /// Why it could not be played to its end.
    pub error: Option<String>,
}

impl Verdict {
    /// Whether all that was expected was obtained.
    pub fn holds(&self) -> bool {
        self.error.is_none() && !self.checks.is_empty() && self.checks.iter().all(|check| check.holds)
    }
}

impl Case {
    /// Plays the case.
    pub fn verdict(&self) -> Verdict {
        let mut checks = Checks::default();
        let error = (self.play)(&mut checks).err().map(|error| error.to_string());
        Verdict { case: self.number, title: self.title, checks: checks.into_list(), error }
    }

    fn order(&self) -> (u32, &str) {
        let letters = self.number.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let digits = &self.number[..self.number.len() - letters.len()];
        (digits.parse().unwrap_or(u32::MAX), letters)
    }
}

/// All cases, in the order of their numbers.
pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = ROOMS.iter().flat_map(|room| room.iter().copied()).collect();
    cases.sort_by(|a, b| a.order().cmp(&b.order()));
    cases
}

/// Runs a case's scenario.
fn run(text: &str) -> Result<Run, CaseError> {
    let scenario = Scenario::parse(&Document::new("case.toml", text))?;
    Ok(scenario.resolve()?.run(&mut Progress::silent())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_cases_come_out_as_expected() {
        let failed: Vec<Verdict> = cases()
            .iter()
            .filter(|case| case.pace == Pace::Quick)
            .map(Case::verdict)
            .filter(|verdict| !verdict.holds())
            .collect();
        assert!(failed.is_empty(), "{failed:#?}");
    }

    #[test]
    fn each_number_is_there_once() {
        let numbers: Vec<_> = cases().iter().map(|case| case.number).collect();
        let mut once = numbers.clone();
        once.dedup();
        assert_eq!(numbers, once);
    }
}
