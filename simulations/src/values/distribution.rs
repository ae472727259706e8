//! Distributions of lengths and counts.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};

use super::Span;
use crate::random::Stream;

/// A length of time: one and the same, or drawn for each task.
///
/// Written `"100s"`, or as a table such as `{ distribution = "exponential", mean = "100s" }`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Length {
    /// Always this.
    Same(Span),
    /// Drawn anew each time; in seconds.
    Drawn(Distribution),
}

/// A number of things: one and the same, or drawn each time. Written `100` or as a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Count {
    /// Always this.
    Same(u32),
    /// Drawn anew each time, rounded to the nearest whole number of at least 1.
    Drawn(Distribution),
}

/// A distribution over numbers from zero on. What a draw would give below zero is zero.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "distribution")]
pub enum Distribution {
    /// Always `value`.
    Constant {
        /// The value.
        value: f64,
    },
    /// Anything between two values alike.
    Uniform {
        /// The least.
        min: f64,
        /// The most.
        max: f64,
    },
    /// The gaps of a Poisson process.
    Exponential {
        /// The mean.
        mean: f64,
    },
    /// Around a mean.
    Normal {
        /// The mean, before what is below zero is cut to zero.
        mean: f64,
        /// The standard deviation.
        sd: f64,
    },
    /// The exponential of a normal distribution.
    Lognormal {
        /// The median: the exponential of the normal's mean.
        median: f64,
        /// The normal's standard deviation.
        sigma: f64,
    },
    /// A heavy tail: P(X > x) = (min / x)^alpha.
    Pareto {
        /// The least.
        min: f64,
        /// The tail's exponent; the smaller, the heavier.
        alpha: f64,
    },
    /// P(X > x) = exp(-(x / scale)^shape).
    Weibull {
        /// The scale.
        scale: f64,
        /// The shape; 1 is the exponential distribution.
        shape: f64,
    },
    /// One of several values.
    Choice {
        /// The values.
        values: Vec<f64>,
        /// How likely each is, in any unit; all alike when there are none.
        weights: Vec<f64>,
    },
}

/// What is wrong with the table of a distribution.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DistributionError {
    /// A key that the distribution needs is not there.
    #[error("distribution '{distribution}' needs the key '{key}'")]
    Missing {
        /// The distribution.
        distribution: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A key that the distribution does not have.
    #[error("distribution '{distribution}' has no key '{key}'; it takes {known}")]
    Unused {
        /// The distribution.
        distribution: &'static str,
        /// The key.
        key: &'static str,
        /// The keys that it has.
        known: String,
    },
    /// A value out of range.
    #[error("{0}")]
    Range(&'static str),
}

impl Distribution {
    /// Draws a number.
    pub fn draw(&self, stream: &mut Stream) -> f64 {
        let drawn = match self {
            Distribution::Constant { value } => *value,
            Distribution::Uniform { min, max } => min + (max - min) * stream.unit(),
            Distribution::Exponential { mean } => mean * stream.exponential(),
            Distribution::Normal { mean, sd } => mean + sd * stream.normal(),
            Distribution::Lognormal { median, sigma } => median * libm::exp(sigma * stream.normal()),
            Distribution::Pareto { min, alpha } => min * libm::exp(stream.exponential() / alpha),
            Distribution::Weibull { scale, shape } => scale * libm::pow(stream.exponential(), 1.0 / shape),
            Distribution::Choice { values, weights } => choose(values, weights, stream),
        };
        drawn.max(0.0)
    }
}

fn choose(values: &[f64], weights: &[f64], stream: &mut Stream) -> f64 {
    if weights.is_empty() {
        return values.get(stream.below(values.len())).copied().unwrap_or(0.0);
    }
    let mut left = stream.unit() * weights.iter().sum::<f64>();
    for (value, weight) in values.iter().zip(weights) {
        if left < *weight {
            return *value;
        }
        left -= weight;
    }
    values.last().copied().unwrap_or(0.0)
}

impl Length {
    /// The length, or one that is drawn.
    pub fn draw(&self, stream: &mut Stream) -> Span {
        match self {
            Length::Same(span) => *span,
            Length::Drawn(distribution) => Span::from_secs_f64(distribution.draw(stream)),
        }
    }
}

impl Count {
    /// The number, or one that is drawn.
    pub fn draw(&self, stream: &mut Stream) -> u32 {
        match self {
            Count::Same(count) => *count,
            Count::Drawn(distribution) => distribution.draw(stream).round().max(1.0) as u32,
        }
    }
}

/// A value that tables of distributions are written in.
trait Unit: for<'de> Deserialize<'de> {
    fn number(&self) -> f64;
}

impl Unit for Span {
    fn number(&self) -> f64 {
        self.secs()
    }
}

impl Unit for f64 {
    fn number(&self) -> f64 {
        *self
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Name {
    Constant,
    Uniform,
    Exponential,
    Normal,
    Lognormal,
    Pareto,
    Weibull,
    Choice,
}

impl Name {
    fn as_str(self) -> &'static str {
        match self {
            Name::Constant => "constant",
            Name::Uniform => "uniform",
            Name::Exponential => "exponential",
            Name::Normal => "normal",
            Name::Lognormal => "lognormal",
            Name::Pareto => "pareto",
            Name::Weibull => "weibull",
            Name::Choice => "choice",
        }
    }

    fn keys(self) -> &'static [&'static str] {
        match self {
            Name::Constant => &["value"],
            Name::Uniform => &["min", "max"],
            Name::Exponential => &["mean"],
            Name::Normal => &["mean", "sd"],
            Name::Lognormal => &["median", "sigma"],
            Name::Pareto => &["min", "alpha"],
            Name::Weibull => &["scale", "shape"],
            Name::Choice => &["values", "weights"],
        }
    }
}

/// All keys that tables of distributions have; which of them one takes depends on its name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "V: Unit"))]
struct Table<V> {
    distribution: Name,
    value: Option<V>,
    min: Option<V>,
    max: Option<V>,
    mean: Option<V>,
    median: Option<V>,
    sd: Option<V>,
    scale: Option<V>,
    values: Option<Vec<V>>,
    sigma: Option<f64>,
    alpha: Option<f64>,
    shape: Option<f64>,
    weights: Option<Vec<f64>>,
}

impl<V: Unit> Table<V> {
    fn distribution(self) -> Result<Distribution, DistributionError> {
        self.check_keys()?;
        let name = self.distribution.as_str();
        let of = |key, value: &Option<V>| {
            value.as_ref().map(V::number).ok_or(DistributionError::Missing { distribution: name, key })
        };
        let plain =
            |key, value: Option<f64>| value.ok_or(DistributionError::Missing { distribution: name, key });
        let distribution = match self.distribution {
            Name::Constant => Distribution::Constant { value: of("value", &self.value)? },
            Name::Uniform => Distribution::Uniform { min: of("min", &self.min)?, max: of("max", &self.max)? },
            Name::Exponential => Distribution::Exponential { mean: of("mean", &self.mean)? },
            Name::Normal => Distribution::Normal { mean: of("mean", &self.mean)?, sd: of("sd", &self.sd)? },
            Name::Lognormal => Distribution::Lognormal {
                median: of("median", &self.median)?,
                sigma: plain("sigma", self.sigma)?,
            },
            Name::Pareto => {
                Distribution::Pareto { min: of("min", &self.min)?, alpha: plain("alpha", self.alpha)? }
            }
            Name::Weibull => {
                Distribution::Weibull { scale: of("scale", &self.scale)?, shape: plain("shape", self.shape)? }
            }
            Name::Choice => Distribution::Choice {
                values: self.values.iter().flatten().map(V::number).collect(),
                weights: self.weights.unwrap_or_default(),
            },
        };
        distribution.check()?;
        Ok(distribution)
    }

    fn check_keys(&self) -> Result<(), DistributionError> {
        let given = [
            ("value", self.value.is_some()),
            ("min", self.min.is_some()),
            ("max", self.max.is_some()),
            ("mean", self.mean.is_some()),
            ("median", self.median.is_some()),
            ("sd", self.sd.is_some()),
            ("scale", self.scale.is_some()),
            ("values", self.values.is_some()),
            ("sigma", self.sigma.is_some()),
            ("alpha", self.alpha.is_some()),
            ("shape", self.shape.is_some()),
            ("weights", self.weights.is_some()),
        ];
        let known = self.distribution.keys();
        match given.into_iter().find(|(key, given)| *given && !known.contains(key)) {
            Some((key, _)) => Err(DistributionError::Unused {
                distribution: self.distribution.as_str(),
                key,
                known: known.join(" and "),
            }),
            None => Ok(()),
        }
    }
}

impl Distribution {
    /// Checks what keys and types can't say.
    fn check(&self) -> Result<(), DistributionError> {
        let positive = |number: f64| number > 0.0 && number.is_finite();
        let amount = |number: f64| number >= 0.0 && number.is_finite();
        let (right, rule) = match self {
            Distribution::Constant { value } => (amount(*value), "a value is not below zero"),
            Distribution::Uniform { min, max } => (amount(*min) && min <= max, "'min' is from zero to 'max'"),
            Distribution::Exponential { mean } => (amount(*mean), "a mean is not below zero"),
            Distribution::Normal { mean, sd } => {
                (amount(*mean) && amount(*sd), "neither 'mean' nor 'sd' is below zero")
            }
            Distribution::Lognormal { median, sigma } => {
                (amount(*median) && amount(*sigma), "neither 'median' nor 'sigma' is below zero")
            }
            Distribution::Pareto { min, alpha } => {
                (amount(*min) && positive(*alpha), "'min' is not below zero and 'alpha' is above it")
            }
            Distribution::Weibull { scale, shape } => {
                (amount(*scale) && positive(*shape), "'scale' is not below zero and 'shape' is above it")
            }
            Distribution::Choice { values, weights } => (
                !values.is_empty()
                    && values.iter().chain(weights).all(|number| amount(*number))
                    && (weights.is_empty()
                        || weights.len() == values.len() && positive(weights.iter().sum::<f64>())),
                "'choice' has at least one value, and as many weights as values or none",
            ),
        };
        if right { Ok(()) } else { Err(DistributionError::Range(rule)) }
    }
}

/// Reads what is written either plainly or as the table of a distribution.
struct PlainOrTable<V, T>(&'static str, PhantomData<(V, T)>);

impl<'de> Visitor<'de> for PlainOrTable<Span, Length> {
    type Value = Length;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Length, E> {
        text.parse().map(Length::Same).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Length, A::Error> {
        let table = Table::<Span>::deserialize(MapAccessDeserializer::new(map))?;
        table.distribution().map(Length::Drawn).map_err(A::Error::custom)
    }
}

impl<'de> Visitor<'de> for PlainOrTable<f64, Count> {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_u64<E: Error>(self, count: u64) -> Result<Count, E> {
        u32::try_from(count).map(Count::Same).map_err(|_| E::custom("at most 4294967295 are counted"))
    }

    fn visit_i64<E: Error>(self, count: i64) -> Result<Count, E> {
        let count = u64::try_from(count).map_err(|_| E::custom("a number of things is not below zero"))?;
        self.visit_u64(count)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Count, A::Error> {
        let table = Table::<f64>::deserialize(MapAccessDeserializer::new(map))?;
        table.distribution().map(Count::Drawn).map_err(A::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a length of time such as \"100s\", or a table with 'distribution'";
        deserializer.deserialize_any(PlainOrTable::<Span, Length>(expected, PhantomData))
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a whole number, or a table with 'distribution'";
        deserializer.deserialize_any(PlainOrTable::<f64, Count>(expected, PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(json: &str) -> Result<Length, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    fn mean(json: &str) -> f64 {
        const N: u32 = 50_000;
        let length = length(json).unwrap();
        let mut stream = Stream::named(3, json);
        (0..N).map(|_| length.draw(&mut stream).secs()).sum::<f64>() / f64::from(N)
    }

    #[test]
    fn means_are_those_of_the_formulas() {
        for (json, expected) in [
            (r#""100s""#, 100.0),
            (r#"{"distribution":"exponential","mean":"100s"}"#, 100.0),
            (r#"{"distribution":"uniform","min":"1s","max":"3s"}"#, 2.0),
            (r#"{"distribution":"normal","mean":"30s","sd":"10s"}"#, 30.0),
            (r#"{"distribution":"lognormal","median":"10s","sigma":0.5}"#, 10.0 * 0.125_f64.exp()),
            (r#"{"distribution":"pareto","min":"1s","alpha":3}"#, 1.5),
            (r#"{"distribution":"weibull","scale":"10s","shape":1}"#, 10.0),
            (r#"{"distribution":"choice","values":["1s","3s"],"weights":[3,1]}"#, 1.5),
            (r#"{"distribution":"constant","value":"7s"}"#, 7.0),
        ] {
            let got = mean(json);
            assert!((got / expected - 1.0).abs() < 0.02, "{json}: {got}");
        }
    }

    #[test]
    fn mistakes_name_the_key() {
        for (json, part) in [
            (r#"{"distribution":"exponential"}"#, "'exponential' needs the key 'mean'"),
            (
                r#"{"distribution":"uniform","min":"1s","max":"3s","mean":"2s"}"#,
                "has no key 'mean'; it takes min and max",
            ),
            (r#"{"distribution":"uniform","min":"3s","max":"1s"}"#, "'min' is from zero to 'max'"),
            (r#"{"distribution":"exponental","mean":"1s"}"#, "unknown variant `exponental`"),
            (r#"{"distribution":"choice","values":[]}"#, "at least one value"),
            ("7", "expected a length of time"),
        ] {
            let error = length(json).unwrap_err();
            assert!(error.contains(part), "{json}: {error}");
        }
    }

    #[test]
    fn counts_are_whole_and_at_least_one() {
        let count: Count = serde_json::from_str(r#"{"distribution":"exponential","mean":2}"#).unwrap();
        let mut stream = Stream::named(1, "counts");
        assert!((0..1000).all(|_| count.draw(&mut stream) >= 1));
        assert_eq!(serde_json::from_str::<Count>("5").unwrap(), Count::Same(5));
        assert!(serde_json::from_str::<Count>("-5").is_err());
    }
}
