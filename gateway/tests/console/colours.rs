//! The colours of the stylesheet: contrast as WCAG 2.2 counts it (1.4.3, 1.4.11), in both sets.

use std::collections::BTreeMap;

const CSS: &str = include_str!("../../src/console/assets/console.css");

/// The tokens of the block that begins with this selector.
fn tokens(selector: &str) -> BTreeMap<String, String> {
    let at = CSS.find(selector).unwrap_or_else(|| panic!("{selector}"));
    let block = CSS[at..].split('}').next().unwrap();
    let mut found = BTreeMap::new();
    for part in block.split(['{', ';']) {
        if let Some((name, value)) = part.trim().split_once(':')
            && let Some(name) = name.strip_prefix("--")
        {
            found.insert(name.to_owned(), value.trim().to_owned());
        }
    }
    found
}

fn luminance(colour: &str) -> f64 {
    let part = |at: usize| {
        let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
}

fn contrast(a: &str, b: &str) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn text_and_marks_can_be_told_from_what_they_lie_on() {
    let tones = ["good", "busy", "warn", "bad", "quiet", "parked", "drift"];
    for selector in [":root {", ":root[data-theme=\"dark\"]"] {
        let set = tokens(selector);
        let check = |front: &str, back: &str, least: f64| {
            let got = contrast(&set[front], &set[back]);
            assert!(got >= least, "{selector} {front} on {back}: {got:.2}");
        };
        for back in ["page", "card", "sunk"] {
            for front in ["text", "muted", "accent"] {
                check(front, back, 4.5);
            }
            for mark in ["edge", "focus"] {
                check(mark, back, 3.0);
            }
        }
        check("accent-text", "accent", 4.5);
        check("accent", "accent-soft", 4.5);
        check("danger", "card", 4.5);
        check("danger", "bad-soft", 4.5);
        for tone in tones {
            check(tone, &format!("{tone}-soft"), 4.5);
            check(tone, "card", 4.5);
        }
    }
}

#[test]
fn the_systems_dark_set_is_the_chosen_dark_set() {
    assert_eq!(tokens(":root[data-theme=\"dark\"]"), tokens(":root:not([data-theme])"));
}
