//! Identifiers of the target's side. None of them converts into a SCIM id or back: mixing the two
//! up is how one tenant's externalId became another's account (CVE-2025-41115).

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps the target's own text.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The target's own text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// The immutable id of an account or group at the target (GitHub: the numeric user id; never a
    /// login, which its owner can change).
    RemoteId
}
text_id! {
    /// The id of a pending invitation at the target.
    InviteId
}
text_id! {
    /// What the target's limits follow, widest scope first: for GitHub the host with its port and
    /// the identity of the credential, for Buildkite the organisation. Instances with the same key
    /// share one budget and are driven by one replica at a time.
    DriverKey
}
