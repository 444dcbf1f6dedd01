//! The store of judgements.

use std::sync::Arc;

use countersign_wire::sql::{ClassCache, ClassKey, Context, Facts, SessionState, classify_text};

use crate::fixture::parser;

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
