//! One directory's resources, and the one place where they change.

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use countersign_core::DirectoryName;
use countersign_engine::{Engine, Entropy};
use serde_json::Value;
use tokio::sync::Mutex;

use super::answer;
use super::error::{Error, Why};
use super::records::{Change, Of, Record, Records};
use super::schema::Object;

/// The desk of one directory. A handle; clones are the same desk.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

struct Inner {
    engine: Engine,
    entropy: Arc<dyn Entropy>,
    directory: DirectoryName,
    /// Nothing until it is first asked for. Held while something changes: changes come one after the other.
    records: Mutex<Option<Records>>,
}

impl Desk {
    pub fn new(engine: Engine, entropy: Arc<dyn Entropy>, directory: DirectoryName) -> Self {
        Self(Arc::new(Inner { engine, entropy, directory, records: Mutex::default() }))
    }

    pub fn directory(&self) -> &DirectoryName {
        &self.0.directory
    }

    /// The resources as they are.
    pub async fn records(&self) -> Result<Records, Error> {
        let mut kept = self.0.records.lock().await;
        Ok(self.loaded(&mut kept).await?.clone())
    }

    async fn loaded<'a>(&self, kept: &'a mut Option<Records>) -> Result<&'a mut Records, Error> {
        if kept.is_none() {
            let found = self.0.engine.directory_records(&self.0.directory).await.map_err(|error| {
                tracing::error!(directory = %self.0.directory, %error, "a directory's records can't be read");
                Error::new(Why::Unavailable, "the records of this directory can't be read")
            })?;
            *kept = Some(Records::load(found)?);
        }
        kept.as_mut().ok_or_else(|| Error::new(Why::Internal, "the records of this directory are gone"))
    }

    pub async fn create(&self, of: Of, mut resource: Object) -> Result<(Records, Record), Error> {
        let now = self.0.engine.now();
        let id = id(self.0.entropy.id());
        let mut record = Record {
            id,
            of,
            version: 1,
            created: now,
            modified: now,
            principal: None,
            resource: Object::new(),
            members: std::collections::BTreeSet::new(),
            is_shut_out: false,
        };
        if of == Of::User {
            resource.entry("active").or_insert(Value::Bool(true));
        }
        record.take(resource)?;
        let mut kept = self.0.records.lock().await;
        let records = self.loaded(&mut kept).await?;
        self.name(&mut record)?;
        records.admits(&record)?;
        self.commit(records, &Change { put: vec![record.clone()], removed: Vec::new() }).await?;
        Ok((records.clone(), record))
    }

    /// Changes a resource, unless the client has an older version of it in mind.
    pub async fn change(
        &self,
        (of, id): (Of, &str),
        headers: &HeaderMap,
        change: impl FnOnce(&Record) -> Result<Object, Error>,
    ) -> Result<(Records, Record), Error> {
        let mut kept = self.0.records.lock().await;
        let records = self.loaded(&mut kept).await?;
        let had = records.get(of, id)?;
        expected(headers, had)?;
        let mut record = had.clone();
        record.take(change(had)?)?;
        self.name(&mut record)?;
        if record == *had {
            return Ok((records.clone(), record));
        }
        records.admits(&record)?;
        (record.version, record.modified) = (had.version.saturating_add(1), self.0.engine.now());
        self.commit(records, &Change { put: vec![record.clone()], removed: Vec::new() }).await?;
        Ok((records.clone(), record))
    }

    pub async fn delete(&self, (of, id): (Of, &str), headers: &HeaderMap) -> Result<(), Error> {
        let mut kept = self.0.records.lock().await;
        let records = self.loaded(&mut kept).await?;
        expected(headers, records.get(of, id)?)?;
        let change = records.without(id, self.0.engine.now());
        self.commit(records, &change).await
    }

    /// Says everything anew: after a start, and when another bundle fills its groups otherwise.
    pub async fn repeat(&self) -> Result<(), Error> {
        let kept = &mut *self.0.records.lock().await;
        let records = self.loaded(kept).await?;
        let listed = records.of(Of::User).map(|record| records.listed(record)).collect();
        let outcome = self.0.engine.synchronise(&self.0.directory, listed).await?;
        for why in outcome.skipped {
            tracing::warn!(directory = %self.0.directory, %why, "an account of the directory is nobody here");
        }
        Ok(())
    }

    /// Which principal a user is.
    fn name(&self, record: &mut Record) -> Result<(), Error> {
        if record.of == Of::User {
            let name = self.0.engine.directory_name(&self.0.directory, record.user_name())?;
            record.principal = Some(name);
        }
        Ok(())
    }

    async fn commit(&self, records: &mut Records, change: &Change) -> Result<(), Error> {
        let (after, words, shelving) = records.foresee(change);
        self.0.engine.provision(&self.0.directory, words, shelving).await?;
        *records = after;
        Ok(())
    }
}

fn expected(headers: &HeaderMap, record: &Record) -> Result<(), Error> {
    match answer::names_tag(headers, header::IF_MATCH, record) {
        Some(false) => Err(Error::new(Why::Stale, "it was changed meanwhile; read it again")),
        Some(true) | None => Ok(()),
    }
}

/// An identifier as clients know them: the form of a UUID.
fn id(number: u128) -> String {
    let hex = format!("{number:032x}");
    let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    let parts: Vec<&str> = parts.iter().filter_map(|(from, to)| hex.get(*from..*to)).collect();
    parts.join("-")
}
