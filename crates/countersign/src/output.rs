//! What the command line prints: tables and sentences for people, JSON for scripts.

use std::io::{self, IsTerminal as _, Write};

use anyhow::Result;
use comfy_table::{ColumnConstraint, ContentArrangement, Row, Table, Width, presets};
use serde_json::Value;

use crate::cli::Format;

/// Columns of a terminal whose width is unknown.
const COLUMNS: u16 = 80;
/// How much of a long text a list shows; the thing itself shows it whole.
const LINES_A_ROW: usize = 2;
/// Between two columns.
const GAP: u16 = 2;
/// The longest word for which a column is kept as wide.
const WORD_MAX: u16 = 16;

/// Where results go, and how.
#[derive(Clone, Copy, Debug)]
pub struct Output(pub Format);

impl Output {
    /// Prints a thing: JSON as it is, or what `text` makes of it.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn thing(self, value: &Value, text: impl FnOnce(&Value) -> String) -> Result<()> {
        match self.0 {
            Format::Json => line(&serde_json::to_string_pretty(value)?),
            Format::Text => line(text(value).trim_end()),
        }
    }

    /// Prints a list: JSON as it is, or a table with these columns.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn list(self, value: &Value, empty: &str, columns: &[Column<'_>]) -> Result<()> {
        if self.0 == Format::Json {
            return line(&serde_json::to_string_pretty(value)?);
        }
        let items = value.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if items.is_empty() { line(empty) } else { line(&table(items, columns)) }
    }

    /// Whether people read this.
    #[must_use]
    pub fn is_text(self) -> bool {
        self.0 == Format::Text
    }
}

/// A column: its head, and what it shows of an item.
pub type Column<'a> = (&'a str, &'a dyn Fn(&Value) -> String);

/// Writes one line to standard output. A reader that has gone away is no error.
///
/// # Errors
/// Standard output cannot be written.
pub fn line(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Writes a word to whoever watches, without disturbing what scripts read.
pub fn note(text: &str) {
    let _nobody_watches = writeln!(io::stderr().lock(), "{text}");
}

fn table(items: &[Value], columns: &[Column<'_>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if !io::stdout().is_terminal() || table.width().is_none() {
        table.set_width(COLUMNS);
    }
    table.set_header(columns.iter().map(|(head, _)| head.to_uppercase()));
    for item in items {
        let mut row = Row::from(columns.iter().map(|(_, show)| harmless(&show(item))));
        row.max_height(LINES_A_ROW);
        table.add_row(row);
    }
    let words = (0..columns.len()).map(|column| longest_word(&table, column)).collect::<Vec<_>>();
    let room = table.width().unwrap_or(COLUMNS);
    let widths = widths(&table.column_max_content_widths(), &words, room);
    for (column, width) in table.column_iter_mut().zip(widths) {
        column.set_padding((0, GAP));
        column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width)));
    }
    table.lines().map(|row| row.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn longest_word(table: &Table, column: usize) -> u16 {
    let cells = table.row_iter().filter_map(|row| row.cell_iter().nth(column));
    let words = cells.flat_map(|cell| {
        cell.content().split_whitespace().map(|word| word.chars().count()).collect::<Vec<_>>()
    });
    words.max().and_then(|longest| u16::try_from(longest).ok()).unwrap_or(0)
}

/// How wide each column is, with the gap behind it. The first names the thing and is there to be copied: it stays whole. Where
/// not all fit, the widest are broken, between words as long as there is room for them.
fn widths(contents: &[u16], words: &[u16], room: u16) -> Vec<u16> {
    let mut widths: Vec<u16> = contents.iter().map(|content| content + GAP).collect();
    let least = |column: usize| words.get(column).map_or(0, |word| (*word).min(WORD_MAX)) + GAP;
    let mut by_width: Vec<usize> = (1..contents.len()).collect();
    by_width.sort_by_key(|column| std::cmp::Reverse(widths.get(*column).copied()));
    let mut broken = Vec::new();
    for column in by_width {
        if widths.iter().sum::<u16>() <= room {
            break;
        }
        if let Some(width) = widths.get_mut(column) {
            broken.push((column, *width));
            *width = least(column).min(*width);
        }
    }
    for (column, whole) in broken {
        let left = room.saturating_sub(widths.iter().sum());
        if let Some(width) = widths.get_mut(column) {
            *width = (*width + left).min(whole);
        }
    }
    widths
}

/// Text from elsewhere with control and direction-changing characters made visible, so that it cannot act on
/// the terminal or hide what it says.
#[must_use]
pub fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let hidden = c.is_control() && c != '\n' && c != '\t'
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if hidden { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    shown
}

/// The text at a JSON pointer, or nothing.
#[must_use]
pub fn text_at(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(Value::Array(items)) => {
            items.iter().map(|item| text_at(item, "")).collect::<Vec<_>>().join(", ")
        }
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_its_names_whole_and_fits() {
        let id = "req_01m82pzscqefbxhr7jvk9jbfe9";
        let why = "remove the duplicate orders of the import that ran twice on a Sunday night ".repeat(3);
        let item = serde_json::json!({ "id": id, "what": "sql.write on shop", "why": why });
        let column = |name: &'static str| move |item: &Value| text_at(item, name);
        let (name, what, why) = (column("/id"), column("/what"), column("/why"));
        let shown = table(&[item], &[("id", &name), ("what", &what), ("why", &why)]);
        assert!(shown.contains(id), "{shown}");
        assert!(shown.contains('…'), "{shown}");
        assert_eq!(shown.lines().count(), 3, "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    }

    #[test]
    fn of_many_columns_the_longest_are_broken_between_words() {
        assert_eq!(widths(&[10, 10, 10], &[10, 10, 10], 80), [12, 12, 12]);
        assert_eq!(widths(&[30, 9, 5, 19, 90], &[30, 9, 5, 11, 10], 80), [32, 11, 7, 13, 17]);
        assert_eq!(widths(&[200, 10, 30], &[200, 5, 40], 80), [202, 7, 18]);
        assert_eq!(widths(&[], &[], 80), [0_u16; 0]);
    }

    #[test]
    fn hostile_text_cannot_act() {
        assert_eq!(harmless("a\u{1b}[2Jb\u{202e}c"), "a\\u{1b}[2Jb\\u{202e}c");
        assert_eq!(harmless("two\nlines\tä"), "two\nlines\tä");
    }
}
