//! The quorum at the level of the book, for every small rule and every order in which people say yes.

use std::collections::BTreeSet;

use countersign_core::catalogue::Group;
use countersign_core::request::State;
use countersign_core::{Facts, GroupId, PersonId, PrincipalId, Refusal, RequestId};

use crate::house::*;
use crate::oracle::best;
use crate::world::{Law, World, group, members, stage, user, who};

/// Five persons, and who is in which of the groups `a`, `b`, `c`: every two groups overlap but `a` and `c`.
const PEOPLE: [(&str, [bool; 3]); 5] = [
    ("p0", [true, false, false]),
    ("p1", [true, true, false]),
    ("p2", [false, true, false]),
    ("p3", [false, true, true]),
    ("p4", [false, false, true]),
];

/// One or two stages, each for one or two people of some of the groups; and three different ones, each for one.
fn rules() -> Vec<Vec<(u32, usize)>> {
    let stages: Vec<(u32, usize)> = (1..=2).flat_map(|need| (1..8).map(move |mask| (need, mask))).collect();
    let mut rules: Vec<Vec<(u32, usize)>> = stages.iter().map(|one| vec![*one]).collect();
    let mut longer = rules.clone();
    for length in [2, 3] {
        longer = longer
            .iter()
            .flat_map(|rule| stages.iter().map(|stage| [rule.as_slice(), &[*stage]].concat()))
            .filter(|rule| rule.is_sorted())
            .filter(|rule| length < 3 || rule.iter().all(|(need, _)| *need == 1) && distinct(rule))
            .collect();
        rules.extend(longer.clone());
    }
    rules
}

fn distinct(rule: &[(u32, usize)]) -> bool {
    rule.windows(2).all(|pair| pair[0] != pair[1])
}

/// The house with request 7 of alice, held by such a rule; alice is in every group herself.
fn asked(rule: &[(u32, usize)]) -> House {
    let world = World::base().changed(2, |world| {
        for (person, _) in PEOPLE {
            world.catalogue.principals.insert(who(person), user(person));
        }
        for (index, name) in ["a", "b", "c"].into_iter().enumerate() {
            let inside = PEOPLE.iter().filter(|(_, groups)| groups[index]).map(|(person, _)| who(person));
            let members = inside.chain([who("alice")]).collect();
            world.catalogue.groups.insert(GroupId::new(name), Group { members, ..Group::default() });
        }
        let stages = rule.iter().map(|(need, mask)| {
            let from = ["a", "b", "c"].into_iter().enumerate().filter(|(index, _)| mask >> index & 1 == 1);
            stage(*need, &from.map(|(_, name)| group(name)).collect::<Vec<_>>())
        });
        world.rule("owner", |rule| rule.stages = stages.collect());
        world.says("access.request/writer", Law::Hold(vec!["owner"]));
    });
    house()
        .knows(&world)
        .when(activate(2, "dave", None))
        .happens()
        .when(ask(7, "alice", access("writer", 30)))
        .happens()
}

fn places(rule: &[(u32, usize)]) -> usize {
    rule.iter().map(|(need, _)| *need as usize).sum()
}

/// How many of these people can be seated, by trying everything.
fn seats(rule: &[(u32, usize)], people: &[usize]) -> usize {
    let fits = people.iter().map(|person| {
        let fits =
            |(_, mask): &(u32, usize)| (0..3).any(|group| mask >> group & 1 == 1 && PEOPLE[*person].1[group]);
        rule.iter().map(fits).collect()
    });
    best(
        &mut rule.iter().map(|(need, _)| *need as usize).collect::<Vec<_>>(),
        &fits.collect::<Vec<Vec<bool>>>(),
    )
}

/// Every rule, every sequence of different people. After each yes:
/// - whoever had a seat has a seat;
/// - a yes is taken exactly if one person more can be seated with it, and else refused for a reason that is true;
/// - the request is approved exactly if the people who were heard, in whatever order, fill every place.
#[test]
fn order_does_not_matter_and_nobody_loses_a_seat() {
    let mut walks = 0;
    for rule in rules() {
        let house = asked(&rule);
        assert_eq!(house.request(7).locked, seats(&rule, &[0, 1, 2, 3, 4]) < places(&rule), "{rule:?}");
        if !house.request(7).locked {
            let facts = house.facts(&approve(7, "p0"));
            walks += hear(&house, &facts, &rule, &mut vec![]);
        }
    }
    assert!(walks > 8_000, "{walks}");
}

fn hear(house: &House, facts: &Facts, rule: &[(u32, usize)], heard: &mut Vec<usize>) -> usize {
    let mut walks = 1;
    let (before, seated_before) = (seats(rule, heard), seated(house));
    for person in (0..PEOPLE.len()).filter(|person| !heard.contains(person)).collect::<Vec<_>>() {
        let fits_any = seats(rule, &[person]) == 1;
        let next = house.clone().when_given(approve(7, PEOPLE[person].0), facts.clone());
        heard.push(person);
        let after = seats(rule, heard);
        let context = || format!("{rule:?} {heard:?} {:?}", next.last());
        match next.last() {
            Ok(_) => assert_eq!(after, before + 1, "{}", context()),
            Err(Refusal::NotAnApprover(_)) => assert!(!fits_any, "{}", context()),
            Err(Refusal::PlaceTaken(_)) => assert!(fits_any && after == before, "{}", context()),
            Err(other) => panic!("{other}: {}", context()),
        }
        let complete = after == places(rule);
        assert_eq!(matches!(next.request(7).state, State::Approved(_)), complete, "{}", context());
        assert!(seated_before.is_subset(&seated(&next)), "{}", context());
        if !complete {
            walks += hear(&next, facts, rule, heard);
        }
        heard.pop();
    }
    walks
}

fn seated(house: &House) -> BTreeSet<PrincipalId> {
    let request = house.request(7);
    let tally = house.book.tally(request, house.now);
    let seats = request.approvals.iter().enumerate().filter(|(index, _)| tally.seats(*index));
    seats.map(|(_, given)| given.by.clone()).collect()
}

/// With a second account for two of the people, one in each group they were not in: whatever is said in
/// whatever order, places are never filled by fewer persons than there are places.
#[test]
fn accounts_are_not_persons() {
    const ACCOUNTS: [&str; 5] = ["p0", "p0-too", "p3", "p3-too", "p2"];
    let mut approved = 0;
    for rule in rules() {
        let world = {
            let house = asked(&rule);
            let base = house.world().unwrap().clone();
            base.changed(3, |world| {
                for (account, of, inside) in [("p0-too", "p0", "c"), ("p3-too", "p3", "a")] {
                    world.catalogue.principals.insert(who(account), user(of));
                    world.group(inside).members.insert(who(account));
                }
            })
        };
        let house = asked(&rule).knows(&world).when(activate(3, "dave", None)).happens();
        for order in orders(ACCOUNTS.len()) {
            let mut house = house.clone();
            for account in order {
                house = house.when(approve(7, ACCOUNTS[account]));
            }
            let request = house.request(7);
            let persons: BTreeSet<&PersonId> = request.approvals.iter().map(|given| &given.person).collect();
            assert_eq!(persons.len(), request.approvals.len(), "{rule:?} {:?}", request.approvals);
            if let State::Approved(_) = request.state {
                approved += 1;
                assert_eq!(persons.len(), places(&rule), "{rule:?}");
            }
        }
    }
    assert!(approved > 700, "{approved}");
}

/// A fifth of the orders of `n` things, evenly spread: rotations, each also backwards.
fn orders(n: usize) -> Vec<Vec<usize>> {
    let rotations = (0..n).map(|first| (0..n).map(|step| (first + step) % n).collect::<Vec<_>>());
    rotations.flat_map(|order| [order.clone(), order.into_iter().rev().collect()]).collect()
}

#[test]
fn the_tally_says_who_fills_what_and_what_is_missing() {
    let house = house_with_session()
        .when(ask(2, "alice", act(1, 1, "sql.merge")))
        .happens()
        .when(approve(2, "dave"))
        .happens();
    let tally = house.book.tally(house.request(2), house.now);
    let stages: Vec<String> = tally
        .stages
        .iter()
        .map(|stage| {
            format!("{}: {} of {}", stage.rule, stage.need, countersign_core::quorum::names(&stage.from))
        })
        .collect();
    assert_eq!(
        stages,
        [
            "prod-write: 1 of group:dba",
            "two-keys: 1 of group:dba or group:leads",
            "two-keys: 1 of group:security"
        ]
    );
    assert_eq!(tally.seated, [vec![], vec![0], vec![]]);
    assert_eq!(tally.missing(), "1 of group:dba and 1 of group:security");
    let approvers = house.book.approvers(house.request(2), house.now);
    assert_eq!(approvers, members(["bob", "carol", "dave", "erin"]).iter().collect());
}

/// Everybody who could never count is left out of the list that notices go to.
#[test]
fn the_list_of_approvers_has_only_those_who_count() {
    let house =
        house().when(ask(7, "bot", access("writer", 30))).happens().when(disable("carol", "dave")).happens();
    let approvers = house.book.approvers(house.request(7), house.now);
    assert_eq!(approvers, members(["bob"]).iter().collect());
    let later = house.book.approvers(house.request(7), minutes(5));
    assert_eq!(later, members(["bob", "dave"]).iter().collect());
    assert!(house.book.request(RequestId(7)).is_some());
}
