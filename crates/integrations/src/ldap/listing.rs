//! All accounts of a directory, with the groups that are asked about.

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::At;
use countersign_engine::directory::{Listed, Profile};
use ldap3::ldap_escape;

use super::client::{Connection, Failed};
use super::entry::{Entry, plain_dn};
use super::{Kind, LdapSettings};

/// What is read of accounts, beside their name.
const ACCOUNT: [&str; 11] = [
    "objectGUID",
    "entryUUID",
    "nsUniqueId",
    "ipaUniqueID",
    "mail",
    "displayName",
    "cn",
    "userAccountControl",
    "accountExpires",
    "pwdAccountLockedTime",
    "nsAccountLock",
];

/// Active Directory's rule for members through any number of groups.
const IN_CHAIN: &str = "1.2.840.113556.1.4.1941";

/// Which entries are groups where no matching rule finds their members.
const GROUPS: &str = "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=posixGroup))";

/// A full listing.
pub(super) struct Listing {
    pub(super) accounts: Vec<Listed>,
    /// Accounts that are left out, and groups that are not there, in words.
    pub(super) skipped: Vec<String>,
}

/// Lists everybody. `wanted` are the groups that are asked about: their names, or whole distinguished names.
pub(super) async fn list(
    settings: &LdapSettings,
    password: &str,
    wanted: &[String],
    now: At,
) -> Result<Listing, Failed> {
    let mut connection = Connection::open(settings, password).await?;
    let mut attributes = ACCOUNT.to_vec();
    attributes.push(&settings.name);
    attributes.extend(settings.number.as_deref());
    let users = connection.search(&settings.users_base, &settings.users_filter, &attributes).await?;
    let mut skipped = Vec::new();
    let groups = match settings.kind {
        Kind::Ldap => by_members(&mut connection, (settings, wanted), &users, &mut skipped).await?,
        Kind::ActiveDirectory => in_chain(&mut connection, (settings, wanted), &mut skipped).await?,
    };
    connection.close().await;
    let mut accounts = Vec::with_capacity(users.len());
    for user in &users {
        match account(settings, user, now) {
            Ok(mut listed) => {
                listed.groups = groups.get(&plain_dn(&user.dn)).cloned().unwrap_or_default();
                accounts.push(listed);
            }
            Err(why) => skipped.push(why),
        }
    }
    Ok(Listing { accounts, skipped })
}

fn account(settings: &LdapSettings, user: &Entry, now: At) -> Result<Listed, String> {
    let name = user.name(&settings.name);
    let name = name.ok_or_else(|| format!("`{}` has no `{}`, or several", user.dn, settings.name))?;
    let record = user.record().ok_or_else(|| format!("`{}` has no identifier that can be read", user.dn))?;
    Ok(Listed {
        name: name.to_owned(),
        record,
        is_active: user.is_active(now),
        groups: BTreeSet::new(),
        profile: Profile {
            display: user.text("displayName").or_else(|| user.text("cn")).map(str::to_owned),
            email: user.text("mail").map(str::to_owned),
            number: settings.number.as_deref().and_then(|number| user.text(number)).map(str::to_owned),
        },
    })
}

/// The wanted groups of each account, by its plain name.
type Groups = BTreeMap<String, BTreeSet<String>>;

/// Active Directory says itself who is in a group through others.
async fn in_chain(
    connection: &mut Connection,
    (settings, wanted): (&LdapSettings, &[String]),
    skipped: &mut Vec<String>,
) -> Result<Groups, Failed> {
    let mut groups = Groups::new();
    for name in wanted {
        let dn = if name.contains('=') {
            name.clone()
        } else {
            let filter = format!("(&(objectClass=group)(cn={}))", ldap_escape(name.as_str()));
            let found = connection.search(&settings.groups_base, &filter, &["cn"]).await?;
            let [only] = found.as_slice() else {
                skipped.push(format!("{} groups are called `{name}`; nobody is in it", found.len()));
                continue;
            };
            only.dn.clone()
        };
        let chain = format!("(memberOf:{IN_CHAIN}:={})", ldap_escape(dn.as_str()));
        let filter = format!("(&{}{chain})", settings.users_filter);
        for member in connection.search(&settings.users_base, &filter, &["cn"]).await? {
            groups.entry(plain_dn(&member.dn)).or_default().insert(name.clone());
        }
    }
    Ok(groups)
}

/// Elsewhere groups name their members, and members may be groups.
async fn by_members(
    connection: &mut Connection,
    (settings, wanted): (&LdapSettings, &[String]),
    users: &[Entry],
    skipped: &mut Vec<String>,
) -> Result<Groups, Failed> {
    if wanted.is_empty() {
        return Ok(Groups::new());
    }
    let attributes = ["cn", "member", "uniqueMember", "memberUid"];
    let all = connection.search(&settings.groups_base, GROUPS, &attributes).await?;
    let known: BTreeMap<String, &Entry> = all.iter().map(|group| (plain_dn(&group.dn), group)).collect();
    let people = People::new(settings, users);
    let mut groups = Groups::new();
    for name in wanted {
        let found: Vec<String> = if name.contains('=') {
            Some(plain_dn(name)).filter(|dn| known.contains_key(dn)).into_iter().collect()
        } else {
            let called = |group: &Entry| group.texts("cn").any(|cn| cn.eq_ignore_ascii_case(name));
            known.iter().filter(|(_, group)| called(group)).map(|(dn, _)| dn.clone()).collect()
        };
        let [only] = found.as_slice() else {
            skipped.push(format!("{} groups are called `{name}`; nobody is in it", found.len()));
            continue;
        };
        for member in people.within(only, &known) {
            groups.entry(member).or_default().insert(name.clone());
        }
    }
    Ok(groups)
}

/// Accounts by what groups call them.
struct People {
    dns: BTreeSet<String>,
    uids: BTreeMap<String, String>,
}

impl People {
    fn new(settings: &LdapSettings, users: &[Entry]) -> Self {
        let uids = users
            .iter()
            .filter_map(|user| Some((user.name(&settings.name)?.to_lowercase(), plain_dn(&user.dn))));
        Self { dns: users.iter().map(|user| plain_dn(&user.dn)).collect(), uids: uids.collect() }
    }

    /// Everybody in a group, through groups within it. A group that is in itself is no harm.
    fn within(&self, group: &str, known: &BTreeMap<String, &Entry>) -> BTreeSet<String> {
        let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
        let mut open = vec![group.to_owned()];
        while let Some(dn) = open.pop() {
            let Some(entry) = known.get(&dn) else { continue };
            if !seen.insert(dn) {
                continue;
            }
            for member in entry.texts("member").chain(entry.texts("uniqueMember")).map(plain_dn) {
                if self.dns.contains(&member) {
                    found.insert(member);
                } else {
                    open.push(member);
                }
            }
            let uids = entry.texts("memberUid").filter_map(|uid| self.uids.get(&uid.to_lowercase()));
            found.extend(uids.cloned());
        }
        found
    }
}
