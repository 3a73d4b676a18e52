//! The simulated GitHub behaves as the real one, as far as it is known.

#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod app;
mod gate;
mod graphql;
mod limits;
mod paging;
mod people;
mod support;
mod teams;
