//! How values are spread: mean and percentiles.

use serde::Serialize;

/// Mean, percentiles and maximum of some values; all zero when there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// How many values there are.
    pub count: usize,
    /// The arithmetic mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// A tenth is above.
    pub p90: f64,
    /// A hundredth is above.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// The spread of values in any order. None of them is NaN.
    pub fn of(mut values: Vec<f64>) -> Self {
        let Some(max) = values.iter().copied().max_by(f64::total_cmp) else { return Spread::default() };
        Spread {
            count: values.len(),
            mean: values.iter().sum::<f64>() / values.len() as f64,
            p50: percentile(&mut values, 0.5),
            p90: percentile(&mut values, 0.9),
            p99: percentile(&mut values, 0.99),
            max,
        }
    }
}

/// The value below which that part of the values lies, interpolated. There is at least one value; they are put into another order.
fn percentile(values: &mut [f64], part: f64) -> f64 {
    let place = part * (values.len() - 1) as f64;
    let (_, below, larger) = values.select_nth_unstable_by(place.floor() as usize, f64::total_cmp);
    let above = larger.iter().copied().min_by(f64::total_cmp).unwrap_or(*below);
    *below + (above - *below) * (place - place.floor())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_interpolated_as_numpy_does() {
        let spread = Spread::of(vec![4.0, 1.0, 3.0, 2.0]);
        assert_eq!((spread.mean, spread.p50, spread.max), (2.5, 2.5, 4.0));
        assert!((spread.p90 - 3.7).abs() < 1e-12 && (spread.p99 - 3.97).abs() < 1e-12);
        assert_eq!(Spread::of(Vec::new()), Spread::default());
        assert_eq!(Spread::of(vec![7.0]).p99, 7.0);
    }
}
