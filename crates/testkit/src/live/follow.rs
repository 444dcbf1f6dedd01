//! A session followed and judged as the door does it: with the door's own following of settings, the same questions to
//! the server, and a catalogue that was asked for after whatever may have changed it.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use countersign_doors::postgres::state::Known;
use countersign_wire::postgres::TransactionStatus;
use countersign_wire::sql::{
    CATALOGUE_MOMENT, CATALOGUE_PREPARE, Catalogue, CatalogueLoader, Context, Facts, Kind, PreparedUse,
    Probe, Section, SessionState, classify_text,
};

use super::client::Client;

/// What is known of a session, and the catalogue its statements are judged with.
#[derive(Debug)]
pub struct Follower {
    known: Known,
    catalogue: Option<Arc<Catalogue>>,
    /// What tells whether that catalogue holds, and when it last did.
    probe: Option<Probe>,
    moment: String,
    /// Whether the server was asked if that catalogue holds, in this session.
    is_asked: bool,
    /// What was prepared in SQL, by name.
    prepared: BTreeMap<String, String>,
    /// The server's own functions and operators, which are most of a catalogue, under a fingerprint of their own.
    own: Own,
    /// What cursors that were declared in SQL run, and the one whose declaration was sent last.
    cursors: BTreeMap<String, Facts>,
    declaring: Option<(String, Facts)>,
    /// The parameter types that the next text is parsed with.
    pub parameter_types: Vec<u32>,
    /// How often a catalogue was loaded.
    pub loads: u32,
}

impl Follower {
    /// Follows a session that has just started.
    #[must_use]
    pub fn new(account: &str, client: &Client) -> Self {
        Self {
            known: known(account, client),
            catalogue: None,
            probe: None,
            moment: String::new(),
            is_asked: false,
            prepared: BTreeMap::new(),
            own: Own::default(),
            cursors: BTreeMap::new(),
            declaring: None,
            parameter_types: Vec::new(),
            loads: 0,
        }
    }

    /// Takes the catalogue of an earlier session, which is asked about before it counts.
    pub fn start_with(&mut self, earlier: Option<Arc<Catalogue>>) {
        self.catalogue = earlier;
        self.is_asked = false;
    }

    /// The catalogue that statements are judged with.
    #[must_use]
    pub fn catalogue(&self) -> Option<Arc<Catalogue>> {
        self.catalogue.clone()
    }

    /// Follows another session of the same database, which has just started.
    pub fn restart(&mut self, account: &str, client: &Client) {
        self.known = known(account, client);
        self.prepared.clear();
        self.cursors.clear();
        self.declaring = None;
        // The earlier one may have defined something last.
        self.is_asked = false;
    }

    /// The state that statements are judged under.
    #[must_use]
    pub fn session(&self) -> &SessionState {
        self.known.shared_session()
    }

    /// Judges a text that the session is about to send. `looker` is another session of the same database.
    ///
    /// # Errors
    /// A session is gone, or the catalogue is not understood.
    pub fn judge(&mut self, text: &str, client: &mut Client, looker: &mut Client) -> Result<Facts> {
        if client.status == TransactionStatus::Idle {
            self.known.is_idle();
        }
        for (name, value) in &client.reported {
            self.known.report(name.as_bytes(), value.as_bytes());
        }
        if self.known.is_doubtful() && client.status != TransactionStatus::Failed {
            let mut shown = Vec::new();
            for question in ["SHOW search_path", "SHOW role", "SHOW session_authorization"] {
                let answer = client.query(question, &mut Vec::new)?;
                shown.extend(answer.value().map(str::to_owned));
            }
            if let [path, role, authorization] = shown.as_slice() {
                self.known.shown(path, role, authorization);
                if client.status != TransactionStatus::Idle {
                    self.known.shown_within();
                }
            }
        }
        if client.status == TransactionStatus::Idle
            && self.known.may_have_temporary_objects()
            && client.ask("SELECT pg_catalog.pg_my_temp_schema()")?.value() == Some("0")
        {
            self.known.has_no_temporary_objects();
        }
        let mut facts = self.classify(text);
        let unseen = !self.is_asked || self.known.has_definitions();
        if client.status == TransactionStatus::Idle && unseen && depends_on_catalogue(&facts) {
            self.refresh(looker)?;
            self.known.definitions_are_known();
            facts = self.classify(text);
        }
        let mut executed = None;
        for name in facts.prepared.iter().filter(|p| p.usage == PreparedUse::Execute).map(|p| &p.name) {
            let Some(prepared) = self.prepared.get(name) else { continue };
            executed = Some(executed.as_ref().unwrap_or(&facts).with_prepared(&self.classify(prepared)));
        }
        let facts = executed.unwrap_or(facts);
        let made = facts.fetched_cursor().and_then(|name| self.cursors.get(name));
        Ok(made.map_or_else(|| facts.clone(), |made| facts.with_cursor(made)))
    }

    fn classify(&self, text: &str) -> Facts {
        let context = Context {
            session: self.known.shared_session(),
            catalogue: self.catalogue.as_deref(),
            parameter_types: &self.parameter_types,
        };
        classify_text(text.as_bytes(), &context)
    }

    /// The text is being sent.
    pub fn sends(&mut self, text: &str, facts: &Facts) {
        self.known.sends(facts);
        if facts.taints_session {
            self.prepared.clear();
            self.cursors.retain(|name, _| Some(name.as_str()) == facts.fetched_cursor());
        }
        self.declaring = None;
        if !facts.cursors.is_empty() && facts.fetched_cursor().is_none() {
            match facts.declared_cursor() {
                Some(name) => self.declaring = Some((name.to_owned(), facts.clone())),
                None => self.cursors.clear(),
            }
        }
        for prepared in &facts.prepared {
            match prepared.usage {
                PreparedUse::Prepare => {
                    self.prepared.insert(prepared.name.clone(), text.to_owned());
                }
                PreparedUse::Deallocate if prepared.name.is_empty() => self.prepared.clear(),
                PreparedUse::Deallocate => {
                    self.prepared.remove(&prepared.name);
                }
                PreparedUse::Execute => {}
            }
        }
    }

    /// What was sent last was answered, and whether it was done.
    pub fn answered(&mut self, done: bool) {
        match self.declaring.take() {
            Some((name, facts)) if done => {
                self.cursors.insert(name, facts);
            }
            Some(_) => self.cursors.clear(),
            None => {}
        }
    }

    fn refresh(&mut self, looker: &mut Client) -> Result<()> {
        self.is_asked = true;
        let moment = looker.ask(CATALOGUE_MOMENT)?.value().unwrap_or_default().to_owned();
        if let (Some(catalogue), Some(probe)) = (&self.catalogue, &self.probe) {
            let known = self.moment == moment;
            if known || looker.ask(&probe.sql())?.value() == Some(catalogue.version()) {
                self.moment = moment;
                return Ok(());
            }
        }
        let probe = Probe::from(&moment).context("the server tells no moment")?;
        let version = looker.ask(&probe.sql())?.value().unwrap_or_default().to_owned();
        self.catalogue = Some(Arc::new(load(looker, &version, self.catalogue.as_deref(), &mut self.own)?));
        (self.probe, self.moment) = (Some(probe), moment);
        self.loads += 1;
        Ok(())
    }
}

fn known(account: &str, client: &Client) -> Known {
    let bytes = |text: &String| text.clone().into_bytes();
    let reported = client.reported.iter().map(|(name, value)| (bytes(name), bytes(value)));
    Known::new(account, &reported.collect::<Vec<_>>())
}

/// Whether another catalogue could give another answer. Loading one takes as long as many statements do.
fn depends_on_catalogue(facts: &Facts) -> bool {
    facts.provable_read
        || facts.kinds.iter().all(|kind| matches!(kind, Kind::Read | Kind::Call | Kind::Write))
}

/// The rows of the sections that hold what the server itself brings.
#[derive(Debug, Default)]
pub struct Own {
    fingerprint: String,
    rows: BTreeMap<Section, Vec<Row>>,
}

type Row = Vec<Option<String>>;

const OWN: &str = "
SELECT concat((SELECT sum(hashtext(concat(oid, ctid, xmin))) FROM pg_proc WHERE oid < 16384), ' ',
              (SELECT sum(hashtext(concat(oid, ctid, xmin))) FROM pg_operator WHERE oid < 16384))";

/// Reads the catalogue of the database that `looker` is in.
///
/// # Errors
/// What the server says, or rows that are not understood.
pub fn load(
    looker: &mut Client,
    probe: &str,
    earlier: Option<&Catalogue>,
    own: &mut Own,
) -> Result<Catalogue> {
    let mut loader =
        earlier.map_or_else(|| CatalogueLoader::new(probe), |earlier| CatalogueLoader::after(probe, earlier));
    looker.ask(CATALOGUE_PREPARE)?;
    let fingerprint = looker.ask(OWN)?.value().unwrap_or_default().to_owned();
    if own.fingerprint != fingerprint {
        *own = Own { fingerprint, rows: BTreeMap::new() };
    }
    for section in Section::ALL {
        let kept = matches!(section, Section::BuiltinFunctions | Section::BuiltinOperators);
        let fetched = match own.rows.get(&section) {
            None => Some(looker.ask(section.sql())?.rows),
            Some(_) => None,
        };
        for row in fetched.as_ref().or_else(|| own.rows.get(&section)).into_iter().flatten() {
            let columns: Vec<Option<&str>> = row.iter().map(Option::as_deref).collect();
            loader.row(section, &columns)?;
        }
        if let Some(rows) = fetched.filter(|_| kept) {
            own.rows.insert(section, rows);
        }
    }
    looker.ask("COMMIT")?;
    Ok(loader.finish()?)
}
