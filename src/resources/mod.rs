//! What a machine has and what a task needs: fixed-point scalars, ranges and sets, with reservations.
//!
//! - [`Scalar`], [`Ranges`] and [`ItemSet`] are the three types of [`Value`]; [`Kind`] says what is measured.
//! - A [`Resource`] is a value of a kind with its identity: reservations, volume, revocable, shared.
//! - [`Resources`] is a normalised multiset of them: what an agent has, an offer holds, a task uses.
//! - Whole GPUs are a scalar; shared ones are ranges of thousandths, by device: [`GPU_MILLI`].
//! - [`Shape`] is what a task wants before it is known which concrete resources serve it.
//! - [`Quantities`] drops identity and keeps amounts per kind: what fairness and quota compute with.
//!
//! Amounts flow from text or the wire (both validate) into [`Resources`], are matched there with
//! [`Resources::find`], and are projected to [`Quantities`] wherever only "how much" matters.
//! Nothing here goes negative or saturates: what does not fit is a typed error.

mod builder;
mod bundle;
mod cursor;
mod error;
mod gpus;
mod kind;
mod overlap;
mod parts;
mod quantities;
mod ranges;
mod reservation;
mod resource;
mod role;
mod scalar;
mod select;
mod set;
mod share;
#[cfg(test)]
mod strategies;
mod text;
mod totals;
mod value;
mod volume;

pub use builder::ResourcesBuilder;
pub use bundle::Resources;
pub use error::{
    InsufficientQuantity, InsufficientResources, KindError, ParseError, ParseReason, RangesError,
    ReservationError, ResourceError, ResourcesError, RoleError, ScalarError, VolumeError,
};
pub use gpus::{GPU_MILLI, GpuRequest, MAX_GPUS, WHOLE_GPU, fullest_gpus};
pub use kind::{Kind, KindName};
pub use quantities::Quantities;
pub use ranges::{Range, Ranges};
pub use reservation::{Labels, Reservation, ReservationKind};
pub use resource::Resource;
pub use role::Role;
pub use scalar::Scalar;
pub use select::Shape;
pub use set::ItemSet;
pub use share::Share;
pub use value::Value;
pub use volume::{Volume, VolumeName};
