//! SCIM attributes of a target's own.

/// Attributes that a connector adds to a SCIM resource type, for what the target has and RFC 7643 has no name for.
///
/// Every instance of the connector announces them as the extension
/// `urn:scimgate:params:scim:schemas:extension:{connector}:2.0:{resource_type}`; an identity provider writes them
/// like any other attribute, and the connector finds them in [`crate::Person::text_at`] under that URN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension {
    /// `User` or `Group`.
    pub resource_type: &'static str,
    /// What it is for, in one sentence.
    pub description: &'static str,
    /// The attributes: a JSON list in the form of RFC 7643 section 7.
    pub attributes: &'static str,
}
