//! What people write on the command line for settings, credentials and policy, as the admin API
//! wants it.

use serde_json::{Map, Value};

use super::client::read_secret;
use super::exit::Stop;
use crate::config::nearest;
use secrecy::ExposeSecret;

/// `NAME=VALUE`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it must have the form NAME=VALUE".to_owned()),
    }
}

/// Settings, each with the type that the connector's description says.
pub(super) fn settings(pairs: &[(String, String)], connector: &Value) -> Result<Map<String, Value>, Stop> {
    let described = connector["settings"].as_array().map_or(&[][..], Vec::as_slice);
    pairs
        .iter()
        .map(|(name, text)| {
            let setting = described.iter().find(|setting| setting["name"] == name.as_str());
            if setting.is_none() {
                return Err(unknown(name, described));
            }
            if setting.is_some_and(|setting| setting["class"] == "credential") {
                return Err(Stop::usage(format!("{name} is a credential: give it with --secret {name}=@FILE")));
            }
            let value = match setting.and_then(|setting| setting["type"].as_str()) {
                Some("number") => text
                    .parse::<i64>()
                    .map(Value::from)
                    .map_err(|_| Stop::usage(format!("--set {name}: {text:?} is not a whole number")))?,
                Some("flag") => text
                    .parse::<bool>()
                    .map(Value::from)
                    .map_err(|_| Stop::usage(format!("--set {name}: {text:?} is neither true nor false")))?,
                _ => Value::from(text.as_str()),
            };
            Ok((name.clone(), value))
        })
        .collect()
}

/// A setting that the connector does not have: what may be meant, or which there are.
fn unknown(name: &str, described: &[Value]) -> Stop {
    let names = || described.iter().filter(|one| one["class"] != "credential").filter_map(|one| one["name"].as_str());
    let hint = match nearest(name, names()) {
        Some(near) => format!("Did you mean {near}?"),
        None => format!("There are: {}.", names().collect::<Vec<_>>().join(", ")),
    };
    Stop::usage(format!("--set {name}: the connector has no such setting. {hint}"))
}

/// Credentials: `NAME=@FILE`, `NAME=@-` for standard input, or the value itself.
pub(super) fn secrets(pairs: &[(String, String)]) -> Result<Map<String, Value>, Stop> {
    pairs
        .iter()
        .map(|(name, text)| {
            let value = match text.strip_prefix('@') {
                Some(place) => read_secret(place)
                    .map_err(|error| Stop::usage(format!("--secret {name}: {place}: {error}")))?
                    .expose_secret()
                    .to_owned(),
                None => text.clone(),
            };
            Ok((name.clone(), Value::from(value)))
        })
        .collect()
}

/// Policy: JSON where it is some, else text.
pub(super) fn policy(pairs: &[(String, String)]) -> Map<String, Value> {
    pairs
        .iter()
        .map(|(name, text)| (name.clone(), serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()))))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pairs(texts: &[&str]) -> Vec<(String, String)> {
        texts.iter().map(|text| pair(text).unwrap()).collect()
    }

    #[test]
    fn values_get_the_type_that_is_wanted() {
        let connector = json!({"settings": [
            {"name": "org", "type": "text", "class": "identity"}, {"name": "app_id", "type": "number", "class": "tuning"},
            {"name": "strict", "type": "flag", "class": "tuning"}, {"name": "token", "type": "text", "class": "credential"},
        ]});
        let read = |texts: &[&str]| settings(&pairs(texts), &connector).map(Value::Object);
        assert_eq!(
            read(&["org=a=b", "app_id=42", "strict=true"]).unwrap(),
            json!({"org": "a=b", "app_id": 42, "strict": true})
        );
        for (wrong, words) in [
            ("app_id=x", "whole number"),
            ("strict=1", "true nor false"),
            ("token=x", "--secret"),
            ("orgg=x", "Did you mean org?"),
            ("something_else=x", "There are: org, app_id, strict."),
        ] {
            let message = read(&[wrong]).unwrap_err().message;
            assert!(message.contains(words), "{message}");
        }
        assert_eq!(
            Value::Object(policy(&pairs(&["adopt=never", "brake=false", "protected=[\"a\"]"]))),
            json!({"adopt": "never", "brake": false, "protected": ["a"]})
        );
    }

    #[test]
    fn credentials_come_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "s3cret\n").unwrap();
        let given = pairs(&[&format!("token=@{}", file.display()), "other=plain"]);
        assert_eq!(Value::Object(secrets(&given).unwrap()), json!({"token": "s3cret", "other": "plain"}));
        assert!(secrets(&pairs(&["token=@/nonexistent/file"])).unwrap_err().message.contains("/nonexistent/file"));
        assert!(pair("token").is_err() && pair("=x").is_err());
    }
}
