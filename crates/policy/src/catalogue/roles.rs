//! `roles.toml`: which actions on which resources, under which upstream account, for how long at most.

use std::collections::BTreeMap;

use countersign_core::budget::{Budget, Limits, Longer, Over};
use countersign_core::catalogue::Role;
use countersign_core::{ActionName, ResourceId, RoleId};

use crate::text::{Kind, Read, Shape, Table, optional, required};

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
        optional("budget", Kind::Table(&BUDGET), "how much may be taken under it"),
    ],
};

const BUDGET: Shape = Shape {
    doc: "How much may be taken under a role. What is spent is not given back: it stays spent until the grant ends.",
    fields: &[
        optional("grant", Kind::Table(&LIMITS), "by everything that is done under one grant"),
        optional("session", Kind::Table(&LIMITS), "by everything that is done in one session"),
        optional("statement", Kind::Table(&ONE), "by one statement"),
        optional(
            "tools",
            Kind::Map(false, &Kind::Table(&CALLS)),
            "of servers of tools: by calls of one tool in one session, by the tool's name",
        ),
        optional(
            "statement_over",
            Kind::Word(&["cut", "flag"]),
            "what becomes of a statement that gives or takes more while it runs: it is cut (default), or it goes on, and \
             policies see it in what follows in its session (`context.over_budget`)",
        ),
        optional(
            "over",
            Kind::Word(&["deny", "policy"]),
            "what becomes of an action when something is used up: it is denied (default), or policies say, which see \
             `context.over_budget`",
        ),
    ],
};

const LIMITS: Shape = Shape {
    doc: "What may be taken in all. What is not named has no limit.",
    fields: &[
        optional("statements", MANY, "statements that ran"),
        optional("rows", MANY, "rows that they gave or touched"),
        optional("bytes", MANY, "bytes of their answers"),
        optional("time", Kind::Span, "how long the target worked on them"),
        optional(
            "relations",
            FEW,
            "different relations that they touch, those of the server's own catalogue aside",
        ),
    ],
};

const ONE: Shape = Shape {
    doc: "What one statement may take. What is not named has no limit.",
    fields: &[
        optional("rows", MANY, "rows that it gives"),
        optional("bytes", MANY, "bytes of its answer"),
        optional("time", Kind::Span, "how long the target works on it"),
        optional(
            "relations",
            FEW,
            "different relations that it touches, those of the server's own catalogue aside",
        ),
    ],
};

const CALLS: Shape = Shape {
    doc: "What calls of one tool may take in one session. What is not named has no limit.",
    fields: &[
        optional("calls", MANY, "calls that were passed on"),
        optional("bytes", MANY, "bytes of their answers"),
        optional("time", Kind::Span, "how long the server worked on them"),
    ],
};

const MANY: Kind = Kind::Whole(1, i64::MAX);
/// More are not told apart.
const FEW: Kind = Kind::Whole(1, 4_096);

pub(super) fn roles(file: &Read<'_>) -> BTreeMap<RoleId, Role> {
    let roles = file.root.tables("role").map(|(name, table)| {
        let tools: BTreeMap<_, _> = table.table("budget").map(tools).unwrap_or_default();
        let limits = |budget: &Budget| budget.limits_anything() || !tools.is_empty();
        let role = Role {
            title: table.text("title").to_owned(),
            actions: table.texts("actions").map(ActionName::new).collect(),
            resources: table.texts("resources").map(ResourceId::new).collect(),
            account: table.text("account").to_owned(),
            longest: table.span("longest").unwrap_or_default(),
            budget: table.table("budget").map(budget).filter(limits),
            tools,
        };
        (RoleId::new(name), role)
    });
    roles.collect()
}

fn budget(table: &Table) -> Budget {
    let limits = |key| table.table(key).map(limits).unwrap_or_default();
    let over = if table.maybe_text("over") == Some("policy") { Over::Policy } else { Over::Deny };
    let statement_over =
        if table.maybe_text("statement_over") == Some("flag") { Longer::Flag } else { Longer::Cut };
    let (grant, session, statement) = (limits("grant"), limits("session"), limits("statement"));
    Budget { grant, session, over, statement, statement_over }
}

fn tools(budget: &Table) -> BTreeMap<String, Limits> {
    let each = budget
        .tables("tools")
        .map(|(name, table)| (name.to_owned(), Limits { statements: many(table, "calls"), ..limits(table) }));
    each.filter(|(_, limits)| !limits.is_none()).collect()
}

fn limits(table: &Table) -> Limits {
    Limits {
        statements: many(table, "statements"),
        rows: many(table, "rows"),
        bytes: many(table, "bytes"),
        time: table.span("time"),
        relations: many(table, "relations"),
    }
}

fn many(table: &Table, key: &str) -> Option<u64> {
    table.whole(key).and_then(|many| u64::try_from(many).ok())
}
