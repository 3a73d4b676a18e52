//! Tables: aligned for people, TAB-separated for programs.

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    head: &'static str,
    right: bool,
    rank: u8,
}

/// A column of text that is always shown.
pub(super) const fn column(head: &'static str) -> Column {
    Column { head, right: false, rank: 0 }
}

impl Column {
    /// Numbers stand at the right.
    pub(super) const fn right(mut self) -> Self {
        self.right = true;
        self
    }

    /// May be left out when the table is too wide; the highest rank goes first.
    pub(super) const fn rank(mut self, rank: u8) -> Self {
        self.rank = rank;
        self
    }
}

/// How a table is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// For people, in at most so many characters a line where columns may be left out.
    Aligned(usize),
    /// For programs: no heads, every column, one TAB between.
    Tabs,
}

/// A table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty one.
    pub(super) fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty.
    pub(super) fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let mut cells: Vec<String> =
            cells.into_iter().take(self.columns.len()).map(|cell| plain(cell.as_ref())).collect();
        cells.resize(self.columns.len(), String::new());
        self.rows.push(cells);
    }

    /// Whether there is no row.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text, each line with its end. A table without rows is no text.
    pub(super) fn render(&self, look: Look) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        match look {
            Look::Tabs => self.rows.iter().map(|row| row.join("\t") + "\n").collect(),
            Look::Aligned(width) => self.aligned(width),
        }
    }

    fn aligned(&self, limit: usize) -> String {
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| {
                self.rows.iter().map(|row| row[at].chars().count()).chain([column.head.len()]).max().unwrap_or(0)
            })
            .collect();
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        let total = |shown: &[usize]| shown.iter().map(|at| widths[*at] + 2).sum::<usize>().saturating_sub(2);
        while total(&shown) > limit {
            let Some((at, _)) = shown
                .iter()
                .enumerate()
                .filter(|(_, column)| self.columns[**column].rank > 0)
                .max_by_key(|(_, column)| self.columns[**column].rank)
            else {
                break;
            };
            shown.remove(at);
        }
        let mut text = String::new();
        let heads: Vec<String> = self.columns.iter().map(|column| column.head.to_owned()).collect();
        for row in std::iter::once(&heads).chain(&self.rows) {
            let mut line = String::new();
            for (nth, at) in shown.iter().enumerate() {
                let cell = &row[*at];
                let gap = " ".repeat(widths[*at].saturating_sub(cell.chars().count()));
                if nth > 0 {
                    line.push_str("  ");
                }
                if self.columns[*at].right {
                    line.push_str(&gap);
                    line.push_str(cell);
                } else {
                    line.push_str(cell);
                    line.push_str(&gap);
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A text without control characters: what a target or a client sent must not move the cursor, end
/// a line or make a column.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people() -> Table {
        let mut table =
            Table::new([column("NAME"), column("CONNECTOR").rank(2), column("PENDING").right(), column("ID").rank(1)]);
        table.row(["GitHub acme", "github", "3", "in_7Q2"]);
        table.row(["B\tk\u{1b}[2J", "buildkite", "1200"]);
        table
    }

    fn check(look: Look, expected: &[&str]) {
        let text = people().render(look);
        assert_eq!(text.lines().collect::<Vec<_>>(), expected, "{look:?}");
        assert!(text.ends_with('\n'));
    }

    #[test]
    fn people_read_aligned_columns() {
        check(
            Look::Aligned(80),
            &[
                "NAME         CONNECTOR  PENDING  ID",
                "GitHub acme  github           3  in_7Q2",
                "B k [2J      buildkite     1200",
            ],
        );
    }

    #[test]
    fn the_least_important_columns_give_way() {
        check(Look::Aligned(30), &["NAME         PENDING  ID", "GitHub acme        3  in_7Q2", "B k [2J         1200"]);
        check(Look::Aligned(1), &["NAME         PENDING", "GitHub acme        3", "B k [2J         1200"]);
    }

    #[test]
    fn programs_read_every_column_with_tabs() {
        check(Look::Tabs, &["GitHub acme\tgithub\t3\tin_7Q2", "B k [2J\tbuildkite\t1200\t"]);
    }

    #[test]
    fn nothing_is_printed_for_an_empty_table() {
        let table = Table::new([column("NAME")]);
        assert!(table.is_empty());
        assert_eq!(table.render(Look::Aligned(80)) + &table.render(Look::Tabs), "");
    }
}
