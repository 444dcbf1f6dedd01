//! From the TOML files of a bundle to the catalogue.
//!
//! Each file is read against its shape, turned into core's words, and then every name that is mentioned is
//! looked up. A file that is absent is an empty one; only `bundle.toml` must be there.

mod check;
mod people;
mod relations;
mod resources;
mod roles;
mod rules;
mod servers;
mod tools;
mod workloads;

use countersign_core::catalogue::Catalogue;

use crate::diagnostic::{Problems, Within};
use crate::source::Source;
use crate::text::{self, Kind, Read, Shape, optional, required};

/// The version of the form of these files.
const FORMAT: i64 = 1;

/// The TOML files of a bundle.
pub(crate) const FILES: &[(&str, &Shape)] = &[
    ("bundle.toml", &BUNDLE),
    ("people.toml", &people::SHAPE),
    ("resources.toml", &resources::SHAPE),
    ("roles.toml", &roles::SHAPE),
    ("rules.toml", &rules::SHAPE),
];

const BUNDLE: Shape = Shape {
    doc: "What this bundle is.",
    fields: &[
        required("name", Kind::Name, "the bundle's name"),
        required("format", Kind::Whole(FORMAT, FORMAT), "the version of the form of these files"),
        optional("title", Kind::Text, "one line for people"),
    ],
};

/// What the TOML files say.
#[derive(Debug)]
pub(crate) struct Said<'a> {
    pub(crate) name: String,
    pub(crate) catalogue: Catalogue,
    pub(crate) rules: Read<'a>,
}

/// The files as they were read, with the places of what they say.
struct Files<'a> {
    people: Read<'a>,
    resources: Read<'a>,
    roles: Read<'a>,
    rules: Read<'a>,
}

pub(crate) fn read<'a>(source: &'a Source, problems: &mut Problems) -> Said<'a> {
    let bundle = file(source, "bundle.toml", &BUNDLE, problems);
    if !source.files.contains_key("bundle.toml") {
        let hint = format!("write `name = \"...\"` and `format = {FORMAT}` in it");
        problems.error(bundle.within, None, "this file is missing".into(), Some(hint));
    }
    let files = Files {
        people: file(source, "people.toml", &people::SHAPE, problems),
        resources: file(source, "resources.toml", &resources::SHAPE, problems),
        roles: file(source, "roles.toml", &roles::SHAPE, problems),
        rules: file(source, "rules.toml", &rules::SHAPE, problems),
    };
    let catalogue = Catalogue {
        principals: people::principals(&files.people, problems),
        groups: people::groups(&files.people),
        roles: roles::roles(&files.roles),
        resources: resources::resources(&files.resources, problems),
        rules: rules::rules(&files.rules, problems),
        directories: people::directories(&files.people),
        issuers: workloads::issuers(&files.people),
        workloads: workloads::workloads(&files.people),
    };
    check::check(&files, &catalogue, problems);
    Said { name: bundle.root.text("name").to_owned(), catalogue, rules: files.rules }
}

fn file<'a>(source: &'a Source, path: &'static str, shape: &Shape, problems: &mut Problems) -> Read<'a> {
    match source.files.get(path) {
        Some(text) => text::read(Within { file: path, text }, shape, problems),
        // An absent file has nothing to miss.
        None => text::read(Within { file: path, text: "" }, &Shape { doc: shape.doc, fields: &[] }, problems),
    }
}
