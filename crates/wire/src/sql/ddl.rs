//! The table of statements that change definitions, roles or the server.
//!
//! `Ddl` is the shape of a database; `Admin` is whatever changes who may do what, reaches outside the database, or
//! keeps the server itself running.

use pg_query::protobuf as pb;

use super::kinds::Kind;
use super::tree::Tree;

/// The verb and kind of a statement that needs no closer look.
pub(super) fn verb(tree: &Tree) -> Option<(&'static str, Kind)> {
    if let Some(verb) = shape_verb(tree) {
        return Some((verb, Kind::Ddl));
    }
    let verb = match tree.name {
        "AlterOwnerStmt" => "alter_owner",
        "GrantStmt" | "GrantRoleStmt" => "grant",
        "AlterDefaultPrivilegesStmt" => "alter_default_privileges",
        "CreateRoleStmt" => "create_role",
        "AlterRoleStmt" | "AlterRoleSetStmt" => "alter_role",
        "DropRoleStmt" => "drop_role",
        "DropOwnedStmt" => "drop_owned",
        "ReassignOwnedStmt" => "reassign_owned",
        "CreatePolicyStmt" => "create_policy",
        "AlterPolicyStmt" => "alter_policy",
        "SecLabelStmt" => "security_label",
        "CreatedbStmt" => "create_database",
        "AlterDatabaseStmt" | "AlterDatabaseSetStmt" | "AlterDatabaseRefreshCollStmt" => "alter_database",
        "DropdbStmt" => "drop_database",
        "CreateTableSpaceStmt" => "create_tablespace",
        "AlterTableSpaceOptionsStmt" => "alter_tablespace",
        "DropTableSpaceStmt" => "drop_tablespace",
        "AlterTableMoveAllStmt" => altered(tree.int("objtype")),
        "CreateExtensionStmt" => "create_extension",
        "AlterExtensionStmt" | "AlterExtensionContentsStmt" => "alter_extension",
        "CreateFdwStmt" => "create_foreign_data_wrapper",
        "AlterFdwStmt" => "alter_foreign_data_wrapper",
        "CreateForeignServerStmt" => "create_server",
        "AlterForeignServerStmt" => "alter_server",
        "CreateForeignTableStmt" => "create_foreign_table",
        "ImportForeignSchemaStmt" => "import_foreign_schema",
        "CreateUserMappingStmt" => "create_user_mapping",
        "AlterUserMappingStmt" => "alter_user_mapping",
        "DropUserMappingStmt" => "drop_user_mapping",
        "CreateAmStmt" => "create_access_method",
        "CreateEventTrigStmt" => "create_event_trigger",
        "AlterEventTrigStmt" => "alter_event_trigger",
        "CreatePLangStmt" => "create_language",
        "CreatePublicationStmt" => "create_publication",
        "AlterPublicationStmt" => "alter_publication",
        "CreateSubscriptionStmt" => "create_subscription",
        "AlterSubscriptionStmt" => "alter_subscription",
        "DropSubscriptionStmt" => "drop_subscription",
        "CreateTransformStmt" => "create_transform",
        "AlterSystemStmt" => "alter_system",
        "CheckPointStmt" => "checkpoint",
        "LoadStmt" => "load",
        "ClusterStmt" => "cluster",
        "ReindexStmt" => "reindex",
        "VacuumStmt" if tree.flag("is_vacuumcmd") => "vacuum",
        "VacuumStmt" => "analyze",
        _ => return None,
    };
    Some((verb, Kind::Admin))
}

/// The verb of a statement that changes the shape of the database.
fn shape_verb(tree: &Tree) -> Option<&'static str> {
    Some(match tree.name {
        "CreateStmt" => "create_table",
        "AlterTableStmt" => altered(tree.int("objtype")),
        "RenameStmt" => "rename",
        "AlterObjectSchemaStmt" => "set_schema",
        "AlterObjectDependsStmt" => "alter_depends",
        "IndexStmt" => "create_index",
        "ViewStmt" => "create_view",
        "RefreshMatViewStmt" => "refresh",
        "CreateSeqStmt" => "create_sequence",
        "AlterSeqStmt" => "alter_sequence",
        "CreateStatsStmt" => "create_statistics",
        "AlterStatsStmt" => "alter_statistics",
        "CommentStmt" => "comment",
        "CreateFunctionStmt" => "create_function",
        "AlterFunctionStmt" => "alter_function",
        "CreateTrigStmt" => "create_trigger",
        "RuleStmt" => "create_rule",
        "DefineStmt" => defined(tree.int("kind")),
        "CompositeTypeStmt" | "CreateEnumStmt" | "CreateRangeStmt" => "create_type",
        "AlterEnumStmt" | "AlterTypeStmt" => "alter_type",
        "CreateDomainStmt" => "create_domain",
        "AlterDomainStmt" => "alter_domain",
        "AlterCollationStmt" => "alter_collation",
        "CreateConversionStmt" => "create_conversion",
        "CreateCastStmt" => "create_cast",
        "CreateOpClassStmt" => "create_operator_class",
        "CreateOpFamilyStmt" => "create_operator_family",
        "AlterOpFamilyStmt" => "alter_operator_family",
        "AlterOperatorStmt" => "alter_operator",
        "AlterTsDictionaryStmt" | "AlterTsConfigurationStmt" => "alter_text_search",
        _ => return None,
    })
}

fn object_type(value: i64) -> pb::ObjectType {
    pb::ObjectType::try_from(i32::try_from(value).unwrap_or(0)).unwrap_or(pb::ObjectType::Undefined)
}

fn altered(objtype: i64) -> &'static str {
    use pb::ObjectType as O;
    match object_type(objtype) {
        O::ObjectIndex => "alter_index",
        O::ObjectView => "alter_view",
        O::ObjectMatview => "alter_materialized_view",
        O::ObjectSequence => "alter_sequence",
        O::ObjectForeignTable => "alter_foreign_table",
        O::ObjectType => "alter_type",
        _ => "alter_table",
    }
}

fn defined(kind: i64) -> &'static str {
    use pb::ObjectType as O;
    match object_type(kind) {
        O::ObjectAggregate => "create_aggregate",
        O::ObjectOperator => "create_operator",
        O::ObjectCollation => "create_collation",
        O::ObjectTsconfiguration | O::ObjectTsdictionary | O::ObjectTsparser | O::ObjectTstemplate => {
            "create_text_search"
        }
        _ => "create_type",
    }
}

/// The verb and kind of dropping something.
pub(super) fn drop_verb(what: pb::ObjectType) -> Option<(&'static str, Kind)> {
    use pb::ObjectType as O;
    let shape = match what {
        O::ObjectTable => "drop_table",
        O::ObjectView => "drop_view",
        O::ObjectMatview => "drop_materialized_view",
        O::ObjectSequence => "drop_sequence",
        O::ObjectIndex => "drop_index",
        O::ObjectSchema => "drop_schema",
        O::ObjectFunction | O::ObjectProcedure | O::ObjectRoutine => "drop_function",
        O::ObjectAggregate => "drop_aggregate",
        O::ObjectTrigger => "drop_trigger",
        O::ObjectRule => "drop_rule",
        O::ObjectType => "drop_type",
        O::ObjectDomain => "drop_domain",
        O::ObjectCollation => "drop_collation",
        O::ObjectConversion => "drop_conversion",
        O::ObjectCast => "drop_cast",
        O::ObjectOperator => "drop_operator",
        O::ObjectOpclass => "drop_operator_class",
        O::ObjectOpfamily => "drop_operator_family",
        O::ObjectStatisticExt => "drop_statistics",
        O::ObjectTsconfiguration | O::ObjectTsdictionary | O::ObjectTsparser | O::ObjectTstemplate => {
            "drop_text_search"
        }
        _ => "",
    };
    if !shape.is_empty() {
        return Some((shape, Kind::Ddl));
    }
    let admin = match what {
        O::ObjectForeignTable => "drop_foreign_table",
        O::ObjectPolicy => "drop_policy",
        O::ObjectExtension => "drop_extension",
        O::ObjectFdw => "drop_foreign_data_wrapper",
        O::ObjectForeignServer => "drop_server",
        O::ObjectEventTrigger => "drop_event_trigger",
        O::ObjectLanguage => "drop_language",
        O::ObjectAccessMethod => "drop_access_method",
        O::ObjectPublication => "drop_publication",
        O::ObjectTransform => "drop_transform",
        _ => return None,
    };
    Some((admin, Kind::Admin))
}

/// Whether the statement creates the relation that it names.
pub(super) fn creates_relation(node: &str) -> bool {
    matches!(node, "CreateStmt" | "ViewStmt" | "CreateSeqStmt" | "CreateForeignTableStmt")
}

/// Whether what the statement mentions runs at once, on rows that exist.
pub(super) fn runs_code(node: &str) -> bool {
    matches!(node, "IndexStmt" | "AlterTableStmt" | "RefreshMatViewStmt" | "AlterDomainStmt")
}

/// Whether the statement runs code of others that no list tells: scripts of extensions, libraries, the expressions
/// of any index, whatever depends on what is dropped.
pub(super) fn runs_scripts(node: &str) -> bool {
    matches!(
        node,
        "CreateExtensionStmt"
            | "AlterExtensionStmt"
            | "ImportForeignSchemaStmt"
            | "LoadStmt"
            | "AlterTableMoveAllStmt"
            | "CreateSubscriptionStmt"
            | "AlterSubscriptionStmt"
            | "DropSubscriptionStmt"
    )
}

/// Whether the statement keeps tables and indexes in order.
pub(super) fn maintains(node: &str) -> bool {
    matches!(node, "VacuumStmt" | "ClusterStmt" | "ReindexStmt")
}

/// Whether event triggers run at a statement of these kinds: not at settings, copies, maintenance and two-phase commits.
pub(super) fn fires_event_triggers(verb: &str) -> bool {
    let without = [
        "set", "reset", "set_role", "discard", "copy_in", "copy_out", "vacuum", "analyze", "cluster", "load",
    ];
    !(without.contains(&verb)
        || verb == "checkpoint"
        || verb.ends_with("_prepared")
        || verb == "prepare_transaction")
}

/// Whether an ALTER TABLE changes its owner or its row level security.
pub(super) fn changes_confinement(tree: &Tree) -> bool {
    use pb::AlterTableType as A;
    tree.name == "AlterTableStmt"
        && tree.nodes("cmds").any(|command| {
            let kind = A::try_from(i32::try_from(command.int("subtype")).unwrap_or(0));
            matches!(
                kind,
                Ok(A::AtChangeOwner
                    | A::AtEnableRowSecurity
                    | A::AtDisableRowSecurity
                    | A::AtForceRowSecurity
                    | A::AtNoForceRowSecurity)
            )
        })
}
