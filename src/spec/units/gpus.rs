//! GPUs: whole ones, and shares of those that agents let tasks share.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::decimal::{serialize_milli, written};
use super::{UnitError, UnitProblem};
use crate::resources::{GpuRequest, MAX_GPUS, Scalar, WHOLE_GPU};

/// Whole GPUs: the key `gpus`, which tells who writes a fraction of the key for that.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(in crate::spec) struct WholeGpus(#[serde(deserialize_with = "whole")] pub(in crate::spec) u32);

fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    struct Number;
    impl Visitor<'_> for Number {
        type Value = u32;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a whole number from 0 to {}", u32::MAX)
        }

        fn visit_f64<E: de::Error>(self, gpus: f64) -> Result<u32, E> {
            let gpus = written(gpus);
            Err(E::custom(format!("'gpus' are whole; shares of GPUs are written as 'shared_gpus = {gpus}'")))
        }

        fn visit_i64<E: de::Error>(self, gpus: i64) -> Result<u32, E> {
            u32::try_from(gpus).map_err(|_| E::invalid_value(de::Unexpected::Signed(gpus), &self))
        }

        fn visit_u64<E: de::Error>(self, gpus: u64) -> Result<u32, E> {
            u32::try_from(gpus).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(gpus), &self))
        }
    }
    deserializer.deserialize_any(Number)
}

/// Shares of GPUs, as a number of devices: `0.5` is half of one, `2` are two as a whole, `1.5` is three quarters of each of two.
///
/// They are of as few devices as possible, equally much of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SharedGpus(GpuRequest);

impl SharedGpus {
    /// The devices; `None` where a number of devices does not say it: they are more than needed for as much.
    pub fn new(gpus: GpuRequest) -> Option<Self> {
        let by_number = GpuRequest::of_total(gpus.total());
        let is_said = by_number == gpus || gpus.is_none();
        (is_said && gpus.count <= MAX_GPUS).then_some(SharedGpus(by_number))
    }

    /// By device.
    pub fn request(self) -> GpuRequest {
        self.0
    }

    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }
}

impl TryFrom<f64> for SharedGpus {
    type Error = UnitError;

    /// Devices, rounded half away from zero to thousandths.
    fn try_from(gpus: f64) -> Result<Self, UnitError> {
        let failed = |problem| UnitError {
            text: written(gpus),
            what: "a number of shared GPUs",
            problem,
            example: "0.5 or 2",
        };
        let total = Scalar::try_from(gpus).map_err(|problem| failed(problem.into()))?;
        if total > Scalar::whole(MAX_GPUS) {
            return Err(failed(UnitProblem::TooLarge));
        }
        let request = GpuRequest::of_total(total);
        if request.total() != total {
            return Err(failed(UnitProblem::Uneven { devices: request.count }));
        }
        Ok(SharedGpus(request))
    }
}

impl Serialize for SharedGpus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_milli(self.0.count * self.0.milli.min(WHOLE_GPU), serializer)
    }
}

impl<'de> Deserialize<'de> for SharedGpus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::decimal::deserialize(deserializer, "a number of shared GPUs such as 0.5")
    }
}
