//! Text of others on our pages. Names and values come from identity providers and targets and are hostile until shown
//! otherwise: maud escapes what HTML would read, and here is the rest: characters that turn the direction of text, or
//! cannot be seen, become visible marks, and what is too long is cut.

use std::fmt::Write;

use maud::{Markup, PreEscaped, html};

/// The longest value in a table or heading, in characters.
const SHORT: usize = 120;
/// The longest value where many stand on one page.
const PASSAGE: usize = 300;
/// The longest value on a page.
const LONG: usize = 8_000;
/// Marks of hidden characters in one text; more are counted.
const MARKS: usize = 20;

/// Whether a character is invisible or moves others about.
fn hidden(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        other => other.is_control(),
    }
}

fn marked(text: &str, most: usize) -> Markup {
    let mut out = String::with_capacity(text.len() + 16);
    let mut plain = String::new();
    let flush = |out: &mut String, plain: &mut String| {
        if !plain.is_empty() {
            out.push_str(&html! { (plain.as_str()) }.into_string());
            plain.clear();
        }
    };
    let mut rest = text.chars();
    let mut marks = 0;
    for c in rest.by_ref().take(most) {
        if hidden(c) {
            flush(&mut out, &mut plain);
            marks += 1;
            if marks <= MARKS {
                let _ = write!(out, "<span class=\"mark\">U+{:04X}</span>", u32::from(c));
            }
        } else {
            plain.push(c);
        }
    }
    flush(&mut out, &mut plain);
    if marks > MARKS {
        let _ = write!(out, "<span class=\"mark\">{} more hidden characters</span>", marks - MARKS);
    }
    if rest.next().is_some() {
        out.push('\u{2026}');
    }
    html! { bdi { (PreEscaped(out)) } }
}

/// A name or short value: in a table, a heading, a sentence.
pub(super) fn name(text: &str) -> Markup {
    marked(text, SHORT)
}

/// A value where many stand on one page: one of a list of events, or of changes.
pub(super) fn passage(text: &str) -> Markup {
    marked(text, PASSAGE)
}

/// A value, up to some thousand characters.
pub(super) fn value(text: &str) -> Markup {
    marked(text, LONG)
}

/// A sentence of a connector's own words, in which backticks mark code.
pub(super) fn prose(text: &str) -> Markup {
    if !text.matches('`').count().is_multiple_of(2) {
        return value(text);
    }
    html! { @for (n, part) in text.split('`').enumerate() {
        @if n % 2 == 0 { (value(part)) } @else { code { (value(part)) } }
    } }
}

/// A text where no markup can stand: titles, attributes.
pub(super) fn plain(text: &str) -> String {
    let mut out: String =
        text.chars().take(SHORT).map(|c| if hidden(c) || c == '\n' || c == '\t' { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(SHORT).is_some() {
        out.push('\u{2026}');
    }
    out
}

/// A count with its noun: `1 person`, `2 people`, `1,200 people`.
pub(super) fn count(n: i64, one: &str, many: &str) -> String {
    format!("{} {}", number(n), if n == 1 { one } else { many })
}

/// A number with commas between thousands.
pub(super) fn number(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if n < 0 {
        out.push('-');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A span of time, coarsely: `38 s`, `6 min`, `3 h`, `12 days`.
pub(super) fn span(seconds: i64) -> String {
    match seconds.max(0) {
        s if s < 60 => format!("{s} s"),
        s if s < 3_600 => format!("{} min", s / 60),
        s if s < 172_800 => format!("{} h", s / 3_600),
        s => format!("{} days", number(s / 86_400)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_shown_as_text() {
        let shown = |text: &str| name(text).into_string();
        assert_eq!(shown("<img onerror=x>"), "<bdi>&lt;img onerror=x&gt;</bdi>");
        assert_eq!(
            shown("a\u{202e}b\0"),
            "<bdi>a<span class=\"mark\">U+202E</span>b<span class=\"mark\">U+0000</span></bdi>"
        );
        assert_eq!(shown(&"é".repeat(5_000)).chars().count(), 11 + 121);
        let marks = shown(&"\u{202e}".repeat(200));
        assert!(marks.len() < 900 && marks.contains("100 more hidden characters"), "{marks}");
        assert_eq!(plain("a\u{202e}\nb"), "a\u{fffd}\u{fffd}b");
    }

    #[test]
    fn numbers_and_spans_for_people() {
        for (n, want) in [(0, "0"), (999, "999"), (1_000, "1,000"), (-1_234_567, "-1,234,567")] {
            assert_eq!(number(n), want);
        }
        for (seconds, want) in [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (7_200, "2 h"), (172_800, "2 days")] {
            assert_eq!(span(seconds), want);
        }
        assert_eq!(
            (count(1, "person", "people").as_str(), count(2, "person", "people").as_str()),
            ("1 person", "2 people")
        );
    }
}
