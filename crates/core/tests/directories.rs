//! People of directories: how they come, what they may be, and how everything of theirs ends.

use std::collections::BTreeSet;

use countersign_core::book::Standing;
use countersign_core::directory::{
    Account, Change, Command as DirectoryCommand, Event as Told, Hearing, Said,
};
use countersign_core::request::Withdrawal;
use countersign_core::session::Ending;
use countersign_core::{
    Command, Digest, DirectoryName, Event, GrantId, GroupId, PrincipalId, Refusal, SessionId,
};

use crate::house::*;
use crate::world::{Law, World, person, user, who};

const BY: &str = "directory:corp";

fn corp() -> DirectoryName {
    DirectoryName::new("corp")
}

fn account(name: &str, is_active: bool, groups: &[&str]) -> Account {
    let groups = groups.iter().map(|name| GroupId::new(name)).collect();
    Account { record: digest(name.bytes().map(u128::from).sum()), person: person(name), is_active, groups }
}

fn tell<const N: usize>(accounts: [(&str, Said); N]) -> Command {
    let accounts = accounts.map(|(name, said)| (who(name), said)).to_vec();
    Command::Directory(DirectoryCommand::Tell { directory: corp(), accounts })
}

fn there(name: &str, groups: &[&str]) -> Command {
    tell([(name, Said::There(account(name, true, groups)))])
}

fn shut(name: &str) -> Command {
    tell([(name, Said::There(account(name, false, &[])))])
}

fn hear(hearing: Hearing) -> Command {
    Command::Directory(DirectoryCommand::Hear { directory: corp(), hearing })
}

fn heard(hearing: Hearing) -> Event {
    Event::Directory(Told::Heard { directory: corp(), hearing })
}

fn told(name: &str, change: Change, account: Account) -> Event {
    Event::Directory(Told::Told { directory: corp(), principal: who(name), account, change })
}

fn removed(name: &str) -> Event {
    Event::Directory(Told::Removed { directory: corp(), principal: who(name) })
}

/// The house with `zoe` of the directory in session 1 by grant 1 as `writer`, and her request 2 waiting.
fn house_with_zoe() -> House {
    house()
        .when(there("zoe", &["dba"]))
        .happens()
        .when(ask(1, "zoe", access("writer", 60)))
        .happens()
        .when(approve(1, "bob"))
        .happens()
        .when(open(1, "zoe", "writer", "shop"))
        .happens()
        .when(ask(2, "zoe", act(1, 1, "sql.delete")))
        .happens()
        .state(2, "pending")
}

fn is_in(house: &House, name: &str, group: &str) -> bool {
    house.book.catalogue.members(&GroupId::new(group)).contains(&who(name))
}

#[test]
fn somebody_comes_changes_and_goes() {
    let there = |change, groups: &[&str]| told("zoe", change, account("zoe", true, groups));
    let house = house()
        .when(self::there("zoe", &["dba", "everyone", "no-such-group"]))
        .then([there(Change::Created, &["dba"])])
        .holds(|book, _| book.is_enabled(&who("zoe")) && book.person(&who("zoe")) == Some(&person("zoe")))
        .when(self::there("zoe", &["dba"]))
        .then([])
        .when(self::there("zoe", &["leads"]))
        .then([there(Change::Updated, &["leads"])]);
    assert!(
        !is_in(&house, "zoe", "dba") && is_in(&house, "zoe", "leads") && is_in(&house, "zoe", "security")
    );
    let house = house
        .when(shut("zoe"))
        .then([told("zoe", Change::Disabled, account("zoe", false, &[]))])
        .holds(|book, _| !book.is_enabled(&who("zoe")))
        .when(self::there("zoe", &[]))
        .then([there(Change::Enabled, &[])])
        .when(tell([("zoe", Said::Gone)]))
        .then([removed("zoe")])
        .when(tell([("zoe", Said::Gone)]))
        .then([]);
    assert!(!house.book.catalogue.principals.contains_key(&who("zoe")));
    assert_eq!(house.book.catalogue, *house.book.stated());
}

#[test]
fn who_is_shut_out_at_the_source_has_nothing_any_more() {
    for (gone, news) in [
        (shut("zoe"), told("zoe", Change::Disabled, account("zoe", false, &[]))),
        (tell([("zoe", Said::Gone)]), removed("zoe")),
    ] {
        let house = house_with_zoe()
            .when(gone)
            .then([news, withdrawn(2, Withdrawal::PrincipalDisabled), revoked(1, BY)])
            .holds(|book, now| {
                let session = book.session(SessionId(1)).unwrap();
                book.standing(session, now) == Standing::Over(Ending::Disabled)
            })
            .when(there("zoe", &["dba"]))
            .happens();
        assert!(!holds(&house.book, "zoe", "writer", house.now), "what has ended does not come back");
    }
}

#[test]
fn a_name_given_to_another_human_finds_nothing() {
    let other = Account { record: digest(4711), ..account("zoe", true, &["dba"]) };
    house_with_zoe().when(tell([("zoe", Said::There(other.clone()))])).then([
        removed("zoe"),
        told("zoe", Change::Created, other),
        withdrawn(2, Withdrawal::PrincipalDisabled),
        revoked(1, BY),
    ]);
}

#[test]
fn what_its_services_and_agents_have_ends_too() {
    let mut world = World::base();
    world.principal("alice").directory = Some(corp());
    world.bundle = Digest([9; 32]);
    house()
        .knows(&world)
        .when(activate(9, "dave", None))
        .happens()
        .when(ask(1, "alice", access("reader", 60)))
        .refused(Refusal::Disabled(who("alice")))
        .when(there("alice", &[]))
        .happens()
        .when(ask(1, "bot", access("reader", 60)))
        .happens()
        .when(shut("alice"))
        .then([told("alice", Change::Disabled, account("alice", false, &[])), revoked(1, BY)])
        .when(ask(2, "bot", access("reader", 60)))
        .refused(Refusal::Disabled(who("bot")));
}

#[test]
fn a_directory_takes_nobodys_name_and_enables_nobody() {
    house()
        .when(there("alice", &["dba"]))
        .refused(Refusal::NameTaken(who("alice")))
        .when(Command::Directory(DirectoryCommand::Tell {
            directory: DirectoryName::new("partners"),
            accounts: vec![(who("zoe"), Said::There(account("zoe", true, &[])))],
        }))
        .happens()
        .when(there("zoe", &[]))
        .refused(Refusal::NameTaken(who("zoe")))
        .when(Command::Directory(DirectoryCommand::Hear {
            directory: DirectoryName::new("nowhere"),
            hearing: Hearing::Lost,
        }))
        .refused(Refusal::NoSuchDirectory(DirectoryName::new("nowhere")))
        .when(there("yan", &[]))
        .happens()
        .when(disable("yan", "bob"))
        .happens()
        .when(there("yan", &["dba"]))
        .happens()
        .holds(|book, _| !book.is_enabled(&who("yan")));
}

#[test]
fn a_silent_directory_lets_nothing_begin_and_a_lost_one_ends_all() {
    let unheard = || Refusal::Unheard(corp());
    let house = house_with_zoe()
        .when(ask(3, "zoe", access("writer", 5)))
        .happens()
        .when(hear(Hearing::Silent))
        .then([heard(Hearing::Silent)])
        .when(hear(Hearing::Silent))
        .then([])
        .when(ask(4, "zoe", access("reader", 5)))
        .refused(unheard())
        .when(open(2, "zoe", "writer", "shop"))
        .refused(unheard())
        .when(approve(3, "bob"))
        .refused(unheard())
        .when(ask(5, "alice", access("writer", 5)))
        .happens()
        .when(approve(5, "zoe"))
        .refused(unheard());
    assert!(holds(&house.book, "zoe", "writer", house.now), "what she has goes on for now");
    house
        .when(hear(Hearing::Lost))
        .then([
            heard(Hearing::Lost),
            withdrawn(2, Withdrawal::PrincipalDisabled),
            withdrawn(3, Withdrawal::PrincipalDisabled),
            revoked(1, BY),
        ])
        .holds(|book, _| !book.is_enabled(&who("zoe")) && book.is_enabled(&who("alice")))
        .when(hear(Hearing::Heard))
        .then([heard(Hearing::Heard)])
        .holds(|book, now| book.is_enabled(&who("zoe")) && !holds(book, "zoe", "writer", now));
}

#[test]
fn an_approver_counts_by_the_directorys_word() {
    let house = house()
        .when(there("zoe", &["dba"]))
        .happens()
        .when(ask(1, "alice", access("writer", 60)))
        .happens()
        .when(there("zoe", &[]))
        .happens()
        .when(approve(1, "zoe"))
        .refused_with("do not name you")
        .when(there("zoe", &["dba"]))
        .happens()
        .when(approve(1, "zoe"))
        .happens();
    assert!(holds(&house.book, "alice", "writer", house.now));
}

#[test]
fn two_accounts_of_one_human_count_once() {
    let other_self = Account { person: person("alice"), ..account("zoe", true, &["dba"]) };
    house()
        .when(tell([("zoe", Said::There(other_self))]))
        .happens()
        .when(ask(1, "alice", access("writer", 60)))
        .happens()
        .when(approve(1, "zoe"))
        .refused(Refusal::OwnRequest);
}

#[test]
fn a_grant_ends_with_the_group_it_stood_on_if_policy_says_no() {
    let unfound =
        |grant| Command::Directory(DirectoryCommand::Unfound { directory: corp(), grant: GrantId(grant) });
    let stricter = World::base().changed(7, |world| world.says("access.request/writer", Law::NoPermit));
    house_with_zoe()
        .when(unfound(1))
        .refused_with("still lets its holder ask")
        .knows(&stricter)
        .when(activate(7, "dave", None))
        .happens()
        .when(unfound(1))
        .happens()
        .holds(|book, now| !holds(book, "zoe", "writer", now));
    house_with_session()
        .knows(&stricter)
        .when(activate(7, "dave", None))
        .happens()
        .when(unfound(1))
        .refused(Refusal::NoSuchDirectory(corp()));
}

#[test]
fn another_bundle_keeps_whom_it_still_knows() {
    let renamed = World::base().changed(2, |world| {
        world.group("dba").from.insert(corp(), BTreeSet::from(["DBAs".to_owned()]));
    });
    let house = house_with_zoe().knows(&renamed).when(activate(2, "dave", None)).happens();
    assert!(!is_in(&house, "zoe", "dba"), "a group that is filled otherwise is filled anew");
    assert!(holds(&house.book, "zoe", "writer", house.now));
    let house = house.when(there("zoe", &["dba"])).happens();
    assert!(is_in(&house, "zoe", "dba"));

    let without = World::base().changed(3, |world| {
        world.catalogue.directories.remove(&corp());
    });
    let house = house_with_zoe().knows(&without).when(activate(3, "dave", None)).happens();
    assert!(!house.book.catalogue.principals.contains_key(&who("zoe")));
    assert!(!holds(&house.book, "zoe", "writer", house.now));
    assert_eq!(house.request(2).state.as_str(), "void");
}

#[test]
fn no_bundle_takes_an_account_from_a_directory_that_shut_it_out() {
    let taken = |directory: Option<DirectoryName>| {
        World::base().changed(2, move |world| {
            let mut zoe = user("zoe");
            zoe.directory = directory;
            world.catalogue.principals.insert(who("zoe"), zoe);
        })
    };
    let open_to = |world: World, is_shut: bool| {
        let house = house().when(there("zoe", &[])).happens();
        let house = if is_shut { house.when(shut("zoe")).happens() } else { house };
        let house = house.knows(&world).when(activate(2, "dave", None)).happens();
        house.book.is_enabled(&PrincipalId::new("zoe"))
    };
    assert!(open_to(taken(Some(corp())), false) && open_to(taken(None), false));
    assert!(!open_to(taken(Some(corp())), true) && !open_to(taken(None), true));
    let house = house_with_zoe().knows(&taken(None)).when(activate(2, "dave", None)).happens();
    assert!(!holds(&house.book, "zoe", "writer", house.now), "the name may be another human's");
    let house = house_with_zoe().knows(&taken(Some(corp()))).when(activate(2, "dave", None)).happens();
    assert!(holds(&house.book, "zoe", "writer", house.now), "it is said that she is the same");
}
