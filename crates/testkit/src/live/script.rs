//! psql scripts, as far as the regression suite uses them: statements, variables, conditions, data of COPY.
//!
//! A statement ends at a semicolon outside quotes, comments, parentheses and `BEGIN ATOMIC` bodies, or at a backslash
//! command that sends it. Commands that only print are skipped. What not: output formats, files, shells.

use std::collections::BTreeMap;

/// What comes next in a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A text to send, and what to do with its answer.
    Statement(String, Then),
    /// `\c`: start another session, as this user if one is named.
    Connect(Option<String>),
}

/// What a script does with the answer to a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    Nothing,
    /// `\gset`: each column becomes a variable, its name behind this prefix.
    Set(String),
    /// `\gexec`: each value is a statement of its own.
    Execute,
}

/// A script that is being read.
#[derive(Debug)]
pub struct Script {
    text: Vec<char>,
    at: usize,
    /// The script's variables.
    pub variables: BTreeMap<String, String>,
    /// What `\getenv` finds.
    pub environment: BTreeMap<String, String>,
    /// For each open `\if`: whether this branch is taken, whether one was.
    conditions: Vec<(bool, bool)>,
    /// Whether backslashes in plain literals escape.
    pub backslashes_escape: bool,
}

/// How far into a function body of the new style a statement is.
#[derive(Default)]
struct Body {
    words: Vec<String>,
    depth: u32,
}

impl Script {
    /// A script from its beginning.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self {
            text: text.chars().collect(),
            at: 0,
            variables: BTreeMap::new(),
            environment: BTreeMap::new(),
            conditions: Vec::new(),
            backslashes_escape: false,
        }
    }

    /// The lines up to `\.`, for a `COPY ... FROM STDIN` that was just sent.
    pub fn copied(&mut self) -> Vec<u8> {
        self.skip_line();
        let mut data = String::new();
        while self.at < self.text.len() {
            let line = self.take_line();
            if line.trim_end() == "\\." {
                break;
            }
            data.push_str(&line);
            data.push('\n');
        }
        data.into_bytes()
    }

    /// What comes next; nothing at the end.
    pub fn step(&mut self) -> Option<Step> {
        let mut statement = String::new();
        let mut parentheses = 0_u32;
        let mut body = Body::default();
        while let Some(c) = self.peek(0) {
            let next = self.peek(1);
            match c {
                '\'' => {
                    let escapes = self.backslashes_escape || ends_with_escape_prefix(&statement);
                    self.quoted('\'', escapes, &mut statement);
                }
                '"' => self.quoted('"', false, &mut statement),
                '-' if next == Some('-') => {
                    let comment = self.rest_of_line();
                    if !statement.trim().is_empty() {
                        statement.push_str(&comment);
                    }
                }
                '/' if next == Some('*') => self.comment(&mut statement),
                '$' if !ends_in_identifier(&statement) && self.dollar_tag().is_some() => {
                    self.dollar_quoted(&mut statement);
                }
                ':' => self.variable(&mut statement),
                '\\' if next == Some(';') => {
                    self.at += 2;
                    statement.push(';');
                }
                '\\' => {
                    if let Some(step) = self.command(&mut statement) {
                        return Some(step);
                    }
                }
                ';' if parentheses == 0 && body.depth == 0 => {
                    self.at += 1;
                    if self.is_taken() && !statement.trim().is_empty() {
                        return Some(Step::Statement(statement.trim().to_owned(), Then::Nothing));
                    }
                    statement.clear();
                    body = Body::default();
                }
                c if c.is_alphabetic() || c == '_' => {
                    let word = self.word();
                    body.meet(&word, parentheses);
                    statement.push_str(&word);
                }
                c => {
                    match c {
                        '(' => parentheses += 1,
                        ')' => parentheses = parentheses.saturating_sub(1),
                        _ => {}
                    }
                    statement.push(c);
                    self.at += 1;
                }
            }
        }
        let rest = statement.trim();
        (self.is_taken() && !rest.is_empty()).then(|| Step::Statement(rest.to_owned(), Then::Nothing))
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    fn is_taken(&self) -> bool {
        self.conditions.iter().all(|(taken, _)| *taken)
    }

    fn rest_of_line(&mut self) -> String {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let line: String = rest.iter().take_while(|c| **c != '\n').collect();
        self.at += line.chars().count();
        line
    }

    fn take_line(&mut self) -> String {
        let line = self.rest_of_line();
        self.at += 1;
        line
    }

    fn skip_line(&mut self) {
        self.take_line();
    }

    fn word(&mut self) -> String {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let word: String =
            rest.iter().take_while(|c| c.is_alphanumeric() || matches!(**c, '_' | '$')).collect();
        self.at += word.chars().count();
        word
    }

    fn quoted(&mut self, quote: char, escapes: bool, into: &mut String) {
        into.push(quote);
        self.at += 1;
        while let Some(c) = self.peek(0) {
            into.push(c);
            self.at += 1;
            if c == '\\' && escapes {
                into.extend(self.peek(0));
                self.at += 1;
            } else if c == quote {
                return;
            }
        }
    }

    fn comment(&mut self, into: &mut String) {
        let mut depth = 0_u32;
        let mut comment = String::new();
        while let Some(c) = self.peek(0) {
            let pair = (c, self.peek(1));
            match pair {
                ('/', Some('*')) => depth += 1,
                ('*', Some('/')) => depth -= 1,
                _ => {
                    comment.push(c);
                    self.at += 1;
                    continue;
                }
            }
            comment.push(c);
            comment.extend(pair.1);
            self.at += 2;
            if depth == 0 {
                break;
            }
        }
        if !into.trim().is_empty() {
            into.push_str(&comment);
        }
    }

    /// The tag of a dollar quote that begins here, both signs included.
    fn dollar_tag(&self) -> Option<String> {
        let rest = self.text.get(self.at + 1..)?;
        let name: String = rest.iter().take_while(|c| c.is_alphanumeric() || **c == '_').collect();
        let closes = rest.get(name.chars().count()) == Some(&'$');
        (closes && !name.starts_with(|c: char| c.is_ascii_digit())).then(|| format!("${name}$"))
    }

    fn dollar_quoted(&mut self, into: &mut String) {
        let Some(tag) = self.dollar_tag() else { return };
        let tag_chars: Vec<char> = tag.chars().collect();
        into.push_str(&tag);
        self.at += tag_chars.len();
        while self.at < self.text.len() {
            if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(&tag_chars)) {
                into.push_str(&tag);
                self.at += tag_chars.len();
                return;
            }
            into.extend(self.peek(0));
            self.at += 1;
        }
    }

    /// `:name`, `:'name'`, `:"name"` and `:{?name}`; anything else with a colon stays as it is.
    fn variable(&mut self, into: &mut String) {
        self.at += 1;
        match self.peek(0) {
            Some(c) if c == ':' || c == '=' => {
                into.push(':');
                into.push(c);
                self.at += 1;
            }
            Some(c) if c.is_alphabetic() || c == '_' => {
                let name = self.word();
                match self.variables.get(&name) {
                    Some(value) => into.push_str(value),
                    None => into.extend([":", name.as_str()]),
                }
            }
            Some(quote @ ('\'' | '"')) => {
                let start = self.at;
                self.at += 1;
                let name = self.word();
                match self.variables.get(&name).filter(|_| self.text.get(self.at) == Some(&quote)) {
                    Some(value) => {
                        self.at += 1;
                        let doubled = value.replace(quote, &format!("{quote}{quote}"));
                        into.extend([quote.to_string(), doubled, quote.to_string()]);
                    }
                    None => {
                        self.at = start;
                        into.push(':');
                    }
                }
            }
            Some('{') => {
                let rest: String = self.text.get(self.at..).unwrap_or_default().iter().take(66).collect();
                match rest.strip_prefix("{?").and_then(|rest| rest.split_once('}')) {
                    Some((name, _)) => {
                        self.at += name.chars().count() + 3;
                        into.push_str(if self.variables.contains_key(name) { "TRUE" } else { "FALSE" });
                    }
                    None => into.push(':'),
                }
            }
            _ => into.push(':'),
        }
    }

    /// A backslash command. Those that send give a step.
    fn command(&mut self, statement: &mut String) -> Option<Step> {
        self.at += 1;
        let rest = self.text.get(self.at..).unwrap_or_default();
        let name: String =
            rest.iter().take_while(|c| c.is_alphanumeric() || matches!(**c, '!' | '?' | '_' | '+')).collect();
        self.at += name.chars().count().max(1);
        let line = self.rest_of_line();
        // Two backslashes end a command; what follows them is read on.
        let (line, behind) = match line.split_once("\\\\") {
            Some((line, behind)) => (line.to_owned(), behind.chars().count()),
            None => (line, 0),
        };
        self.at -= behind;
        let arguments = self.arguments(&line);
        let first = arguments.first().cloned();
        match name.as_str() {
            "if" => {
                let taken = self.is_taken() && first.is_some_and(|value| is_true(&value));
                self.conditions.push((taken, taken));
            }
            "elif" => {
                if let Some((taken, was)) = self.conditions.last_mut() {
                    *taken = !*was && first.is_some_and(|value| is_true(&value));
                    *was |= *taken;
                }
            }
            "else" => {
                if let Some((taken, was)) = self.conditions.last_mut() {
                    *taken = !*was;
                    *was = true;
                }
            }
            "endif" => {
                self.conditions.pop();
            }
            _ if !self.is_taken() => {}
            "set" => {
                if let Some((name, values)) = arguments.split_first() {
                    self.variables.insert(name.clone(), values.concat());
                }
            }
            "unset" => {
                self.variables.remove(&first.unwrap_or_default());
            }
            "getenv" => {
                let value = arguments.get(1).and_then(|name| self.environment.get(name)).cloned();
                if let (Some(name), Some(value)) = (first, value) {
                    self.variables.insert(name, value);
                }
            }
            "c" | "connect" => {
                let user = arguments.iter().filter(|a| !a.starts_with("-reuse")).nth(1).cloned();
                return Some(Step::Connect(user.filter(|user| user != "-")));
            }
            "r" | "reset" => statement.clear(),
            "q" | "quit" => self.at = self.text.len(),
            "g" | "gx" | "gset" | "gexec" | "gdesc" | "crosstabview" | "watch" => {
                let text = std::mem::take(statement).trim().to_owned();
                let then = match name.as_str() {
                    "gset" => Then::Set(first.unwrap_or_default()),
                    "gexec" => Then::Execute,
                    _ => Then::Nothing,
                };
                return (!text.is_empty()).then_some(Step::Statement(text, then));
            }
            _ => {}
        }
        None
    }

    /// The arguments of a command: words and quoted parts, variables filled in.
    fn arguments(&self, line: &str) -> Vec<String> {
        let mut inner = Script::new(line.trim());
        inner.variables.clone_from(&self.variables);
        let mut arguments = Vec::new();
        let mut word = String::new();
        let mut started = false;
        while let Some(c) = inner.peek(0) {
            match c {
                c if c.is_whitespace() => {
                    inner.at += 1;
                    if std::mem::take(&mut started) {
                        arguments.push(std::mem::take(&mut word));
                    }
                }
                '\'' => {
                    let mut quoted = String::new();
                    inner.quoted('\'', true, &mut quoted);
                    word.push_str(quoted.trim_matches('\''));
                    started = true;
                }
                ':' => {
                    let mut value = String::new();
                    inner.variable(&mut value);
                    word.push_str(&value);
                    started = true;
                }
                c => {
                    word.push(c);
                    inner.at += 1;
                    started = true;
                }
            }
        }
        if started {
            arguments.push(word);
        }
        arguments
    }
}

impl Body {
    /// `CREATE [OR REPLACE] FUNCTION ... BEGIN ATOMIC ... END` holds semicolons that end nothing.
    fn meet(&mut self, word: &str, parentheses: u32) {
        let word = word.to_ascii_lowercase();
        if self.words.len() < 4 {
            self.words.push(word.clone());
        }
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let makes = matches!(
            words.as_slice(),
            ["create", "function" | "procedure", ..] | ["create", "or", "replace", "function" | "procedure"]
        );
        if !makes || parentheses > 0 {
            return;
        }
        match word.as_str() {
            "begin" => self.depth += 1,
            "case" if self.depth > 0 => self.depth += 1,
            "end" => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

fn is_true(value: &str) -> bool {
    matches!(value.trim().to_ascii_lowercase().as_str(), "true" | "t" | "1" | "on" | "yes")
}

fn ends_in_identifier(text: &str) -> bool {
    text.chars().next_back().is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '$'))
}

/// Whether the text ends in the `E` of an escape literal.
fn ends_with_escape_prefix(text: &str) -> bool {
    text.strip_suffix(['E', 'e']).is_some_and(|before| !ends_in_identifier(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(script: &str) -> Vec<String> {
        let mut script = Script::new(script);
        let mut texts = Vec::new();
        while let Some(step) = script.step() {
            match step {
                Step::Statement(text, _) => texts.push(text),
                Step::Connect(user) => texts.push(format!("connect {user:?}")),
            }
        }
        texts
    }

    #[test]
    fn statements_end_where_psql_ends_them() {
        assert_eq!(
            texts("select 1; select ';'; -- no;\nselect 2 -- yes ;\n;"),
            ["select 1", "select ';'", "select 2 -- yes ;"]
        );
        assert_eq!(
            texts("select $$;$$; select $a$;$$;$a$; select a$b$c;"),
            ["select $$;$$", "select $a$;$$;$a$", "select a$b$c"]
        );
        assert_eq!(texts("/* a; /* b; */ */ select 1 /* ; */;"), ["select 1 /* ; */"]);
        assert_eq!(
            texts(r"select E'\';'; select '\'; select 3;"),
            [r"select E'\';'", r"select '\'", "select 3"]
        );
        assert_eq!(texts("select 1\\; select 2;"), ["select 1; select 2"]);
        assert_eq!(
            texts("create rule r as on insert to t do (delete from a; delete from b); x;"),
            ["create rule r as on insert to t do (delete from a; delete from b)", "x"]
        );
        let atomic =
            "create function f() returns int begin atomic select case when true then 1 end; select 2; end";
        assert_eq!(texts(&format!("{atomic}; begin; end;")), [atomic, "begin", "end"]);
    }

    #[test]
    fn variables_and_conditions_are_followed() {
        let script = "\\set a 1\n\\set b 'x''y'\nselect :a, :'a', :\"a\", x::int, :none;\n\
            \\if :a\nselect 'taken';\n\\else\nselect 'not';\n\\endif\nselect 2 \\gset\n\\c - bob\nselect 3 \\g\n";
        assert_eq!(
            texts(script),
            [
                "select 1, '1', \"1\", x::int, :none",
                "select 'taken'",
                "select 2",
                "connect Some(\"bob\")",
                "select 3"
            ]
        );
    }

    #[test]
    fn data_behind_a_copy_is_no_statement() {
        let mut script = Script::new("copy t from stdin;\n1\ta\n2\t;\n\\.\nselect 1;");
        assert_eq!(script.step(), Some(Step::Statement("copy t from stdin".to_owned(), Then::Nothing)));
        assert_eq!(script.copied(), b"1\ta\n2\t;\n");
        assert_eq!(script.step(), Some(Step::Statement("select 1".to_owned(), Then::Nothing)));
        assert_eq!(script.step(), None);
    }
}
