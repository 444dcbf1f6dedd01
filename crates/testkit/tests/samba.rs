//! A directory that is asked: Samba's Active Directory domain controller, over LDAPS and StartTLS, with its own rules of who is in
//! which group and who may sign in.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use countersign_core::session::Ending;
use countersign_core::{DirectoryName, PrincipalId, ResourceId, RoleId, Span};
use countersign_engine::testing::ManualClock;
use countersign_engine::{AskAccess, Client, Means};
use countersign_integrations::ldap::{Kind, Ldap, LdapSettings};
use countersign_testkit::house::system_ports;
use countersign_testkit::samba::{ADMINISTRATOR, PASSWORD, SUFFIX, ScratchDomain, missing};
use ldap3::{LdapConnAsync, LdapConnSettings, Mod};

use directory::{Gateway, Only};

mod directory;

/// How long somebody may have access here whom the domain has disabled.
const LONGEST: Duration = Duration::from_secs(60);

const PEOPLE: &str = "CN=Users,DC=example,DC=com";

/// What the bundle says of people.
const BUNDLE_PEOPLE: &str = "[directory.corp]\nlink_by = [\"number\"]\n[user.dave]\nname = \"Dave\"\n\
        [group.dba]\nmembers = [\"dave\"]\nfrom = { corp = \"DBA\" }\n\
        [group.night]\nfrom = { corp = \"Night Shift\" }\n";

/// A gateway that asks the domain, and somebody who may change the domain.
struct Scene {
    admin: ldap3::Ldap,
    gateway: Gateway,
    authority: String,
}

impl Scene {
    async fn new(authority: String) -> Result<Self> {
        // The one who changes it is the test's own, and asks no certificate; the gateway does.
        let settings = LdapConnSettings::new().set_no_tls_verify(true);
        let (driver, mut admin) = LdapConnAsync::with_settings(settings, "ldaps://localhost:636").await?;
        tokio::spawn(driver.drive());
        admin.simple_bind(ADMINISTRATOR, PASSWORD).await?.success()?;
        let gateway = Gateway::start(BUNDLE_PEOPLE, PASSWORD, &ManualClock::default()).await?;
        Ok(Self { admin, gateway, authority })
    }

    /// A user who may sign in, as an administrator makes one.
    async fn person(&mut self, name: &str, more: &[(&str, &str)]) -> Result<String> {
        let dn = format!("CN={name},{PEOPLE}");
        let usual = [("objectClass", "user"), ("sAMAccountName", name)];
        let attributes = usual.iter().chain(more).map(|(name, value)| (*name, only(*value))).collect();
        self.admin.add(&dn, attributes).await?.success().with_context(|| dn.clone())?;
        let quoted: Vec<u8> = format!("\"{PASSWORD}\"").encode_utf16().flat_map(u16::to_le_bytes).collect();
        let password = Mod::Replace(&b"unicodePwd"[..], only(quoted.as_slice()));
        self.admin.modify(&dn, vec![password]).await?.success()?;
        self.set(&dn, "userAccountControl", &["512"]).await?;
        Ok(dn)
    }

    async fn group(&mut self, name: &str, members: &[&str]) -> Result<String> {
        let dn = format!("CN={name},{PEOPLE}");
        let attributes = vec![
            ("objectClass", only("group")),
            ("sAMAccountName", only(name)),
            ("member", members.iter().copied().collect()),
        ];
        self.admin.add(&dn, attributes).await?.success().with_context(|| dn.clone())?;
        Ok(dn)
    }

    async fn set(&mut self, dn: &str, attribute: &str, values: &[&str]) -> Result<()> {
        let change = Mod::Replace(attribute, values.iter().copied().collect());
        self.admin
            .modify(dn, vec![change])
            .await?
            .success()
            .with_context(|| format!("{attribute} of {dn}"))?;
        Ok(())
    }

    fn settings(&self) -> LdapSettings {
        let kind = Kind::ActiveDirectory;
        LdapSettings {
            directory: DirectoryName::new("corp"),
            kind,
            urls: vec!["ldaps://localhost:636".into()],
            start_tls: false,
            authority: self.authority.clone(),
            bind_dn: "gateway@example.com".into(),
            bind_password: "file:x".into(),
            users_base: PEOPLE.into(),
            users_filter: LdapSettings::usual_filter(kind).into(),
            groups_base: PEOPLE.into(),
            name: LdapSettings::usual_name(kind).into(),
            number: Some("employeeNumber".into()),
            every: LdapSettings::USUAL_EVERY,
        }
    }
}

/// One value, as a set of values.
fn only<T, S: FromIterator<T>>(value: T) -> S {
    std::iter::once(value).collect()
}

/// One domain for all of it: making one takes half a minute.
#[test]
fn a_domain_says_who_is_there_and_ends_who_is_not() -> Result<()> {
    if let Some(why) = missing() {
        eprintln!("SKIPPED: {why}");
        return Ok(());
    }
    let domain = ScratchDomain::start()?;
    let authority = domain.authority.clone();
    domain.within(|| async move {
        let mut scene = Scene::new(authority).await?;
        scene.person("gateway", &[]).await?;
        let zoe = scene
            .person(
                "Zoe",
                &[("displayName", "Zoe Zimmer"), ("employeeNumber", "E-1"), ("mail", "zoe@example.com")],
            )
            .await?;
        let admin = scene.person("zoe-admin", &[("employeeNumber", "E-1")]).await?;
        let yan = scene.person("yan", &[]).await?;
        // Zoe is in the first group through the second one, which is in it.
        let night = scene.group("Night Shift", &[&zoe]).await?;
        scene.group("DBA", &[&night, &yan]).await?;
        scene.gateway.ask(scene.settings()).await?;
        assert_eq!(
            (scene.gateway.groups("zoe"), scene.gateway.groups("yan")),
            (vec!["dba".into(), "night".into()], vec!["dba".into()])
        );
        assert!(
            scene.gateway.is_enabled("zoe")
                && scene.gateway.is_enabled("yan")
                && scene.gateway.is_enabled("zoe-admin")
        );
        // What every domain has from its beginning is not let in: guests are disabled, and so is whoever gives out tickets.
        assert!(!scene.gateway.is_enabled("guest") && !scene.gateway.is_enabled("krbtgt"));
        let profile = scene.gateway.engine.profile(&PrincipalId::new("zoe")).context("a profile")?;
        assert_eq!(profile.display.as_deref(), Some("Zoe Zimmer"));
        let person = |scene: &Scene, name: &str| {
            scene.gateway.engine.snapshot().book.person(&PrincipalId::new(name)).map(ToString::to_string)
        };
        // Whichever of them the domain lists first gives the human its name.
        assert_eq!(
            person(&scene, "zoe-admin"),
            person(&scene, "zoe"),
            "one human, by the number of the employee"
        );
        assert_ne!(person(&scene, "yan"), person(&scene, "zoe"));
        assert_eq!(scene.gateway.ask(scene.settings()).await?.changes, 0);

        // Disabled, out of a group, expired, gone: each by the domain's own means.
        scene.set(&zoe, "userAccountControl", &["514"]).await?;
        scene.set(&admin, "accountExpires", &["116444736000000000"]).await?;
        scene.admin.delete(&yan).await?.success()?;
        assert_eq!(scene.gateway.ask(scene.settings()).await?.changes, 3);
        assert!(
            !scene.gateway.is_enabled("zoe")
                && !scene.gateway.is_enabled("zoe-admin")
                && scene.gateway.groups("zoe").is_empty()
        );
        assert!(
            !scene.gateway.engine.snapshot().book.catalogue.principals.contains_key(&PrincipalId::new("yan"))
        );
        scene.set(&zoe, "userAccountControl", &["512"]).await?;
        scene.set(&night, "member", &[]).await?;
        scene.gateway.ask(scene.settings()).await?;
        assert!(scene.gateway.is_enabled("zoe") && scene.gateway.groups("zoe").is_empty());

        // The same by StartTLS; from the top of the domain, where it refers to its other parts, which are not followed.
        let starting =
            LdapSettings { urls: vec!["ldap://localhost:389".into()], start_tls: true, ..scene.settings() };
        assert_eq!(scene.gateway.ask(starting).await?.changes, 0);
        let top = LdapSettings { users_base: SUFFIX.into(), ..scene.settings() };
        let refused = scene.gateway.ask(top).await;
        assert!(!matches!(&refused, Ok(outcome) if outcome.accounts == 0), "{refused:?}");
        // Whoever is not vouched for, or is bound to with a wrong password, is not listened to.
        let stranger = countersign_testkit::authority::Authority::new()?.pem;
        let distrusted = LdapSettings { authority: stranger, ..scene.settings() };
        assert!(scene.gateway.ask(distrusted).await.is_err());
        let by_address = LdapSettings { urls: vec!["ldaps://127.0.0.1:636".into()], ..scene.settings() };
        assert!(scene.gateway.ask(by_address).await.is_err(), "its certificate is made out to another name");
        let nobody = LdapSettings { bind_dn: "nobody@example.com".into(), ..scene.settings() };
        assert!(scene.gateway.ask(nobody).await.is_err());
        assert!(scene.gateway.is_enabled("zoe"), "what could not be asked changes nothing");
        scene.gateway.engine.stop().await;
        access_ends_within_a_minute(&mut scene, &zoe).await
    })
}

/// What issue and documentation promise, on the clock of the wall: from the moment the domain knows, with the time between two
/// listings that a gateway has unless it is told otherwise.
async fn access_ends_within_a_minute(scene: &mut Scene, dn: &str) -> Result<()> {
    let zoe = PrincipalId::new("zoe");
    let gateway = Gateway::with(&working_bundle(), PASSWORD, system_ports()).await?;
    let asked = Ldap::new(gateway.engine.clone(), scene.settings(), Arc::new(Only(PASSWORD)));
    let asking = tokio::spawn(asked.run());
    until("she is let in", || gateway.is_enabled("zoe")).await?;

    let (engine, caller) = (&gateway.engine, gateway.engine.caller_with(&zoe, &[Means::Password]));
    let ask = |role: &str| AskAccess {
        role: RoleId::new(role),
        lasting: Span::minutes(30),
        purpose: "night shift".into(),
        ticket: None,
    };
    engine.ask(&caller, ask("reader")).await?;
    let waiting = engine.ask(&caller, ask("writer")).await?;
    let client = Client {
        address: ([127, 0, 0, 1], 5_000).into(),
        application: "psql".into(),
        tls: true,
        proved: None,
    };
    let shop = ResourceId::new("shop");
    let session = engine.open_session(zoe.clone(), shop, None, "postgres", client, None, None).await?;
    assert!(engine.still_signed_in(&caller) && session.ending().is_none());

    // Right after a listing, which is the worst moment.
    scene.set(dn, "userAccountControl", &["514"]).await?;
    let is_over = || {
        let snapshot = engine.snapshot();
        let grants =
            snapshot.book.grants().any(|grant| grant.principal == zoe && grant.is_live(engine.now()));
        let request = snapshot.book.request(waiting);
        let is_withdrawn = request.is_some_and(|request| request.state.as_str() == "withdrawn");
        !grants && is_withdrawn && !engine.still_signed_in(&caller)
    };
    let ended = async {
        let ending = session.ended().await;
        until("what she had is over", is_over).await.map(|()| ending)
    };
    let ending = tokio::time::timeout(LONGEST, ended).await.context("she goes on after a minute")??;
    assert_eq!(ending, Ending::Disabled);
    asking.abort();
    engine.stop().await;
    Ok(())
}

/// A bundle in which one role is given at once, and another one waits for dave.
fn working_bundle() -> Vec<(&'static str, String)> {
    let resource = "[resource.shop]\nkind = \"postgres\"\ntitle = \"Shop\"\nowner = \"group:dba\"\nimpact = \"low\"\n\
        host = \"127.0.0.1\"\nport = 1\ndatabase = \"shop\"\ntls = \"disable\"\n\
        [resource.shop.secrets]\nreader = \"env:R\"\nwriter = \"env:W\"\n";
    let role = |name: &str, action: &str| {
        format!(
            "[role.{name}]\ntitle = \"{name}\"\nactions = [\"{action}\"]\nresources = [\"shop\"]\n\
             account = \"{name}\"\nlongest = \"4h\"\n"
        )
    };
    let rule = "[approval.writer]\nstages = [{ need = 1, from = [\"group:dba\"] }]\npending_for = \"30m\"\n\
        valid_for = \"10m\"\n";
    let policies = "@id(\"all-ask\") permit (principal is User, action == Action::\"access.request\", resource is Role);\n\
        @id(\"writers-wait\") @gate(\"writer\") forbid (principal, action == Action::\"access.request\", \
        resource == Role::\"writer\");\n";
    vec![
        ("people.toml", BUNDLE_PEOPLE.to_owned()),
        ("resources.toml", resource.to_owned()),
        ("roles.toml", role("reader", "sql.read") + &role("writer", "sql.write")),
        ("rules.toml", rule.to_owned()),
        ("house.cedar", policies.to_owned()),
    ]
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONGEST, waiting).await.with_context(|| what.to_owned())
}
