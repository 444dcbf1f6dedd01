//! Masking at the door: what a session may not see is covered in what the server answers, or its statement is refused.
//!
//! A resource says which columns are masked ([`Masks`]). For each execution policy is asked which of those that a statement
//! touches this session sees as they are; with the rest ([`Hidden`]) the statement is weighed: what is given back is covered
//! ([`cover`]), what would tell of a value by other means is refused, or recorded as a guess. A statement that can't be
//! traced is refused: nobody can cover what nobody has followed.
//!
//! What not: a resource without masks pays nothing for this. No session is told a value by an error message either.

mod cover;

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_core::catalogue::{MaskStyle, Resource};
use countersign_wire::mask::Detectors;
use countersign_wire::mask::detect::Detector;
use countersign_wire::sql::{Columns, CopyTarget, Facts, Kind, Masking, Protection, Traced};

pub(crate) use cover::{Cover, Seen};

/// The verb of a statement that guesses at masked columns and is let run.
pub(crate) const GUESS: &str = "guess_masked";
/// What policy is asked about what is found in text.
const DETECTED: &str = "*";

/// How a resource treats what is masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Masks {
    protections: Vec<Protection>,
    /// Statements that compute with masked columns are refused, though what they give back would be covered.
    refuses_derived: bool,
    /// Statements that guess at masked columns run, and are recorded as such.
    records_guesses: bool,
    detectors: Detectors,
    /// Their words.
    detected: BTreeSet<String>,
}

/// What a session may not see of what a statement touches.
#[derive(Clone, Debug)]
pub(crate) struct Hidden {
    masking: Option<Arc<Masking>>,
    columns: Columns,
    /// What is shown to it this once, because somebody has said yes.
    lifted: Columns,
    detectors: Detectors,
    /// It may run code of users, which may say anything in an error or a notice.
    foreign: bool,
    /// It guesses at hidden columns, and that is to be recorded.
    pub(crate) guesses: bool,
}

/// Why a statement may not run for a session that does not see everything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Masked {
    /// Nobody knows what it does with them.
    #[error("it can't be told what it does with masked columns: {0}")]
    Untraced(String),
    /// It would tell of them without giving them back.
    #[error("it {how}: {columns}, which is masked for you")]
    Guesses {
        /// What it does.
        how: &'static str,
        /// With which.
        columns: String,
    },
    /// It would write them elsewhere.
    #[error("it would write {0} elsewhere, which is masked for you")]
    Copies(String),
    /// It computes with them.
    #[error("it gives back what is computed from {0}, which is masked for you")]
    Derives(String),
    /// Its output has a form in which nothing can be found.
    #[error("it copies out in a form that can't be masked")]
    Form,
}

impl Masks {
    /// Of a resource. Nothing if it masks nothing.
    pub(crate) fn of(described: &Resource) -> Option<Self> {
        let mut protections = Vec::new();
        for (name, relation) in &described.relations {
            for (column, said) in &relation.columns {
                if said.mask.is_some() || !said.labels.is_empty() {
                    protections.push(Protection {
                        schema: name.schema.clone(),
                        relation: name.name.clone(),
                        column: column.clone(),
                        labels: said.labels.clone(),
                        style: said.mask.unwrap_or(MaskStyle::Full),
                    });
                }
            }
        }
        let setting = |key: &str| described.settings.get(key).map_or("", String::as_str);
        let words = || setting("masking_detect").split(',');
        let detectors: Detectors = words().filter_map(Detector::named).collect();
        if protections.is_empty() && detectors.is_empty() {
            return None;
        }
        Some(Self {
            protections,
            refuses_derived: setting("masking_derived") == "refuse",
            records_guesses: setting("masking_guessing") == "record",
            detectors,
            detected: words().filter(|word| !word.is_empty()).map(str::to_owned).collect(),
        })
    }

    /// The columns that are masked.
    pub(crate) fn protections(&self) -> &[Protection] {
        &self.protections
    }

    /// The masked column of this name (`schema.relation.column`), if the resource has it.
    pub(crate) fn named(&self, column: &str) -> Option<&Protection> {
        self.protections.iter().find(|one| name(one) == column)
    }

    /// Whether a statement does anything with this column but have its relation.
    pub(crate) fn uses(&self, facts: &Facts, column: &str) -> bool {
        let Some(masking) = &facts.masking else { return false };
        let Some(place) = masking.columns.iter().position(|one| one.name == column) else { return false };
        masking.statements.iter().any(|traced| traced.uses().contains(&place))
    }

    /// Whether there is anything that a session may not see.
    pub(crate) fn hide(&self, sees: impl Fn(&str, &BTreeSet<String>) -> bool) -> bool {
        self.protections.iter().any(|one| !sees(&name(one), &one.labels))
    }

    /// What a session may not see of a statement, as policy says it by `sees`, but for the column whose mask is `lifted` for it.
    /// Nothing: it may see everything.
    ///
    /// # Errors
    /// Why it may not run at all.
    pub(crate) fn weigh(
        &self,
        facts: &Facts,
        decodes: bool,
        lifted: Option<&str>,
        sees: impl Fn(&str, &BTreeSet<String>) -> bool,
    ) -> Result<Option<Hidden>, Masked> {
        let searched = !self.detectors.is_empty() && !sees(DETECTED, &self.detected);
        let detectors = if searched { self.detectors } else { Detectors::default() };
        let mut hidden = Hidden {
            masking: facts.masking.clone(),
            columns: Columns::new(),
            lifted: Columns::new(),
            detectors,
            foreign: runs_foreign_code(facts),
            guesses: false,
        };
        match &facts.masking {
            Some(masking) => {
                let touched: Columns =
                    masking.statements.iter().flat_map(|one| one.touches.iter().copied()).collect();
                let named =
                    touched.iter().filter_map(|column| Some((*column, masking.columns.get(*column)?)));
                let unseen = named.filter(|(_, one)| !sees(&one.name, &one.labels));
                let (lifted, columns): (Vec<_>, Vec<_>) =
                    unseen.partition(|(_, one)| lifted == Some(one.name.as_str()));
                hidden.lifted = lifted.into_iter().map(|(place, _)| place).collect();
                hidden.columns = columns.into_iter().map(|(place, _)| place).collect();
                for traced in &masking.statements {
                    self.consider(traced, &mut hidden)?;
                }
            }
            // What reads nothing can be told without a catalogue too.
            None if facts.kind == Kind::Session && facts.copies.is_empty() => {}
            None => {
                if self.hide(&sees) {
                    let why = facts.reasons.first().cloned();
                    let why =
                        why.unwrap_or_else(|| "what is known of the database is not at hand".to_owned());
                    return Err(Masked::Untraced(why));
                }
            }
        }
        if hidden.columns.is_empty() && detectors.is_empty() {
            return Ok(None);
        }
        let copies = facts.copies.contains(&CopyTarget::ToClient);
        let formed =
            hidden.masking.iter().flat_map(|masking| &masking.statements).any(|one| one.copy.is_some());
        if copies && (!formed || !decodes) {
            return Err(Masked::Form);
        }
        Ok(Some(hidden))
    }

    fn consider(&self, traced: &Traced, hidden: &mut Hidden) -> Result<(), Masked> {
        // What nobody can follow could do anything with it, and a copy would be there for everybody, for ever: neither is
        // what a mask is lifted for.
        if let Some(why) = traced.untraced.as_ref().filter(|_| hidden.concerns(&traced.touches)) {
            return Err(Masked::Untraced(why.clone()));
        }
        if hidden.concerns(&traced.copies) {
            return Err(Masked::Copies(hidden.names(&traced.copies)));
        }
        let guessed: Columns = traced.guesses.keys().copied().collect();
        if hidden.meets(&guessed) {
            if !self.records_guesses {
                let how = traced.guesses.iter().find(|(column, _)| hidden.columns.contains(column));
                let how = how.map_or("guesses at", |(_, how)| how);
                return Err(Masked::Guesses { how, columns: hidden.names(&guessed) });
            }
            hidden.guesses = true;
        }
        if self.refuses_derived
            && let Some(derived) = cover::derived(traced).filter(|columns| hidden.meets(columns))
        {
            return Err(Masked::Derives(hidden.names(&derived)));
        }
        Ok(())
    }
}

/// Whether code of users may run with a statement, which may say anything in an error or a notice. At the end of a
/// transaction deferred triggers do.
pub(crate) fn runs_foreign_code(facts: &Facts) -> bool {
    !facts.transaction.is_empty()
        || !facts.kinds.iter().all(|kind| *kind <= Kind::Read || *kind == Kind::Write)
}

fn name(one: &Protection) -> String {
    format!("{}.{}.{}", one.schema, one.relation, one.column)
}

impl Hidden {
    fn meets(&self, columns: &Columns) -> bool {
        !self.columns.is_disjoint(columns)
    }

    /// Whether any is masked, though it may be shown this once.
    fn concerns(&self, columns: &Columns) -> bool {
        self.meets(columns) || !self.lifted.is_disjoint(columns)
    }

    /// Whether these are what is shown this once, and nothing else.
    fn is_lifted(&self, columns: &Columns) -> bool {
        !columns.is_empty() && columns.is_subset(&self.lifted)
    }

    fn names(&self, columns: &Columns) -> String {
        let table = self.masking.as_ref().map(|masking| &masking.columns);
        let hidden = columns.iter().filter(|one| self.columns.contains(one) || self.lifted.contains(one));
        let names = hidden.filter_map(|column| table?.get(*column)).map(|one| format!("`{}`", one.name));
        names.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests;
