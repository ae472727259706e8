//! Decimal numbers in thousandths.

use std::fmt::{self, Display};
use std::marker::PhantomData;

use serde::de::{self, Visitor};
use serde::{Deserializer, Serializer};

/// A number as messages show it: otherwise they could have hundreds of digits.
pub(super) fn written(number: f64) -> String {
    if number.abs() < 1e15 { number.to_string() } else { format!("{number:e}") }
}

/// Writes thousandths as a number, whole where it is.
pub(super) fn serialize_milli<S: Serializer>(milli: u32, serializer: S) -> Result<S::Ok, S::Error> {
    match milli {
        milli if milli % 1000 == 0 => serializer.serialize_u32(milli / 1000),
        milli => serializer.serialize_f64(f64::from(milli) / 1000.0),
    }
}

/// Reads a number.
pub(super) fn deserialize<'de, T, D>(deserializer: D, expecting: &'static str) -> Result<T, D::Error>
where
    T: TryFrom<f64, Error: Display>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(Number(expecting, PhantomData))
}

struct Number<T>(&'static str, PhantomData<T>);

impl<T: TryFrom<f64, Error: Display>> Visitor<'_> for Number<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        T::try_from(number).map_err(E::custom)
    }

    // Integers beyond a float's 53 bits are far too large anyway.
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_f64(number as f64)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_f64(number as f64)
    }
}
