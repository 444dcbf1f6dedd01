//! What a statement means in its session now: finding out what is in doubt, then classifying.

use std::sync::Arc;

use countersign_wire::sql::{Facts, Unparsed, classify_unparsed};

use super::super::classify::{Classification, Statement, Understood, classification};
use super::{End, Session};

/// How many of the texts that a session sends one after the other are known again when they come with other values.
const LATEST_MAX: usize = 8;

impl Session {
    /// Finds out what is in doubt of the session: nothing is judged by what may have changed.
    pub(super) async fn ascertain(&mut self) -> Result<(), End> {
        if self.acts.has_changing() {
            self.settle().await?;
        }
        if self.known.is_doubtful() {
            self.ask_settings().await?;
        }
        if self.known.has_definitions() {
            self.settle().await?;
            // Inside a transaction nobody else sees them, so no catalogue tells of them.
            if self.tracker.is_quiet() && !self.batch_open && self.asked_catalogue().await? {
                self.known.definitions_are_known();
            }
        }
        Ok(())
    }

    /// Asks for the catalogue as it is now. False: it can't be asked for.
    pub(super) async fn asked_catalogue(&mut self) -> Result<bool, End> {
        let (target, shared) = (Arc::clone(&self.target), Arc::clone(&self.shared));
        Ok(self.drive(Box::pin(target.refreshed(&shared))).await?.is_some())
    }

    /// Classifies a statement under what is known of the session now, finding that out first where it is in doubt.
    pub(super) async fn understand(&mut self, statement: &Arc<Statement>) -> Result<Arc<Understood>, End> {
        self.ascertain().await?;
        let understood = self.classified(statement).await?;
        let names: Vec<String> = understood.executes().map(str::to_owned).collect();
        let mut facts = None;
        for name in names {
            let Some(prepared) = self.prepared_statement(&name) else { continue };
            let prepared = self.classified(&prepared).await?;
            let base = facts.as_ref().unwrap_or(&*understood.facts);
            facts = Some(base.with_prepared(&prepared.facts));
        }
        Ok(match facts {
            Some(facts) => Arc::new(Understood::of(Arc::new(facts))),
            None => self.fetching(understood),
        })
    }

    /// What stands behind a name in an `EXECUTE`, if that is certain.
    fn prepared_statement(&self, name: &str) -> Option<Arc<Statement>> {
        let by_protocol = || self.tracker.statement(name.as_bytes()).certain().map(Arc::clone);
        self.prepared.get(name).map(Arc::clone).or_else(by_protocol)
    }

    async fn classified(&mut self, statement: &Arc<Statement>) -> Result<Arc<Understood>, End> {
        if let Some(loaded) = self.target.at_hand(self.now())
            && let Some(understood) = statement.understood(&self.known, loaded.as_deref())
        {
            return Ok(understood);
        }
        let (target, shared) = (Arc::clone(&self.target), Arc::clone(&self.shared));
        let loaded = self.drive(Box::pin(target.loaded(&shared))).await?;
        if let Some(understood) = statement.understood(&self.known, loaded.as_deref()) {
            return Ok(understood);
        }
        let parser = shared.parser_for(statement.raw.len());
        let found = classification(&parser, &target.classes, statement, &self.known, loaded.as_ref());
        let facts = match found {
            Classification::Kept(facts) => Some(facts),
            Classification::Coming(receiver) => self.drive(receiver).await?.ok(),
            Classification::Busy => None,
        };
        Ok(match facts {
            Some(facts) => {
                let understood = self.named(facts);
                statement.keep(&self.known, loaded.as_deref(), &understood);
                understood
            }
            None => {
                let busy = Unparsed::Shape { message: "the parser is busy; try again".to_owned() };
                Arc::new(Understood::of(Arc::new(classify_unparsed(&busy, &statement.raw))))
            }
        })
    }

    /// What the facts amount to. Texts that differ in their values alone amount to the same, and what is known to be the
    /// same is judged by what was judged before.
    fn named(&mut self, facts: Arc<Facts>) -> Arc<Understood> {
        let same = |one: &Arc<Understood>| Arc::ptr_eq(&one.facts, &facts);
        let equal = |one: &Arc<Understood>| one.facts == facts;
        let known = self.latest.iter().position(same).or_else(|| self.latest.iter().position(equal));
        if let Some(known) = known.and_then(|known| self.latest.get(known)) {
            return Arc::clone(known);
        }
        let understood = Arc::new(Understood::of(facts));
        self.latest.truncate(LATEST_MAX - 1);
        self.latest.push_front(Arc::clone(&understood));
        understood
    }
}
