//! The console in a real browser, from `scimgate demo`: what people do there, and every page of it.

#![expect(clippy::panic, reason = "tests report by panicking")]

mod journey;
mod pages;
mod stage;
