//! The placement policies that come with the library, by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{
    Alignment, BestFit, GpuClustering, GpuPacking, GradientDescent, Planned, RandomFit, Reconciler, Spread,
};

/// Which of the offers that a task fits it is launched on. Among equals, the first.
///
/// ```
/// use apportion::scheduler::Placement;
///
/// assert_eq!("best-fit".parse(), Ok(Placement::BestFit));
/// assert_eq!(Placement::GradientDescent.to_string(), "fgd");
/// assert!("bestfit".parse::<Placement>().unwrap_err().to_string().contains("worst-fit"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// `first-fit`: the first.
    #[default]
    FirstFit,
    /// `best-fit`: [`BestFit`].
    BestFit,
    /// `worst-fit`: [`Spread`].
    #[serde(alias = "spread")]
    WorstFit,
    /// `random`: [`RandomFit`].
    Random,
    /// `dot-product`: [`Alignment`].
    #[serde(alias = "tetris")]
    DotProduct,
    /// `gpu-packing`: [`GpuPacking`].
    GpuPacking,
    /// `gpu-clustering`: [`GpuClustering`].
    GpuClustering,
    /// `fgd`: [`GradientDescent`].
    #[serde(rename = "fgd")]
    GradientDescent,
}

/// A text is not the name of a placement policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no placement; there are {names}", names = Placement::ALL.map(Placement::as_str).join(", "))]
pub struct UnknownPlacement(pub String);

impl Placement {
    /// All of them.
    pub const ALL: [Placement; 8] = [
        Placement::FirstFit,
        Placement::BestFit,
        Placement::WorstFit,
        Placement::Random,
        Placement::DotProduct,
        Placement::GpuPacking,
        Placement::GpuClustering,
        Placement::GradientDescent,
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Placement::FirstFit => "first-fit",
            Placement::BestFit => "best-fit",
            Placement::WorstFit => "worst-fit",
            Placement::Random => "random",
            Placement::DotProduct => "dot-product",
            Placement::GpuPacking => "gpu-packing",
            Placement::GpuClustering => "gpu-clustering",
            Placement::GradientDescent => "fgd",
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Placement {
    type Err = UnknownPlacement;

    fn from_str(name: &str) -> Result<Self, UnknownPlacement> {
        let known = Placement::ALL.into_iter().find(|placement| placement.as_str() == name);
        known.ok_or_else(|| UnknownPlacement(name.to_owned()))
    }
}

impl<R: Reconciler> Planned<R> {
    /// With one of the policies that come with the library. What they need to know they learn from offers and launches.
    #[must_use]
    pub fn placing(self, placement: Placement) -> Self {
        match placement {
            Placement::FirstFit => self,
            Placement::BestFit => self.score(BestFit),
            Placement::WorstFit => self.score(Spread),
            Placement::Random => self.score(RandomFit { seed: 0 }),
            Placement::DotProduct => self.score(Alignment::default()),
            Placement::GpuPacking => self.score(GpuPacking::default()),
            Placement::GpuClustering => self.score(GpuClustering::default()),
            Placement::GradientDescent => self.score(GradientDescent::default()),
        }
    }
}
