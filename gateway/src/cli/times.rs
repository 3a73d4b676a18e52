//! Times as people write and read them.

use jiff::{SignedDuration, Timestamp};

use super::exit::Stop;

/// A span such as `90s`, `15m`, `24h`, `365d`; a bare number is seconds.
///
/// # Errors
/// It is none, for the person who wrote it.
pub(super) fn span(text: &str) -> Result<SignedDuration, String> {
    let wrong = || format!("{text:?} is not a span such as 90s, 15m, 24h or 365d");
    let text_ = text.trim();
    let unit = text_.chars().last().ok_or_else(wrong)?;
    let (number, seconds) = match unit {
        's' => (text_.trim_end_matches('s'), 1),
        'm' => (text_.trim_end_matches('m'), 60),
        'h' => (text_.trim_end_matches('h'), 3_600),
        'd' => (text_.trim_end_matches('d'), 86_400),
        _ => (text_, 1),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    // The longest, 4 billion days, stays far below the i64 of seconds.
    Ok(SignedDuration::from_secs(i64::from(number) * seconds))
}

/// A time: RFC 3339, or a span before (`ago`) or after now.
///
/// # Errors
/// It is neither, or outside the years that can be told.
pub(super) fn time(text: &str, now: Timestamp, ago: bool) -> Result<Timestamp, Stop> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let span = span(text).map_err(|error| Stop::usage(format!("{error}, nor a time such as 2026-01-31T12:00:00Z")))?;
    let moved = if ago { now.checked_sub(span) } else { now.checked_add(span) };
    moved.map_err(|_| Stop::usage(format!("{text:?} is too far away")))
}

/// How far a time is from now, in one unit: `20 s ago`, `in 3 d`. What is no time stays as it is.
pub(super) fn relative(text: &str, now: Timestamp) -> String {
    let Ok(time) = text.parse::<Timestamp>() else { return text.to_owned() };
    let seconds = now.duration_since(time).as_secs();
    let span = match seconds.unsigned_abs() {
        n @ 0..=119 => format!("{n} s"),
        n @ 120..=7_199 => format!("{} min", n / 60),
        n @ 7_200..=172_799 => format!("{} h", n / 3_600),
        n => format!("{} d", n / 86_400),
    };
    if seconds < 0 { format!("in {span}") } else { format!("{span} ago") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-05-01T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn spans_and_times_are_read() {
        for (text, expected) in [
            ("15m", "2026-05-01T11:45:00Z"),
            ("2h", "2026-05-01T10:00:00Z"),
            ("1d", "2026-04-30T12:00:00Z"),
            ("90", "2026-05-01T11:58:30Z"),
            ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        ] {
            assert_eq!(time(text, now(), true).unwrap().to_string(), expected, "{text}");
        }
        assert_eq!(time("1d", now(), false).unwrap().to_string(), "2026-05-02T12:00:00Z");
        for text in ["", "d", "-5m", "5w", "yesterday", "4294967295d", "99999999999s", "5é"] {
            assert!(time(text, now(), true).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_told_from_now() {
        for (text, expected) in [
            ("2026-05-01T11:59:40Z", "20 s ago"),
            ("2026-05-01T11:45:00Z", "15 min ago"),
            ("2026-05-01T07:00:00Z", "5 h ago"),
            ("2026-05-08T12:00:00Z", "in 7 d"),
            ("never", "never"),
        ] {
            assert_eq!(relative(text, now()), expected);
        }
    }
}
