//! What a yes covers beyond one text run once: several uses, or an envelope.
//!
//! An approver may give less than the rules allow: fewer uses, a shorter time. Where every rule that holds a request
//! says so, an approver may also approve *bounds* instead of one text: whatever stays within what the request touches
//! ([`Reach`]), and within so many rows for each statement and in all. What an action touches is written down in salted
//! digests, so that the chain can compare without holding names.
//!
//! Rows are counted to the approver's side: what a statement may touch at most is set aside before it runs, and what it
//! did not touch is given back when its end is known. If its end is never known, everything stays spent.

use serde::{Deserialize, Serialize};

use crate::action::{APPROVE, challenge, hash};
use crate::catalogue::Ceiling;
use crate::ids::Digest;
use crate::refusal::Refusal;
use crate::request::{Ask, Bounds, Outcome, Receipt, Request, RowBound};
use crate::script;
use crate::time::Span;

/// The most parts of a [`Reach`]: what touches more is approved by its text.
pub const PARTS_MAX: usize = 64;

/// What an approver says beside yes. Nothing said is what the rules allow, for the text that was shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// How often it may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
    /// How long it may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_for: Option<Span>,
    /// Bounds instead of the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope: Option<Envelope>,
}

/// Bounds that are approved instead of one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Rows that one statement may write.
    pub rows: u64,
    /// Rows that may be written in all.
    pub total: u64,
}

/// What an action touches, in salted digests. Only what is known to touch nothing else has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// Who acts, on what, under which account, grant and settings.
    pub ground: Digest,
    /// What is done to which version of which relation: each part by itself.
    pub parts: Vec<Digest>,
}

/// What is about to run under a receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Salted digest of its canonical action.
    pub digest: Digest,
    /// What it touches, if that is known for certain.
    pub reach: Option<Reach>,
    /// How many rows it would touch, if they were counted.
    pub rows: Option<u64>,
}

/// What a receipt is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) uses: u32,
    pub(crate) valid_for: Span,
    pub(crate) envelope: Option<Envelope>,
}

impl Reach {
    /// Whether whatever touches this touches nothing but what `other` does.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.ground == other.ground
            && !self.parts.is_empty()
            && self.parts.iter().all(|part| other.parts.contains(part))
    }

    /// `SHA-256("countersign/reach/v1" LF || salt || text)`: the digest of the ground, or of one part.
    #[must_use]
    pub fn digest(salt: &[u8; 16], text: &[u8]) -> Digest {
        hash(&[b"countersign/reach/v1\n", salt, text])
    }
}

impl Terms {
    /// Whether anything was said.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

impl Request {
    /// The widest envelope that every rule which holds this lets its approvers give. None if one of them lets them give
    /// none, or if what the action touches is not known for certain.
    #[must_use]
    pub fn ceiling(&self) -> Option<Ceiling> {
        let Ask::Act { reach: Some(_), .. } = &self.ask else { return None };
        let ceilings = self.gates.iter().map(|gate| gate.terms.envelope);
        ceilings.reduce(|one, other| Some(one?.least(other?))).flatten()
    }

    /// The canonical JSON of what a yes with these terms covers, which a signature covers. What is no action has no
    /// bounds beside its digest.
    #[must_use]
    pub fn bounds_canonical(&self, terms: &Terms) -> Vec<u8> {
        match &self.ask {
            Ask::Act { bounds, .. } => bounds.canonical(terms),
            Ask::Access { .. } | Ask::Apply { .. } => b"{}".to_vec(),
            Ask::Script { steps, .. } => {
                members([Some(format!("\"steps\":[{}]", script::bounds_canonical(steps))), lasting(terms)])
            }
        }
    }

    /// What an approver's passkey signs to say yes to exactly this, with these terms.
    #[must_use]
    pub fn challenge(&self, terms: &Terms) -> Digest {
        let rules: Vec<Digest> = self.gates.iter().map(|gate| gate.rule_hash).collect();
        challenge(&self.digest, APPROVE, &self.bounds_canonical(terms), &rules)
    }

    /// How often, and for how long, its approvers may let the text be used; nothing for what is no action.
    #[must_use]
    pub fn most(&self) -> Option<(u32, Span)> {
        let most = self.by_rules();
        match &self.ask {
            Ask::Act { .. } => Some((most.uses, most.valid_for)),
            Ask::Script { .. } => Some((1, most.valid_for)),
            Ask::Access { .. } | Ask::Apply { .. } => None,
        }
    }

    /// Whether an approver of this may say `terms`.
    ///
    /// # Errors
    /// What of it is more than the rules allow.
    pub fn check_terms(&self, terms: &Terms) -> Result<(), Refusal> {
        if terms.is_plain() {
            return Ok(());
        }
        let bounds = match &self.ask {
            Ask::Act { bounds, .. } => Some(bounds),
            Ask::Script { .. } if terms.envelope.is_some() || terms.uses.is_some() => {
                return Err(Refusal::TermsTooWide("a script is run once, exactly as it is".into()));
            }
            Ask::Script { .. } => None,
            Ask::Access { .. } | Ask::Apply { .. } => {
                return Err(Refusal::TermsTooWide("only a held action has uses and bounds".into()));
            }
        };
        let most = match terms.envelope.zip(bounds) {
            Some((envelope, bounds)) => {
                let ceiling = self.ceiling().ok_or_else(|| self.no_envelope())?;
                within_ceiling(&envelope, &ceiling, bounds)?;
                Given { uses: ceiling.uses, valid_for: ceiling.longest, envelope: Some(envelope) }
            }
            None => self.by_rules(),
        };
        check_number("used", terms.uses.map(u64::from), most.uses.into(), "times")?;
        match terms.valid_for {
            Some(span) if span.0 <= 0 => {
                Err(Refusal::TermsTooWide("a yes is good for a while; say `10m`".into()))
            }
            Some(span) if span > most.valid_for => {
                Err(Refusal::TermsTooWide(format!("it may be used for at most {}", most.valid_for)))
            }
            _ => Ok(()),
        }
    }

    fn no_envelope(&self) -> Refusal {
        let without = self.gates.iter().find(|gate| gate.terms.envelope.is_none());
        Refusal::NoEnvelope(match without {
            Some(gate) => format!("rule `{}` lets its approvers give none", gate.rule),
            None => "what the statement touches is not known for certain".into(),
        })
    }

    fn by_rules(&self) -> Given {
        Given {
            uses: self.gates.iter().map(|gate| gate.terms.uses).min().unwrap_or(1),
            valid_for: crate::book::valid_for(&self.gates),
            envelope: None,
        }
    }

    /// What follows from everything that was said: of each part the least; an envelope only if everybody gave one.
    pub(crate) fn given(&self, said: &[Terms]) -> Given {
        let envelopes = said.iter().map(|terms| terms.envelope);
        let least = |one: Envelope, other: Envelope| Envelope {
            rows: one.rows.min(other.rows),
            total: one.total.min(other.total),
        };
        let envelope = envelopes.reduce(|one, other| Some(least(one?, other?))).flatten();
        let most = match (envelope, self.ceiling()) {
            (Some(_), Some(ceiling)) => Given { uses: ceiling.uses, valid_for: ceiling.longest, envelope },
            _ if matches!(self.ask, Ask::Act { .. }) => self.by_rules(),
            _ => Given { uses: 1, ..self.by_rules() },
        };
        if let Some(steps) = self.steps() {
            // Each step once: that is not for anybody to say otherwise.
            let uses = u32::try_from(steps.len()).unwrap_or(u32::MAX);
            let valid_for = said.iter().filter_map(|terms| terms.valid_for).fold(most.valid_for, Span::min);
            return Given { uses, valid_for, envelope: None };
        }
        Given {
            uses: said.iter().filter_map(|terms| terms.uses).fold(most.uses, u32::min),
            valid_for: said.iter().filter_map(|terms| terms.valid_for).fold(most.valid_for, Span::min),
            envelope: most.envelope,
        }
    }

    /// What of `receipt` is set aside for `claim`: rows for an envelope, nothing for a text.
    pub(crate) fn covers(&self, receipt: &Receipt, claim: &Claim) -> Result<Option<u64>, Refusal> {
        if self.steps().is_some() {
            return self.covers_step(receipt, &claim.digest).map(|()| None);
        }
        let same = claim.digest == self.digest;
        let Some(envelope) = receipt.envelope else {
            return if same { Ok(None) } else { Err(Refusal::OtherAction) };
        };
        let of = match &self.ask {
            Ask::Act { reach, .. } => reach.as_ref(),
            Ask::Access { .. } | Ask::Apply { .. } | Ask::Script { .. } => None,
        };
        let inside = claim.reach.as_ref().zip(of).is_some_and(|(reach, of)| reach.is_within(of));
        if !same && !inside {
            return Err(Refusal::OtherAction);
        }
        let left = envelope.rows.min(envelope.total.saturating_sub(receipt.spent));
        if claim.rows.is_some_and(|rows| rows > left) {
            return Err(Refusal::BeyondEnvelope(self.id, left));
        }
        Ok(Some(left))
    }
}

/// Rows for one statement are at most those in all, both within the rules, and enough for the statement that was shown.
fn within_ceiling(envelope: &Envelope, ceiling: &Ceiling, bounds: &Bounds) -> Result<(), Refusal> {
    check_number("given for one statement", Some(envelope.rows), ceiling.rows, "rows")?;
    check_number("given in all", Some(envelope.total), ceiling.total, "rows")?;
    check_number("given for one statement", Some(envelope.rows), envelope.total, "rows")?;
    match bounds.rows {
        RowBound::AtMost(rows) if rows > envelope.rows => Err(Refusal::TermsTooWide(format!(
            "the statement that waits would touch {rows} rows, more than {} for one statement",
            envelope.rows
        ))),
        RowBound::AtMost(_) | RowBound::Unbounded | RowBound::Later(_) => Ok(()),
    }
}

fn check_number(what: &str, said: Option<u64>, most: u64, of: &str) -> Result<(), Refusal> {
    match said {
        Some(0) => Err(Refusal::TermsTooWide(format!("nothing can be {what} 0 {of}; say at least 1"))),
        Some(said) if said > most => Err(Refusal::TermsTooWide(format!("at most {most} {of} can be {what}"))),
        _ => Ok(()),
    }
}

impl Receipt {
    /// Whether nothing of it is left: every use is made, or every row is spent.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.used >= self.uses || self.envelope.is_some_and(|envelope| self.spent >= envelope.total)
    }

    /// Whether it may be used again as far as it goes: it is not spent, and no use is under way.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.running.is_none() && !self.is_spent()
    }

    /// Whether it covers more than the session that waits: several uses, or bounds.
    #[must_use]
    pub fn outlives_its_session(&self) -> bool {
        self.uses > 1 || self.envelope.is_some()
    }

    /// The rows that a use has spent, of those that were set aside for it.
    pub(crate) fn settle_rows(&mut self, outcome: &Outcome) {
        let aside = std::mem::take(&mut self.reserved);
        let spent = match outcome {
            // Without a number it may have been all of them.
            Outcome::Done { rows } => rows.map_or(aside, |rows| rows.min(aside)),
            // Nothing of it stands.
            Outcome::Failed { .. } | Outcome::BeyondBound { .. } => 0,
            Outcome::Unknown => aside,
        };
        self.spent = self.spent.saturating_sub(aside.saturating_sub(spent));
    }
}

impl Bounds {
    /// The canonical JSON (RFC 8785) of what a yes covers, which a signature covers.
    #[must_use]
    pub fn canonical(&self, terms: &Terms) -> Vec<u8> {
        let envelope = terms
            .envelope
            .map(|Envelope { rows, total }| format!("\"envelope\":{{\"rows\":{rows},\"total\":{total}}}"));
        let rows = match self.rows {
            RowBound::AtMost(rows) => format!("\"rows\":{rows}"),
            RowBound::Unbounded => "\"rows\":null".into(),
            RowBound::Later(rows) => format!("\"rows_later\":{rows}"),
        };
        let uses = terms.uses.map(|uses| format!("\"uses\":{uses}"));
        members([envelope, Some(rows), uses, lasting(terms)])
    }
}

fn lasting(terms: &Terms) -> Option<String> {
    terms.valid_for.map(|span| format!("\"valid_for_us\":{}", span.0))
}

/// A JSON object of these members, which are in the order of their names.
fn members<const N: usize>(members: [Option<String>; N]) -> Vec<u8> {
    let members: Vec<String> = members.into_iter().flatten().collect();
    format!("{{{}}}", members.join(",")).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_covers_everything_that_was_said() {
        let text = |bounds: Bounds, terms: Terms| String::from_utf8(bounds.canonical(&terms)).unwrap();
        let (twelve, none) = (Bounds { rows: RowBound::AtMost(12) }, Bounds { rows: RowBound::Unbounded });
        assert_eq!(text(twelve, Terms::default()), r#"{"rows":12}"#);
        assert_eq!(text(none, Terms::default()), r#"{"rows":null}"#);
        let later = Bounds { rows: RowBound::Later(100) };
        assert_eq!(text(later, Terms::default()), r#"{"rows_later":100}"#);
        let envelope = Some(Envelope { rows: 100, total: 1_000 });
        let terms = Terms { uses: Some(50), valid_for: Some(Span::minutes(30)), envelope };
        assert_eq!(
            text(twelve, terms),
            r#"{"envelope":{"rows":100,"total":1000},"rows":12,"uses":50,"valid_for_us":1800000000}"#
        );
    }

    #[test]
    fn a_reach_is_within_another_of_the_same_ground_with_all_its_parts() {
        let of = |ground, parts: &[u8]| Reach {
            ground: Digest([ground; 32]),
            parts: parts.iter().map(|part| Digest([*part; 32])).collect(),
        };
        assert!(of(1, &[2]).is_within(&of(1, &[2, 3])));
        assert!(of(1, &[3, 2]).is_within(&of(1, &[2, 3])));
        assert!(!of(2, &[2]).is_within(&of(1, &[2, 3])));
        assert!(!of(1, &[2, 4]).is_within(&of(1, &[2, 3])));
        assert!(
            !of(1, &[]).is_within(&of(1, &[2])),
            "what touches nothing that is known is not within anything"
        );
    }
}
