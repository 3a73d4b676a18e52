//! The HTTP surfaces, whole router in process. Instances are paused, so nothing is sent anywhere.

mod admin;
mod scim;
mod support;
