//! A directory that is asked: OpenLDAP's slapd, over LDAPS and StartTLS.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use countersign_core::directory::Hearing;
use countersign_core::{DirectoryName, PrincipalId, Span};
use countersign_engine::testing::ManualClock;
use countersign_integrations::ldap::{Failed, Kind, Ldap, LdapSettings};
use countersign_testkit::slapd::{ADMIN, GATEWAY, PASSWORD, SUFFIX, ScratchSlapd};
use ldap3::{LdapConnAsync, Mod};

use directory::{Gateway, Only};

mod directory;

const PEOPLE: &str = "ou=people,dc=example,dc=com";
const GROUPS: &str = "ou=groups,dc=example,dc=com";

/// A directory with people and groups, and a gateway that asks it.
struct Scene {
    server: ScratchSlapd,
    admin: ldap3::Ldap,
    gateway: Gateway,
    clock: ManualClock,
}

/// What the bundle says of people.
const BUNDLE_PEOPLE: &str = "[directory.corp]\nsilent_after = \"1m\"\nlost_after = \"5m\"\n[user.dave]\nname = \"Dave\"\n\
        [group.dba]\nmembers = [\"dave\"]\nfrom = { corp = \"DBA\" }\n\
        [group.night]\nfrom = { corp = \"CN=Night Shift, OU=groups,DC=example,DC=com\" }\n\
        [group.posix]\nfrom = { corp = [\"unix\", \"not there\", \"x)(cn=*\"] }\n";

impl Scene {
    async fn new() -> Result<Self> {
        let server = ScratchSlapd::start()?;
        let (driver, mut admin) = LdapConnAsync::new(&format!("ldap://127.0.0.1:{}", server.port)).await?;
        tokio::spawn(driver.drive());
        admin.simple_bind(ADMIN, PASSWORD).await?.success()?;
        let clock = ManualClock::default();
        let gateway = Gateway::start(BUNDLE_PEOPLE, PASSWORD, &clock).await?;
        let mut scene = Self { server, admin, gateway, clock };
        scene.add(SUFFIX, &[("objectClass", &["domain"]), ("dc", &["example"])]).await?;
        for unit in ["people", "groups"] {
            let dn = format!("ou={unit},{SUFFIX}");
            scene.add(&dn, &[("objectClass", &["organizationalUnit"]), ("ou", &[unit])]).await?;
        }
        let gateway: &[(&str, &[&str])] = &[
            ("objectClass", &["organizationalRole", "simpleSecurityObject"]),
            ("cn", &["gateway"]),
            ("userPassword", &[PASSWORD]),
        ];
        scene.add(GATEWAY, gateway).await?;
        Ok(scene)
    }

    async fn add(&mut self, dn: &str, attributes: &[(&str, &[&str])]) -> Result<()> {
        let attributes = attributes.iter().map(|(name, values)| (*name, values.iter().copied().collect()));
        self.admin.add(dn, attributes.collect()).await?.success().with_context(|| dn.to_owned())?;
        Ok(())
    }

    async fn person(&mut self, uid: &str, more: &[(&str, &[&str])]) -> Result<String> {
        let dn = format!("uid={uid},{PEOPLE}");
        // Addresses are in ASCII, to this server.
        let mail = if uid.is_ascii() { format!("{uid}@example.com") } else { "x@example.com".to_owned() };
        let usual: [(&str, &[&str]); 5] = [
            ("objectClass", &["inetOrgPerson", "extensibleObject"]),
            ("uid", &[uid]),
            ("cn", &[uid]),
            ("sn", &[uid]),
            ("mail", &[&mail]),
        ];
        self.add(&dn, &[&usual, more].concat()).await?;
        Ok(dn)
    }

    async fn group(&mut self, cn: &str, members: &[&str]) -> Result<String> {
        let dn = format!("cn={cn},{GROUPS}");
        self.add(&dn, &[("objectClass", &["groupOfNames"]), ("cn", &[cn]), ("member", members)]).await?;
        Ok(dn)
    }

    async fn set(&mut self, dn: &str, attribute: &str, values: &[&str]) -> Result<()> {
        let change = Mod::Replace(attribute, values.iter().copied().collect());
        self.admin.modify(dn, vec![change]).await?.success()?;
        Ok(())
    }

    fn settings(&self) -> LdapSettings {
        LdapSettings {
            directory: DirectoryName::new("corp"),
            kind: Kind::Ldap,
            urls: vec![format!("ldaps://localhost:{}", self.server.tls_port)],
            start_tls: false,
            authority: self.server.authority.clone(),
            bind_dn: GATEWAY.into(),
            bind_password: "file:x".into(),
            users_base: PEOPLE.into(),
            users_filter: LdapSettings::usual_filter(Kind::Ldap).into(),
            groups_base: GROUPS.into(),
            name: "uid".into(),
            number: Some("employeeNumber".into()),
            every: Duration::from_secs(30),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_and_groups_come_and_go() -> Result<()> {
    let mut scene = Scene::new().await?;
    let zoe = scene.person("Zoe", &[("displayName", &["Zoe Zimmer"])]).await?;
    let yan = scene.person("yan", &[]).await?;
    let shut = scene.person("shut", &[("userAccountControl", &["514"])]).await?;
    scene.person("late", &[("accountExpires", &["116444736000000000"])]).await?;
    scene.person("Ünal", &[]).await?;
    scene.person("o(*)", &[]).await?;
    // A group within a group, which is within the first; and members that are nobody.
    let nobody = format!("uid=nobody,{PEOPLE}");
    let circle = format!("cn=DBA,{GROUPS}");
    let night = scene.group("Night Shift", &[&zoe.to_uppercase(), &nobody, &circle]).await?;
    scene.group("DBA", &[&night, &shut]).await?;
    let unix: &[(&str, &[&str])] = &[
        ("objectClass", &["posixGroup"]),
        ("cn", &["unix"]),
        ("gidNumber", &["7"]),
        ("memberUid", &["yan", "nobody"]),
    ];
    scene.add(&format!("cn=unix,{GROUPS}"), unix).await?;
    let outcome = scene.gateway.ask(scene.settings()).await?;
    assert_eq!(outcome.accounts, 4, "{outcome:?}");
    assert_eq!(outcome.skipped.len(), 4, "{outcome:?}");
    assert_eq!(scene.gateway.groups("zoe"), ["dba", "night"]);
    assert_eq!(scene.gateway.groups("yan"), ["posix"]);
    assert!(
        scene.gateway.is_enabled("zoe")
            && scene.gateway.is_enabled("yan")
            && !scene.gateway.is_enabled("shut")
            && !scene.gateway.is_enabled("late")
    );
    let profile = scene.gateway.engine.profile(&PrincipalId::new("zoe")).context("a profile")?;
    assert_eq!(profile.display.as_deref(), Some("Zoe Zimmer"));
    assert_eq!(scene.gateway.ask(scene.settings()).await?.changes, 0);
    // Disabled, and gone.
    scene.set(&zoe, "userAccountControl", &["514"]).await?;
    scene.admin.delete(&yan).await?.success()?;
    assert_eq!(scene.gateway.ask(scene.settings()).await?.changes, 2);
    assert!(!scene.gateway.is_enabled("zoe") && scene.gateway.groups("zoe").is_empty());
    assert!(
        !scene.gateway.engine.snapshot().book.catalogue.principals.contains_key(&PrincipalId::new("yan"))
    );
    scene.set(&zoe, "userAccountControl", &["512"]).await?;
    scene.gateway.ask(scene.settings()).await?;
    assert!(scene.gateway.is_enabled("zoe"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_page_is_listed() -> Result<()> {
    let mut scene = Scene::new().await?;
    for number in 0..1_203 {
        scene.person(&format!("p{number}"), &[]).await?;
    }
    assert_eq!(scene.gateway.ask(scene.settings()).await?.accounts, 1_203);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_server_that_is_vouched_for_is_asked() -> Result<()> {
    let mut scene = Scene::new().await?;
    scene.person("zoe", &[]).await?;
    let starting = LdapSettings {
        urls: vec![format!("ldap://localhost:{}", scene.server.port)],
        start_tls: true,
        ..scene.settings()
    };
    assert_eq!(scene.gateway.ask(starting).await?.accounts, 1);
    let second = LdapSettings {
        urls: vec!["ldaps://localhost:1".into(), format!("ldaps://localhost:{}", scene.server.tls_port)],
        ..scene.settings()
    };
    assert_eq!(scene.gateway.ask(second).await?.accounts, 1);
    let other = countersign_testkit::authority::Authority::new()?.pem;
    let by_address = vec![format!("ldaps://127.0.0.1:{}", scene.server.tls_port)];
    for wrong in [
        LdapSettings { authority: other, ..scene.settings() },
        LdapSettings { urls: by_address, ..scene.settings() },
        LdapSettings { urls: vec![format!("ldaps://localhost:{}", scene.server.port)], ..scene.settings() },
    ] {
        assert!(matches!(scene.gateway.ask(wrong.clone()).await, Err(Failed::Connect(..))), "{wrong:?}");
    }
    let clear =
        LdapSettings { urls: vec![format!("ldap://localhost:{}", scene.server.port)], ..scene.settings() };
    assert!(clear.check().is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_listing_is_none() -> Result<()> {
    let mut scene = Scene::new().await?;
    scene.person("zoe", &[]).await?;
    scene.gateway.ask(scene.settings()).await?;
    let ask = async |settings: LdapSettings, password: &'static str| {
        Ldap::new(scene.gateway.engine.clone(), settings, Arc::new(Only(password))).ask().await
    };
    assert!(matches!(ask(scene.settings(), "wrong").await, Err(Failed::Said("bind", 49, _))));
    assert!(matches!(ask(scene.settings(), "").await, Err(Failed::NoPassword)));
    let nowhere = LdapSettings { users_base: "ou=nowhere,dc=example,dc=com".into(), ..scene.settings() };
    assert!(matches!(ask(nowhere, PASSWORD).await, Err(Failed::Said("search", 32, _))));
    let nobody = LdapSettings { users_filter: "(uid=nobody)".into(), ..scene.settings() };
    assert!(matches!(ask(nobody, PASSWORD).await, Err(Failed::Empty)));
    assert!(scene.gateway.is_enabled("zoe"), "nothing was concluded from any of it");
    // What a name of a group could do to a filter, it does not.
    let microsoft = LdapSettings {
        kind: Kind::ActiveDirectory,
        users_filter: "(objectClass=inetOrgPerson)".into(),
        ..scene.settings()
    };
    let outcome = ask(microsoft, PASSWORD).await?;
    assert!(outcome.accounts == 1 && scene.gateway.groups("zoe").is_empty(), "{outcome:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn referrals_are_not_followed() -> Result<()> {
    let mut scene = Scene::new().await?;
    scene.person("zoe", &[]).await?;
    let elsewhere = format!("ldap://127.0.0.1:{}/{PEOPLE}", scene.server.port);
    let referral: &[(&str, &[&str])] =
        &[("objectClass", &["referral", "extensibleObject"]), ("ou", &["away"]), ("ref", &[&elsewhere])];
    scene.add(&format!("ou=away,{PEOPLE}"), referral).await?;
    assert_eq!(scene.gateway.ask(scene.settings()).await?.accounts, 1);
    let away = LdapSettings { users_base: format!("ou=away,{PEOPLE}"), ..scene.settings() };
    assert!(matches!(scene.gateway.ask(away).await, Err(Failed::Referral)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_makes_things_stricter_and_one_that_is_back_makes_up_for_it() -> Result<()> {
    let mut scene = Scene::new().await?;
    let zoe = scene.person("zoe", &[]).await?;
    scene.person("yan", &[]).await?;
    scene.gateway.ask(scene.settings()).await?;
    scene.set(&zoe, "userAccountControl", &["514"]).await?;
    scene.server.stop();
    let hearing = |scene: &Scene| scene.gateway.engine.directories().first().map(|one| one.hearing);
    for (wait, expected) in
        [(59, Hearing::Heard), (1, Hearing::Silent), (239, Hearing::Silent), (1, Hearing::Lost)]
    {
        scene.clock.advance(Span::seconds(wait));
        assert!(scene.gateway.ask(scene.settings()).await.is_err());
        scene.gateway.engine.watch_directories().await;
        assert_eq!(hearing(&scene), Some(expected));
    }
    assert!(!scene.gateway.is_enabled("yan"));
    scene.server.begin()?;
    scene.gateway.ask(scene.settings()).await?;
    assert_eq!(hearing(&scene), Some(Hearing::Heard));
    assert!(scene.gateway.is_enabled("yan") && !scene.gateway.is_enabled("zoe"));
    Ok(())
}
