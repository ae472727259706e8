//! Means of replicates and how sure they are.

/// The mean of some values, with its 95 % confidence interval by Student's t distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// How many values there are.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation; 0 of a single one.
    pub sd: f64,
    /// The interval reaches so far to both sides of the mean; infinite for a single value.
    pub ci95: f64,
}

/// Student's t for 95 %, by degrees of freedom from 1.
const T: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// The normal distribution's, which is that of many values.
const NORMAL: f64 = 1.96;

impl Estimate {
    /// The estimate from some values; `None` when there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len();
        if count == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count as f64;
        if count == 1 {
            return Some(Estimate { count, mean, sd: 0.0, ci95: f64::INFINITY });
        }
        let squares = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>();
        let sd = libm::sqrt(squares / (count - 1) as f64);
        let t = T.get(count - 2).copied().unwrap_or(NORMAL);
        Some(Estimate { count, mean, sd, ci95: t * sd / libm::sqrt(count as f64) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_students() {
        let estimate = Estimate::of(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(estimate.mean, 2.5);
        assert!((estimate.sd - 1.290_994).abs() < 1e-6);
        assert!((estimate.ci95 - 3.182 * 1.290_994 / 2.0).abs() < 1e-5);
        assert_eq!(Estimate::of(&[7.0]).unwrap().ci95, f64::INFINITY);
        assert_eq!(Estimate::of(&[]), None);
    }
}
