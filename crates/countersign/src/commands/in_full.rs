//! A request in full, for whoever must answer it: everything that the API shows, on eighty columns, nothing cut off.
//!
//! Texts from elsewhere are printed so that what hides in them is seen: `‹U+202E›` stands for a character that cannot be, and
//! stands behind one that looks like another. What would run is printed as it was sent, line by line.

use std::fmt::Write as _;

use serde_json::Value;

use super::requests::{covers, stages, what};
use super::{clock, when};
use crate::output::{harmless, text_at};

/// Columns of a line of prose.
const COLUMNS: usize = 80;
/// Where values begin.
const MARGIN: usize = 13;

/// Everything an approver must see before they answer.
pub(super) fn in_full(request: &Value) -> String {
    let mut page = Page(String::new());
    page.who(request);
    page.statement(request);
    page.steps(request);
    page.rows(request);
    page.relations(request);
    page.effects(request);
    page.held(request);
    page.before(request);
    page.settings(request);
    page.field("digest", &text_at(request, "/digest"));
    if request.get("signed") == Some(&Value::Bool(true)) {
        page.field("signed", "a yes counts only if the approver's passkey signed it, in the console");
    }
    page.0
}

/// Characters that hide or deceive, made visible where the API says that they are.
fn revealed(text: &str, marks: Option<&Value>) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut from = 0;
    for mark in items(marks) {
        let number = |name: &str| {
            let found = mark.get(name).and_then(Value::as_u64);
            found.and_then(|found| usize::try_from(found).ok())
        };
        let (Some(at), Some(length)) = (number("offset"), number("length")) else { continue };
        let kind = text_at(mark, "/kind");
        let (Some(before), Some(marked)) = (text.get(from..at), text.get(at..at.saturating_add(length)))
        else {
            continue;
        };
        if kind == "rest" {
            break;
        }
        shown.push_str(&harmless(before));
        if kind == "lookalike" {
            shown.push_str(marked);
        }
        let _ = write!(shown, "‹{}›", text_at(mark, "/code"));
        // A carriage return that is shown is still the end of nothing.
        from = at + length;
    }
    shown.push_str(&harmless(text.get(from..).unwrap_or_default()));
    shown
}

/// What is marked, in words: each character once.
fn told(marks: Option<&Value>) -> Vec<String> {
    let mut told: Vec<(String, usize)> = Vec::new();
    for mark in items(marks) {
        let words = format!("{} {}", text_at(mark, "/code"), text_at(mark, "/name"));
        match told.iter_mut().find(|(known, _)| *known == words) {
            Some((_, count)) => *count += 1,
            None => told.push((words, 1)),
        }
    }
    told.into_iter()
        .map(|(words, count)| if count > 1 { format!("{words} ({count} times)") } else { words })
        .collect()
}

fn items(list: Option<&Value>) -> &[Value] {
    list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

struct Page(String);

impl Page {
    /// A name and its value, which goes on beneath itself. What is empty is left out.
    fn field(&mut self, name: &str, value: &str) {
        if value.trim().is_empty() {
            return;
        }
        let mut label = name;
        for line in value.lines().flat_map(wrapped) {
            let _ = writeln!(self.0, "{label:<MARGIN$}{line}");
            label = "";
        }
    }

    fn said(&mut self, name: &str, text: &str, marks: Option<&Value>) {
        self.field(name, &revealed(text, marks));
        for words in told(marks) {
            self.field("", &format!("! {words}"));
        }
    }

    fn head(&mut self, words: &str) {
        let _ = writeln!(self.0, "\n{words}");
    }

    fn who(&mut self, request: &Value) {
        let text = |pointer: &str| harmless(&text_at(request, pointer));
        self.field("request", &text("/id"));
        self.field("state", &text("/state"));
        let person = text("/by/person");
        let person =
            if person == text("/by/name") { String::new() } else { format!(", for whom {person} answers") };
        let role = if matches!(text("/kind").as_str(), "action" | "script") {
            format!(", as {}", text("/role"))
        } else {
            String::new()
        };
        self.field("who", &format!("{}{person}{role}", text("/by/name")));
        self.field("what", &harmless(&what(request)));
        self.said("why", &text_at(request, "/reason"), request.get("reason_marks"));
        self.field("ticket", &text("/ticket"));
        self.field("asked", &clock(request, "/asked_at"));
        self.field("asks", &harmless(&asked(request)));
        if text("/state") == "pending" {
            self.field("lapses", &clock(request, "/lapses_at"));
        }
        self.field("ended", &clock(request, "/ended_at"));
        self.field("outcome", &outcome(request));
        self.field("covers", &covers(request));
    }

    /// What would run, as it was sent, and set out for reading where that helps.
    fn statement(&mut self, request: &Value) {
        let text = text_at(request, "/text");
        if text.is_empty() {
            return;
        }
        let marks = request.get("marks");
        self.head("Exactly this would run:");
        self.lines(&revealed(&text, marks));
        for words in told(marks) {
            let _ = writeln!(self.0, "  ! {words}");
        }
        let layout = text_at(request, "/layout");
        if !layout.is_empty() && items(marks).is_empty() {
            self.head("The same set out for reading:");
            self.lines(&harmless(&layout));
        }
        let statements = items(request.get("statements"));
        if !statements.is_empty() && items(marks).is_empty() {
            self.head(&format!("{} statements, in this order:", statements.len()));
            for (index, one) in statements.iter().enumerate() {
                self.lines(&format!("{}. {}", index + 1, harmless(one.as_str().unwrap_or_default())));
            }
        }
        self.0.push('\n');
        for (index, value) in items(request.get("parameters")).iter().enumerate() {
            self.said(&format!("${}", index + 1), &parameter(value), value.get("marks"));
        }
    }

    /// What else gives it its meaning.
    fn settings(&mut self, request: &Value) {
        for one in items(request.get("settings")) {
            let setting = format!("{} = {}", text_at(one, "/name"), text_at(one, "/value"));
            self.field("setting", &harmless(&setting));
        }
    }

    /// Each statement of a script by itself, with what it would do and what became of it.
    fn steps(&mut self, request: &Value) {
        let steps = items(request.get("steps"));
        for one in steps {
            let (number, state) = (text_at(one, "/number"), text_at(one, "/state"));
            let ended = match outcome(one) {
                ended if ended.is_empty() => state,
                ended => ended,
            };
            self.head(&harmless(&format!("Statement {number} of {}, {ended}:", steps.len())));
            self.lines(&revealed(&text_at(one, "/text"), one.get("marks")));
            for words in told(one.get("marks")) {
                let _ = writeln!(self.0, "  ! {words}");
            }
            self.0.push('\n');
            self.field("what", &harmless(&text_at(one, "/action")));
            if !matches!(text_at(one, "/action").as_str(), "sql.read" | "sql.session") {
                self.counts(one);
            }
            self.relations(one);
            self.effects(one);
            for setting in
                items(one.get("settings")).iter().filter(|one| text_at(one, "/name").starts_with('('))
            {
                let words = format!("{} {}", text_at(setting, "/name"), text_at(setting, "/value"));
                self.field("setting", &harmless(&words));
            }
            self.field("digest", &text_at(one, "/digest"));
        }
        if !steps.is_empty() {
            self.0.push('\n');
        }
    }

    fn lines(&mut self, text: &str) {
        for line in text.lines() {
            let _ = writeln!(self.0, "  {line}");
        }
    }

    fn rows(&mut self, request: &Value) {
        match text_at(request, "/kind").as_str() {
            "action" if text_at(request, "/action").starts_with("sql.") => self.counts(request),
            // A call of a tool touches no rows.
            "action" => self.notes(request),
            _ => {}
        }
    }

    /// What is known of the rows that a statement would touch.
    fn counts(&mut self, request: &Value) {
        self.field("rows", &rows(request));
        for one in items(request.pointer("/rows/branches")) {
            let rows = one.get("rows").and_then(Value::as_u64).map_or("unknown".into(), counted);
            let words = format!("{}: {} {rows}", text_at(one, "/when"), text_at(one, "/does"));
            self.field("", &harmless(&words));
        }
        let bound = request.pointer("/rows/bound").and_then(Value::as_u64);
        match bound {
            Some(bound) => {
                self.field("", &format!("a yes covers at most {}; beyond, it is rolled back", counted(bound)))
            }
            None if items(request.get("verbs")).is_empty() => {}
            None => self.field("", "no bound can be kept: a yes covers whatever it does"),
        }
        self.notes(request);
    }

    /// What else is to be known; of several lines, each on its own and as it is set out.
    fn notes(&mut self, request: &Value) {
        for note in items(request.get("notes")) {
            let note = harmless(&text_at(note, ""));
            let (first, rest) = note.split_once('\n').unwrap_or((&note, ""));
            self.field("note", first);
            self.lines(rest);
        }
    }

    fn relations(&mut self, request: &Value) {
        for one in items(request.get("relations")) {
            let text = |pointer: &str| text_at(one, pointer);
            let mut words = format!("{}: {}", text("/name"), text("/access"));
            let mut also = |before: &str, what: String| {
                if !what.is_empty() {
                    let _ = write!(words, ", {before}{what}");
                }
            };
            also("", text("/title"));
            also("impact ", text("/impact"));
            also("for ", text("/responsible"));
            also("labelled ", text("/labels"));
            let estimate = one.get("estimate_rows").and_then(Value::as_u64).map(counted);
            also("about ", estimate.unwrap_or_default());
            also("owned by ", text("/owner"));
            self.field("relation", &harmless(words.trim_end_matches([':', ' '])));
        }
    }

    fn effects(&mut self, request: &Value) {
        for one in items(request.pointer("/effects/unmasks")) {
            let labels: Vec<String> =
                items(one.get("labels")).iter().map(|label| text_at(label, "")).collect();
            let labels = if labels.is_empty() { String::new() } else { format!(" ({})", labels.join(", ")) };
            let words = format!("{}{labels}, masked for them, as it is", text_at(one, "/column"));
            self.field("unmasks", &harmless(&words));
        }
        for one in items(request.pointer("/effects/cascades")) {
            let text = |pointer: &str| text_at(one, pointer);
            let rows = one.get("rows").and_then(Value::as_u64).map(counted);
            let rows = rows.unwrap_or_else(|| format!("unknown rows ({})", text("/unknown")));
            let words = format!(
                "{} because of {}: {}, {rows} (by {})",
                text("/relation"),
                text("/from"),
                text("/does"),
                text("/constraint"),
            );
            self.field("follows", &harmless(&words));
        }
        for one in items(request.pointer("/effects/triggers")) {
            let text = |pointer: &str| text_at(one, pointer);
            let rights = match text("/definer") {
                definer if definer.is_empty() => String::new(),
                definer => format!(" with the rights of {definer}"),
            };
            let enabled = match text("/enabled").as_str() {
                "origin" => String::new(),
                other => format!(" ({other})"),
            };
            let words = format!(
                "{} on {}{enabled}: {} {}, each {}, runs {}{rights}",
                text("/name"),
                text("/relation"),
                text("/timing"),
                text("/events"),
                text("/level"),
                text("/function"),
            );
            self.field("trigger", &harmless(&words));
        }
        for one in items(request.pointer("/effects/rules")) {
            self.field("rule", &harmless(&text_at(one, "/definition")));
        }
        for one in items(request.pointer("/effects/row_security")) {
            let applies = match one.get("applies").and_then(Value::as_bool) {
                Some(true) => "limits this account",
                Some(false) => "does not limit this account",
                None => "may limit this account",
            };
            self.field("row security", &harmless(&format!("{} {applies}", text_at(one, "/relation"))));
            for policy in items(one.get("policies")) {
                let text = |pointer: &str| text_at(policy, pointer);
                let check = if text("/check").is_empty() {
                    String::new()
                } else {
                    format!(", new rows {}", text("/check"))
                };
                let words = format!("{} for {}: {}{check}", text("/name"), text("/command"), text("/using"));
                self.field("", &harmless(&words));
            }
        }
    }

    fn held(&mut self, request: &Value) {
        for gate in items(request.get("held_by")) {
            for policy in items(gate.get("policies")) {
                let why = format!("{} ({})", text_at(policy, "/reason"), text_at(policy, "/id"));
                self.field("held by", &harmless(&format!("{}: {why}", text_at(gate, "/rule"))));
            }
        }
        for said in items(request.get("approvals")) {
            let words = format!("{}{} {}", text_at(said, "/by"), gives(said), text_at(said, "/comment"));
            self.field("approved by", &harmless(&words));
        }
    }

    /// What was done in the session, and what became of the same before.
    fn before(&mut self, request: &Value) {
        let so_far = request.get("so_far");
        if let Some(so_far) = so_far {
            let since = when(so_far, "/since");
            let begun = if since.is_empty() { String::new() } else { format!("; it began {since}") };
            self.head(&match items(so_far.get("statements")) {
                [] => format!("Nothing was done in this session before{begun}."),
                _ => format!("Done in this session before, newest first{begun}:"),
            });
            for one in items(so_far.get("statements")) {
                self.done(one);
            }
            if so_far.get("more").and_then(Value::as_bool) == Some(true) {
                self.0.push_str("  and more before that; the ledger has it\n");
            }
        }
        let Some(earlier) = request.get("earlier") else { return };
        let number = |pointer: &str| earlier.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
        match number("/by_anybody") {
            0 => self.head("The same was not asked for before.\n"),
            times => self.head(&format!(
                "The same was asked for {} before, {} by this person:",
                plural(times, "time"),
                number("/by_person")
            )),
        }
        for one in items(earlier.get("last")) {
            let answered = match text_at(one, "/answered") {
                who if who.is_empty() => String::new(),
                who => format!(" by {who}"),
            };
            let ended = match outcome(one) {
                ended if ended.is_empty() => String::new(),
                ended => format!("; {ended}"),
            };
            let words = format!(
                "  {}  {}: {}{answered}{ended}",
                when(one, "/at"),
                text_at(one, "/by"),
                text_at(one, "/state")
            );
            let _ = writeln!(self.0, "{}", harmless(&words));
        }
        if number("/by_anybody") > 0 {
            self.0.push('\n');
        }
    }

    fn done(&mut self, one: &Value) {
        let text = |pointer: &str| text_at(one, pointer);
        let rows = one.get("rows").and_then(Value::as_u64).map(|rows| format!(", {}", counted(rows)));
        let code = Some(text("/code")).filter(|code| !code.is_empty()).map(|code| format!(" with {code}"));
        let result = match text("/result") {
            result if result.is_empty() => "not ended".to_owned(),
            result => result,
        };
        let words = format!(
            "  {}  {} {}: {result}{}{}",
            when(one, "/at"),
            text("/verdict"),
            text("/action"),
            code.unwrap_or_default(),
            rows.unwrap_or_default()
        );
        let _ = writeln!(self.0, "{}", harmless(&words));
        let shown = match text("/text") {
            gone if gone.is_empty() => format!("(its text is in line {} of the ledger)", text("/line")),
            text => revealed(&text, one.get("marks")),
        };
        for line in shown.lines() {
            let _ = writeln!(self.0, "    {line}");
        }
    }
}

/// Who is asked, by name: `1 of group:dba (bob)`.
fn asked(request: &Value) -> String {
    let named: Vec<String> = items(request.get("stages"))
        .iter()
        .map(|stage| {
            let people: Vec<String> =
                items(stage.get("people")).iter().map(|one| text_at(one, "/name")).collect();
            let people = if people.is_empty() { String::new() } else { format!(" ({})", people.join(", ")) };
            format!("{} of {}{people}", text_at(stage, "/need"), text_at(stage, "/from"))
        })
        .collect();
    if named.is_empty() { stages(request) } else { named.join(" and ") }
}

/// How it ended, in figures.
fn outcome(request: &Value) -> String {
    let text = |pointer: &str| text_at(request, pointer);
    let number = |pointer: &str| request.pointer(pointer).and_then(Value::as_u64);
    let mut words = text("/outcome/result").replace('_', " ");
    if !text("/outcome/code").is_empty() {
        let _ = write!(words, " with {}", text("/outcome/code"));
    }
    if let Some(rows) = number("/outcome/rows") {
        let _ = write!(words, ", {}", counted(rows));
    }
    if let Some(bytes) = number("/outcome/bytes") {
        let _ = write!(words, ", {}", plural(bytes, "byte"));
    }
    if let Some(micros) = number("/outcome/micros") {
        let _ = write!(words, ", in {}", milliseconds(micros));
    }
    let ended = text("/outcome/transaction");
    if !ended.is_empty() {
        let _ = write!(words, "; its transaction: {}", ended.replace('_', " "));
    }
    words
}

/// `4.2 ms`; to the millisecond above ten.
fn milliseconds(micros: u64) -> String {
    match micros {
        ..10_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        _ => format!("{} ms", micros / 1_000),
    }
}

fn parameter(value: &Value) -> String {
    match text_at(value, "/encoding").as_str() {
        "null" => "NULL".into(),
        "hex" => format!("{} (bytes of {}, in hexadecimal)", text_at(value, "/value"), type_of(value)),
        _ => format!("{} ({})", text_at(value, "/value"), type_of(value)),
    }
}

fn type_of(parameter: &Value) -> String {
    match (text_at(parameter, "/type_name"), text_at(parameter, "/type")) {
        (name, _) if !name.is_empty() => name,
        (_, oid) if oid == "0" => "a type that is not known".into(),
        (_, oid) => format!("type {oid}"),
    }
}

/// What is known of the rows: a number, a range, or why not.
/// What somebody has said of what their yes covers: ` (2 uses, for 5m)`.
fn gives(said: &Value) -> String {
    let number = |pointer: &str| said.pointer(pointer).and_then(Value::as_u64);
    let mut words = Vec::new();
    words.extend(number("/uses").map(|uses| plural(uses, "use")));
    let span = number("/for_s").and_then(|seconds| i64::try_from(seconds).ok());
    words.extend(span.map(|seconds| format!("for {}", countersign_core::Span::seconds(seconds))));
    if let (Some(rows), Some(total)) = (number("/envelope/rows"), number("/envelope/total")) {
        words.push(format!("an envelope of {} a statement, {total} in all", counted(rows)));
    }
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}

fn rows(request: &Value) -> String {
    let number = |pointer: &str| request.pointer(pointer).and_then(Value::as_u64);
    let counted = match (number("/rows/count"), number("/rows/least"), number("/rows/most")) {
        (Some(count), ..) => format!("{count} (counted)"),
        (None, Some(least), Some(most)) => format!("{least} to {most} (counted)"),
        _ => match text_at(request, "/rows/unknown") {
            why if why.is_empty() => "unknown".to_owned(),
            why => format!("unknown: {}", harmless(&why)),
        },
    };
    match number("/rows/estimate") {
        Some(estimate) => format!("{counted}; the server's plan expects {estimate}"),
        None => counted,
    }
}

fn counted(rows: u64) -> String {
    plural(rows, "row")
}

fn plural(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// A line broken between words so that it fits beside its name; a word that is longer stays whole.
fn wrapped(line: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let Some(last) = lines.last_mut() else { break };
        let fits = last.chars().count() + 1 + word.chars().count() <= COLUMNS - MARGIN;
        if last.is_empty() {
            last.push_str(word);
        } else if fits {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request() -> Value {
        json!({
            "id": "req_01m82pzscqefbxhr7jvk9jbfe9", "state": "pending", "kind": "action", "action": "sql.delete",
            "by": {"name": "alice", "display": "Alice", "person": "alice"}, "role": "shop-writer", "resource": "shop",
            "reason": "remove the duplicates of the import that ran twice, as agreed with the people who look after the shop",
            "ticket": "OPS-12", "text": "delete from \u{43e}rders where id > $1 -- \u{202e}x",
            "marks": [
                {"offset": 12, "length": 2, "code": "U+043E", "name": "looks like `o`", "kind": "lookalike"},
                {"offset": 37, "length": 3, "code": "U+202E", "name": "right-to-left override", "kind": "direction"},
            ],
            "verbs": ["delete"],
            "parameters": [{"position": 1, "type": 20, "type_name": "bigint", "encoding": "decoded", "value": "12"}],
            "relations": [{"name": "public.orders", "access": "write", "impact": "high", "responsible": "group:dba",
                           "estimate_rows": 24012, "owner": "su"}],
            "settings": [], "rows": {"count": 12, "estimate": 11, "bound": 12, "unbounded": false},
            "effects": {
                "cascades": [{"relation": "public.order_items", "from": "public.orders", "constraint": "items_fkey",
                              "does": "delete", "depth": 1, "rows": 30}],
                "triggers": [{"name": "keep", "relation": "public.orders", "timing": "before", "events": "delete",
                              "level": "row", "function": "public.keep", "definer": "su", "enabled": "origin",
                              "definition": "CREATE TRIGGER"}],
                "rules": [], "row_security": [],
                "unmasks": [{"column": "public.customers.email", "labels": ["personal"]}],
            },
            "so_far": {"statements": [{"at": "2026-03-03T14:00:00Z", "action": "sql.select", "verdict": "allow",
                        "text": "select 1", "result": "done", "rows": 1, "line": 7}], "more": true},
            "earlier": {"by_person": 1, "by_anybody": 1, "last": [{"id": "req_x", "by": "alice",
                        "at": "2026-03-03T13:00:00Z", "state": "approved", "answered": ["bob"],
                        "outcome": {"result": "done", "rows": 12}}]},
            "notes": ["it may be late"],
            "held_by": [{"rule": "prod-write", "policies": [{"id": "writes", "reason": "a second pair of eyes"}]}],
            "stages": [{"need": 1, "from": ["group:dba"], "people": [{"name": "bob", "display": "Bob"}], "given": []}],
            "approvals": [], "digest": "ab".repeat(32),
        })
    }

    #[test]
    fn everything_is_shown_and_fits() {
        let shown = in_full(&request());
        for expected in [
            "who          alice, as shop-writer",
            "ticket       OPS-12",
            "asks         1 of group:dba (bob)",
            "  delete from \u{43e}‹U+043E›rders where id > $1 -- ‹U+202E›x",
            "  ! U+043E looks like `o`",
            "  ! U+202E right-to-left override",
            "$1           12 (bigint)",
            "rows         12 (counted); the server's plan expects 11",
            "a yes covers at most 12 rows; beyond, it is rolled back",
            "relation     public.orders: write, impact high, for group:dba, about 24012 rows,",
            "follows      public.order_items because of public.orders: delete, 30 rows (by",
            "trigger      keep on public.orders: before delete, each row, runs public.keep",
            "with the rights of su",
            "unmasks      public.customers.email (personal), masked for them, as it is",
            "held by      prod-write: a second pair of eyes (writes)",
            "allow sql.select: done, 1 row",
            "    select 1",
            "and more before that",
            "The same was asked for 1 time before, 1 by this person:",
            "alice: approved by bob; done, 12 rows",
            "note         it may be late",
        ] {
            assert!(shown.contains(expected), "`{expected}` is not in\n{shown}");
        }
        let digest = "ab".repeat(32);
        let long =
            shown.lines().filter(|line| line.chars().count() > COLUMNS && !line.contains("delete from"));
        assert_eq!(long.collect::<Vec<_>>(), [""; 0], "{digest} fits beside its name");
        assert!(!shown.contains('\u{202e}'), "{shown}");
    }

    #[test]
    fn rows_are_a_number_a_range_or_a_reason() {
        let said = |rows: Value| super::rows(&json!({ "rows": rows }));
        assert_eq!(said(json!({"count": 3})), "3 (counted)");
        assert_eq!(
            said(json!({"least": 0, "most": 3, "estimate": 2})),
            "0 to 3 (counted); the server's plan expects 2"
        );
        assert_eq!(said(json!({"unknown": "it calls `f`"})), "unknown: it calls `f`");
        assert_eq!(said(json!({})), "unknown");
    }

    #[test]
    fn an_approver_reads_what_the_others_gave() {
        assert_eq!(super::gives(&json!({ "by": "bob" })), "");
        assert_eq!(super::gives(&json!({ "uses": 2, "for_s": 300 })), " (2 uses, for 5m)");
        let envelope = json!({ "envelope": { "rows": 10, "total": 50 } });
        assert_eq!(super::gives(&envelope), " (an envelope of 10 rows a statement, 50 in all)");
    }

    #[test]
    fn a_call_of_a_tool_is_shown_without_rows_and_with_its_description_as_it_is_set_out() {
        let mut page = Page(String::new());
        page.rows(&json!({"kind": "action", "action": "mcp.call", "verbs": ["tools/call"],
            "notes": ["the tool as its server describes it:\n{\n  \"name\": \"x\"\n}"]}));
        assert_eq!(
            page.0,
            "note         the tool as its server describes it:\n  {\n    \"name\": \"x\"\n  }\n"
        );
    }

    #[test]
    fn an_outcome_is_told_in_figures() {
        let said = |outcome: Value| super::outcome(&json!({ "outcome": outcome }));
        assert_eq!(
            said(json!({"result": "done", "rows": 2, "bytes": 120, "micros": 1_500_000})),
            "done, 2 rows, 120 bytes, in 1500 ms"
        );
        assert_eq!(said(json!({"result": "failed", "code": "23503"})), "failed with 23503");
        let undone = json!({"result": "done", "rows": 2, "transaction": "rolled_back"});
        assert_eq!(said(undone), "done, 2 rows; its transaction: rolled back");
        assert_eq!(super::outcome(&json!({})), "");
    }
}
