//! GPUs of which several tasks have parts.
//!
//! The kind `gpus` counts devices that belong to one task each, whichever they are. An agent whose devices are shared has the kind
//! [`GPU_MILLI`] instead: numbered thousandths, of which device 0 has those from 0 to 999, device 1 those from 1000 to 1999, and so
//! on. `gpu_milli:[0-1999]` are two free devices; `gpu_milli:[460-999,1600-1999]` are two in part. So an offer tells what is left of
//! which device, whoever has the rest, and parts of two devices are never taken for one.
//!
//! Unlike other ranges these are an amount: they count for fair shares and quotas.

use std::cmp::Reverse;

use super::{Kind, Range, Ranges, Resources, Role, Scalar, Value};

/// The kind of GPUs that are shared, in thousandths of a device.
pub const GPU_MILLI: &str = "gpu_milli";

/// A whole device, in thousandths.
pub const WHOLE_GPU: u32 = 1000;

/// As many devices one agent has at most.
pub const MAX_GPUS: u32 = 4096;

/// GPUs that a task asks for, by device.
///
/// ```
/// use apportion::resources::GpuRequest;
///
/// assert_eq!(GpuRequest::of_total("0.46".parse()?), GpuRequest { count: 1, milli: 460 });
/// assert_eq!(GpuRequest::of_total("1.5".parse()?), GpuRequest { count: 2, milli: 750 });
/// # Ok::<(), apportion::resources::ScalarError>(())
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct GpuRequest {
    /// On how many devices.
    pub count: u32,
    /// How much of each, in thousandths; 1000 unless devices are shared.
    pub milli: u32,
}

impl GpuRequest {
    /// No GPUs.
    pub const NONE: Self = Self { count: 0, milli: 0 };

    /// So many devices as a whole.
    #[must_use]
    pub const fn whole(count: u32) -> Self {
        Self { count, milli: WHOLE_GPU }
    }

    /// So much altogether, on as few devices as possible, of which each gives as much as the others. What can't be split into equal
    /// thousandths is cut off.
    #[must_use]
    pub fn of_total(total: Scalar) -> Self {
        let (milli, whole) = (total.milli(), i64::from(WHOLE_GPU));
        let count = u32::try_from(milli / whole + i64::from(milli % whole > 0)).unwrap_or(u32::MAX);
        let each = milli.checked_div(i64::from(count)).and_then(|each| u32::try_from(each).ok());
        Self { count, milli: each.unwrap_or_default().min(WHOLE_GPU) }
    }

    /// Whether it asks for nothing.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.count == 0 || self.milli == 0
    }

    /// In devices, altogether.
    #[must_use]
    pub fn total(self) -> Scalar {
        Scalar::from_milli(i64::from(self.count) * i64::from(self.milli)).unwrap_or_default()
    }

    /// In thousandths of a device, altogether.
    #[must_use]
    pub fn total_milli(self) -> u64 {
        u64::from(self.count) * u64::from(self.milli)
    }
}

impl Kind {
    /// The kind [`GPU_MILLI`].
    #[must_use]
    pub fn gpu_milli() -> Self {
        Kind::Other(super::KindName::GPU_MILLI)
    }

    /// Whether it is [`GPU_MILLI`].
    #[must_use]
    pub fn is_gpu_milli(&self) -> bool {
        matches!(self, Kind::Other(name) if name.as_str() == GPU_MILLI)
    }
}

impl Value {
    /// So much of the first devices, as a value of the kind [`GPU_MILLI`].
    ///
    /// ```
    /// use apportion::resources::{GpuRequest, Value};
    ///
    /// assert_eq!(Value::gpus(GpuRequest::whole(2)).to_string(), "[0-1999]");
    /// assert_eq!(Value::gpus(GpuRequest { count: 2, milli: 500 }).to_string(), "[0-499,1000-1499]");
    /// ```
    #[must_use]
    pub fn gpus(gpus: GpuRequest) -> Self {
        let first = |device: u32| {
            let begin = u64::from(device) * u64::from(WHOLE_GPU);
            let end = (begin + u64::from(gpus.milli)).checked_sub(1)?;
            Range::new(begin, end).ok()
        };
        Value::Ranges((0..gpus.count).filter_map(first).collect())
    }
}

impl Ranges {
    /// How much of each device there is, by its number; shorter than the devices are many when nothing is there of the last ones.
    fn by_device(&self) -> Vec<u32> {
        let whole = u64::from(WHOLE_GPU);
        let mut devices: Vec<u32> = Vec::new();
        for range in self.iter() {
            let mut begin = range.begin();
            while begin <= range.end() {
                let device = begin / whole;
                let end = range.end().min(device * whole + (whole - 1));
                let place = device as usize;
                devices.resize(devices.len().max(place + 1), 0);
                devices[place] += (end - begin) as u32 + 1;
                begin = end + 1;
            }
        }
        devices
    }

    /// The lowest thousandths of these devices, so many of each; `None` when there are fewer of one.
    pub(super) fn part_of_gpus(&self, devices: &[usize], milli: u32) -> Option<Self> {
        let whole = u64::from(WHOLE_GPU);
        let mut part: Vec<Range> = Vec::with_capacity(devices.len());
        for device in devices {
            let begin = (*device as u64).checked_mul(whole)?;
            let of_device = Self::from(Range::new(begin, begin.checked_add(whole - 1)?).ok()?);
            let taken = self.intersect(&of_device).first_n(u64::from(milli));
            if taken.count() < u128::from(milli) {
                return None;
            }
            part.extend(taken.iter());
        }
        Some(part.into())
    }

    /// At most so many thousandths, of the devices of which the most is there: so the largest parts stay possible.
    pub(crate) fn most_of_gpus(&self, most: u64) -> Self {
        let free = self.by_device();
        let mut devices: Vec<usize> = (0..free.len()).collect();
        devices.sort_by_key(|device| Reverse(free[*device]));
        let (mut part, mut left) = (Vec::new(), most);
        for device in devices {
            let milli = u32::try_from(left).unwrap_or(u32::MAX).min(free[device]);
            left -= u64::from(milli);
            // No more than there is of it.
            part.extend(self.part_of_gpus(&[device], milli).iter().flat_map(Self::iter));
        }
        part.into()
    }
}

impl Resources {
    /// How much of each shared GPU the role may have, in thousandths, by the device's number; shorter than the devices are many when
    /// nothing is there of the last ones. Without what is revocable.
    ///
    /// ```
    /// use apportion::resources::{Resources, Role};
    ///
    /// let held: Resources = "cpus:4;gpu_milli:[460-999,1000-1999]".parse()?;
    /// assert_eq!(held.gpu_devices(&Role::any()), [540, 1000]);
    /// # Ok::<(), apportion::resources::ParseError>(())
    /// ```
    #[must_use]
    pub fn gpu_devices(&self, role: &Role) -> Vec<u32> {
        self.gpu_ranges(role).by_device()
    }

    /// The shared GPUs of which there is anything, whatever its identity: their numbers, and how much of each, in thousandths.
    ///
    /// ```
    /// use apportion::resources::Resources;
    ///
    /// let held: Resources = "cpus:4;gpu_milli:[0-459,2000-2999]".parse()?;
    /// assert_eq!(held.gpu_parts(), [(0, 460), (2, 1000)]);
    /// # Ok::<(), apportion::resources::ParseError>(())
    /// ```
    #[must_use]
    pub fn gpu_parts(&self) -> Vec<(usize, u32)> {
        let devices = self.ranges(|resource| resource.kind().is_gpu_milli()).by_device();
        devices.into_iter().enumerate().filter(|(_, milli)| *milli > 0).collect()
    }

    /// The thousandths of shared GPUs that the role may have, without what is revocable.
    pub(super) fn gpu_ranges(&self, role: &Role) -> Ranges {
        self.ranges(|resource| {
            resource.kind().is_gpu_milli() && !resource.is_revocable() && resource.allocatable_to(role)
        })
    }
}

/// Devices for a request, by what is free of each: of those that have enough the fullest, so that others stay whole; the first among equals. `None` when they
/// are too few.
#[must_use]
pub fn fullest_gpus(free: &[u32], gpus: GpuRequest) -> Option<Vec<usize>> {
    let count = gpus.count as usize;
    let mut fitting: Vec<usize> = (0..free.len()).filter(|device| free[*device] >= gpus.milli).collect();
    if fitting.len() < count {
        return None;
    }
    fitting.sort_by_key(|device| free[*device]);
    fitting.truncate(count);
    Some(fitting)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranges(text: &str) -> Ranges {
        text.parse().unwrap()
    }

    #[test]
    fn devices_are_told_apart() {
        assert_eq!(ranges("[0-1999]").by_device(), [1000, 1000]);
        assert_eq!(ranges("[460-999,1600-1999,3000-3000]").by_device(), [540, 400, 0, 1]);
        assert_eq!(ranges("[]").by_device(), [0; 0]);
    }

    #[test]
    fn a_request_goes_to_the_fullest_devices() {
        let free = [1000, 400, 700, 400];
        assert_eq!(fullest_gpus(&free, GpuRequest { count: 1, milli: 400 }), Some(vec![1]));
        assert_eq!(fullest_gpus(&free, GpuRequest { count: 2, milli: 500 }), Some(vec![2, 0]));
        assert_eq!(fullest_gpus(&free, GpuRequest::whole(2)), None);
        assert_eq!(fullest_gpus(&free, GpuRequest::NONE), Some(vec![]));
    }

    #[test]
    fn the_lowest_of_a_device_is_taken() {
        let free = ranges("[460-999,1600-1999]");
        assert_eq!(free.part_of_gpus(&[1, 0], 300), Some(ranges("[460-759,1600-1899]")));
        assert_eq!(free.part_of_gpus(&[1], 401), None);
        assert_eq!(free.part_of_gpus(&[usize::MAX], 1), None);
    }

    #[test]
    fn totals_are_spread_evenly_over_few_devices() {
        for (total, count, milli) in [("0", 0, 0), ("0.001", 1, 1), ("2", 2, 1000), ("2.5", 3, 833)] {
            let request = GpuRequest::of_total(total.parse().unwrap());
            assert_eq!(request, GpuRequest { count, milli }, "{total}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_there_and_of_these_devices(
            free in prop::collection::vec(0_u64..6000, 0..40), count in 0_u32..4, milli in 1_u32..=1000,
        ) {
            let free: Ranges = free.into_iter().filter_map(|begin| Range::new(begin, begin + 150).ok()).collect();
            let devices = free.by_device();
            prop_assert_eq!(devices.iter().map(|milli| u128::from(*milli)).sum::<u128>(), free.count());
            let request = GpuRequest { count, milli };
            if let Some(chosen) = fullest_gpus(&devices, request) {
                let part = free.part_of_gpus(&chosen, milli).unwrap();
                prop_assert!(free.contains(&part));
                prop_assert_eq!(part.count(), u128::from(request.total_milli()));
                let left = free.subtract(&part).by_device();
                for device in chosen {
                    prop_assert_eq!(left.get(device).copied().unwrap_or(0), devices[device] - milli);
                }
            } else {
                prop_assert!(devices.iter().filter(|free| **free >= milli).count() < count as usize);
            }
        }
    }
}
