//! Axes: from where to where, and their ticks.

/// About so many ticks on an axis.
const TICKS: f64 = 5.0;

/// A horizontal axis: from where to where, and how.
pub(super) enum Scale {
    Linear {
        left: f64,
        right: f64,
    },
    /// From and to a power of ten, by their exponents.
    Logarithmic {
        left: i32,
        right: i32,
    },
}

impl Scale {
    pub(super) fn linear(left: f64, right: f64) -> Self {
        Scale::Linear { left, right: if right > left { right } else { left + 1.0 } }
    }

    /// From the smallest value, but no more than so many decades, to the largest.
    pub(super) fn logarithmic(values: impl Iterator<Item = f64>, right: f64) -> Self {
        const DECADES: i32 = 7;
        let exponent = |value: f64| libm::log10(value);
        let right = exponent(right.max(1e-9)).ceil() as i32;
        let left = values.reduce(f64::min).map_or(right - 1, |least| exponent(least).floor() as i32);
        Scale::Logarithmic { left: left.clamp(right - DECADES, right - 1), right }
    }

    /// How far to the right a value is, from 0 to 1.
    pub(super) fn part(&self, x: f64) -> f64 {
        match *self {
            Scale::Linear { left, right } => (x - left) / (right - left),
            Scale::Logarithmic { left, right } => {
                let exponent = libm::log10(x.max(1e-300)).max(f64::from(left));
                (exponent - f64::from(left)) / f64::from(right - left)
            }
        }
    }

    pub(super) fn ticks(&self) -> Vec<f64> {
        match *self {
            Scale::Linear { left, right } => ticks(left, right),
            Scale::Logarithmic { left, right } => {
                (left..=right).map(|exponent| libm::pow(10.0, f64::from(exponent))).collect()
            }
        }
    }
}

/// Round numbers in a range.
pub(super) fn ticks(from: f64, to: f64) -> Vec<f64> {
    let Some(step) = step(to - from) else { return Vec::new() };
    let first = libm::ceil(from / step) as i64;
    (first..).map(|count| count as f64 * step).take_while(|tick| *tick <= to * (1.0 + 1e-9)).collect()
}

/// A round number that goes into a length about so often as there are to be ticks.
fn step(length: f64) -> Option<f64> {
    let rough = length / TICKS;
    let magnitude = libm::pow(10.0, libm::floor(libm::log10(rough)));
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * magnitude).into_iter().find(|step| *step >= rough);
    step.filter(|step| step.is_finite() && *step > 0.0)
}

/// Where an axis ends that goes up to a value: at a tick.
pub(super) fn round_above(value: f64) -> f64 {
    step(value).map_or(value, |step| libm::ceil(value / step - 1e-9) * step)
}

/// A number as short as it can be.
pub(super) fn number(value: f64) -> String {
    let rounded = (value * 1e6).round() / 1e6;
    match rounded.abs() {
        large if large >= 1e9 => format!("{}G", rounded / 1e9),
        large if large >= 1e6 => format!("{}M", rounded / 1e6),
        large if large >= 1e4 => format!("{}k", rounded / 1e3),
        _ => format!("{rounded}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within_the_range() {
        assert_eq!(ticks(0.0, 1.0), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(ticks(0.0, 30345.0), [0.0, 10000.0, 20000.0, 30000.0]);
        assert_eq!(
            (number(0.6000000000000001), number(20_000.0), number(2.5e6)),
            ("0.6".into(), "20k".into(), "2.5M".into())
        );
    }

    #[test]
    fn axes_end_at_a_tick_and_may_be_logarithmic() {
        assert_eq!(
            (round_above(98.0), round_above(3.0), round_above(1787.0), round_above(0.0)),
            (100.0, 3.0, 2000.0, 0.0)
        );
        let scale = Scale::logarithmic([0.02, 30.0].into_iter(), 4_000.0);
        assert_eq!(scale.ticks(), [0.01, 0.1, 1.0, 10.0, 100.0, 1000.0, 10_000.0]);
        assert_eq!((scale.part(0.0), scale.part(10.0), scale.part(10_000.0)), (0.0, 0.5, 1.0));
        // However wide values are spread, the axis stays readable; and one value is enough.
        assert_eq!(Scale::logarithmic([1e-9].into_iter(), 1e9).ticks().len(), 8);
        assert_eq!(Scale::logarithmic([1.0].into_iter(), 1.0).ticks(), [0.1, 1.0]);
    }
}
