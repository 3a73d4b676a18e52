//! The knobs: what the server offers and what it does otherwise than others.

use serde_json::{Map, Value};

/// How the server behaves. [`Rules::default`] is a server with everything.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// The token: valid or revoked.
    pub(super) token_valid: bool,
    /// Whether it answers PATCH.
    pub(super) patch: bool,
    /// Whether /ServiceProviderConfig tells the truth of PATCH.
    pub(super) patch_told: bool,
    /// Whether it filters; without, a filter is refused, or passed over.
    pub(super) filter: bool,
    /// Whether a filter that is not supported is passed over in silence.
    pub(super) filter_ignored: bool,
    /// The most resources of a page, whatever is asked for.
    pub(super) page_cap: usize,
    /// The most members that one PATCH may change.
    pub(super) members_cap: Option<usize>,
    /// Whether PATCH answers 204.
    pub(super) patch_204: bool,
    /// Operations of a bulk request; 0: there is none.
    pub(super) bulk: usize,
    /// Whether resources have versions.
    pub(super) etag: bool,
    /// Whether pages go by cursor (RFC 9865).
    pub(super) cursor: bool,
    /// Whether paths of PATCH may hold filters.
    pub(super) path_filters: bool,
    /// Whether members are shown only where `attributes` names them.
    pub(super) hide_members: bool,
    /// Whether a group is created without the members that it is sent.
    pub(super) group_ignores_members: bool,
    /// Whether the names of groups are unique.
    pub(super) unique_groups: bool,
    /// Whether booleans are written as text.
    pub(super) text_booleans: bool,
    /// Whether answers have `schemas`.
    pub(super) schemas: bool,
    /// Whether answers are `application/json`.
    pub(super) plain_json: bool,
    /// Whether there are /ServiceProviderConfig, /ResourceTypes and /Schemas.
    pub(super) discovery: bool,
    /// Whether a user name that is taken is answered by 409.
    pub(super) conflict: bool,
    /// A header without which nothing is answered: name and value.
    pub(super) header: Option<(String, String)>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            token_valid: true,
            patch: true,
            patch_told: true,
            filter: true,
            filter_ignored: false,
            page_cap: 200,
            members_cap: None,
            patch_204: false,
            bulk: 100,
            etag: true,
            cursor: false,
            path_filters: true,
            hide_members: false,
            group_ignores_members: false,
            unique_groups: false,
            text_booleans: false,
            schemas: true,
            plain_json: false,
            discovery: true,
            conflict: true,
            header: None,
        }
    }
}

impl Rules {
    /// These rules with knobs turned.
    ///
    /// # Errors
    /// Names the knob that is not there, or cannot be turned so.
    pub(super) fn turned(&self, knobs: &Map<String, Value>) -> Result<Self, String> {
        let mut rules = self.clone();
        for (name, value) in knobs {
            rules.turn(name, value)?;
        }
        Ok(rules)
    }

    fn turn(&mut self, name: &str, value: &Value) -> Result<(), String> {
        let wrong = |wanted: &str| format!("{name}: {wanted} is expected");
        let number = |least: u64| {
            let number = value.as_u64().filter(|number| *number >= least && *number <= 100_000);
            number.and_then(|number| usize::try_from(number).ok()).ok_or_else(|| wrong("a number"))
        };
        let flag = match name {
            "token" => {
                self.token_valid = match value.as_str() {
                    Some("valid") => true,
                    Some("revoked") => false,
                    _ => return Err(wrong("\"valid\" or \"revoked\"")),
                };
                return Ok(());
            }
            "page_cap" => {
                self.page_cap = number(1)?;
                return Ok(());
            }
            "members_cap" => {
                self.members_cap = if value.is_null() { None } else { Some(number(1)?) };
                return Ok(());
            }
            "bulk" => {
                self.bulk = number(0)?;
                return Ok(());
            }
            "header" => {
                self.header = match (value["name"].as_str(), value["value"].as_str()) {
                    (Some(name), Some(text)) => Some((name.to_owned(), text.to_owned())),
                    _ if value.is_null() => None,
                    _ => return Err(wrong("an object of `name` and `value`, or null")),
                };
                return Ok(());
            }
            "patch" => &mut self.patch,
            "patch_told" => &mut self.patch_told,
            "filter" => &mut self.filter,
            "filter_ignored" => &mut self.filter_ignored,
            "patch_204" => &mut self.patch_204,
            "etag" => &mut self.etag,
            "cursor" => &mut self.cursor,
            "path_filters" => &mut self.path_filters,
            "hide_members" => &mut self.hide_members,
            "group_ignores_members" => &mut self.group_ignores_members,
            "unique_groups" => &mut self.unique_groups,
            "text_booleans" => &mut self.text_booleans,
            "schemas" => &mut self.schemas,
            "plain_json" => &mut self.plain_json,
            "discovery" => &mut self.discovery,
            "conflict" => &mut self.conflict,
            _ => return Err(format!("there is no knob {name:?}")),
        };
        *flag = value.as_bool().ok_or_else(|| wrong("true or false"))?;
        Ok(())
    }
}
