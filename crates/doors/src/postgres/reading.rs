//! What a statement would be, for whoever asks without a session: in a fresh one, with the server's ordinary settings.
//!
//! It is classified by the very code of sessions and with the same catalogue. Nothing is sent to the server but the
//! questions about its catalogue that sessions cause as well.

use std::sync::Arc;

use bytes::Bytes;
use countersign_engine::reading::{Read, Wish};
use tokio::sync::Semaphore;

use super::catalogue::Loaded;
use super::classify::{Classification, Statement, Understood, classification};
use super::state::Known;
use super::{KIND, Shared};

/// How many texts are looked at at once.
const AT_ONCE_MAX: usize = 4;

/// The version that is assumed where no catalogue tells it: the strictest reading follows from having none.
const VERSION_UNKNOWN: u32 = 0;

/// Answers until the door closes.
pub(super) async fn keep(shared: Arc<Shared>) {
    let mut wishes = shared.engine.reading_wishes(KIND);
    let places = Arc::new(Semaphore::new(AT_ONCE_MAX));
    loop {
        let wish = tokio::select! {
            () = shared.stopping.cancelled() => return,
            wish = wishes.recv() => wish,
        };
        let Some(wish) = wish else { return };
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let read = read(&shared, &wish).await;
            wish.answer(read);
            drop(place);
        });
    }
}

async fn read(shared: &Arc<Shared>, wish: &Wish) -> Result<Read, String> {
    let snapshot = shared.engine.snapshot();
    let described = snapshot.book.catalogue.resources.get(&wish.resource);
    let described = described.ok_or_else(|| "the bundle in force has no such resource".to_owned())?;
    let target = shared.target(&wish.resource, described).map_err(|error| error.to_string())?;
    let loaded = target.loaded(shared).await;
    let known = fresh(&wish.account, loaded.as_deref());
    let text = Bytes::copy_from_slice(wish.text.as_bytes());
    let statement = Statement::new(text, Vec::new(), known.shared_session());
    let parser = shared.parser_for(statement.raw.len());
    let facts = match classification(&parser, &target.classes, &statement, &known, loaded.as_ref()) {
        Classification::Kept(facts) => facts,
        Classification::Coming(receiver) => receiver.await.map_err(|_| "the parser gave it up".to_owned())?,
        Classification::Busy => return Err("the parser is busy".to_owned()),
    };
    let understood = Understood::of(facts);
    Ok(Read {
        kind: understood.kind.clone(),
        actions: understood.actions.to_vec(),
        verbs: understood.verbs.to_vec(),
        context: (*understood.context(false)).clone(),
        reasons: understood.facts.reasons.clone(),
        catalogue: loaded.is_some(),
    })
}

/// What is known of a session that has just begun.
fn fresh(account: &str, loaded: Option<&Loaded>) -> Known {
    let version = loaded.map_or(VERSION_UNKNOWN, |loaded| loaded.catalogue.server_version_num());
    let version = format!("{}.{}", version / 10_000, version % 10_000);
    let reported: [(Vec<u8>, Vec<u8>); 3] = [
        (b"server_version".to_vec(), version.into_bytes()),
        (b"client_encoding".to_vec(), b"UTF8".to_vec()),
        (b"standard_conforming_strings".to_vec(), b"on".to_vec()),
    ];
    let mut known = Known::new(account, &reported);
    known.shown("\"$user\", public", "none", account);
    known
}
