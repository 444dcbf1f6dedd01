//! What loading a catalogue refuses.

use countersign_wire::sql::{CatalogueError, CatalogueLoader, Section};

use crate::fixture::{catalogue, corpus_folder, load, parser};

#[test]
fn a_row_that_does_not_fit_its_query_is_refused() {
    let mut loader = CatalogueLoader::new("v");
    let refused = |loader: &mut CatalogueLoader, section, row: &[Option<&str>]| match loader.row(section, row)
    {
        Err(error @ CatalogueError::Row { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    insta::assert_snapshot!(
        refused(&mut loader, Section::Inherits, &[Some("1")]),
        @"a row of `Inherits` is not understood: 1 columns"
    );
    insta::assert_snapshot!(
        refused(&mut loader, Section::Inherits, &[Some("1"), Some("x")]),
        @"a row of `Inherits` is not understood: column 2 is no number"
    );
    insta::assert_snapshot!(
        refused(&mut loader, Section::Inherits, &[None, Some("1")]),
        @"a row of `Inherits` is not understood: column 1 is missing"
    );
    insta::assert_snapshot!(
        refused(&mut loader, Section::Functions, &[Some("s"), Some("f"), Some("1,x"), Some("1"), Some("t"), Some("v"), Some("f")]),
        @"a row of `Functions` is not understood: column 3 is no list of numbers"
    );
    insta::assert_snapshot!(
        refused(&mut loader, Section::Functions, &[Some("s"), Some("f"), Some(""), Some("0"), Some("?"), Some("v"), Some("f")]),
        @"a row of `Functions` is not understood: column 5 is no truth value"
    );
    insta::assert_snapshot!(
        refused(&mut loader, Section::Functions, &[Some("s"), Some("f"), Some(""), Some("0"), Some("t"), Some("x"), Some("f")]),
        @"a row of `Functions` is not understood: column 6 is no volatility"
    );
    insta::assert_snapshot!(
        refused(&mut loader, Section::ColumnNames, &[Some("1"), Some("40000"), Some("a"), Some("23")]),
        @"a row of `ColumnNames` is not understood: column 2 is no number"
    );
}

#[test]
fn an_incomplete_catalogue_is_none() {
    let text = std::fs::read_to_string(corpus_folder().join("catalogue.txt")).unwrap();
    assert!(matches!(
        CatalogueLoader::new("v").finish(),
        Err(CatalogueError::Missing { section: Section::Version })
    ));
    let mut loader = CatalogueLoader::new("v");
    loader.row(Section::Version, &[Some("150000")]).unwrap();
    assert!(matches!(loader.finish(), Err(CatalogueError::Missing { section: Section::BuiltinFunctions })));
    let loaded = parser().run(move || load(&text)).unwrap();
    assert_eq!(loaded.provable_relations(), catalogue().provable_relations());
}

#[test]
fn operators_before_their_functions_are_not_taken_for_reviewed() {
    // A caller that loads in another order gets doubt, not trust.
    let text = std::fs::read_to_string(corpus_folder().join("catalogue.txt")).unwrap();
    let (before, rest) = text.split_once("# BuiltinFunctions\n").unwrap();
    let (functions, rest) = rest.split_once("# BuiltinOperators\n").unwrap();
    let (operators, rest) = rest.split_once("# Functions\n").unwrap();
    let turned =
        format!("{before}# BuiltinOperators\n{operators}# BuiltinFunctions\n{functions}# Functions\n{rest}");
    let provable = parser()
        .run(move || {
            use countersign_wire::sql::{Context, SessionState, classify_text};
            let catalogue = load(&turned);
            let session = SessionState::fresh(catalogue.server_version_num(), "app");
            let context = Context { session: &session, catalogue: Some(&catalogue), parameter_types: &[] };
            let judge = |sql: &str| classify_text(sql.as_bytes(), &context).provable_read;
            (judge("select lower(status) from orders"), judge("select 1 + 1"))
        })
        .unwrap();
    assert_eq!(provable, (true, false));
}
