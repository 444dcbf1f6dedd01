//! Whether one approval rule is looser than another.
//!
//! Rules name groups, and groups change: what is compared is who could answer at which time, as accounts
//! with the persons behind them.

use std::collections::BTreeSet;

use countersign_core::catalogue::{Catalogue, Ceiling, Place, Rule, Stage};
use countersign_core::{DirectoryName, PersonId, PrincipalId, ResourceId, Span};

/// In which way `new` is looser than `old`, each read with its own catalogue (old, new); `None` if in none.
pub(super) fn loosened(
    old: &Rule,
    new: &Rule,
    in_catalogues: (&Catalogue, &Catalogue),
) -> Option<&'static str> {
    if new.valid_for > old.valid_for {
        return Some("lets a yes be used for longer");
    }
    if new.uses > old.uses {
        return Some("lets a yes be used more often");
    }
    if let Some(wider) = widened(old.envelope, new.envelope) {
        return Some(wider);
    }
    if old.signed && !new.signed {
        return Some("asks for no signature any more");
    }
    if new.stages.len() < old.stages.len() {
        return Some("has fewer stages");
    }
    let compare = Compare { old, new, catalogues: in_catalogues };
    let covers: Vec<Vec<usize>> = old.stages.iter().map(|stage| compare.stages_as_strict_as(stage)).collect();
    (!all_are_matched(&covers)).then_some("asks fewer people, or other people")
}

/// In which way an envelope may be wider than it could be; `None` if in none.
fn widened(old: Option<Ceiling>, new: Option<Ceiling>) -> Option<&'static str> {
    match (old, new) {
        (_, None) => None,
        (None, Some(_)) => Some("lets an envelope be given"),
        (Some(old), Some(new)) => (new.least(old) != new).then_some("lets a wider envelope be given"),
    }
}

struct Compare<'a> {
    old: &'a Rule,
    new: &'a Rule,
    catalogues: (&'a Catalogue, &'a Catalogue),
}

type People<'a> = BTreeSet<Who<'a>>;

/// Somebody who is asked: an account that the bundle names, or whoever a directory says is in a group of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who<'a> {
    Named(&'a PrincipalId, &'a PersonId),
    In(&'a DirectoryName, &'a str),
}

impl Compare<'_> {
    /// The new stages that ask at least as much as the old `stage`, by index.
    fn stages_as_strict_as(&self, stage: &Stage) -> Vec<usize> {
        let new = self.new.stages.iter().enumerate();
        new.filter(|(_, new)| new.need >= stage.need && self.asks_nobody_else(stage, new))
            .map(|(index, _)| index)
            .collect()
    }

    /// Whether nobody may fill a place of `new` who could not, at that time, fill one of `old`.
    fn asks_nobody_else(&self, old: &Stage, new: &Stage) -> bool {
        let steps = self.new.escalate.iter().map(|step| step.after);
        let times: BTreeSet<Span> = steps.chain([Span::default()]).collect();
        let (was, is) = self.catalogues;
        // "owner" is somebody else for each resource; a new resource had no protection to lose.
        let owners = [self.old, self.new].iter().any(|rule| names_owner(rule));
        let both = is.resources.keys().filter(|id| owners && was.resources.contains_key(id)).map(Some);
        let resources: Vec<Option<&ResourceId>> = both.chain([None]).collect();
        times.iter().all(|time| {
            resources.iter().all(|resource| {
                people(is, (self.new, new), *time, *resource).is_subset(&people(
                    was,
                    (self.old, old),
                    *time,
                    *resource,
                ))
            })
        })
    }
}

fn names_owner(rule: &Rule) -> bool {
    let stages = rule.stages.iter().flat_map(|stage| &stage.from);
    stages.chain(rule.escalate.iter().flat_map(|step| &step.add)).any(|place| *place == Place::Owner)
}

/// Those who could fill a place of a stage of a rule once `waited` has passed.
fn people<'a>(
    catalogue: &'a Catalogue,
    asked: (&'a Rule, &'a Stage),
    waited: Span,
    resource: Option<&ResourceId>,
) -> People<'a> {
    let (rule, stage) = asked;
    let steps = rule.escalate.iter().filter(|step| step.after <= waited && step.after < rule.pending_for);
    let places: Vec<&Place> = stage.from.iter().chain(steps.flat_map(|step| &step.add)).collect();
    let named = places.iter().flat_map(|place| catalogue.principals_at(place, resource));
    let named = named
        .filter_map(|id| catalogue.principals.get(id).map(|found| (id, found)))
        .filter(|(_, found)| found.is_user())
        .map(|(id, found)| Who::Named(id, &found.person));
    let groups = places.iter().filter_map(|place| catalogue.group_at(place, resource));
    let theirs = groups.flat_map(|group| catalogue.sources(group));
    named.chain(theirs.map(|(directory, group)| Who::In(directory, group))).collect()
}

/// Whether every row can have one of its columns to itself (Kuhn's augmenting paths).
fn all_are_matched(rows: &[Vec<usize>]) -> bool {
    let width = rows.iter().flatten().max().map_or(0, |most| most + 1);
    let mut taken = vec![None; width];
    (0..rows.len()).all(|row| seat(row, rows, &mut taken, &mut BTreeSet::new()))
}

fn seat(row: usize, rows: &[Vec<usize>], taken: &mut [Option<usize>], tried: &mut BTreeSet<usize>) -> bool {
    for &column in rows.get(row).into_iter().flatten() {
        if !tried.insert(column) {
            continue;
        }
        let holder = taken.get(column).copied().flatten();
        if holder.is_none_or(|other| seat(other, rows, taken, tried)) {
            if let Some(place) = taken.get_mut(column) {
                *place = Some(row);
            }
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_is_looser_where_any_part_of_it_is_wider() {
        let narrow = Ceiling { rows: 10, total: 100, uses: 5, longest: Span::minutes(10) };
        assert_eq!(widened(Some(narrow), None), None);
        assert_eq!(widened(Some(narrow), Some(Ceiling { rows: 9, ..narrow })), None);
        assert_eq!(widened(None, Some(narrow)), Some("lets an envelope be given"));
        let wider = [
            Ceiling { rows: 11, ..narrow },
            Ceiling { total: 101, ..narrow },
            Ceiling { uses: 6, ..narrow },
            Ceiling { longest: Span::minutes(11), ..narrow },
        ];
        for ceiling in wider {
            assert_eq!(widened(Some(narrow), Some(ceiling)), Some("lets a wider envelope be given"));
        }
    }

    #[test]
    fn stages_are_matched_one_to_one() {
        assert!(all_are_matched(&[]));
        assert!(all_are_matched(&[vec![0, 1], vec![0]]));
        assert!(!all_are_matched(&[vec![0], vec![0]]));
        assert!(!all_are_matched(&[vec![]]));
        assert!(all_are_matched(&[vec![0, 1], vec![0, 2], vec![0]]));
    }
}
