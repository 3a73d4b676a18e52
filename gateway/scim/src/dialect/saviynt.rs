//! Saviynt's REST connector: requests are templates of the customer.
//!
//! Collections with a slash at the end, booleans as texts in creations, a blank where a URI has nothing to say. Tries
//! again on 400, 401 and 500. (Saviynt forums, a customer's connector JSON.)
use super::Mark::{Sign as S, Used};
use super::{Dialect, Settings, Sign};
use crate::quirks::Quirk;

/// The dialect.
pub const DIALECT: Dialect = Dialect {
    name: "saviynt",
    title: "Saviynt",
    recognition: "a blank as `profileUrl`; booleans as texts in a creation; a slash at the end of a collection",
    marks: &[(Used(Quirk::NotAUri), 4), (S(Sign::TextBooleanCreate), 2), (Used(Quirk::ExtraSlashes), 1)],
    settings: Settings::DEFAULT,
};
