use std::collections::BTreeMap;

use countersign_wire::sql::{Guarded, Layout, Origin};

use super::*;

const EMAIL: usize = 0;
const CARD: usize = 1;

fn masks(derived: &str, guessing: &str) -> Masks {
    let protection = |column: &str, label: &str| Protection {
        schema: "public".into(),
        relation: "people".into(),
        column: column.into(),
        labels: [label.to_owned()].into(),
        style: MaskStyle::Full,
    };
    Masks {
        protections: vec![protection("email", "personal"), protection("card", "payment")],
        refuses_derived: derived == "refuse",
        records_guesses: guessing == "record",
        detectors: Detectors::default(),
        detected: BTreeSet::new(),
    }
}

fn facts(change: impl FnOnce(&mut Traced)) -> Facts {
    let guarded = |name: &str, label: &str| Guarded {
        name: format!("public.people.{name}"),
        labels: [label.to_owned()].into(),
        style: MaskStyle::Full,
        like: 25,
    };
    let mut traced = Traced {
        layout: Layout::Columns(vec![Origin::Is([EMAIL].into()), Origin::From([CARD].into())]),
        guesses: BTreeMap::new(),
        copies: Columns::new(),
        touches: [EMAIL, CARD].into(),
        untraced: None,
        copy: None,
    };
    change(&mut traced);
    let columns = [guarded("email", "personal"), guarded("card", "payment")].into();
    let mut facts = Facts::of(Kind::Read, String::new());
    facts.masking = Some(Arc::new(Masking { columns, statements: vec![traced] }));
    facts
}

fn nobody(_: &str, _: &BTreeSet<String>) -> bool {
    false
}

fn personal(_: &str, labels: &BTreeSet<String>) -> bool {
    labels.contains("personal")
}

#[test]
fn what_policy_shows_is_not_hidden() {
    let masks = masks("mask", "refuse");
    let hidden = |sees: fn(&str, &BTreeSet<String>) -> bool| {
        masks.weigh(&facts(|_| {}), true, None, sees).unwrap().map(|hidden| hidden.columns)
    };
    assert_eq!(hidden(nobody), Some([EMAIL, CARD].into()));
    assert_eq!(hidden(personal), Some([CARD].into()));
    assert_eq!(hidden(|_, _| true), None);
}

#[test]
fn what_would_tell_is_refused_for_those_who_may_not_see() {
    let guesses = facts(|traced| {
        traced.guesses.insert(EMAIL, "compares it");
    });
    let strict = masks("refuse", "refuse");
    let refused = strict.weigh(&guesses, true, None, nobody).unwrap_err();
    assert_eq!(refused.to_string(), "it compares it: `public.people.email`, which is masked for you");
    assert!(matches!(strict.weigh(&guesses, true, None, personal), Err(Masked::Derives(_))));
    let recorded = masks("mask", "record").weigh(&guesses, true, None, nobody).unwrap().unwrap();
    assert!(recorded.guesses);
    assert!(!masks("mask", "record").weigh(&guesses, true, None, personal).unwrap().unwrap().guesses);
    let copies = facts(|traced| traced.copies = [CARD].into());
    assert!(matches!(masks("mask", "record").weigh(&copies, true, None, personal), Err(Masked::Copies(_))));
    let untraced = facts(|traced| traced.untraced = Some("it is a riddle".into()));
    assert!(matches!(
        masks("mask", "record").weigh(&untraced, true, None, personal),
        Err(Masked::Untraced(_))
    ));
    assert!(masks("mask", "record").weigh(&untraced, true, None, |_, _| true).unwrap().is_none());
}

#[test]
fn without_a_catalogue_only_those_who_see_everything_go_on() {
    let masks = masks("mask", "refuse");
    let unknown = Facts::of(Kind::Call, "nothing is known".into());
    assert_eq!(
        masks.weigh(&unknown, true, None, personal).unwrap_err(),
        Masked::Untraced("nothing is known".into())
    );
    assert!(masks.weigh(&unknown, true, None, |_, _| true).unwrap().is_none());
    let session = Facts::of(Kind::Session, String::new());
    assert!(masks.weigh(&session, true, None, nobody).unwrap().is_none());
}

#[test]
fn a_copy_that_cannot_be_taken_apart_is_refused() {
    let mut copied = facts(|_| {});
    copied.copies.insert(CopyTarget::ToClient);
    assert_eq!(masks("mask", "refuse").weigh(&copied, true, None, nobody).unwrap_err(), Masked::Form);
}
