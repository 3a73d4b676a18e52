//! `dateTime` values: xsd:dateTime (RFC 7643 section 2.3.5), compared as instants.
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Reads an xsd:dateTime. One without an offset counts as UTC. None if it is anything else.
pub fn parse(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let shape = bytes.len() >= 19
        && bytes.len() <= 64
        && bytes.iter().all(|b| b.is_ascii_digit() || b"-:.TZ+".contains(b))
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && bytes[10] == b'T'
        && bytes[13] == b':'
        && bytes[16] == b':';
    if !shape {
        return None;
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant);
    }
    let local: DateTime = text.parse().ok()?;
    Some(local.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_xsd_and_nothing_else() {
        for ok in
            ["2011-05-13T04:42:34Z", "2011-05-13T04:42:34.123456Z", "2011-05-13T04:42:34+02:00", "2011-05-13T04:42:34"]
        {
            assert!(parse(ok).is_some(), "{ok}");
        }
        for bad in [
            "",
            "2011-05-13",
            "2011-05-13 04:42:34Z",
            "yesterday",
            "2011-13-13T04:42:34Z",
            "2011-05-13T04:42:34+02:00[Europe/Berlin]",
            "2011-05-13T04:42Z",
            "１１１１-05-13T04:42:34Z",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
        assert_eq!(parse("2011-05-13T06:42:34+02:00"), parse("2011-05-13T04:42:34Z"));
    }
}
