//! The store of judgements.

use std::sync::Arc;

use countersign_wire::sql::{
    ClassCache, ClassKey, Context, Facts, SessionState, classify, classify_text, parse,
};

use crate::corpus::{Case, cases};
use crate::fixture::{catalogue, parser};

fn judge(text: &str, session: &Arc<SessionState>) -> Facts {
    let (text, session) = (text.to_owned(), Arc::clone(session));
    let judged = move || {
        let context = Context { session: &session, catalogue: None, parameter_types: &[] };
        classify_text(text.as_bytes(), &context)
    };
    parser().run(judged).unwrap()
}

fn key<'a>(text: &'a str, session: &'a Arc<SessionState>) -> ClassKey<'a> {
    ClassKey { text: text.as_bytes(), parameter_types: &[], session, catalogue_version: None }
}

fn session() -> Arc<SessionState> {
    Arc::new(SessionState::fresh(150_000, "app"))
}

#[test]
fn a_text_is_judged_once() {
    let (cache, session) = (ClassCache::new(8), session());
    let mut judged = 0;
    for _ in 0..3 {
        cache.get_or_insert(key("select 1", &session), || {
            judged += 1;
            judge("select 1", &session)
        });
    }
    assert_eq!((judged, cache.len()), (1, 1));
}

#[test]
fn whatever_a_judgement_depends_on_keeps_it_apart() {
    let (cache, one) = (ClassCache::new(8), session());
    let text = "select * from orders";
    cache.insert(key(text, &one), Arc::new(judge(text, &one)));
    let versions: (Arc<str>, Arc<str>) = ("1".into(), "2".into());
    let mut other_path = SessionState::clone(&one);
    other_path.search_path = Some(vec!["tenant".to_owned()]);
    let other_path = Arc::new(other_path);
    let equal = Arc::new(SessionState::clone(&one));
    assert!(cache.get(key(text, &one)).is_some());
    assert!(cache.get(key(text, &equal)).is_some(), "equal states are the same state");
    assert!(cache.get(key("select * from orders ", &one)).is_none());
    assert!(cache.get(key(text, &other_path)).is_none());
    assert!(cache.get(ClassKey { parameter_types: &[23], ..key(text, &one) }).is_none());
    assert!(cache.get(ClassKey { catalogue_version: Some(&versions.0), ..key(text, &one) }).is_none());
    cache.insert(
        ClassKey { catalogue_version: Some(&versions.0), ..key(text, &one) },
        Arc::new(judge(text, &one)),
    );
    assert!(cache.get(ClassKey { catalogue_version: Some(&versions.1), ..key(text, &one) }).is_none());
    assert!(cache.get(ClassKey { catalogue_version: Some(&versions.0), ..key(text, &one) }).is_some());
}

#[test]
fn it_is_bounded_and_keeps_what_is_used() {
    let (cache, session) = (ClassCache::new(4), session());
    let facts = Arc::new(judge("select 1", &session));
    let hot = "select 'hot'";
    cache.insert(key(hot, &session), Arc::clone(&facts));
    for n in 0..100 {
        assert!(cache.get(key(hot, &session)).is_some(), "round {n}");
        cache.insert(key(&format!("select {n}"), &session), Arc::clone(&facts));
        assert!(cache.len() <= 4);
    }
    let long = format!("select '{}'", "x".repeat(20_000));
    cache.insert(key(&long, &session), facts);
    assert!(cache.get(key(&long, &session)).is_none(), "long texts are not kept");
}

#[test]
fn long_texts_take_the_place_of_many() {
    let (cache, session) = (ClassCache::new(64), session());
    let facts = Arc::new(judge("select 1", &session));
    let short: Vec<String> = (0..32).map(|n| format!("select {n}")).collect();
    for text in &short {
        cache.insert(key(text, &session), Arc::clone(&facts));
    }
    let long: Vec<String> = (0..32).map(|n| format!("select {n:0>15000}")).collect();
    for text in &long {
        cache.insert(key(text, &session), Arc::clone(&facts));
        assert!(cache.get(key(text, &session)).is_some(), "what came last is kept");
        let kept = long.iter().chain(&short).filter(|text| cache.get(key(text, &session)).is_some());
        let bytes: usize = kept.map(String::len).sum();
        assert!(bytes <= 64 * 1024, "{bytes} bytes of texts are kept");
    }
    let kept = long.iter().filter(|text| cache.get(key(text, &session)).is_some()).count();
    assert!(kept >= 4, "only {kept} are kept");
}

/// Reads with values, beside those of the corpus: where one stands decides what it is.
const READS: &[&str] = &[
    "select id from orders where id = 5",
    "select id from orders where id in (1, 2, 3) and status = 'x' limit 10 offset 5",
    "select \"id\" from \"public\".\"orders\" as \"o 1\" where \"o 1\".\"id\" between 1 and 2 order by 1",
    "select id, 7 from orders where status like 'a%' group by 1, status having count(*) > 3 order by status, 1",
    "select date '2026-01-01', interval '1' day, '5'::numeric(4, 2), -1, 1 from orders where id = (3) or id <> 4",
    "select case id when 1 then 'a' else 'b' end from orders where id >= 2 and status is distinct from 'y'",
    "select * from (select id from orders where id < 9 limit 3) o where id > 1 union all select 4 limit 2",
    "select id from orders where (id, status) = (1, 'x') and id = any ('{1,2}'::int[]) and not id = 8",
];

/// What is put in place of a literal, and beside it.
const PIECES: &[&str] = &[
    "0",
    "7",
    "2147483647",
    "2147483648",
    "99999999999999999999",
    "007",
    "1.5",
    "1e3",
    "0x1f",
    "''",
    "'x'",
    "'it''s'",
    "'now'",
    "'pg_temp'",
    "'secret=x'",
    "-",
    "--",
    "/*",
    "$1",
    "$$",
    "\"",
    "'",
    "\\",
    " ",
    ", ",
    "(",
    ")",
    ";",
    "::text",
    "::regclass",
    "E'a'",
    "U&'a'",
    "ä",
    "a",
    "=",
    "and 1",
    "or f()",
    "\u{1}",
    "\u{2}",
    "\n",
    "limit 1",
    "null",
];

/// A sequence of numbers that is the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }
}

/// The text with a piece put in place of a word or of nothing.
fn changed(text: &str, dice: &mut Dice) -> String {
    let places: Vec<usize> = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).collect();
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'\'' | b'.');
    let begins = |at: &usize| {
        let byte = |at: usize| text.as_bytes().get(at).copied().unwrap_or(b' ');
        matches!(byte(*at), b'0'..=b'9' | b'\'') && *at > 0 && !byte(at - 1).is_ascii_alphanumeric()
    };
    let literals: Vec<usize> = places.iter().copied().filter(begins).collect();
    let places = if literals.is_empty() || dice.below(2) == 0 { places } else { literals };
    let start = places[dice.below(places.len())];
    let length = text.as_bytes()[start..].iter().take_while(|byte| word(byte)).count();
    let end = if dice.below(3) == 0 { start } else { start + length };
    [&text[..start], PIECES[dice.below(PIECES.len())], text.get(end..).unwrap_or_default()].concat()
}

/// Everything but its values makes a text another one: what is taken from one that is alike is what would be judged.
#[test]
fn texts_that_are_judged_alike_are_judged_as_they_would_be() {
    catalogue();
    let own = |sql: &&str| toml::from_str::<Case>(&format!("sql = {sql:?}\nkind = \"read\"")).unwrap();
    let cases: Vec<Case> = READS.iter().map(own).chain(cases()).collect();
    let changes = |number: usize| if number < READS.len() { 4_000 } else { 60 };
    let taken =
        move || cases.iter().enumerate().map(|(number, case)| taken_alike(case, changes(number))).sum();
    let taken: usize = parser().run(taken).unwrap();
    println!("{taken} judgements were taken from texts that are alike");
    assert!(taken > 500, "{taken}: the test proves nothing");
}

fn key_of<'a>(text: &'a str, case: &'a Case, session: &'a Arc<SessionState>) -> ClassKey<'a> {
    ClassKey { parameter_types: case.types(), ..key(text, session) }
}

/// How many changes of a case were judged without parsing them, all of them rightly.
fn taken_alike(case: &Case, changes: usize) -> usize {
    let session = Arc::new(case.session());
    let context = Context {
        session: &session,
        catalogue: (!case.is_blind()).then(catalogue),
        parameter_types: case.types(),
    };
    let Ok(parsed) = parse(case.sql.as_bytes()) else { return 0 };
    let (cache, facts) = (ClassCache::new(8), Arc::new(classify(&parsed, &context)));
    cache.learn(key_of(&case.sql, case, &session), &parsed, Arc::clone(&facts));
    assert_eq!(cache.get(key_of(&case.sql, case, &session)), Some(facts), "{}", case.sql);
    let (mut dice, mut taken) = (Dice(case.sql.len() as u64), 0);
    for _ in 0..changes {
        let mut text = changed(&case.sql, &mut dice);
        if dice.below(4) == 0 {
            text = changed(&text, &mut dice);
        }
        let found = cache.get(key_of(&text, case, &session));
        if text != case.sql
            && let Some(found) = found
        {
            assert_eq!(*found, classify_text(text.as_bytes(), &context), "{text}");
            taken += 1;
        }
    }
    taken
}
