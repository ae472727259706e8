//! `apportion sim`: clusters in virtual time.

use std::path::Path;

use apportion_simulations::Scenario;

use super::read;
use crate::failure::Failure;
use crate::output::print;

/// Runs a scenario and prints its summary.
pub(crate) fn run(file: &Path, json: bool) -> Result<(), Failure> {
    let scenario = Scenario::parse(&read(file)?)?;
    let summary = scenario.run();
    if json {
        print(&format!("{}\n", serde_json::to_string_pretty(&summary)?))
    } else {
        print(&summary.to_string())
    }
}
