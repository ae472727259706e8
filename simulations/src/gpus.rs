//! GPUs, whole and in parts.
//!
//! Production hands out whole GPUs: the kind `gpus` takes no fractions. Researchers share them. So when any task of a model asks
//! for a part of a device, all its GPUs are of the kind [`SHARES`], in thousandths of a device; shares and utilisation are the same
//! in both. Reports call both `gpus`.

use apportion::resources::{Kind, ParseError, Resource, Resources, Scalar, Value};

use crate::traces::GpuRequest;

/// The kind of GPUs that are shared, in thousandths of a device.
pub const SHARES: &str = "gpu_milli";

/// How reports call a kind.
pub fn label(kind: &Kind) -> &str {
    if is_gpus(kind) { Kind::Gpus.as_str() } else { kind.as_str() }
}

/// Whether a kind is that of GPUs, whole or in parts.
pub fn is_gpus(kind: &Kind) -> bool {
    *kind == Kind::Gpus || kind.as_str() == SHARES
}

/// Reads resources of which GPUs may be a fraction: the resources without GPUs, and the GPUs.
///
/// # Errors
/// As the parser of [`Resources`].
pub fn read(text: &str) -> Result<(Resources, GpuRequest), ParseError> {
    let (mut rest, mut gpus) = (Vec::new(), Scalar::ZERO);
    for part in text.split(';') {
        let amount = part.trim().strip_prefix("gpus").and_then(|part| part.trim_start().strip_prefix(':'));
        match amount.and_then(|amount| amount.trim().parse::<Scalar>().ok()) {
            Some(amount) => gpus = gpus.checked_add(amount).unwrap_or(gpus),
            None => rest.push(part),
        }
    }
    match rest.join(";").parse() {
        Ok(resources) => Ok((resources, devices(gpus))),
        // Its places are those of the text as it was written.
        Err(error) => Err(text.parse::<Resources>().err().unwrap_or(error)),
    }
}

/// An amount of GPUs as devices: as few as possible, of which each gives as much as the others.
fn devices(total: Scalar) -> GpuRequest {
    let milli = total.milli();
    let count = u32::try_from(milli / 1000 + i64::from(milli % 1000 > 0)).unwrap_or(u32::MAX);
    let each = if count == 0 { 1000 } else { (milli / i64::from(count)) as u32 };
    GpuRequest { count, milli: each }
}

/// Resources with GPUs, whole or in parts.
pub fn with_gpus(resources: &Resources, gpus: GpuRequest, shared: bool) -> Resources {
    let milli = gpus.total().milli();
    if milli == 0 {
        return resources.clone();
    }
    let resource = if shared {
        let kind = SHARES.parse::<Kind>().ok();
        kind.zip(Scalar::checked_whole(u128::from(milli.unsigned_abs())))
            .and_then(|(kind, amount)| Resource::new(kind, Value::Scalar(amount)).ok())
    } else {
        Resource::new(Kind::Gpus, Value::Scalar(gpus.total())).ok()
    };
    // A constant name and a positive whole amount make a valid resource.
    resources.iter().cloned().chain(resource).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_taken_from_as_few_devices_as_possible() {
        for (text, rest, count, milli) in [
            ("cpus:1;gpus:0.46", "cpus:1", 1, 460),
            ("gpus:2", "", 2, 1000),
            (" gpus : 1.5 ;mem:1", "mem:1", 2, 750),
            ("cpus:1", "cpus:1", 0, 1000),
        ] {
            let (resources, gpus) = read(text).unwrap();
            assert_eq!(
                (resources.to_string().as_str(), gpus.count, gpus.milli),
                (rest, count, milli),
                "{text}"
            );
        }
        let error = read("gpus:1;cpus:x").unwrap_err().to_string();
        assert!(error.starts_with("at byte 12"), "{error}");
    }

    #[test]
    fn parts_are_counted_in_thousandths() {
        let gpus = GpuRequest { count: 1, milli: 460 };
        let rest: Resources = "cpus:1".parse().unwrap();
        assert_eq!(with_gpus(&rest, gpus, true).quantities().to_string(), "cpus:1;gpu_milli:460");
        let whole = GpuRequest { count: 2, milli: 1000 };
        assert_eq!(with_gpus(&rest, whole, false).quantities().to_string(), "cpus:1;gpus:2");
    }
}
