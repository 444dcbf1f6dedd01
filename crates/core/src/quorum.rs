//! Who must still say yes: a matching of distinct persons to the places of the approval rules.
//!
//! Every gate of a request contributes its stages, every stage its places. A person fills one place in the
//! whole request, whatever accounts they have. The requester's person never counts, nor does a service, an
//! agent, or a principal that is disabled. Administrators are not exempt: nothing here knows of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::book::Book;
use crate::catalogue::Place;
use crate::ids::{PersonId, PrincipalId, RuleName};
use crate::request::{Request, State};
use crate::time::At;

/// One stage of one gate, with the principals who may fill its places at a given instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage<'a> {
    /// The rule it belongs to.
    pub rule: &'a RuleName,
    /// How many distinct persons it needs.
    pub need: u32,
    /// How the rule names them.
    pub from: Vec<&'a Place>,
    /// Who they are: enabled users of other persons than the requester's.
    pub who: BTreeMap<&'a PrincipalId, &'a PersonId>,
}

/// How far a request has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally<'a> {
    /// The stages in the order of the gates.
    pub stages: Vec<Stage<'a>>,
    /// For each stage, the approvers seated in it, as indices into the request's approvals.
    pub seated: Vec<Vec<usize>>,
}

impl Book {
    /// The stages of `request` with those who are eligible at `now`, escalations included. A rule that asks
    /// for nobody is never satisfied: it counts as one place that nobody can fill.
    #[must_use]
    pub fn stages<'a>(&'a self, request: &'a Request, now: At) -> Vec<Stage<'a>> {
        let mut stages = Vec::new();
        for gate in &request.gates {
            let waited = now.since(request.asked_at);
            let added =
                gate.terms.escalate.iter().filter(|step| step.after <= waited).flat_map(|step| &step.add);
            let added: Vec<&Place> = added.collect();
            for stage in &gate.terms.stages {
                let from: Vec<&Place> = stage.from.iter().chain(added.iter().copied()).collect();
                let who = self.eligible(request, &from);
                stages.push(Stage { rule: &gate.rule, need: stage.need.max(1), from, who });
            }
            if gate.terms.stages.is_empty() {
                stages.push(Stage { rule: &gate.rule, need: 1, from: Vec::new(), who: BTreeMap::new() });
            }
        }
        stages
    }

    /// Seats the approvals of `request` that count at `now`. Approvals of one person, by whichever accounts,
    /// are one candidate.
    #[must_use]
    pub fn tally<'a>(&'a self, request: &'a Request, now: At) -> Tally<'a> {
        let stages = self.stages(request, now);
        let persons = self.persons_of_approvals(request);
        let by = |index: &usize| request.approvals.get(*index).map(|given| &given.by);
        let fits = |mine: &Vec<usize>, who: &BTreeMap<&PrincipalId, &PersonId>| {
            mine.iter().copied().find(|index| by(index).is_some_and(|by| who.contains_key(by)))
        };
        let candidates =
            persons.iter().map(|mine| fitting(&stages, |who| fits(mine, who).is_some())).collect();
        let seated = seat(&needs(&stages), candidates);
        let seated = seated.iter().zip(&stages).map(|(row, stage)| {
            let row = row.iter().filter_map(|person| persons.get(*person));
            row.filter_map(|mine| fits(mine, &stage.who)).collect()
        });
        let seated = seated.collect();
        Tally { stages, seated }
    }

    /// Whether the rules of `request` can be satisfied at all by people who are eligible, or will be once
    /// every escalation has happened that comes before it lapses.
    #[must_use]
    pub fn can_be_satisfied(&self, request: &Request) -> bool {
        let stages = self.stages(request, At(request.lapses_at.0.saturating_sub(1)));
        let persons: BTreeSet<&PersonId> =
            stages.iter().flat_map(|stage| stage.who.values().copied()).collect();
        let fits = persons
            .iter()
            .map(|person| fitting(&stages, |who| who.values().any(|one| one == person)))
            .collect();
        let needs = needs(&stages);
        is_full(&needs, &seat(&needs, fits))
    }

    /// Every principal who could answer `request` at `now`.
    #[must_use]
    pub fn approvers<'a>(&'a self, request: &'a Request, now: At) -> BTreeSet<&'a PrincipalId> {
        self.stages(request, now).iter().flat_map(|stage| stage.who.keys().copied()).collect()
    }

    /// Whether `request` waits for people who do not exist: an alarm, also when they left after it was asked.
    #[must_use]
    pub fn is_locked(&self, request: &Request) -> bool {
        request.state == State::Pending && !self.can_be_satisfied(request)
    }

    /// Everybody who is on the requester's side: who answered for the principal when it asked, and who does
    /// along its chain.
    pub(crate) fn persons_behind<'a>(&'a self, request: &'a Request) -> BTreeSet<&'a PersonId> {
        let chain = self.catalogue.chain(&request.by);
        let persons = chain.iter().filter_map(|link| self.person(link));
        persons.chain([&request.person]).collect()
    }

    /// The approvals of `request`, as indices, by person: accounts that are of one person, or were when they
    /// said yes, belong together. In the order of each person's first yes.
    pub(crate) fn persons_of_approvals(&self, request: &Request) -> Vec<Vec<usize>> {
        let mut persons: Vec<(BTreeSet<&PersonId>, Vec<usize>)> = Vec::new();
        for (index, given) in request.approvals.iter().enumerate() {
            let mut names: BTreeSet<&PersonId> = self.person(&given.by).into_iter().collect();
            names.insert(&given.person);
            let (same, others): (Vec<_>, Vec<_>) =
                persons.into_iter().partition(|(had, _)| !had.is_disjoint(&names));
            let mut mine = vec![index];
            for (had, indices) in same {
                names.extend(had);
                mine.extend(indices);
            }
            mine.sort_unstable();
            persons = others;
            persons.push((names, mine));
        }
        let mut persons: Vec<Vec<usize>> = persons.into_iter().map(|(_, mine)| mine).collect();
        persons.sort_unstable();
        persons
    }

    fn eligible<'a>(
        &'a self,
        request: &Request,
        from: &[&'a Place],
    ) -> BTreeMap<&'a PrincipalId, &'a PersonId> {
        let catalogue = &self.catalogue;
        let behind = self.persons_behind(request);
        from.iter()
            .flat_map(|place| catalogue.principals_at(place, request.resource()))
            .filter(|id| self.is_enabled(id))
            .filter_map(|id| catalogue.principals.get(id).map(|principal| (id, principal)))
            .filter(|(_, principal)| principal.is_user() && !behind.contains(&principal.person))
            .map(|(id, principal)| (id, &principal.person))
            .collect()
    }
}

impl Tally<'_> {
    /// Whether every place is filled.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        is_full(&needs(&self.stages), &self.seated)
    }

    /// Whether the approval with this index has a place.
    #[must_use]
    pub fn seats(&self, approval: usize) -> bool {
        self.seated.iter().any(|stage| stage.contains(&approval))
    }

    /// What is still needed, in words: `1 of group:dba and 1 of group:security`.
    #[must_use]
    pub fn missing(&self) -> String {
        let open = self.stages.iter().zip(&self.seated).filter_map(|(stage, seated)| {
            let missing = (stage.need as usize).saturating_sub(seated.len());
            (missing > 0).then(|| format!("{missing} of {}", names(&stage.from)))
        });
        open.collect::<Vec<_>>().join(" and ")
    }
}

/// The places of a stage in words: `group:dba or owner`.
#[must_use]
pub fn names(from: &[&Place]) -> String {
    from.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

fn needs(stages: &[Stage<'_>]) -> Vec<usize> {
    stages.iter().map(|stage| stage.need as usize).collect()
}

fn fitting(
    stages: &[Stage<'_>],
    fits: impl Fn(&BTreeMap<&PrincipalId, &PersonId>) -> bool,
) -> BTreeSet<usize> {
    stages.iter().enumerate().filter(|(_, stage)| fits(&stage.who)).map(|(index, _)| index).collect()
}

fn is_full(needs: &[usize], seated: &[Vec<usize>]) -> bool {
    needs.iter().zip(seated).all(|(need, seated)| seated.len() >= *need)
}

/// A maximum matching of candidates to stages with room for `needs` each (Kuhn's augmenting paths): whoever
/// has a seat keeps a seat, though perhaps another one, when somebody joins.
pub(crate) fn seat(needs: &[usize], fits: Vec<BTreeSet<usize>>) -> Vec<Vec<usize>> {
    let mut seated = vec![Vec::new(); needs.len()];
    for candidate in 0..fits.len() {
        place(candidate, needs, &fits, &mut seated, &mut BTreeSet::new());
    }
    seated
}

fn place(
    candidate: usize,
    needs: &[usize],
    fits: &[BTreeSet<usize>],
    seated: &mut [Vec<usize>],
    tried: &mut BTreeSet<usize>,
) -> bool {
    for &stage in fits.get(candidate).into_iter().flatten() {
        if !tried.insert(stage) {
            continue;
        }
        let (Some(need), Some(here)) = (needs.get(stage).copied(), seated.get(stage).cloned()) else {
            continue;
        };
        if here.len() < need {
            sit(seated, stage, candidate);
            return true;
        }
        for other in here {
            if place(other, needs, fits, seated, tried) {
                if let Some(row) = seated.get_mut(stage) {
                    row.retain(|one| *one != other);
                }
                sit(seated, stage, candidate);
                return true;
            }
        }
    }
    false
}

fn sit(seated: &mut [Vec<usize>], stage: usize, candidate: usize) {
    if let Some(row) = seated.get_mut(stage) {
        row.push(candidate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every small case: up to three stages with needs of zero to two, up to four people, each fitting any
    /// subset of stages. The matching is as large as the best that trying everything finds, and nobody sits
    /// twice or where they do not fit.
    #[test]
    fn seats_as_many_as_can_be_seated() {
        for stages in 1..=3usize {
            for needs in vectors(stages, 3) {
                for people in 0..=4usize {
                    for masks in vectors(people, 1 << stages) {
                        check(&needs, &masks);
                    }
                }
            }
        }
    }

    fn check(needs: &[usize], masks: &[usize]) {
        let fits: Vec<BTreeSet<usize>> = masks
            .iter()
            .map(|mask| (0..needs.len()).filter(|stage| mask >> stage & 1 == 1).collect())
            .collect();
        let seated = seat(needs, fits.clone());
        let mut seen = BTreeSet::new();
        for (stage, row) in seated.iter().enumerate() {
            assert!(row.len() <= needs[stage]);
            for person in row {
                assert!(seen.insert(*person), "{person} sits twice: {needs:?} {masks:?}");
                assert!(fits[*person].contains(&stage));
            }
        }
        assert_eq!(seen.len(), best(needs.to_vec(), &fits), "{needs:?} {masks:?}");
    }

    fn best(needs: Vec<usize>, fits: &[BTreeSet<usize>]) -> usize {
        let Some((first, rest)) = fits.split_first() else { return 0 };
        let skip = best(needs.clone(), rest);
        first.iter().filter(|stage| needs[**stage] > 0).fold(skip, |found, stage| {
            let mut fewer = needs.clone();
            fewer[*stage] -= 1;
            found.max(1 + best(fewer, rest))
        })
    }

    fn vectors(length: usize, base: usize) -> Vec<Vec<usize>> {
        (0..base.pow(u32::try_from(length).unwrap()))
            .map(|mut number| {
                (0..length)
                    .map(|_| {
                        let digit = number % base;
                        number /= base;
                        digit
                    })
                    .collect()
            })
            .collect()
    }
}
