//! `roles.toml`: which actions on which resources, under which upstream account, for how long at most.

use std::collections::BTreeMap;

use countersign_core::catalogue::Role;
use countersign_core::{ActionName, ResourceId, RoleId};

use crate::text::{Kind, Read, Shape, optional, required};

pub(super) const SHAPE: Shape = Shape {
    doc: "Privilege scopes.",
    fields: &[optional("role", Kind::Map(true, &Kind::Table(&ROLE)), "roles, by name")],
};

const ROLE: Shape = Shape {
    doc: "A privilege scope. It permits its actions on its resources, and opening a session on them.",
    fields: &[
        required("title", Kind::Text, "one line for people who choose"),
        required("actions", Kind::List(&Kind::Name), "what it permits, for example \"sql.read\""),
        required("resources", Kind::List(&Kind::Name), "on which resources"),
        required("account", Kind::Text, "the upstream account its sessions run under"),
        required("longest", Kind::Span, "the longest grant"),
    ],
};

pub(super) fn roles(file: &Read<'_>) -> BTreeMap<RoleId, Role> {
    let roles = file.root.tables("role").map(|(name, table)| {
        let role = Role {
            title: table.text("title").to_owned(),
            actions: table.texts("actions").map(ActionName::new).collect(),
            resources: table.texts("resources").map(ResourceId::new).collect(),
            account: table.text("account").to_owned(),
            longest: table.span("longest").unwrap_or_default(),
        };
        (RoleId::new(name), role)
    });
    roles.collect()
}
