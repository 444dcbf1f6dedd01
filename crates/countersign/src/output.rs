//! What the command line prints: tables and sentences for people, JSON for scripts.

use std::io::{self, IsTerminal as _, Write};

use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use crate::cli::Format;

/// Columns of a terminal whose width is unknown.
const COLUMNS: u16 = 80;

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
        table.add_row(columns.iter().map(|(_, show)| harmless(&show(item))));
    }
    table.lines().map(|row| row.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
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
    fn hostile_text_cannot_act() {
        assert_eq!(harmless("a\u{1b}[2Jb\u{202e}c"), "a\\u{1b}[2Jb\\u{202e}c");
        assert_eq!(harmless("two\nlines\tä"), "two\nlines\tä");
    }
}
