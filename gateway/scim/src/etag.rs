//! Entity tags (RFC 9110 section 8.8, RFC 7644 section 3.14). Ours are weak and count changes.

/// The tag of a resource's version: `W/"7"`.
pub fn format(version: u64) -> String {
    format!("W/\"{version}\"")
}

/// The value of an `If-Match` or `If-None-Match` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// `*`: any version that exists.
    Any,
    /// The opaque parts of the tags, without `W/` and quotes. Malformed tags are left out, so they match nothing.
    Tags(Vec<String>),
}

/// Tags read from one header; more than these are ignored.
const MAX_TAGS: usize = 64;

impl Precondition {
    /// Reads a header's value. Weak and strong forms are alike: SCIM compares weakly.
    pub fn parse(header: &str) -> Self {
        let mut rest = header.trim();
        if rest == "*" {
            return Self::Any;
        }
        let mut tags = Vec::new();
        while !rest.is_empty() && tags.len() < MAX_TAGS {
            rest = rest.trim_start_matches([',', ' ', '\t']);
            let body = rest.strip_prefix("W/").or_else(|| rest.strip_prefix("w/")).unwrap_or(rest);
            if let Some(quoted) = body.strip_prefix('"') {
                let Some(end) = quoted.find('"') else { break };
                tags.push(quoted[..end].to_owned());
                rest = &quoted[end + 1..];
            } else {
                // A bare number, as some clients echo meta.version without its quotes.
                let end = body.find(',').unwrap_or(body.len());
                let word = body[..end].trim();
                if !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()) {
                    tags.push(word.to_owned());
                }
                rest = &body[end..];
            }
        }
        Self::Tags(tags)
    }

    /// Whether the header names this version.
    pub fn matches(&self, version: u64) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => {
                let current = version.to_string();
                tags.contains(&current)
            }
        }
    }
}

/// Whether a write may go on: there is no `If-Match`, or it names the current version.
pub fn if_match_holds(header: Option<&str>, version: u64) -> bool {
    header.is_none_or(|h| Precondition::parse(h).matches(version))
}

/// Whether a read may answer 304: `If-None-Match` names the current version.
pub fn not_modified(header: Option<&str>, version: u64) -> bool {
    header.is_some_and(|h| Precondition::parse(h).matches(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let check = |header: &str, version: u64, want: bool| {
            assert_eq!(if_match_holds(Some(header), version), want, "{header}");
        };
        check("*", 1, true);
        check("W/\"7\"", 7, true);
        check("\"7\"", 7, true);
        check("W/\"6\", W/\"7\"", 7, true);
        check("\"a,b\",\"7\"", 7, true);
        check("7", 7, true);
        check("W/\"7", 7, false);
        check("W/\"70\"", 7, false);
        check("", 7, false);
        check(",,,", 7, false);
        check("garbage, \"7\"", 7, true);
        assert!(if_match_holds(None, 7));
        assert!(!not_modified(None, 7));
        assert!(not_modified(Some(&format(3)), 3));
    }
}
