//! Lines to blocks. Every line is looked at once; nothing recurses.

use super::inline::{Inline, inlines, known_names};
use super::{Block, GuideError, Item, Part};

/// More than any guide needs; bounds what reading one costs.
const MAX_BYTES: usize = 256 * 1024;
const FENCE: &str = "+++";

type Parts = Vec<(Part, Vec<Block>)>;

/// The front matter, what follows it, and how many lines come before that.
pub(super) fn split(text: &str) -> Result<(&str, &str, usize), GuideError> {
    if text.len() > MAX_BYTES {
        return Err(GuideError::at(1, format!("a guide has at most {MAX_BYTES} bytes")));
    }
    if text.contains('\r') || text.contains('\t') {
        return Err(GuideError::at(1, "a guide has neither tabs nor carriage returns"));
    }
    let after = text.strip_prefix("+++\n").ok_or_else(|| GuideError::at(1, "a guide begins with a line +++"))?;
    let (front, body) =
        after.split_once("\n+++\n").ok_or_else(|| GuideError::at(1, "no line +++ ends the front matter"))?;
    Ok((front, body, front.lines().count() + 2))
}

/// What stands before the first part, and the parts. `skipped` lines come before `body` in the file.
pub(super) fn document(body: &str, skipped: usize, title: &str) -> Result<(Vec<Block>, Parts), GuideError> {
    let mut reader = Reader { lines: body.lines().collect(), at: 0, skipped };
    reader.blanks();
    if reader.peek() != Some(format!("# {title}").as_str()) {
        return Err(reader.wrong(format!("the first line after {FENCE} is \"# {title}\", as title says")));
    }
    reader.at += 1;
    let mut intro = Vec::new();
    let mut parts: Parts = Vec::new();
    loop {
        reader.blanks();
        let Some(line) = reader.peek() else { break };
        if let Some(heading) = line.strip_prefix("## ") {
            let Some(part) = Part::ALL.get(parts.len()).filter(|part| part.heading() == heading) else {
                let headings: Vec<_> = Part::ALL.iter().map(|part| part.heading()).collect();
                return Err(reader.wrong(format!("the parts of a guide are, in this order: {}", headings.join(", "))));
            };
            parts.push((*part, Vec::new()));
            reader.at += 1;
            continue;
        }
        let block = reader.block()?;
        parts.last_mut().map_or(&mut intro, |(_, blocks)| blocks).push(block);
    }
    if let Some(missing) = Part::ALL.get(parts.len()) {
        return Err(reader.wrong(format!("there is no part \"{}\"", missing.heading())));
    }
    if let Some((empty, _)) = parts.iter().find(|(_, blocks)| blocks.is_empty()) {
        return Err(reader.wrong(format!("the part \"{}\" is empty", empty.heading())));
    }
    Ok((intro, parts))
}

struct Reader<'a> {
    lines: Vec<&'a str>,
    at: usize,
    skipped: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.lines.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|line| line.trim().is_empty()) {
            self.at += 1;
        }
    }

    fn wrong(&self, problem: impl Into<String>) -> GuideError {
        GuideError::at(self.skipped + self.at + 1, problem)
    }

    fn block(&mut self) -> Result<Block, GuideError> {
        let line = self.peek().unwrap_or_default();
        if let Some(text) = line.strip_prefix("### ") {
            let Ok([Inline::Text(text)]) = <[Inline; 1]>::try_from(self.read(text)?) else {
                return Err(self.wrong("a heading is plain text"));
            };
            self.at += 1;
            return Ok(Block::Heading { anchor: anchor(&text), text });
        }
        if let Some(language) = line.strip_prefix("```") {
            return self.code(language);
        }
        if line.starts_with('|') {
            return self.table();
        }
        if line.starts_with("- ") {
            return Ok(Block::Bullets(self.list(|_| "- ".to_owned())?));
        }
        if line.starts_with("1. ") {
            return Ok(Block::Steps(self.list(|n| format!("{n}. "))?));
        }
        let text = self.joined(0, "")?;
        Ok(Block::Paragraph(self.read(&text)?))
    }

    /// Reads the text of the line that is the current one, or of what ended before it.
    fn read(&self, text: &str) -> Result<Vec<Inline>, GuideError> {
        inlines(text).map_err(|problem| self.wrong(problem))
    }

    /// The lines of a paragraph or of a point, joined by blanks: `first` and those that follow, as far as they are
    /// indented by exactly this much and begin nothing else.
    fn joined(&mut self, indent: usize, first: &str) -> Result<String, GuideError> {
        let mut text = first.to_owned();
        while let Some(line) = self.peek() {
            let inner = line.trim_start();
            if inner.is_empty() || line.len() - inner.len() != indent || begins_another(inner) {
                break;
            }
            self.ordinary(inner)?;
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(inner.trim_end());
            self.at += 1;
        }
        if text.is_empty() {
            return Err(self
                .wrong("this line begins nothing that a guide may have, or is indented otherwise than it should be"));
        }
        Ok(text)
    }

    /// What Markdown would take for something that the subset does not have.
    fn ordinary(&self, line: &str) -> Result<(), GuideError> {
        let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let numbered = digits.len() < line.len() && (digits.starts_with(". ") || digits.starts_with(") "));
        let other = ["#", ">", "+ ", "* ", "---", "===", "~~~"].iter().any(|sign| line.starts_with(sign));
        if numbered || other {
            return Err(
                self.wrong("a line may not begin like this: steps count from 1, lists have -, headings ## or ###")
            );
        }
        Ok(())
    }

    /// A list whose n-th point, from 1, begins with this sign. What belongs to a point is indented as far as the sign
    /// is long.
    fn list(&mut self, sign: impl Fn(usize) -> String) -> Result<Vec<Item>, GuideError> {
        let mut items = Vec::new();
        loop {
            let before = self.at;
            self.blanks();
            let sign = sign(items.len() + 1);
            let Some(first) = self.peek().and_then(|line| line.strip_prefix(&sign)) else {
                self.at = before;
                return Ok(items);
            };
            let indent = sign.len();
            let below = format!("{}- ", " ".repeat(indent));
            self.at += 1;
            let text = self.joined(indent, first)?;
            let text = self.read(&text)?;
            let mut fields = Vec::new();
            while let Some(first) = self.peek().and_then(|line| line.strip_prefix(&below)) {
                self.at += 1;
                let text = self.joined(indent + 2, first)?;
                fields.push(self.read(&text)?);
            }
            if self.peek().is_some_and(|line| line.starts_with(' ')) {
                return Err(
                    self.wrong(format!("what belongs to a point is indented by {indent}, points below it with -"))
                );
            }
            items.push(Item { text, below: fields });
        }
    }

    fn code(&mut self, language: &str) -> Result<Block, GuideError> {
        if !language.chars().all(|c| c.is_ascii_lowercase()) {
            return Err(self.wrong("after ``` stands a language in small letters, or nothing"));
        }
        self.at += 1;
        let mut lines = Vec::new();
        loop {
            match self.peek() {
                None => return Err(self.wrong("``` has no end")),
                Some("```") => break,
                Some(line) => {
                    known_names(line).map_err(|problem| self.wrong(problem))?;
                    lines.push(line);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        Ok(Block::Code { language: language.to_owned(), text: lines.join("\n"), complete: false })
    }

    fn table(&mut self) -> Result<Block, GuideError> {
        let head = self.row()?;
        let rule = self.peek().map(str::trim_end).unwrap_or_default();
        if rule != format!("|{}", "---|".repeat(head.len())) {
            return Err(self.wrong("below the head of a table stands |---| for each column"));
        }
        self.at += 1;
        let mut rows = Vec::new();
        while self.peek().is_some_and(|line| line.starts_with('|')) {
            let row = self.row()?;
            if row.len() != head.len() {
                self.at -= 1;
                return Err(self.wrong(format!("{} cells, where the head has {}", row.len(), head.len())));
            }
            rows.push(row);
        }
        Ok(Block::Table { head, rows })
    }

    fn row(&mut self) -> Result<Vec<Vec<Inline>>, GuideError> {
        let line = self.peek().unwrap_or_default().trim_end();
        let cells = line.strip_prefix('|').and_then(|rest| rest.strip_suffix('|'));
        let cells = cells.ok_or_else(|| self.wrong("a row of a table begins and ends with |"))?;
        let cells = cells
            .split('|')
            .map(|cell| match cell.trim() {
                "" => Ok(Vec::new()),
                cell => self.read(cell),
            })
            .collect::<Result<_, _>>()?;
        self.at += 1;
        Ok(cells)
    }
}

/// Whether a line ends the paragraph before it.
fn begins_another(line: &str) -> bool {
    ["- ", "## ", "### ", "```", "|"].iter().any(|sign| line.starts_with(sign)) || line.starts_with("1. ")
}

/// The name that a heading is linked to by, as GitHub makes it: small letters, hyphens for blanks, no other signs.
pub(super) fn anchor(text: &str) -> String {
    let keep = |c: char| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c if c.is_alphanumeric() => Some(c),
        _ => None,
    };
    text.chars().filter_map(keep).flat_map(char::to_lowercase).collect()
}
