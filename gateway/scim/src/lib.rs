//! SCIM 2.0 (RFC 7643 and RFC 7644) as pure functions: no I/O, no clock, no async.
//!
//! The service reads a body with [`json::parse`], turns it into a document with [`resource::create`],
//! [`resource::replace`] or [`patch::apply`], finds documents with [`filter::Filter`], and shapes answers with
//! [`projection::Projection`] and [`list::list_response`]. Schemas are data ([`schema`]). What clients send beyond
//! the RFCs is taken by name ([`quirks`]).
//!
//! Input is hostile: every reader here has limits that act before there is a tree, and none panics on input.

pub mod bulk;
pub mod compare;
pub mod datetime;
pub mod dialect;
pub mod discovery;
pub mod error;
pub mod etag;
pub mod event;
pub mod filter;
pub mod fold;
pub mod json;
pub mod list;
pub mod patch;
pub mod path;
pub mod projection;
pub mod quirks;
pub mod resource;
pub mod schema;
pub mod sort;
pub mod syntax;
pub mod urn;
mod value;

pub use error::{ScimError, ScimType};
pub use filter::Filter;
pub use path::{AttrPath, PatchPath};
pub use projection::Projection;
pub use quirks::{Quirk, QuirkSet, Quirks};
pub use resource::Document;
pub use schema::{Registry, ResourceType};
