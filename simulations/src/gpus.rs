//! GPUs, whole and in parts.
//!
//! Scenarios count GPUs in devices, whole or in part. When any task of a model asks for a part of one, the agents of the model let
//! tasks share their GPUs: these are of the kind [`GPU_MILLI`](apportion::resources::GPU_MILLI), in thousandths of numbered devices,
//! as in production. Shares and utilisation are the same in both. Reports call both `gpus`.

use apportion::resources::{
    GpuRequest, Kind, MAX_GPUS, ParseError, Resource, Resources, Role, Scalar, Shape, Value, WHOLE_GPU,
};

/// How reports call a kind.
pub fn label(kind: &Kind) -> &str {
    if is_gpus(kind) { Kind::Gpus.as_str() } else { kind.as_str() }
}

/// Whether a kind is that of GPUs, whole or in parts.
pub fn is_gpus(kind: &Kind) -> bool {
    *kind == Kind::Gpus || kind.is_gpu_milli()
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
        Ok(resources) => Ok((resources, GpuRequest::of_total(gpus))),
        // Its places are those of the text as it was written.
        Err(error) => Err(text.parse::<Resources>().err().unwrap_or(error)),
    }
}

/// Why an agent can't have such GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GpuError {
    /// They are given in both ways.
    #[error("the GPUs of an agent are given either as 'gpus' or as 'gpu_milli'")]
    GivenTwice,
    /// They are too many.
    #[error("an agent has at most {MAX_GPUS} GPUs, not {count}")]
    TooMany {
        /// How many were given.
        count: u32,
    },
}

/// What an agent with these GPUs has.
///
/// # Errors
/// When it can't have them.
pub fn of_agent(resources: &Resources, gpus: GpuRequest, are_shared: bool) -> Result<Resources, GpuError> {
    if gpus.count > MAX_GPUS {
        return Err(GpuError::TooMany { count: gpus.count });
    }
    if !gpus.is_none() && are_numbered(resources) {
        return Err(GpuError::GivenTwice);
    }
    let shared = || Resource::new(Kind::gpu_milli(), Value::gpus(gpus)).ok();
    let gpus = if are_shared && !gpus.is_none() { shared() } else { whole(gpus) };
    Ok(resources.iter().cloned().chain(gpus).collect())
}

/// Whether some of these are GPUs that are shared, given by device.
pub fn are_numbered(resources: &Resources) -> bool {
    resources.iter().any(|resource| resource.kind().is_gpu_milli())
}

/// How many devices these are, those that are not shared and those that are.
pub fn devices(resources: &Resources, gpus: GpuRequest) -> u32 {
    gpus.count + resources.gpu_devices(&Role::any()).len() as u32
}

/// An amount of a kind where GPUs are shared: whole ones count in thousandths.
pub fn in_shares(kind: Kind, amount: Scalar) -> (Kind, Scalar) {
    let milli = Scalar::checked_whole(u128::from(amount.milli().unsigned_abs()));
    match (kind, milli) {
        (Kind::Gpus, Some(milli)) => (Kind::gpu_milli(), milli),
        (kind, _) => (kind, amount),
    }
}

/// The amount of shared GPUs in devices.
pub fn in_devices(amount: Scalar) -> Scalar {
    Scalar::from_milli(amount.milli() / i64::from(WHOLE_GPU)).unwrap_or_default()
}

/// What a task takes of an agent whose GPUs are shared or are not.
pub fn of_task(resources: &Resources, gpus: GpuRequest, are_shared: bool) -> Shape {
    if are_shared {
        Shape::from(resources.clone()).with_gpus(gpus)
    } else {
        Shape::from(resources.iter().cloned().chain(whole(gpus)).collect::<Resources>())
    }
}

/// Whole GPUs; `None` when there are none.
fn whole(gpus: GpuRequest) -> Option<Resource> {
    (!gpus.is_none()).then(|| Resource::new(Kind::Gpus, Value::Scalar(gpus.total())).ok()).flatten()
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
            ("cpus:1", "cpus:1", 0, 0),
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
    fn devices_are_numbered_where_they_are_shared() {
        let rest: Resources = "cpus:1".parse().unwrap();
        let (two, part) = (GpuRequest::whole(2), GpuRequest { count: 1, milli: 460 });
        assert_eq!(of_agent(&rest, two, true).unwrap().to_string(), "cpus:1;gpu_milli:[0-1999]");
        assert_eq!(of_agent(&rest, two, false).unwrap().to_string(), "cpus:1;gpus:2");
        assert_eq!(of_agent(&rest, GpuRequest::NONE, true).unwrap(), rest);
        let numbered: Resources = "gpu_milli:[0-2999]".parse().unwrap();
        assert_eq!(of_agent(&numbered, two, true), Err(GpuError::GivenTwice));
        assert_eq!((devices(&numbered, GpuRequest::NONE), devices(&rest, two)), (3, 2));
        let many = GpuRequest::whole(5000);
        assert_eq!(of_agent(&rest, many, false), Err(GpuError::TooMany { count: 5000 }));
        assert_eq!(of_task(&rest, part, true).quantities().to_string(), "cpus:1;gpu_milli:460");
        assert_eq!(of_task(&rest, two, false).quantities().to_string(), "cpus:1;gpus:2");
    }
}
