//! Unreserved resources, kind by kind.

use std::ops::RangeInclusive;

use super::{Kind, Range, Resource, Resources, Scalar, Value};

/// Builds [`Resources`] by kind; what is given twice adds up.
///
/// ```
/// use apportion::resources::Resources;
///
/// let machine = Resources::builder().cpus(8).mem_mib(16_384).ports(31_000..=32_000).build();
/// assert_eq!(machine.to_string(), "cpus:8;mem:16384;ports:[31000-32000]");
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ResourcesBuilder(Resources);

impl ResourcesBuilder {
    /// Whole cores.
    pub fn cpus(self, cores: u32) -> Self {
        self.scalar(Kind::Cpus, Scalar::whole(cores))
    }

    /// Thousandths of a core.
    pub fn cpus_milli(self, milli: u32) -> Self {
        self.scalar(Kind::Cpus, Scalar::from_u32_milli(milli))
    }

    /// Memory in MiB.
    pub fn mem_mib(self, mib: u32) -> Self {
        self.scalar(Kind::Mem, Scalar::whole(mib))
    }

    /// Disk space in MiB.
    pub fn disk_mib(self, mib: u32) -> Self {
        self.scalar(Kind::Disk, Scalar::whole(mib))
    }

    /// Whole graphics processors.
    pub fn gpus(self, gpus: u32) -> Self {
        self.scalar(Kind::Gpus, Scalar::whole(gpus))
    }

    /// Network ports.
    pub fn ports(self, ports: RangeInclusive<u16>) -> Self {
        let range = Range::new(u64::from(*ports.start()), u64::from(*ports.end()));
        // A range that ends before it begins has no ports, here as in Rust.
        let ranges = range.into_iter().collect();
        self.resource(Resource::plain(Kind::Ports, Value::Ranges(ranges)))
    }

    /// Any resource.
    pub fn resource(mut self, resource: Resource) -> Self {
        self.0.extend([resource]);
        self
    }

    /// What was built.
    #[must_use]
    pub fn build(self) -> Resources {
        self.0
    }

    fn scalar(self, kind: Kind, amount: Scalar) -> Self {
        self.resource(Resource::plain(kind, Value::Scalar(amount)))
    }
}
