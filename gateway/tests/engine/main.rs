//! The way of a change from acceptance to the target, in process: service functions, the driver,
//! real HTTP to a simulator.

mod adoption;
mod journey;
mod races;
mod rig;
