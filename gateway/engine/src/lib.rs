//! The engine: every decision of the gateway, pure. No I/O, no clock, no randomness of its own:
//! what it needs comes in as arguments, so each decision can be tested by properties and replayed.

pub mod adoption;
pub mod brake;
pub mod coalesce;
pub mod doubt;
pub mod drift;
pub mod lane;
pub mod mapping;
pub mod membership;
pub mod needs;
pub mod operation;
pub mod person;
pub mod policy;
pub mod retry;
pub mod work;

pub use lane::Lane;
