//! `people.toml`: users, services, agents, groups, and the directories that know more of them. What it says of jobs is in
//! [`super::workloads`].

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::catalogue::{AgentCeiling, Directory, Group, LinkBy, Principal, PrincipalKind};
use countersign_core::{ActionName, DirectoryName, GroupId, PersonId, PrincipalId, RoleId};

use super::workloads;
use crate::diagnostic::Problems;
use crate::text::{Kind, Read, Shape, Table, optional, required};

pub(super) const SHAPE: Shape = Shape {
    doc: "Local people, services, agents and groups.",
    fields: &[
        optional("user", Kind::Map(true, &Kind::Table(&USER)), "people who sign in, by name"),
        optional("service", Kind::Map(true, &Kind::Table(&OWNED)), "jobs that run without a person, by name"),
        optional("agent", Kind::Map(true, &Kind::Table(&AGENT)), "AI agents, by name"),
        optional("group", Kind::Map(true, &Kind::Table(&GROUP)), "sets of principals, by name"),
        optional(
            "directory",
            Kind::Map(true, &Kind::Table(&DIRECTORY)),
            "where the company keeps who its people are, by name; how they are reached is the gateway's configuration",
        ),
        optional(
            "issuer",
            Kind::Map(true, &Kind::Table(&workloads::ISSUER)),
            "who issues identities to jobs (OpenID Connect), by name",
        ),
        optional(
            "workload",
            Kind::Map(true, &Kind::Table(&workloads::WORKLOAD)),
            "which jobs are which service, by name; all that is said of one has to be so",
        ),
    ],
};

const USER: Shape = Shape {
    doc: "Somebody who signs in.",
    fields: &[
        required("name", Kind::Text, "how people call them"),
        optional("email", Kind::Text, "where notices go"),
        optional(
            "person",
            Kind::Name,
            "the human behind the account; accounts of one human say the same here, and count once",
        ),
        optional(
            "directory",
            Kind::Name,
            "the directory whose word the account lives by: it is let in only while the directory says that it is active",
        ),
    ],
};

const DIRECTORY: Shape = Shape {
    doc: "Where the company keeps who its people are.",
    fields: &[
        optional("title", Kind::Text, "one line for people"),
        optional("silent_after", Kind::Span, "not heard for so long, its people begin nothing new"),
        optional("lost_after", Kind::Span, "not heard for so long, what its people have ends"),
        optional(
            "strip",
            Kind::Text,
            "what its account names end with that ours do not, for example `@example.com`",
        ),
        optional(
            "persons",
            Kind::Map(true, &Kind::Name),
            "the human behind an account, where they have another account; accounts of one human count once",
        ),
        optional(
            "link_by",
            Kind::List(&Kind::Word(&["number", "mail"])),
            "by what its accounts are found to be one human's: the number of an employee, a mail address",
        ),
    ],
};

const OWNED: Shape = Shape {
    doc: "Something that acts without a person at a keyboard.",
    fields: &[
        required("owner", Kind::Name, "the user who answers for it"),
        optional("name", Kind::Text, "how people call it"),
    ],
};

const AGENT: Shape = Shape {
    doc: "An AI agent: it acts for its owner, within its ceiling, and never approves, makes credentials or governs.",
    fields: &[
        required("owner", Kind::Name, "the user who answers for it"),
        optional("name", Kind::Text, "how people call it"),
        optional(
            "roles",
            Kind::List(&Kind::Name),
            "its ceiling: the roles that it may ask for and hold, whoever approves; none if absent",
        ),
        optional(
            "actions",
            Kind::List(&Kind::Name),
            "its ceiling: what it may do in them, for example \"sql.read\" or all of \"sql\"; nothing if absent",
        ),
    ],
};

const GROUP: Shape = Shape {
    doc: "A set of principals.",
    fields: &[
        optional("members", Kind::List(&Kind::Name), "users, services and agents in it"),
        optional("groups", Kind::List(&Kind::Name), "groups whose members are members here"),
        optional(
            "from",
            Kind::Map(true, &Kind::OneOrMore(&Kind::Text)),
            "groups of directories whose members are members here: the directory's name, and what it calls them",
        ),
    ],
};

pub(super) fn principals(file: &Read<'_>, problems: &mut Problems) -> BTreeMap<PrincipalId, Principal> {
    let users = file.root.tables("user").map(|(name, table)| ("user", name, user(name, table)));
    let services = file.root.tables("service").map(|(name, table)| {
        ("service", name, owned(file, name, table, |owner| PrincipalKind::Service { owner }))
    });
    let agents = file.root.tables("agent").map(|(name, table)| {
        let kind = |owner| PrincipalKind::Agent { owner, ceiling: ceiling(table) };
        ("agent", name, owned(file, name, table, kind))
    });
    let mut principals = BTreeMap::new();
    for (kind, name, principal) in users.chain(services).chain(agents) {
        if principals.insert(PrincipalId::new(name), principal).is_some() {
            problems.error(
                file.within,
                file.place(&format!("{kind}.{name}")),
                format!("there is another principal `{name}`"),
                Some("users, services and agents share one set of names".into()),
            );
        }
    }
    principals
}

pub(super) fn groups(file: &Read<'_>) -> BTreeMap<GroupId, Group> {
    let groups = file.root.tables("group").map(|(name, table)| {
        let group = Group {
            members: table.texts("members").map(PrincipalId::new).collect(),
            groups: table.texts("groups").map(GroupId::new).collect(),
            from: table.table("from").map(sources).unwrap_or_default(),
        };
        (GroupId::new(name), group)
    });
    groups.collect()
}

fn sources(from: &Table) -> BTreeMap<DirectoryName, BTreeSet<String>> {
    let named = |name: &str| (DirectoryName::new(name), from.texts(name).map(str::to_owned).collect());
    from.keys().map(named).collect()
}

pub(super) fn directories(file: &Read<'_>) -> BTreeMap<DirectoryName, Directory> {
    let directories = file.root.tables("directory").map(|(name, table)| {
        let directory = Directory {
            title: table.maybe_text("title").map(str::to_owned),
            silent_after: table.span("silent_after"),
            lost_after: table.span("lost_after"),
            strip: table.maybe_text("strip").map(str::to_owned),
            persons: table
                .pairs("persons")
                .map(|(account, person)| (PrincipalId::new(account), PersonId::new(person)))
                .collect(),
            link_by: table.texts("link_by").map(link_by).collect(),
        };
        (DirectoryName::new(name), directory)
    });
    directories.collect()
}

fn link_by(word: &str) -> LinkBy {
    if word == "number" { LinkBy::Number } else { LinkBy::Mail }
}

fn user(name: &str, table: &Table) -> Principal {
    Principal {
        kind: PrincipalKind::User,
        person: person(name, table),
        display: table.text("name").to_owned(),
        email: table.maybe_text("email").map(ToOwned::to_owned),
        directory: table.maybe_text("directory").map(DirectoryName::new),
    }
}

fn ceiling(table: &Table) -> AgentCeiling {
    AgentCeiling {
        roles: table.texts("roles").map(RoleId::new).collect(),
        actions: table.texts("actions").map(ActionName::new).collect(),
    }
}

/// A service or agent. Its person is its owner's; an owner that is no user is reported where names are checked.
fn owned(
    file: &Read<'_>,
    name: &str,
    table: &Table,
    kind: impl Fn(PrincipalId) -> PrincipalKind,
) -> Principal {
    let owner = table.text("owner");
    let owners = file.root.tables("user").find(|(user, _)| *user == owner);
    Principal {
        kind: kind(PrincipalId::new(owner)),
        person: owners.map_or_else(|| PersonId::new(owner), |(user, table)| person(user, table)),
        display: table.maybe_text("name").unwrap_or(name).to_owned(),
        email: None,
        directory: None,
    }
}

fn person(name: &str, table: &Table) -> PersonId {
    PersonId::new(table.maybe_text("person").unwrap_or(name))
}
