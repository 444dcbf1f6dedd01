//! The bundle that a set-up comes to: an ordinary one, in files that people go on from.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use countersign_core::{ResourceId, RoleId};

use super::{Account, Database, Founding, Person};

/// Files of a bundle by path.
pub(super) type Files = BTreeMap<String, String>;

/// What people do under the account that may write, and how the role ends.
pub(super) const WRITER: &str = "writer";
/// The same for the account that only reads.
pub(super) const READER: &str = "reader";

/// What is the same in every house.
const SAME: [(&str, &str); 4] = [
    ("access.cedar", include_str!("bundle/access.cedar")),
    ("house.cedar", include_str!("bundle/house.cedar")),
    ("statements.cedar", include_str!("bundle/statements.cedar")),
    ("rules.toml", include_str!("bundle/rules.toml")),
];

/// The bundle of a house.
pub(super) fn files(founding: &Founding) -> Files {
    let Founding { house, administrator, second, database } = founding;
    let mut files: Files = SAME.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    files.insert("bundle.toml".into(), root(house));
    files.insert("people.toml".into(), people(administrator, second));
    files.insert("resources.toml".into(), resources(database));
    files.insert("roles.toml".into(), roles(database));
    files
}

/// As much of a bundle as says what a database is.
pub(super) fn trial(database: &Database) -> Files {
    let files = [
        ("bundle.toml", root("trial")),
        ("resources.toml", resources(database)),
        ("roles.toml", roles(database)),
    ];
    let group = ("people.toml".to_owned(), "[group.approvers]\nmembers = []\n".to_owned());
    files.into_iter().map(|(path, text)| (path.to_owned(), text)).chain([group]).collect()
}

/// Under which name the password of an account is kept.
pub(super) fn secret_name(resource: &ResourceId, role: &str) -> String {
    format!("{resource}-{role}")
}

/// What the role is called that people hold for this.
pub(super) fn role_name(resource: &ResourceId, role: &str) -> RoleId {
    RoleId::new(&format!("{resource}-{role}"))
}

fn root(house: &str) -> String {
    format!(
        "# A bundle is this folder: who there is, what is protected, who may do what, and who must say yes.\n\
         name = \"house\"\ntitle = {}\nformat = 1\n",
        quoted(house)
    )
}

fn people(administrator: &Person, second: &Person) -> String {
    let mut text =
        "# Who there is. Later they may come from an identity provider or a directory.\n\n".to_owned();
    for Person { name, display, email } in [administrator, second] {
        let _ = writeln!(text, "[user.{}]\nname = {}", quoted(name.as_str()), quoted(display));
        if let Some(email) = email {
            let _ = writeln!(text, "email = {}", quoted(email));
        }
        text.push('\n');
    }
    let (one, other) = (quoted(administrator.name.as_str()), quoted(second.name.as_str()));
    let _ = write!(
        text,
        "# Who runs the gateway.\n[group.admins]\nmembers = [{one}]\n\n\
         # Who is asked. Nobody is ever asked about what they want themselves.\n\
         [group.approvers]\nmembers = [{one}, {other}]\n"
    );
    text
}

fn resources(database: &Database) -> String {
    let Database { name, title, host, port, database: inside, tls, tls_ca, writer, reader } = database;
    let key = quoted(name.as_str());
    let mut text = format!(
        "# What is protected, where it is, and where the gateway finds the passwords that it uses there.\n\n\
         [resource.{key}]\nkind = \"postgres\"\ntitle = {}\nowner = \"group:approvers\"\nimpact = \"high\"\n\
         recording = \"before-release\"\nhost = {}\nport = {port}\ndatabase = {}\ntls = {}\n",
        quoted(title),
        quoted(host),
        quoted(inside),
        quoted(tls)
    );
    if let Some(path) = tls_ca {
        let _ = writeln!(text, "tls_ca = {}", quoted(path));
    }
    if let Some(Account { name, .. }) = reader {
        text.push_str(
            "\n# Before somebody approves a statement, its rows are estimated under this account.\n",
        );
        let _ = writeln!(text, "look_account = {}", quoted(name));
    }
    let _ = writeln!(text, "\n[resource.{key}.secrets]");
    let accounts = std::iter::once((WRITER, writer)).chain(reader.iter().map(|reader| (READER, reader)));
    for (role, account) in accounts {
        let kept = quoted(&format!("secret:{}", secret_name(name, role)));
        let _ = writeln!(text, "{} = {kept}", quoted(&account.name));
    }
    text
}

fn roles(database: &Database) -> String {
    let (name, title) = (&database.name, &database.title);
    let mut text =
        "# Nobody has a role for good. People ask for one, for a while and for a reason.\n".to_owned();
    let mut role = |ending: &str, what: &str, actions: &str, account: &Account| {
        let _ = write!(
            text,
            "\n[role.{}]\ntitle = {}\nactions = [{actions}]\nresources = [{}]\naccount = {}\nlongest = \"4h\"\n",
            quoted(role_name(name, ending).as_str()),
            quoted(&format!("{what}: {title}")),
            quoted(name.as_str()),
            quoted(&account.name)
        );
    };
    if let Some(reader) = &database.reader {
        role(READER, "Read", "\"sql.read\", \"sql.export\"", reader);
    }
    let actions = "\"sql.read\", \"sql.write\", \"sql.ddl\", \"sql.call\", \"sql.unknown\"";
    role(WRITER, "Read and change", actions, &database.writer);
    text
}

/// A basic string of TOML: the escapes of JSON are among its own, and control characters have been refused.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use countersign_policy::{Source, compile};
    use zeroize::Zeroizing;

    use super::*;

    fn founding(reader: Option<&str>) -> Founding {
        let account = |name: &str| Account::new(name, Zeroizing::new("secret".into())).unwrap();
        let database = Database {
            name: ResourceId::new("orders.eu"),
            title: "The \"orders\" \\ Bestellungen".into(),
            host: "db.example".into(),
            port: 5432,
            database: "or\"ders".into(),
            tls: "require".into(),
            tls_ca: None,
            writer: account("the writer"),
            reader: reader.map(account),
        };
        Founding {
            house: "Müller \"& Co\"]".into(),
            administrator: Person::new("ada", "Ada # Adler", Some("ada@example.com")).unwrap(),
            second: Person::new("ben@corp", "Ben", None).unwrap(),
            database,
        }
    }

    #[test]
    fn a_house_is_a_bundle_without_a_mistake_or_warning() {
        for reader in [None, Some("reader")] {
            let founding = founding(reader).checked().unwrap();
            let compiled = compile(&Source { files: files(&founding) }).unwrap();
            assert_eq!(compiled.warnings, [], "{reader:?}");
            let found = &compiled.catalogue;
            let resource = &found.resources[&founding.database.name];
            assert_eq!(resource.settings["database"], "or\"ders");
            assert_eq!(resource.secrets["the writer"], "secret:orders.eu-writer");
            assert_eq!(resource.secrets.len(), found.roles.len());
            assert_eq!(resource.title, founding.database.title);
            let alone = compile(&Source { files: trial(&founding.database) }).unwrap();
            assert_eq!(alone.catalogue.resources[&founding.database.name], *resource);
        }
    }

    #[test]
    fn what_can_be_no_house_is_told() {
        let account = |name: &str| Account::new(name, Zeroizing::new("secret".into())).unwrap();
        let said = |founding: Founding| founding.checked().unwrap_err().message;
        let good = founding(None);
        let alone = Founding { second: good.administrator.clone(), ..good.clone() };
        assert_eq!(said(alone), "the second person is somebody else than the first");
        assert!(said(Founding { house: "a\nb".into(), ..good.clone() }).contains("one line"));
        let database = |change: &dyn Fn(&mut Database)| {
            let mut database = good.database.clone();
            change(&mut database);
            database.checked().unwrap_err().message
        };
        assert!(database(&|one| one.host = " ".into()).contains("the host"));
        assert!(database(&|one| one.name = ResourceId::new("a@b")).contains("without `@`"));
        assert!(database(&|one| one.reader = Some(account("the writer"))).contains("another one"));
        assert!(Account::new("x", Zeroizing::default()).is_err());
        assert!(
            Person::new("Ada Adler", "Ada", None).is_err() && Person::new("ada", "Ada", Some("x")).is_err()
        );
    }
}
