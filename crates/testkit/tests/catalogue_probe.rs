//! What tells whether a loaded catalogue still holds, where transactions end in another order than they began.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use anyhow::Result;
use countersign_testkit::live::{Client, Server};
use countersign_wire::sql::{CATALOGUE_MOMENT, Probe};

fn one(client: &mut Client, question: &str) -> Result<String> {
    Ok(client.ask(question)?.value().unwrap_or_default().to_owned())
}

#[test]
fn a_transaction_that_began_before_others_and_ends_behind_them_is_noticed() -> Result<()> {
    for major in [15, 18] {
        let server = match Server::start(major) {
            Ok(server) => server,
            Err(why) => {
                println!("skipped: PostgreSQL {major}: {why:#}");
                continue;
            }
        };
        let mut looker = server.superuser("postgres")?;
        let (mut early, mut late) = (server.superuser("postgres")?, server.superuser("postgres")?);
        late.ask("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'")?;
        // It has an id, and others with greater ones end before it, definitions among them.
        early.ask("BEGIN; CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'")?;
        late.ask("CREATE TABLE greater (id int)")?;
        let loaded = one(&mut looker, CATALOGUE_MOMENT)?;
        let probe = Probe::from(&loaded).unwrap();
        let answer = one(&mut looker, &probe.sql())?;
        assert_eq!(one(&mut looker, CATALOGUE_MOMENT)?, loaded, "nothing has ended since");
        assert_eq!(one(&mut looker, &probe.sql())?, answer);
        early.ask("COMMIT")?;
        assert_ne!(one(&mut looker, CATALOGUE_MOMENT)?, loaded, "it has ended");
        let changed = one(&mut looker, &probe.sql())?;
        assert_ne!(changed, answer, "the function is another one");
        // The same within a subtransaction, and by a transaction that was prepared in two phases.
        early.ask(
            "BEGIN; SAVEPOINT s; CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 3'",
        )?;
        let quiet = one(&mut looker, CATALOGUE_MOMENT)?;
        assert_eq!(one(&mut looker, &probe.sql())?, changed);
        early.ask("RELEASE s; COMMIT")?;
        assert_ne!(one(&mut looker, CATALOGUE_MOMENT)?, quiet);
        assert_ne!(one(&mut looker, &probe.sql())?, changed);
        // What is rolled back was never seen.
        let before = one(&mut looker, &probe.sql())?;
        early.ask("BEGIN; DROP FUNCTION f(); ROLLBACK")?;
        assert_eq!(one(&mut looker, &probe.sql())?, before);
        assert!(probe.is_of(&one(&mut looker, CATALOGUE_MOMENT)?));
        assert!(
            !probe.is_of(&one(&mut server.superuser("template1")?, CATALOGUE_MOMENT)?),
            "another database"
        );
    }
    Ok(())
}
