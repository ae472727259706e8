//! What was expected beside what was obtained.

use std::fmt::Display;

use serde::Serialize;

/// One thing that was expected.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// What it is, with its unit.
    pub what: String,
    /// What theory or a publication says.
    pub expected: String,
    /// What came out.
    pub obtained: String,
    /// How far the two may be apart; empty when they must be the same.
    pub tolerance: String,
    /// Whether they are no further apart.
    pub holds: bool,
}

/// Collects what a case finds.
#[derive(Debug, Default)]
pub struct Checks(Vec<Check>);

impl Checks {
    /// Two things that must be the same.
    pub fn same<T: Display + PartialEq>(&mut self, what: &str, expected: T, obtained: T) {
        let holds = expected == obtained;
        self.push(what, expected.to_string(), obtained.to_string(), String::new(), holds);
    }

    /// Two numbers that may be so far apart.
    pub fn close(&mut self, what: &str, expected: f64, obtained: f64, tolerance: f64) {
        let holds = (obtained - expected).abs() <= tolerance;
        let number = |number: f64| format!("{}", (number * 1e6).round() / 1e6);
        self.push(what, number(expected), number(obtained), format!("± {tolerance}"), holds);
    }

    /// Something that must be so; `found` says what was found.
    pub fn so(&mut self, what: &str, expected: &str, found: impl Display, holds: bool) {
        self.push(what, expected.to_owned(), found.to_string(), String::new(), holds);
    }

    fn push(&mut self, what: &str, expected: String, obtained: String, tolerance: String, holds: bool) {
        self.0.push(Check { what: what.to_owned(), expected, obtained, tolerance, holds });
    }

    pub(super) fn into_list(self) -> Vec<Check> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_tell_what_holds() {
        let mut checks = Checks::default();
        checks.same("order", "ABA", "ABA");
        checks.close("mean", 1.0, 1.25, 0.25);
        checks.close("mean", 1.0, f64::NAN, 0.25);
        checks.so("order", "a before b", "b before a", false);
        let holds: Vec<bool> = checks.into_list().iter().map(|check| check.holds).collect();
        assert_eq!(holds, [true, true, false, false]);
    }
}
