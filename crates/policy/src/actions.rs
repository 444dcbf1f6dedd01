//! The actions that policy knows: their hierarchy, their class, what they are done to.
//!
//! One table, from which the Cedar schema is written and every question is checked. A door that meets
//! something outside the table has met `sql.unknown` or `mcp.unknown`, not a new action.

use countersign_core::ActionName;

/// What an action amounts to, whatever it is done to. Policies name it as `Action::"class.decide"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Looks at the gateway's own records.
    Read,
    /// Shows what protected resources gave back to somebody.
    Reveal,
    /// Asks for something, or gives up asking.
    Ask,
    /// Acts on a protected resource through a door.
    Act,
    /// Decides about what somebody else asked for, holds or does.
    Decide,
    /// Makes something that opens a door.
    Mint,
    /// Changes who may do what.
    Govern,
}

/// What an action is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum On {
    /// Something protected.
    Resource,
    /// A role that is asked for.
    Role,
    /// A request.
    Request,
    /// A grant.
    Grant,
    /// A session.
    Session,
    /// An account.
    Principal,
    /// The gateway itself.
    Gateway,
}

/// Which circumstances a question about it carries, beside those of every question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circumstances {
    /// None beside them.
    Plain,
    /// Those of asking for a role ([`crate::context::Access`]).
    Access,
    /// Those of a statement ([`crate::context::Sql`]).
    Sql,
    /// Those of seeing a masked column ([`crate::context::Unmask`]).
    Unmask,
    /// Those of what is done through a server of tools ([`crate::context::Mcp`]).
    Mcp,
}

/// One action.
#[derive(Debug)]
pub struct Spec {
    /// What policies call it: `sql.delete`.
    pub name: &'static str,
    /// The action or group that it is in.
    pub parent: Option<&'static str>,
    /// What it amounts to.
    pub class: Class,
    /// What it is done to.
    pub on: On,
    /// Which circumstances a question about it carries.
    pub with: Circumstances,
}

/// The kind of a database that statements are sent to.
pub const DATABASE: &str = "postgres";

/// The kind of a server of tools.
pub const TOOLS: &str = "mcp";

/// The group of everything that a statement can be.
pub(crate) const SQL: &str = "sql";

/// The group of everything that is done through a server of tools (Model Context Protocol).
pub(crate) const MCP: &str = "mcp";

/// Every action. A parent stands before its children.
pub(crate) const ACTIONS: &[Spec] = &[
    sql("sql.read", SQL),
    sql("sql.select", "sql.read"),
    sql("sql.show", "sql.read"),
    sql("sql.explain", "sql.read"),
    sql("sql.copy_out", "sql.read"),
    sql("sql.write", SQL),
    sql("sql.insert", "sql.write"),
    sql("sql.update", "sql.write"),
    sql("sql.delete", "sql.write"),
    sql("sql.merge", "sql.write"),
    sql("sql.truncate", "sql.write"),
    sql("sql.copy_in", "sql.write"),
    sql("sql.ddl", SQL),
    sql("sql.create", "sql.ddl"),
    sql("sql.alter", "sql.ddl"),
    sql("sql.drop", "sql.ddl"),
    sql("sql.admin", SQL),
    sql("sql.grant", "sql.admin"),
    sql("sql.revoke", "sql.admin"),
    sql("sql.role", "sql.admin"),
    sql("sql.settings", "sql.admin"),
    sql("sql.maintenance", "sql.admin"),
    sql("sql.file", "sql.admin"),
    sql("sql.call", SQL),
    sql("sql.session", SQL),
    sql("sql.unknown", SQL),
    Spec {
        // Not beneath `sql`: who may run every statement does not for that see every column.
        name: "sql.unmask",
        parent: None,
        class: Class::Act,
        on: On::Resource,
        with: Circumstances::Unmask,
    },
    // Nor this: whose results are kept is said by itself.
    Spec { name: "sql.capture", parent: None, class: Class::Act, on: On::Resource, with: Circumstances::Sql },
    // Not beneath `sql` either: who may read does not for that carry away what was read.
    plain("sql.export", Class::Act, On::Resource),
    mcp("mcp.session"),
    mcp("mcp.list"),
    mcp("mcp.call"),
    mcp("mcp.read"),
    mcp("mcp.subscribe"),
    mcp("mcp.prompt"),
    mcp("mcp.complete"),
    mcp("mcp.sample"),
    mcp("mcp.elicit"),
    mcp("mcp.roots"),
    mcp("mcp.unknown"),
    plain("session.open", Class::Act, On::Resource),
    plain("credential.mint", Class::Mint, On::Resource),
    Spec {
        name: "access.request",
        parent: None,
        class: Class::Ask,
        on: On::Role,
        with: Circumstances::Access,
    },
    plain("request.read", Class::Read, On::Request),
    plain("request.withdraw", Class::Ask, On::Request),
    plain("request.approve", Class::Decide, On::Request),
    plain("request.deny", Class::Decide, On::Request),
    plain("grant.read", Class::Read, On::Grant),
    plain("grant.revoke", Class::Decide, On::Grant),
    plain("session.read", Class::Read, On::Session),
    // Not a look at the gateway's own records: what was read of a resource is read again.
    plain("session.results", Class::Reveal, On::Session),
    plain("session.end", Class::Decide, On::Session),
    plain("session.pause", Class::Decide, On::Session),
    plain("session.resume", Class::Decide, On::Session),
    plain("principal.read", Class::Read, On::Principal),
    plain("principal.disable", Class::Govern, On::Principal),
    plain("principal.enable", Class::Govern, On::Principal),
    plain("sign_in.read", Class::Read, On::Principal),
    plain("sign_in.end", Class::Decide, On::Principal),
    plain("authenticator.reset", Class::Govern, On::Principal),
    plain("policy.read", Class::Read, On::Gateway),
    plain("policy.apply", Class::Govern, On::Gateway),
    plain("ledger.read", Class::Read, On::Gateway),
    plain("ledger.export", Class::Read, On::Gateway),
    plain("secret.read", Class::Read, On::Gateway),
    plain("secret.write", Class::Govern, On::Gateway),
    plain("secret.rotate", Class::Govern, On::Gateway),
];

const fn sql(name: &'static str, parent: &'static str) -> Spec {
    Spec { name, parent: Some(parent), class: Class::Act, on: On::Resource, with: Circumstances::Sql }
}

const fn mcp(name: &'static str) -> Spec {
    Spec { name, parent: Some(MCP), class: Class::Act, on: On::Resource, with: Circumstances::Mcp }
}

const fn plain(name: &'static str, class: Class, on: On) -> Spec {
    Spec { name, parent: None, class, on, with: Circumstances::Plain }
}

impl Spec {
    /// The kind of the resources that it is done to; nothing if to those of every kind, or to no resource.
    #[must_use]
    pub fn kind(&self) -> Option<&'static str> {
        match (self.on, self.name.split('.').next()) {
            (On::Resource, Some(SQL)) => Some(DATABASE),
            (On::Resource, Some(MCP)) => Some(TOOLS),
            _ => None,
        }
    }
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 7] =
        [Self::Read, Self::Reveal, Self::Ask, Self::Act, Self::Decide, Self::Mint, Self::Govern];

    /// The class in one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Reveal => "reveal",
            Self::Ask => "ask",
            Self::Act => "act",
            Self::Decide => "decide",
            Self::Mint => "mint",
            Self::Govern => "govern",
        }
    }

    /// The name of its group in policies.
    pub(crate) const fn group(self) -> &'static str {
        match self {
            Self::Read => "class.read",
            Self::Reveal => "class.reveal",
            Self::Ask => "class.ask",
            Self::Act => "class.act",
            Self::Decide => "class.decide",
            Self::Mint => "class.mint",
            Self::Govern => "class.govern",
        }
    }
}

/// What `action` amounts to; `None` if there is no such action.
#[must_use]
pub fn class_of(action: &ActionName) -> Option<Class> {
    spec(action.as_str()).map(|spec| spec.class)
}

/// Every action with what is known of it, in the order of the documentation.
#[must_use]
pub fn each() -> &'static [Spec] {
    ACTIONS
}

/// Every action that may be asked about, in the order of the documentation.
#[must_use]
pub fn all() -> Vec<ActionName> {
    ACTIONS.iter().map(|spec| ActionName::new(spec.name)).collect()
}

pub(crate) fn spec(name: &str) -> Option<&'static Spec> {
    ACTIONS.iter().find(|spec| spec.name == name)
}

/// The action itself and every group it is in.
pub(crate) fn lineage(spec: &'static Spec) -> Vec<&'static str> {
    let mut names = vec![spec.name];
    let mut next = spec.parent;
    while let Some(parent) = next {
        names.push(parent);
        next = self::spec(parent).and_then(|found| found.parent);
    }
    names.push(spec.class.group());
    names
}

/// Whether a role may list it: it is done to a resource, and opening a door is not the same as making a key.
pub(crate) fn fits_a_role(spec: &Spec) -> bool {
    spec.on == On::Resource && spec.class == Class::Act
}

/// Whether it is no action, but a group of actions that are done to resources: `sql`.
pub(crate) fn is_group_of_acts(name: &str) -> bool {
    spec(name).is_none() && ACTIONS.iter().any(|spec| spec.class == Class::Act && spec.parent == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_name_and_stands_once() {
        for (index, spec) in ACTIONS.iter().enumerate() {
            assert!(spec.name.parse::<ActionName>().is_ok(), "{}", spec.name);
            assert!(ACTIONS.iter().skip(index + 1).all(|other| other.name != spec.name), "{}", spec.name);
        }
    }

    #[test]
    fn lineages_end_in_a_class() {
        assert_eq!(lineage(spec("sql.delete").unwrap()), ["sql.delete", "sql.write", "sql", "class.act"]);
        assert_eq!(lineage(spec("policy.apply").unwrap()), ["policy.apply", "class.govern"]);
        assert_eq!(lineage(spec("session.results").unwrap()), ["session.results", "class.reveal"]);
        assert_eq!(class_of(&ActionName::new("credential.mint")), Some(Class::Mint));
        assert_eq!(class_of(&ActionName::new("sql")), None);
    }
}
