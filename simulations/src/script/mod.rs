//! Scripts that drive the allocator alone, in virtual time: published test cases of allocators, written as data.
//!
//! A [`Script`] is a list of steps: agents and frameworks come and go, offers are accepted and declined, time advances, and
//! the offers made since the last look are compared to what is expected. [`Script::parse`] tells mistakes with their places;
//! [`Script::play`] plays the steps on the production allocator and ends with the first expectation that is not met.
//!
//! | file | idea |
//! | --- | --- |
//! | `form` | what people write |
//! | `text` | values in it that are written as text: resources, amounts |
//! | `player` | step after step: the allocator, and the clock |
//! | `parties`, `holdings`, `optimistic`, `checks` | the steps: who comes and goes; what is done with offers; what is expected |
//! | `preemption` | tasks that make room for others |
//! | `expectations` | offers, and what is different between them |

mod checks;
mod expectations;
mod form;
mod holdings;
mod optimistic;
mod parties;
mod player;
mod preemption;
mod text;

pub use expectations::{Offered, StepReport};
pub use form::Script;
pub use player::ScriptError;
