//! The groups of a tailnet policy file, changed in place.
//!
//! The file is HuJSON: JSON with comments and trailing commas (github.com/tailscale/hujson). People write it, so a change
//! touches the entry that is meant and leaves every other byte as it is. Each change reads the text anew: it is small, and
//! places in it move with every edit.

use std::ops::Range;

/// The deepest that the file may nest.
const DEEPEST: usize = 64;
/// What a group's key begins with.
const PREFIX: &str = "group:";
/// What the comment above an entry begins with that tells the group's name.
const MARK: &str = "// scimgate: ";

/// A text that is no policy file, and why. Names no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Odd(pub(super) &'static str);

/// A group of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its key without `group:`.
    pub(super) key: String,
    /// Its name for people: what the comment above it tells, else the key.
    pub(super) name: String,
    /// Whom it holds, as written.
    pub(super) members: Vec<String>,
}

/// A field of an object, by its places in the text.
struct Field {
    /// Comments between what stands before and the key.
    notes: Vec<Range<usize>>,
    key: String,
    key_at: usize,
    value: Range<usize>,
    comma: Option<usize>,
}

struct Object {
    open: usize,
    close: usize,
    fields: Vec<Field>,
}

/// An item of a list, by its places.
struct Item {
    value: Range<usize>,
    comma: Option<usize>,
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips blanks and comments; the places of the comments.
    fn trivia(&mut self) -> Result<Vec<Range<usize>>, Odd> {
        let mut notes = Vec::new();
        loop {
            let rest = &self.text[self.at..];
            if rest.starts_with([' ', '\t', '\r', '\n']) {
                self.at += 1;
            } else if rest.starts_with("//") {
                let end = self.at + rest.find('\n').unwrap_or(rest.len());
                notes.push(self.at..end);
                self.at = end;
            } else if rest.starts_with("/*") {
                let end = rest.find("*/").ok_or(Odd("a comment that does not end"))?;
                notes.push(self.at..self.at + end + 2);
                self.at += end + 2;
            } else {
                return Ok(notes);
            }
        }
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<usize, Odd> {
        if self.peek() != Some(byte) {
            return Err(Odd(what));
        }
        self.at += 1;
        Ok(self.at - 1)
    }

    fn string(&mut self) -> Result<(String, Range<usize>), Odd> {
        let start = self.expect(b'"', "no text where one belongs")?;
        let mut escaped = false;
        loop {
            let byte = self.peek().ok_or(Odd("a text that does not end"))?;
            self.at += 1;
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => break,
                _ => {}
            }
        }
        let raw = &self.text[start..self.at];
        let read = serde_json::from_str(raw).map_err(|_| Odd("a text that is none of JSON's"))?;
        Ok((read, start..self.at))
    }

    /// Skips a value.
    fn value(&mut self, depth: usize) -> Result<Range<usize>, Odd> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => {
                self.string()?;
            }
            Some(b'{') => {
                self.object(depth)?;
            }
            Some(b'[') => {
                self.list(depth)?;
            }
            _ => {
                let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
                while self.peek().is_some_and(word) {
                    self.at += 1;
                }
                if self.at == start {
                    return Err(Odd("no value where one belongs"));
                }
            }
        }
        Ok(start..self.at)
    }

    /// The comma after a value, if there is one.
    fn comma(&mut self) -> Result<Option<usize>, Odd> {
        let before = self.at;
        self.trivia()?;
        if self.peek() == Some(b',') {
            self.at += 1;
            return Ok(Some(self.at - 1));
        }
        self.at = before;
        Ok(None)
    }

    fn object(&mut self, depth: usize) -> Result<Object, Odd> {
        if depth > DEEPEST {
            return Err(Odd("a file that nests too deep"));
        }
        let open = self.expect(b'{', "no object where one belongs")?;
        let mut fields: Vec<Field> = Vec::new();
        loop {
            let notes = self.trivia()?;
            if self.peek() == Some(b'}') {
                self.at += 1;
                return Ok(Object { open, close: self.at - 1, fields });
            }
            if fields.last().is_some_and(|last| last.comma.is_none()) {
                return Err(Odd("two fields without a comma"));
            }
            let (key, at) = self.string()?;
            self.trivia()?;
            self.expect(b':', "a field without a colon")?;
            self.trivia()?;
            let value = self.value(depth + 1)?;
            let comma = self.comma()?;
            fields.push(Field { notes, key, key_at: at.start, value, comma });
        }
    }

    fn list(&mut self, depth: usize) -> Result<(usize, Vec<Item>), Odd> {
        if depth > DEEPEST {
            return Err(Odd("a file that nests too deep"));
        }
        let open = self.expect(b'[', "no list where one belongs")?;
        let mut items: Vec<Item> = Vec::new();
        loop {
            self.trivia()?;
            if self.peek() == Some(b']') {
                self.at += 1;
                return Ok((open, items));
            }
            if items.last().is_some_and(|last| last.comma.is_none()) {
                return Err(Odd("two items without a comma"));
            }
            let value = self.value(depth + 1)?;
            let comma = self.comma()?;
            items.push(Item { value, comma });
        }
    }
}

/// The whole file, and its groups if it has any.
fn read(text: &str) -> Result<(Object, Option<Object>), Odd> {
    let mut scan = Scan { text, at: 0 };
    scan.trivia()?;
    let whole = scan.object(0)?;
    scan.trivia()?;
    if scan.peek().is_some() {
        return Err(Odd("something after the end of the object"));
    }
    let mut all = whole.fields.iter().filter(|field| field.key.eq_ignore_ascii_case("groups"));
    let groups = match (all.next(), all.next()) {
        (Some(field), None) => Some(Scan { text, at: field.value.start }.object(1)?),
        (None, _) => None,
        _ => return Err(Odd("`groups` twice")),
    };
    Ok((whole, groups))
}

/// The comment that tells a group's name, and the name.
fn told(text: &str, field: &Field) -> Option<(Range<usize>, String)> {
    field.notes.iter().rev().find_map(|note| {
        let name = text[note.clone()].trim_end().strip_prefix(MARK)?;
        Some((note.clone(), serde_json::from_str(name).ok()?))
    })
}

fn entry(text: &str, field: &Field) -> Result<Option<Entry>, Odd> {
    let Some(key) = field.key.strip_prefix(PREFIX) else { return Ok(None) };
    let (_, items) = Scan { text, at: field.value.start }.list(2)?;
    let members = items.iter().map(|item| Ok(Scan { text, at: item.value.start }.string()?.0));
    Ok(Some(Entry {
        key: key.to_owned(),
        name: told(text, field).map_or_else(|| key.to_owned(), |(_, name)| name),
        members: members.collect::<Result<_, Odd>>()?,
    }))
}

/// Whether two texts name the same person or group: the one comparison for all that is looked for in the file.
pub(super) fn same(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

/// The groups, in the order of the file.
pub(super) fn groups(text: &str) -> Result<Vec<Entry>, Odd> {
    let (_, groups) = read(text)?;
    let fields = groups.iter().flat_map(|groups| &groups.fields);
    fields.filter_map(|field| entry(text, field).transpose()).collect()
}

/// The key of a new group: letters and digits of the name in lower case, everything else one dash.
pub(super) fn key_of(name: &str) -> String {
    let mut key = String::new();
    for c in name.to_lowercase().chars() {
        if c.is_ascii_alphanumeric() {
            key.push(c);
        } else if !key.ends_with('-') && !key.is_empty() {
            key.push('-');
        }
    }
    let key = key.trim_end_matches('-');
    // A name in another script.
    if key.is_empty() { connector_sdk::spelling::spelled(name) } else { key.to_owned() }
}

fn field<'a>(groups: &'a Object, key: &str) -> Option<&'a Field> {
    groups.fields.iter().find(|field| field.key.strip_prefix(PREFIX) == Some(key))
}

/// The comment that tells a name, as one line.
fn note(name: &str) -> String {
    format!("{MARK}{}", serde_json::Value::from(name))
}

fn spliced(text: &str, range: Range<usize>, piece: &str) -> String {
    format!("{}{piece}{}", &text[..range.start], &text[range.end..])
}

/// What stands before a place on its line, where that is nothing but blanks.
fn indent(text: &str, at: usize) -> Option<&str> {
    let start = text[..at].rfind('\n')? + 1;
    let before = &text[start..at];
    before.trim().is_empty().then_some(before)
}

/// The end of a line's comment, where one follows on the line; else the place itself.
fn after_note(text: &str, at: usize) -> usize {
    let line = text[at..].split('\n').next().unwrap_or_default();
    if line.trim_start().starts_with("//") { at + line.trim_end_matches('\r').len() } else { at }
}

/// Adds a piece after the last of a list or object.
fn appended(text: &str, last: usize, comma: Option<usize>, indent: Option<&str>, piece: &str) -> String {
    let Some(indent) = indent else {
        return match comma {
            Some(comma) => spliced(text, comma + 1..comma + 1, &format!(" {piece},")),
            None => spliced(text, last..last, &format!(", {piece}")),
        };
    };
    let (text, at, tail) = match comma {
        Some(comma) => (text.to_owned(), comma + 1, ","),
        None => (spliced(text, last..last, ","), last + 1, ""),
    };
    let at = after_note(&text, at);
    spliced(&text, at..at, &format!("\n{indent}{piece}{tail}"))
}

/// Takes out what lies between two places, with its line where it has one of its own.
fn dropped(text: &str, start: usize, end: usize) -> String {
    let Some(indent) = indent(text, start) else {
        let blanks = text[end..].len() - text[end..].trim_start_matches([' ', '\t']).len();
        return spliced(text, start..end + blanks, "");
    };
    let begin = start - indent.len();
    let end = after_note(text, end);
    let rest = text[end..].split('\n').next().unwrap_or_default();
    // The line's own end goes with it, unless something else stands on it.
    let end = if rest.trim().is_empty() { (end + rest.len() + 1).min(text.len()) } else { end };
    spliced(text, begin..end, "")
}

/// The file with a new, empty group. The key must be free.
pub(super) fn with_group(text: &str, key: &str, name: &str) -> Result<String, Odd> {
    let (whole, groups) = read(text)?;
    let piece = |indent: &str| {
        let entry = format!("{}: []", serde_json::Value::from(format!("{PREFIX}{key}")));
        if name == key { entry } else { format!("{}\n{indent}{entry}", note(name)) }
    };
    let Some(groups) = groups else {
        let at = whole.open + 1;
        let end = if text[at..].starts_with(['\n', '\r']) { "" } else { "\n" };
        let new = format!("\n\t\"groups\": {{\n\t\t{},\n\t}},{end}", piece("\t\t"));
        return Ok(spliced(text, at..at, &new));
    };
    let Some(last) = groups.fields.last() else {
        let at = groups.open + 1;
        let end = if text[at..groups.close].contains('\n') { "" } else { "\n\t" };
        return Ok(spliced(text, at..at, &format!("\n\t\t{},{end}", piece("\t\t"))));
    };
    let first = last.notes.first().map_or(last.key_at, |note| note.start.min(last.key_at));
    let indent = indent(text, last.key_at).or_else(|| indent(text, first));
    Ok(appended(text, last.value.end, last.comma, indent, &piece(indent.unwrap_or_default())))
}

/// The file with another name for a group; `None` where it is not there.
pub(super) fn with_name(text: &str, key: &str, name: &str) -> Result<Option<String>, Odd> {
    let (_, groups) = read(text)?;
    let Some(field) = groups.as_ref().and_then(|groups| field(groups, key)) else { return Ok(None) };
    if let Some((place, _)) = told(text, field) {
        return Ok(Some(spliced(text, place, &note(name))));
    }
    let new = match indent(text, field.key_at) {
        Some(indent) => format!("{}\n{indent}", note(name)),
        None => format!("\n{}\n", note(name)),
    };
    Ok(Some(spliced(text, field.key_at..field.key_at, &new)))
}

/// The file without a group; `None` where it is not there.
pub(super) fn without_group(text: &str, key: &str) -> Result<Option<String>, Odd> {
    let (_, groups) = read(text)?;
    let Some(field) = groups.as_ref().and_then(|groups| field(groups, key)) else { return Ok(None) };
    let start = told(text, field).map_or(field.key_at, |(place, _)| place.start);
    let end = field.comma.map_or(field.value.end, |comma| comma + 1);
    Ok(Some(dropped(text, start, end)))
}

/// The file with a member of a group that is there; as it is where they are one, compared without case.
pub(super) fn with_member(text: &str, key: &str, member: &str) -> Result<String, Odd> {
    let (_, groups) = read(text)?;
    let field = groups.as_ref().and_then(|groups| field(groups, key)).ok_or(Odd("a group that is not there"))?;
    let (open, items) = Scan { text, at: field.value.start }.list(2)?;
    for item in &items {
        if same(&(Scan { text, at: item.value.start }).string()?.0, member) {
            return Ok(text.to_owned());
        }
    }
    let piece = serde_json::Value::from(member).to_string();
    Ok(match items.last() {
        Some(last) => appended(text, last.value.end, last.comma, indent(text, last.value.start), &piece),
        None => spliced(text, open + 1..open + 1, &piece),
    })
}

/// The file without a member of a group, however often they are in it.
pub(super) fn without_member(text: &str, key: &str, member: &str) -> Result<String, Odd> {
    let mut text = text.to_owned();
    loop {
        let (_, groups) = read(&text)?;
        let field = groups.as_ref().and_then(|groups| field(groups, key)).ok_or(Odd("a group that is not there"))?;
        let (_, items) = Scan { text: &text, at: field.value.start }.list(2)?;
        let mut place = None;
        for (n, item) in items.iter().enumerate() {
            if same(&(Scan { text: &text, at: item.value.start }).string()?.0, member) {
                place = Some(n);
                break;
            }
        }
        let Some(n) = place else { return Ok(text) };
        let Item { value, comma } = &items[n];
        let before = n.checked_sub(1).and_then(|n| items[n].comma);
        text = match (comma, before) {
            // The last on its line: its comma stood before it.
            (None, Some(before)) if indent(&text, value.start).is_none() => spliced(&text, before..value.end, ""),
            (comma, _) => dropped(&text, value.start, comma.map_or(value.end, |comma| comma + 1)),
        };
    }
}

/// The file without a member of any group; as it is where they are in none.
pub(super) fn without_person(text: &str, member: &str) -> Result<String, Odd> {
    let held = |entry: &Entry| entry.members.iter().any(|one| same(one, member));
    let mut left = text.to_owned();
    for entry in groups(text)?.iter().filter(|entry| held(entry)) {
        left = without_member(&left, &entry.key, member)?;
    }
    Ok(left)
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
