//! The target database's own objects, as classification needs them, and how old that knowledge may be.
//!
//! A catalogue is loaded over a look connection and kept as long as it is known to hold ([`Probe`]): usually the server
//! has only to say that nothing has been committed since. A statement is classified only with a catalogue that was
//! *asked about* at most [`FRESH_MS_MAX`] ago. That is the window in which a function made this very moment could stand in for one that was
//! reviewed; closing it would take a lock on the server's catalogue.
//!
//! Without a look account there is no catalogue, and without a catalogue almost nothing is a provable read.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwapOption, Guard};
use countersign_core::{At, Span};
use countersign_wire::sql::{
    CATALOGUE_MOMENT, CATALOGUE_PREPARE, Catalogue, CatalogueError, CatalogueLoader, Parser, Probe,
    Protection, Section,
};

use super::query::{QueryError, simple};
use super::stream::Link;

/// How old the last probe of a catalogue may be when something is classified with it, in milliseconds.
pub(crate) const FRESH_MS_MAX: i64 = 1_000;
/// At what age a probe is repeated while the old answer still serves, in milliseconds.
const REFRESH_MS: i64 = 500;
/// How long after a failure it is tried again, in milliseconds.
const RETRY_MS: i64 = 2_000;

/// A catalogue and when it was last known to hold.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// The objects.
    pub(crate) catalogue: Arc<Catalogue>,
    /// The probe's answer.
    pub(crate) version: Arc<str>,
    /// What tells whether it still holds.
    probe: Probe,
    /// The server's own moment at which it last held.
    moment: Arc<str>,
    /// When that was asked.
    probed: At,
}

/// The catalogue could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unloaded {
    #[error("a catalogue query failed")]
    Query(#[from] QueryError),
    #[error("the catalogue is not understood")]
    Catalogue(#[from] CatalogueError),
    #[error("the probe gave no answer")]
    NoProbe,
    #[error("the statement parser is busy")]
    Busy,
}

/// The catalogue of one resource.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    current: Mutex<Current>,
    /// What is loaded, for readers that take no lock and count no reference. Written only with `current` in hand.
    at_hand: ArcSwapOption<Loaded>,
    /// The columns that are masked, where anything is.
    protections: Option<Vec<Protection>>,
}

#[derive(Debug, Default)]
struct Current {
    failed: Option<At>,
    refreshing: bool,
}

/// What is known at one moment, and what should be done about it.
pub(crate) enum Knowledge {
    /// It holds.
    Fresh(Arc<Loaded>),
    /// It holds, and should be asked for again soon; the caller does that.
    Ageing(Arc<Loaded>),
    /// It must be asked for first.
    Old,
    /// There is none, and asking failed a moment ago.
    Unavailable,
}

impl Knowledge {
    /// What is loaded, if it holds.
    pub(crate) fn loaded(self) -> Option<Arc<Loaded>> {
        match self {
            Self::Fresh(loaded) | Self::Ageing(loaded) => Some(loaded),
            Self::Old | Self::Unavailable => None,
        }
    }
}

impl Cache {
    /// A cache of a catalogue in which these columns are masked.
    pub(crate) fn protecting(protections: Option<Vec<Protection>>) -> Self {
        Self { current: Mutex::default(), at_hand: ArcSwapOption::empty(), protections }
    }

    /// What is loaded, if at `now` nobody need ask again. All sessions look at it all the time, so that counting its
    /// references would cost more than everything else about it.
    pub(crate) fn at_hand(&self, now: At) -> Option<Guard<Option<Arc<Loaded>>>> {
        let loaded = self.at_hand.load();
        let fresh = loaded.as_ref().is_some_and(|loaded| now.since(loaded.probed).millis() <= REFRESH_MS);
        fresh.then_some(loaded)
    }

    /// What is known at `now`. Of many callers one is told to refresh.
    pub(crate) fn knowledge(&self, now: At) -> Knowledge {
        let mut current = self.lock();
        let Some(loaded) = self.at_hand.load_full() else {
            let recently = current.failed.is_some_and(|at| now.since(at).millis() < RETRY_MS);
            return if recently { Knowledge::Unavailable } else { Knowledge::Old };
        };
        match now.since(loaded.probed).millis() {
            age if age > FRESH_MS_MAX => Knowledge::Old,
            age if age > REFRESH_MS && !current.refreshing => {
                current.refreshing = true;
                Knowledge::Ageing(loaded)
            }
            _ => Knowledge::Fresh(loaded),
        }
    }

    /// The catalogue, if its probe was sent after `then`.
    pub(crate) fn probed_after(&self, then: At) -> Option<Arc<Loaded>> {
        let _current = self.lock();
        self.at_hand.load_full().filter(|loaded| loaded.probed > then)
    }

    /// Whether asking has failed a moment before `now`.
    pub(crate) fn has_failed(&self, now: At) -> bool {
        self.lock().failed.is_some_and(|at| now.since(at).millis() < RETRY_MS)
    }

    /// Asks the server. `now` is read before anything is sent.
    ///
    /// # Errors
    /// [`Unloaded`]; what was known before ages on.
    pub(crate) async fn refresh(&self, link: &mut Link, parser: &Parser, now: At) -> Result<(), Unloaded> {
        let known = self.at_hand.load_full();
        let result = read(link, parser, known, (now, self.protections.as_deref())).await;
        let mut current = self.lock();
        current.refreshing = false;
        match result {
            Ok(loaded) => {
                self.at_hand.store(Some(loaded));
                current.failed = None;
                Ok(())
            }
            Err(error) => {
                current.failed = Some(now);
                Err(error)
            }
        }
    }

    /// A refresh could not even begin.
    pub(crate) fn failed(&self, now: At) {
        let mut current = self.lock();
        current.refreshing = false;
        current.failed = Some(now);
        let old = |loaded: &Arc<Loaded>| now.since(loaded.probed) > Span(FRESH_MS_MAX * 1_000);
        if self.at_hand.load().as_ref().is_some_and(old) {
            self.at_hand.store(None);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(
    link: &mut Link,
    parser: &Parser,
    known: Option<Arc<Loaded>>,
    (now, protections): (At, Option<&[Protection]>),
) -> Result<Arc<Loaded>, Unloaded> {
    let moment: Arc<str> = one_text(link, CATALOGUE_MOMENT).await?.into();
    if let Some(known) = known.as_ref().filter(|known| known.probe.is_of(&moment))
        && (known.moment == moment || asked(link, &known.probe).await? == *known.version)
    {
        return Ok(Arc::new(Loaded { moment, probed: now, ..Loaded::clone(known) }));
    }
    let probe = Probe::from(&moment).ok_or(Unloaded::NoProbe)?;
    let version = asked(link, &probe).await?;
    let loader = match &known {
        Some(known) => CatalogueLoader::after(&version, &known.catalogue),
        None => CatalogueLoader::new(&version),
    };
    let loader = match protections {
        Some(protections) => loader.protecting(protections.to_vec()),
        None => loader,
    };
    let loader = sections(link, loader).await?;
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let job = move || {
        let _ = sender.send(loader.finish());
    };
    parser.submit(job).map_err(|_| Unloaded::Busy)?;
    let catalogue = receiver.await.map_err(|_| Unloaded::Busy)??;
    let catalogue = Arc::new(catalogue);
    Ok(Arc::new(Loaded { catalogue, version: version.into(), probe, moment, probed: now }))
}

/// What the probe answers. It is planned once for each connection.
async fn asked(link: &mut Link, probe: &Probe) -> Result<String, Unloaded> {
    match one_text(link, &probe.prepared()).await {
        Err(Unloaded::Query(QueryError::Server { code, .. })) if code == Probe::UNPREPARED => {
            simple(link, Probe::PREPARE).await?;
            one_text(link, &probe.prepared()).await
        }
        answer => answer,
    }
}

async fn one_text(link: &mut Link, question: &str) -> Result<String, Unloaded> {
    let rows = simple(link, question).await?;
    let answer = rows.into_iter().next().and_then(|row| row.into_iter().next().flatten());
    answer.ok_or(Unloaded::NoProbe)
}

async fn sections(link: &mut Link, mut loader: CatalogueLoader) -> Result<CatalogueLoader, Unloaded> {
    simple(link, CATALOGUE_PREPARE).await?;
    for section in Section::ALL {
        for row in simple(link, section.sql()).await? {
            let columns: Vec<Option<&str>> = row.iter().map(Option::as_deref).collect();
            loader.row(section, &columns)?;
        }
    }
    simple(link, "COMMIT").await?;
    Ok(loader)
}
