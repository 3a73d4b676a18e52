//! What is special about single targets of the catalogue: their refusals, limits and odd answers.

#[path = "../support/mod.rs"]
mod support;

mod linear;
mod played;
