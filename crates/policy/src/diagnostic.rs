//! What is wrong with a bundle, and where. Everything is reported at once: a person who repairs a bundle
//! wants the whole list, not the first line of it.

use std::fmt;

/// One mistake, or one thing worth a second look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether the bundle can be used in spite of it.
    pub severity: Severity,
    /// The file, relative to the bundle's folder.
    pub file: String,
    /// Counted from one; 0 if it is about the whole file.
    pub line: u32,
    /// Characters, counted from one; 0 if it is about the whole file.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Whether a bundle can be used in spite of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but somebody should look.
    Warning,
}

/// How many are told. Nobody repairs a thousand at once, and a hostile file has more.
pub const DIAGNOSTICS_MAX: usize = 1_000;

/// How many known words a misspelt one is compared with.
const COMPARED_MAX: usize = 500;

/// Where in a text something is, in bytes from its start. `None` is the whole file.
pub(crate) type Place = Option<usize>;

/// Collects what is wrong.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: Vec<Diagnostic>,
    left_out: usize,
    failed: bool,
}

/// A file that something is wrong with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Within<'a> {
    pub(crate) file: &'a str,
    pub(crate) text: &'a str,
}

impl Problems {
    pub(crate) fn error(&mut self, within: Within<'_>, place: Place, message: String, hint: Option<String>) {
        self.add(Severity::Error, within, place, (message, hint));
    }

    pub(crate) fn warning(
        &mut self,
        within: Within<'_>,
        place: Place,
        message: String,
        hint: Option<String>,
    ) {
        self.add(Severity::Warning, within, place, (message, hint));
    }

    fn add(&mut self, severity: Severity, within: Within<'_>, place: Place, words: (String, Option<String>)) {
        self.failed |= severity == Severity::Error;
        if self.found.len() >= DIAGNOSTICS_MAX {
            self.left_out += 1;
            return;
        }
        let (line, column) = place.map_or((0, 0), |offset| line_and_column(within.text, offset));
        let (message, hint) = words;
        self.found.push(Diagnostic { severity, file: within.file.to_owned(), line, column, message, hint });
    }

    pub(crate) const fn has_errors(&self) -> bool {
        self.failed
    }

    /// All of them in the order of the files, and whether one is an error.
    pub(crate) fn finish(mut self) -> (Vec<Diagnostic>, bool) {
        self.found.sort_by(|a, b| {
            (&a.file, a.line, a.column, a.severity, &a.message)
                .cmp(&(&b.file, b.line, b.column, b.severity, &b.message))
        });
        self.found.dedup();
        if self.left_out > 0 {
            self.found.push(Diagnostic {
                severity: Severity::Error,
                file: "bundle.toml".to_owned(),
                line: 0,
                column: 0,
                message: format!("there are {} more mistakes", self.left_out),
                hint: Some("repair those that are told first".to_owned()),
            });
        }
        (self.found, self.failed)
    }
}

fn line_and_column(text: &str, offset: usize) -> (u32, u32) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = text.get(..end).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

/// The hint that follows from a likely misspelling: the known word nearest to `word`, or all of them if they are few.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut known: Vec<&str> = known.take(COMPARED_MAX).collect();
    known.sort_unstable();
    let near = known.iter().map(|one| (distance(word, one), *one)).min();
    match near {
        Some((steps, one)) if steps <= 2.min(one.len() / 2) => Some(format!("did you mean `{one}`?")),
        Some(_) if known.len() <= 12 => Some(format!("there is {}", list(known.into_iter()))),
        _ => None,
    }
}

/// Words in backticks, separated by commas.
pub(crate) fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// How many letters must be added, removed or replaced (Levenshtein). Long words are not compared.
fn distance(a: &str, b: &str) -> usize {
    const LONG: usize = 80;
    if a.len() > LONG || b.len() > LONG {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (index, letter) in a.chars().enumerate() {
        let mut next = vec![index + 1];
        for (((other, diagonal), above), at) in b.iter().zip(&row).zip(row.iter().skip(1)).zip(0..) {
            let left = next.get::<usize>(at).copied().unwrap_or(usize::MAX);
            let replaced = diagonal + usize::from(letter != *other);
            next.push(replaced.min(left.saturating_add(1)).min(above + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

impl Severity {
    /// `error` or `warning`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: ", self.file)?,
            line => write!(f, "{}:{line}:{}: ", self.file, self.column)?,
        }
        write!(f, "{}: {}", self.severity.as_str(), self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n    hint: {hint}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters() {
        assert_eq!(line_and_column("", 0), (1, 1));
        assert_eq!(line_and_column("äb\nçd", 2), (1, 2));
        assert_eq!(line_and_column("äb\nçd", 6), (2, 2));
        assert_eq!(line_and_column("äb", 1), (1, 1));
        assert_eq!(line_and_column("a", 99), (1, 2));
    }

    #[test]
    fn misspellings_are_recognised() {
        let known = || ["members", "groups", "owner"].into_iter();
        assert_eq!(did_you_mean("member", known()), Some("did you mean `members`?".into()));
        assert_eq!(did_you_mean("x", known()), Some("there is `groups`, `members`, `owner`".into()));
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
