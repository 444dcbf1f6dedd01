//! A statement set out for reading, by changing nothing but the white space between its tokens.
//!
//! For an approver's eyes beside the text as it was sent, never instead of it. The server's own scanner says where tokens
//! begin and end; what was put between them is checked by scanning again: the same tokens, byte for byte, in the same
//! order, comments included. Otherwise there is no layout.

use pg_query::protobuf::{ScanToken, Token};

use super::TEXT_BYTES_MAX;

/// How many columns a line may have before it is broken behind a comma.
const COLUMNS: usize = 88;
/// How much each level is set in.
const INDENT: usize = 2;
/// The most levels that are set in; deeper ones stay where they are.
const LEVELS_MAX: usize = 20;

/// The text with other white space between its tokens; nothing if that is not possible, or is the text as it is.
pub fn layout(text: &str) -> Option<String> {
    if text.len() > TEXT_BYTES_MAX || text.contains('\0') {
        return None;
    }
    let tokens = scanned(text)?;
    let out = Writer::new(text, &tokens).write()?;
    let same = out != text && is_same(text, &tokens, &out);
    same.then_some(out)
}

fn scanned(text: &str) -> Option<Vec<ScanToken>> {
    pg_query::scan(text).ok().map(|scanned| scanned.tokens)
}

/// Whether two texts have the same tokens.
fn is_same(text: &str, tokens: &[ScanToken], other: &str) -> bool {
    let Some(again) = scanned(other) else { return false };
    let parts = tokens.iter().zip(&again);
    tokens.len() == again.len()
        && parts.into_iter().all(|(one, two)| {
            one.token == two.token
                && written(text, one).is_some()
                && written(text, one) == written(other, two)
        })
}

fn written<'a>(text: &'a str, token: &ScanToken) -> Option<&'a str> {
    text.get(usize::try_from(token.start).ok()?..usize::try_from(token.end).ok()?)
}

/// What stands between brackets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    /// A query, which is set in.
    Query,
    /// Anything else, which stays in line.
    Line,
}

struct Writer<'a> {
    text: &'a str,
    tokens: &'a [ScanToken],
    out: String,
    column: usize,
    brackets: Vec<Within>,
    /// How many CASE expressions are open.
    cases: usize,
    /// A BETWEEN whose AND is still to come.
    between: bool,
    /// Nothing stands on the line yet.
    fresh: bool,
}

impl<'a> Writer<'a> {
    fn new(text: &'a str, tokens: &'a [ScanToken]) -> Self {
        let out = String::with_capacity(text.len());
        Self { text, tokens, out, column: 0, brackets: Vec::new(), cases: 0, between: false, fresh: false }
    }

    fn write(mut self) -> Option<String> {
        let mut end = 0;
        for (at, token) in self.tokens.iter().enumerate() {
            let piece = written(self.text, token)?;
            let start = usize::try_from(token.start).ok()?;
            let apart = start > end;
            self.before(at, apart);
            self.out.push_str(piece);
            self.fresh = false;
            // A token of several lines ends where its last one does.
            self.column = match piece.rsplit_once('\n') {
                Some((_, last)) => last.chars().count(),
                None => self.column + piece.chars().count(),
            };
            self.after(at);
            end = usize::try_from(token.end).ok()?;
        }
        Some(self.out)
    }

    fn kind(&self, at: usize) -> Option<Token> {
        self.tokens.get(at).and_then(|token| Token::try_from(token.token).ok())
    }

    fn word(&self, at: usize) -> String {
        let piece = self.tokens.get(at).and_then(|token| written(self.text, token));
        piece.filter(|piece| piece.len() <= 16).map(str::to_ascii_uppercase).unwrap_or_default()
    }

    fn is_comment(&self, at: usize) -> bool {
        matches!(self.kind(at), Some(Token::SqlComment | Token::CComment))
    }

    /// What goes in front of a token.
    fn before(&mut self, at: usize, apart: bool) {
        if at == 0 {
            return;
        }
        let previous = at - 1;
        let ends_query = self.word(at) == ")" && self.brackets.last() == Some(&Within::Query);
        if ends_query {
            self.brackets.pop();
            self.brackets.push(Within::Line);
        }
        let must = self.kind(previous) == Some(Token::SqlComment);
        let long = self.word(previous) == "," && self.column > COLUMNS;
        let ended = self.word(previous) == ";" && self.brackets.is_empty();
        if self.fresh && !ends_query {
            return;
        }
        if must || ends_query || ended || long || self.begins_line(at) {
            self.line(usize::from(long));
        } else if apart {
            self.out.push(' ');
            self.column += 1;
        }
    }

    fn line(&mut self, further: usize) {
        let queries = self.brackets.iter().filter(|one| **one == Within::Query).count();
        let indent = (queries + further).min(LEVELS_MAX) * INDENT;
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n(' ', indent));
        self.column = indent;
        self.fresh = true;
    }

    /// Whether a clause begins here that stands on a line of its own.
    fn begins_line(&self, at: usize) -> bool {
        let in_query = self.brackets.last().is_none_or(|within| *within == Within::Query);
        if !in_query || self.cases > 0 {
            return false;
        }
        let (word, previous, next) = (self.word(at), self.word(at - 1), self.word(at + 1));
        let sided = ["LEFT", "RIGHT", "FULL", "INNER", "CROSS", "NATURAL", "OUTER"];
        match word.as_str() {
            "FROM" => !matches!(previous.as_str(), "DELETE" | "DISTINCT" | "COPY"),
            "WHERE" | "HAVING" | "LIMIT" | "OFFSET" | "RETURNING" | "UNION" | "INTERSECT" | "EXCEPT"
            | "VALUES" | "WINDOW" => previous != "(" && previous != "IS",
            "SELECT" | "INSERT" | "MERGE" => at > 0 && !matches!(previous.as_str(), "(" | "ALL" | "THEN"),
            "SET" => !matches!(previous.as_str(), "UPDATE" | "CHARACTER"),
            "USING" => in_merge_or_delete(&self.first_word()),
            "GROUP" | "ORDER" => next == "BY",
            "ON" => next == "CONFLICT",
            "FOR" => matches!(next.as_str(), "UPDATE" | "SHARE" | "NO" | "KEY"),
            "WHEN" => true,
            "AND" => !self.between,
            "OR" => previous != "CREATE",
            "JOIN" => !sided.contains(&previous.as_str()),
            side if sided.contains(&side) && side != "OUTER" => {
                !sided.contains(&previous.as_str())
                    && [next.as_str(), self.word(at + 2).as_str(), self.word(at + 3).as_str()]
                        .contains(&"JOIN")
            }
            _ => false,
        }
    }

    fn first_word(&self) -> String {
        let first = (0..self.tokens.len()).find(|at| !self.is_comment(*at));
        first.map(|at| self.word(at)).unwrap_or_default()
    }

    /// What a token changes for those behind it.
    fn after(&mut self, at: usize) {
        let word = self.word(at);
        match word.as_str() {
            "(" => {
                let inner = (at + 1..self.tokens.len()).find(|next| !self.is_comment(*next));
                let begins = inner.map(|next| self.word(next)).unwrap_or_default();
                let query =
                    ["SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE"].contains(&begins.as_str());
                self.brackets.push(if query && self.cases == 0 { Within::Query } else { Within::Line });
                if query && self.cases == 0 {
                    self.line(0);
                }
            }
            ")" => _ = self.brackets.pop(),
            "CASE" => self.cases += 1,
            "END" => self.cases = self.cases.saturating_sub(1),
            "BETWEEN" => self.between = true,
            "AND" => self.between = false,
            ";" => (self.between, self.cases) = (false, 0),
            _ => {}
        }
    }
}

/// USING is a clause of its own there; elsewhere it belongs to a join.
fn in_merge_or_delete(first: &str) -> bool {
    matches!(first, "MERGE" | "DELETE")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid(text: &str) -> String {
        let out = layout(text).unwrap_or_else(|| text.to_owned());
        if let Ok(fingerprint) = pg_query::fingerprint(text, 0, 0) {
            assert_eq!(pg_query::fingerprint(&out, 0, 0).unwrap().hex, fingerprint.hex, "{out}");
            let parsed = |text: &str| format!("{:?}", pg_query::parse(text, 0).unwrap().protobuf.stmts.len());
            assert_eq!(parsed(&out), parsed(text));
        }
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join("");
        assert_eq!(squeezed(&out), squeezed(text), "nothing but white space changes");
        out
    }

    #[test]
    fn clauses_stand_on_lines_of_their_own() {
        insta::assert_snapshot!(
            laid("update orders set status='cancelled', total = 0 where id in (select order_id from items where quantity between 1 and 2 and price > 3) and status = 'paid' or total<0 returning id"),
            @"
        update orders
        set status='cancelled', total = 0
        where id in (
          select order_id
          from items
          where quantity between 1 and 2
          and price > 3
        )
        and status = 'paid'
        or total<0
        returning id
        "
        );
        insta::assert_snapshot!(
            laid("select a,b from t left outer join u on t.id = u.id join v using (id) where extract(year from a) = 1 group by a order by b limit 3"),
            @"
        select a,b
        from t
        left outer join u on t.id = u.id
        join v using (id)
        where extract(year from a) = 1
        group by a
        order by b
        limit 3
        "
        );
        insta::assert_snapshot!(
            laid("merge into t using s on t.id=s.id when matched and s.gone then delete when not matched then insert values (1)"),
            @"
        merge into t
        using s on t.id=s.id
        when matched
        and s.gone then delete
        when not matched then insert
        values (1)
        "
        );
    }

    #[test]
    fn what_is_quoted_or_remarked_stays_as_it_is() {
        let text = "delete from t -- all of it\n  where a = 'x  where\n y' /* and\n  so */ and b = $$ from \n where $$ and c = E'\\'  and'";
        let out = laid(text);
        for piece in
            ["-- all of it\n", "'x  where\n y'", "/* and\n  so */", "$$ from \n where $$", "E'\\'  and'"]
        {
            assert!(out.contains(piece), "{piece} in {out}");
        }
    }

    #[test]
    fn hostile_spacing_changes_no_meaning() {
        for text in [
            "select 'a'\n'b'",
            "select 'a' -- x\n 'b'",
            "select 1 - -1, - - 1, 2--x\n+3",
            "select a.b,a . b, U&'\\0061' UESCAPE '!', 1.5e3, $1, :x",
            "select case when a then b when c and d then e end from t",
            "select f(a,(select 1),(values (1),(2)))",
            "begin; update t set a=1; commit",
            "select \"from  where\" from t",
            "((((((((((((((((((((((((((select 1))))))))))))))))))))))))))",
            "select/**/1/**/from/**/t",
            "select",
            "\u{feff}select 1",
        ] {
            laid(text);
        }
    }

    #[test]
    fn what_can_not_be_scanned_has_no_layout() {
        for text in ["select 'open", "select /* open", "select \"open", "a\0b", "select 1"] {
            assert_eq!(layout(text), None, "{text}");
        }
    }

    #[test]
    fn long_lists_are_broken_behind_a_comma() {
        let columns: Vec<String> = (0..40).map(|n| format!("column_{n}")).collect();
        let out = laid(&format!("select {} from t", columns.join(", ")));
        assert!(out.lines().all(|line| line.len() < COLUMNS + 16), "{out}");
    }

    #[test]
    fn the_corpus_keeps_its_meaning() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sql_corpus");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            for line in text.lines().filter_map(|line| line.strip_prefix("sql = \"")) {
                laid(&line.trim_end_matches('"').replace("\\\"", "\"").replace("\\\\", "\\"));
                seen += 1;
            }
        }
        assert!(seen > 200, "{seen} statements");
    }
}
