//! Files to download: lines of JSON, and tables (CSV, RFC 4180) that no spreadsheet takes for formulas.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, header};
use serde_json::Value;

/// What a spreadsheet would take a cell for a formula by.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// A cell of a table: quoted, and never a formula.
pub(super) fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 3);
    out.push('"');
    // Some spreadsheets drop the blanks before one.
    if text.starts_with(FORMULA) || text.trim_start().starts_with(FORMULA) {
        out.push('\'');
    }
    for c in text.chars() {
        match c {
            '"' => out.push_str("\"\""),
            // Marks that turn the direction of what follows would turn the next cells.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\0' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// A row of a table.
pub(super) fn row(cells: &[&str]) -> String {
    let mut line = cells.iter().map(|text| cell(text)).collect::<Vec<_>>().join(",");
    line.push_str("\r\n");
    line
}

/// A line of JSON. JSON text has no line ends of its own: what is in a name stays in its line.
pub(super) fn line(out: &mut String, value: &Value) {
    out.push_str(&value.to_string());
    out.push('\n');
}

/// An answer that a browser stores in a file of that name, which is ours.
pub(super) fn file(kind: &'static str, file: &str, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let plain: String = file.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')).collect();
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{plain}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

/// The kind of lines of JSON.
pub(super) const NDJSON: &str = "application/x-ndjson";
/// The kind of a table.
pub(super) const CSV: &str = "text/csv; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_no_formula_and_ends_where_it_ends() {
        for (text, want) in [
            ("Ada", "\"Ada\""),
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
            ("-1", "\"'-1\""),
            (" =1", "\"' =1\""),
            ("\u{ff1d}1", "\"'\u{ff1d}1\""),
            ("a,\nb", "\"a,\nb\""),
            ("a\u{202e}b", "\"a\u{fffd}b\""),
        ] {
            assert_eq!(cell(text), want);
        }
        assert_eq!(row(&["a", "@b"]), "\"a\",\"'@b\"\r\n");
    }
}
