//! What the accounts of roles may do on their servers, read back from the servers themselves.
//!
//! Each account asks about itself, in a read-only session with its own secret: the answer is what its privileges come to,
//! through every role that it is or may become a member of. What is beyond the promise of the role is told to the engine
//! and logged. It is done when a bundle comes into force and when somebody asks.
//!
//! Not counted, because every account of a server may: large objects, notifications, advisory locks, and calling functions
//! that run with the caller's own rights.

use std::sync::Arc;

use countersign_core::ResourceId;
use countersign_core::catalogue::{Catalogue, Role};
use countersign_engine::accounts::{AccountFinding, AccountsRead};

use super::Shared;
use super::names;
use super::query::simple;
use super::target::{LOOKING, cause, looking};
use super::upstream::{self, Address, Credentials, Login};

/// How long the question may take, as the server is told.
const QUESTION_TIMEOUT: &str = "5s";

/// What an account may do, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Power {
    Read,
    Write,
    Define,
    Administer,
}

impl Power {
    /// The most that a role promises. Calling what is not looked into may write, as far as the account can.
    fn promised(role: &Role) -> Power {
        let most = role.actions.iter().map(|action| Power::of_action(action.as_str())).max();
        most.unwrap_or(Power::Read)
    }

    /// What an action takes on the server. Seeing a column and carrying a result away take no more than reading it.
    fn of_action(action: &str) -> Power {
        match action {
            "sql" | "sql.admin" | "sql.grant" | "sql.revoke" | "sql.role" | "sql.settings"
            | "sql.maintenance" | "sql.file" => Power::Administer,
            "sql.ddl" | "sql.create" | "sql.alter" | "sql.drop" => Power::Define,
            "sql.read" | "sql.select" | "sql.show" | "sql.explain" | "sql.copy_out" | "sql.session"
            | "sql.unmask" | "sql.export" => Power::Read,
            sql if sql.starts_with("sql.") => Power::Write,
            _ => Power::Read,
        }
    }

    fn of_word(word: &str) -> Power {
        match word {
            "write" => Power::Write,
            "define" => Power::Define,
            _ => Power::Administer,
        }
    }
}

/// Reads back whenever the bundle changes or somebody asks, until the door closes.
pub(super) async fn keep(shared: Arc<Shared>) {
    let mut changed = shared.engine.changed();
    let mut wishes = shared.engine.account_wishes();
    let mut bundle = None;
    loop {
        let wished = *wishes.borrow_and_update();
        let now = changed.borrow_and_update().topics.bundle;
        let at = shared.engine.now();
        let found = tokio::select! {
            () = shared.stopping.cancelled() => return,
            found = read_back(&shared) => found,
        };
        if bundle != Some(now) {
            log(&found);
        }
        bundle = Some(now);
        let relations = names::missing(&shared).await;
        shared.engine.tell_accounts(wished, AccountsRead { at, found, relations });
        loop {
            tokio::select! {
                () = shared.stopping.cancelled() => return,
                more = changed.changed() => match more {
                    Ok(()) if changed.borrow().topics.bundle == now => {}
                    Ok(()) => break,
                    Err(_) => return,
                },
                more = wishes.changed() => match more {
                    Ok(()) => break,
                    Err(_) => return,
                },
            }
        }
    }
}

fn log(found: &[AccountFinding]) {
    for AccountFinding { role, resource, account, beyond } in found {
        match beyond {
            Ok(beyond) => {
                let beyond = beyond.join("; ");
                tracing::warn!(%role, %resource, account, beyond, "an account may do more than its role says");
            }
            Err(why) => tracing::warn!(%role, %resource, account, why, "an account could not be looked at"),
        }
    }
}

/// Every account of every role on every database, as far as somebody should look at it.
async fn read_back(shared: &Shared) -> Vec<AccountFinding> {
    let snapshot = shared.engine.snapshot();
    let catalogue: &Catalogue = &snapshot.book.catalogue;
    let mut found = Vec::new();
    for (name, role) in &catalogue.roles {
        for resource in &role.resources {
            let Some(described) = catalogue.resources.get(resource).filter(|r| r.kind == "postgres") else {
                continue;
            };
            let beyond = match Address::of(described) {
                Ok(address) => beyond(shared, resource, &address, role).await,
                Err(error) => Err(error.to_string()),
            };
            if beyond.as_ref().is_ok_and(Vec::is_empty) {
                continue;
            }
            let (role, account) = (name.clone(), role.account.clone());
            found.push(AccountFinding { role, resource: resource.clone(), account, beyond });
        }
    }
    found
}

/// What an account may do beyond the promise of a role, in words.
async fn beyond(
    shared: &Shared,
    resource: &ResourceId,
    address: &Address,
    role: &Role,
) -> Result<Vec<String>, String> {
    let credentials = Credentials::of(shared, resource, &role.account).map_err(|error| error.to_string())?;
    asked(shared, address, &credentials, role).await.map(|asked| asked.beyond)
}

/// What an account says of itself and of its server.
pub(super) struct Asked {
    /// What it may do beyond the promise of a role, in words.
    pub(super) beyond: Vec<String>,
    /// The server's version, as it says itself.
    pub(super) server: String,
}

/// Asks an account, in a session of its own.
///
/// # Errors
/// Why it could not be asked, for whoever runs the gateway.
pub(super) async fn asked(
    shared: &Shared,
    address: &Address,
    credentials: &Credentials,
    role: &Role,
) -> Result<Asked, String> {
    let settings = looking(QUESTION_TIMEOUT);
    let login = Login {
        account: role.account.as_str(),
        credentials,
        application: LOOKING,
        settings: &settings,
        read_bytes_max: usize::MAX,
    };
    let in_words = |error: &dyn std::error::Error| match cause(error) {
        cause if cause.is_empty() => error.to_string(),
        cause => format!("{error}: {cause}"),
    };
    let connected = upstream::connect(address, &login, &|| shared.nonce()).await.map_err(|e| in_words(&e))?;
    let version = connected.parameters.iter().find(|(name, _)| name == b"server_version");
    let server = version.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default();
    let mut link = connected.link;
    let rows = simple(&mut link, POWERS).await.map_err(|error| in_words(&error))?;
    let promised = Power::promised(role);
    let excess = rows.into_iter().filter_map(|row| match row.as_slice() {
        [Some(power), Some(what)] if Power::of_word(power) > promised => Some(what.clone()),
        _ => None,
    });
    Ok(Asked { beyond: excess.collect(), server })
}

/// What the session's account may do, itself or through any role that it may become.
const POWERS: &str = "
WITH mine AS (SELECT r.* FROM pg_roles r WHERE pg_has_role(current_user, r.oid, 'MEMBER')),
super AS (SELECT EXISTS (SELECT FROM mine WHERE rolsuper) AS is),
own AS (
  SELECT c.oid, c.relkind, format('%I.%I', n.nspname, c.relname) AS name, c.relowner
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.oid >= 16384 AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp\\_%'
    AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
),
powers AS (
  SELECT 'administer' AS power, 'is a superuser' AS what, NULL::text AS name FROM super WHERE super.is
  UNION ALL SELECT 'administer', 'may create roles', NULL FROM mine, super WHERE rolcreaterole AND NOT super.is
  UNION ALL SELECT 'administer', 'is not held by row level security', NULL FROM mine, super
    WHERE rolbypassrls AND NOT super.is
  UNION ALL SELECT 'administer', 'may start replication', NULL FROM mine, super WHERE rolreplication AND NOT super.is
  UNION ALL SELECT 'define', 'may create databases', NULL FROM mine, super WHERE rolcreatedb AND NOT super.is
  UNION ALL SELECT CASE rolname WHEN 'pg_write_all_data' THEN 'write' WHEN 'pg_create_subscription' THEN 'define'
                                ELSE 'administer' END, 'is a member of', rolname
    FROM mine, super WHERE NOT super.is AND rolname IN ('pg_write_all_data', 'pg_write_server_files',
      'pg_read_server_files', 'pg_execute_server_program', 'pg_create_subscription', 'pg_maintain', 'pg_checkpoint')
  UNION ALL SELECT 'write', 'may change rows of', own.name FROM own, super
    WHERE NOT super.is AND own.relkind IN ('r', 'p', 'v', 'f') AND EXISTS (
      SELECT FROM mine WHERE has_table_privilege(mine.oid, own.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
        OR has_any_column_privilege(mine.oid, own.oid, 'INSERT, UPDATE'))
  UNION ALL SELECT 'write', 'may move the sequence', own.name FROM own, super
    WHERE NOT super.is AND own.relkind = 'S' AND EXISTS (
      SELECT FROM mine WHERE has_sequence_privilege(mine.oid, own.oid, 'USAGE, UPDATE'))
  UNION ALL SELECT 'write', 'may call, with the rights of its owner,', p.oid::regprocedure::text FROM pg_proc p, super
    WHERE NOT super.is AND p.oid >= 16384 AND p.prosecdef AND p.prorettype <> 'trigger'::regtype
      AND p.prorettype <> 'event_trigger'::regtype
      AND EXISTS (SELECT FROM mine WHERE has_function_privilege(mine.oid, p.oid, 'EXECUTE')
                    AND has_schema_privilege(mine.oid, p.pronamespace, 'USAGE'))
      AND NOT pg_has_role(current_user, p.proowner, 'MEMBER')
  UNION ALL SELECT 'define', 'owns', own.name FROM own, super
    WHERE NOT super.is AND EXISTS (SELECT FROM mine WHERE mine.oid = own.relowner)
  UNION ALL SELECT 'define', 'owns the function', p.oid::regprocedure::text FROM pg_proc p, super
    WHERE NOT super.is AND p.oid >= 16384 AND EXISTS (SELECT FROM mine WHERE mine.oid = p.proowner)
  UNION ALL SELECT 'define', 'may create in the schema', n.nspname FROM pg_namespace n, super
    WHERE NOT super.is AND n.nspname NOT LIKE 'pg\\_temp\\_%' AND n.nspname NOT LIKE 'pg\\_toast%'
      AND EXISTS (SELECT FROM mine WHERE has_schema_privilege(mine.oid, n.oid, 'CREATE'))
  UNION ALL SELECT 'define', 'may create schemas in the database', current_database() FROM super
    WHERE NOT super.is AND EXISTS (SELECT FROM mine WHERE has_database_privilege(mine.oid, current_database(), 'CREATE'))
  UNION ALL SELECT 'define', 'may create temporary objects in the database', current_database() FROM super
    WHERE NOT super.is AND EXISTS (SELECT FROM mine WHERE has_database_privilege(mine.oid, current_database(), 'TEMPORARY'))
)
SELECT power,
       what || coalesce(' ' || array_to_string((array_agg(DISTINCT name))[1:3], ', '), '')
            || CASE WHEN count(DISTINCT name) > 3 THEN format(' and %s more', count(DISTINCT name) - 3) ELSE '' END
FROM powers GROUP BY power, what
ORDER BY CASE power WHEN 'administer' THEN 0 WHEN 'define' THEN 1 ELSE 2 END, what";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_promises_what_its_actions_take_on_the_server() {
        for (action, power) in [
            ("sql.select", Power::Read),
            ("sql.unmask", Power::Read),
            ("sql.export", Power::Read),
            ("session.open", Power::Read),
            ("sql.insert", Power::Write),
            ("sql.call", Power::Write),
            ("sql.unknown", Power::Write),
            ("sql.drop", Power::Define),
            ("sql", Power::Administer),
        ] {
            assert_eq!(Power::of_action(action), power, "{action}");
        }
    }
}
