//! What a statement does with protected columns: which of its results hold them, and whether it computes with them.
//!
//! A bundle says which columns are masked ([`Protection`]). This traces, for each column that a statement gives back,
//! the protected columns that it is made of: as they are ([`Origin::Is`]) or computed ([`Origin::From`]), through views,
//! subqueries, WITH, joins, set operations and whole rows. It also finds what would tell of a protected value without
//! giving it back: comparing, ordering and grouping by it, branching on it, handing it to something that can fail or
//! take its time ([`Traced::guesses`]), and writing it elsewhere ([`Traced::copies`]).
//!
//! Why so: whoever may not see a value may not be able to ask for it one bit at a time either. So what a protected value
//! may be used for is a short list (`functions`), and everything else is a guess.
//!
//! Doubt is resolved against the statement: a name that can't be placed, a relation that is not known, code of users:
//! what they give back may be anything that is protected. What not: values that somebody has copied elsewhere by other
//! means, by a trigger for one, are not followed; their columns are protected by name or not at all.

mod expressions;
mod from;
mod functions;
mod names;
mod protect;
mod queries;
mod scope;
mod statements;
mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use countersign_core::catalogue::MaskStyle;
use serde::Serialize;

pub(super) use protect::{Bound, bind};

use super::session::Context;
use super::statement::Statement;
use super::tree::Tree;

/// A column that is masked for whoever may not see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection {
    /// The relation's schema, as the database keeps it.
    pub schema: String,
    /// The relation, as the database keeps it.
    pub relation: String,
    /// The column, as the database keeps it.
    pub column: String,
    /// What kind of data it holds.
    pub labels: BTreeSet<String>,
    /// How its values are shown.
    pub style: MaskStyle,
}

/// A protected column of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Guarded {
    /// `schema.relation.column`.
    pub name: String,
    /// What kind of data it holds.
    pub labels: BTreeSet<String>,
    /// How its values are shown.
    #[serde(skip)]
    pub style: MaskStyle,
    /// The built-in type that its values are written like; 0 for a type whose values are like none.
    pub like: u32,
}

/// Numbers of protected columns: places in [`Masking::columns`].
pub type Columns = BTreeSet<usize>;

/// What a value is made of, as far as protected columns go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Nothing that is protected.
    #[default]
    Clean,
    /// The value of one of these, as it is.
    Is(Columns),
    /// Computed from these.
    From(Columns),
}

/// The columns of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Nothing that is protected, however many columns there are.
    Clean,
    /// These columns, in order.
    Columns(Vec<Origin>),
    /// How many there are is not known; each may be computed from these.
    Unknown(Columns),
}

/// What one statement does with protected columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Traced {
    /// What it gives back.
    pub layout: Layout,
    /// Protected columns that it would tell of without giving them back, and by what.
    pub guesses: BTreeMap<usize, &'static str>,
    /// Protected columns that it would write elsewhere.
    pub copies: Columns,
    /// Protected columns that it names, or that the relations have which it names.
    pub touches: Columns,
    /// Why it can't be told what it does, if so: then it may do anything with any of them.
    pub untraced: Option<String>,
    /// The form of what COPY gives back to the client.
    pub copy: Option<CopyForm>,
}

/// The form of the data of a `COPY ... TO STDOUT`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CopyForm {
    /// Text, CSV or binary.
    pub format: CopyFormat,
    /// The character between fields.
    pub delimiter: u8,
    /// What stands for NULL.
    pub null: Vec<u8>,
    /// The first line names the columns.
    pub header: bool,
    /// CSV's quote.
    pub quote: u8,
    /// CSV's escape within quotes.
    pub escape: u8,
}

/// What COPY writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum CopyFormat {
    /// The text form.
    Text,
    /// Values separated by commas.
    Csv,
    /// The binary form.
    Binary,
}

/// What a text does with protected columns, statement by statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Masking {
    /// The protected columns of the database.
    pub columns: Arc<[Guarded]>,
    /// Its statements in order.
    pub statements: Vec<Traced>,
}

/// Why something can't be traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost(pub(super) String);

impl Origin {
    /// The protected columns that it is made of.
    #[must_use]
    pub fn columns(&self) -> Option<&Columns> {
        match self {
            Origin::Clean => None,
            Origin::Is(columns) | Origin::From(columns) => Some(columns),
        }
    }

    /// What is either this or that.
    pub(super) fn or(self, other: Origin) -> Origin {
        match (self, other) {
            (Origin::Clean, other) | (other, Origin::Clean) => other,
            (Origin::Is(mut one), Origin::Is(other)) => {
                one.extend(other);
                Origin::Is(one)
            }
            (one, other) => one.computed().and(other.computed()),
        }
    }

    /// What is computed from both.
    pub(super) fn and(self, other: Origin) -> Origin {
        match (self, other) {
            (Origin::Clean, Origin::Clean) => Origin::Clean,
            (one, other) => {
                let mut columns = one.into_columns();
                columns.extend(other.into_columns());
                Origin::From(columns)
            }
        }
    }

    /// What is computed from it.
    pub(super) fn computed(self) -> Origin {
        match self {
            Origin::Is(columns) => Origin::From(columns),
            other => other,
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        *self == Origin::Clean
    }

    pub(super) fn of(columns: Columns) -> Origin {
        if columns.is_empty() { Origin::Clean } else { Origin::From(columns) }
    }

    fn into_columns(self) -> Columns {
        match self {
            Origin::Clean => Columns::new(),
            Origin::Is(columns) | Origin::From(columns) => columns,
        }
    }
}

impl Traced {
    /// Protected columns that it gives back, computes with, or writes elsewhere.
    #[must_use]
    pub fn uses(&self) -> Columns {
        let given = match &self.layout {
            Layout::Clean => Columns::new(),
            Layout::Unknown(columns) => columns.clone(),
            Layout::Columns(origins) => {
                origins.iter().filter_map(Origin::columns).flatten().copied().collect()
            }
        };
        given.into_iter().chain(self.guesses.keys().copied()).chain(self.copies.iter().copied()).collect()
    }

    pub(super) fn nothing() -> Traced {
        Traced {
            layout: Layout::Clean,
            guesses: BTreeMap::new(),
            copies: Columns::new(),
            touches: Columns::new(),
            untraced: None,
            copy: None,
        }
    }

    /// Of a statement that may do anything.
    pub(super) fn lost(why: String, all: &Columns) -> Traced {
        Traced {
            layout: Layout::Unknown(all.clone()),
            touches: all.clone(),
            untraced: Some(why),
            ..Traced::nothing()
        }
    }
}

/// What one statement does with protected columns. Nothing where the database has none.
pub(super) fn trace(tree: &Tree, statement: &Statement, context: &Context<'_>) -> Option<Traced> {
    let bound = context.catalogue?.bound.as_ref()?;
    Some(statements::trace(tree, statement, context, bound))
}

/// The same of a whole text.
pub(super) fn gathered(statements: Vec<Traced>, context: &Context<'_>) -> Option<Arc<Masking>> {
    let bound = context.catalogue?.bound.as_ref()?;
    Some(Arc::new(Masking { columns: Arc::clone(&bound.columns), statements }))
}
