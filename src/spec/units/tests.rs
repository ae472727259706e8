//! Units are read, refused with a reason, and survive being written.

use proptest::prelude::*;

use serde::{Serialize, de::DeserializeOwned};

use super::*;

#[test]
fn memory_in_decimal_units_is_rounded_up() {
    assert_eq!("128MB".parse(), Ok(Memory::from_mib(123)));
    assert_eq!("1.0004GiB".parse(), Ok(Memory::from_mib(1025)));
    assert_eq!("0.0001KiB".parse(), Ok(Memory::from_mib(1)));
    assert_eq!("2GiB".parse(), Ok(Memory::from_mib(2048)));
    assert_eq!("1.5GiB".parse(), Ok(Memory::from_mib(1536)));
}

#[test]
fn delays_are_sums_of_units() {
    assert_eq!("1h30m".parse(), Ok(Delay::from_secs(5400)));
    assert_eq!("7d".parse(), Ok(Delay::from_secs(7 * 86_400)));
    assert_eq!("500ms".parse(), Ok(Delay::from_millis(500)));
}

#[test]
fn bad_values_say_what_is_wrong() {
    let delay = |text: &str| text.parse::<Delay>().unwrap_err().problem;
    assert_eq!(delay("30"), UnitProblem::NoUnit { units: "ms, s, m, h, d" });
    assert_eq!(delay("5m1h"), UnitProblem::Order);
    assert_eq!(delay(""), UnitProblem::NoNumber);
    assert_eq!(delay("400000d"), UnitProblem::TooLarge);
    assert_eq!("101%".parse::<CountOrPercent>().unwrap_err().problem, UnitProblem::OutOfRange);
    assert_eq!(delay("1.5h"), UnitProblem::Fraction);
    assert_eq!(
        "STOPP".parse::<StopSignal>().unwrap_err().to_string(),
        "'STOPP' is not a signal: unknown name (known: HUP, INT, QUIT, ABRT, KILL, USR1, USR2, ALRM, TERM, WINCH); \
         write for example \"TERM\", \"INT\" or 15"
    );
    assert_eq!("1.2.3GiB".parse::<Memory>().unwrap_err().problem, UnitProblem::NotDecimal);
    assert_eq!("5000TiB".parse::<Memory>().unwrap_err().problem, UnitProblem::TooLarge);
}

fn through_json<T: Serialize + DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

proptest! {
    #[test]
    fn values_survive_being_written(millis: u32, secs: u32, mib: u32, milli: u32, n: u32, percent in 0..=100_u32, signal in 1..=64_i64) {
        for delay in [Delay::from_millis(millis), Delay::from_secs(secs)] {
            prop_assert_eq!(through_json(&delay), delay);
        }
        prop_assert_eq!(through_json(&Memory::from_mib(mib)), Memory::from_mib(mib));
        prop_assert_eq!(through_json(&Cpus::from_milli(milli)), Cpus::from_milli(milli));
        let signal = StopSignal::try_from(signal).unwrap();
        prop_assert_eq!(through_json(&signal), signal);
        for value in [CountOrPercent::Count(n), CountOrPercent::Percent(percent)] {
            prop_assert_eq!(through_json(&value), value);
            prop_assert!(value.resolve_down(n) <= value.resolve_up(n));
            prop_assert!(value.resolve_up(n) <= n || n == 0);
        }
    }

    #[test]
    fn reading_never_panics(text in "[0-9.]{0,25}[dhmsKMGTiB% ]{0,4}[0-9]{0,3}(ms)?|.{0,8}") {
        let _ = text.parse::<Delay>();
        let _ = text.parse::<Memory>();
        let _ = text.parse::<CountOrPercent>();
        let _ = text.parse::<StopSignal>();
    }
}
