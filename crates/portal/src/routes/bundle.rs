//! The bundle in force, checking another, applying it.

use axum::Json;
use axum::extract::{DefaultBodyLimit, State};
use countersign_core::BundleHash;
use countersign_engine::{Applied as Outcome, ApplyError};
use countersign_policy::{Source, compile};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::reading;
use crate::extract::{Json as Body, Query};
use crate::guard::SignedIn;
use crate::problem::{Kind, Problem, Problems};
use crate::rooms::Rooms;
use crate::shapes::List;
use crate::shapes::bundle::{
    Applied, Bundle, BundleFiles, BundleQuery, BundleState, BundleVersion, Check, Diagnostic, Files,
    WhichBundle,
};

/// How large a bundle may be on its way in. People, rules and policies of a large organisation are far below.
pub(super) const BUNDLE_BYTES_MAX: usize = 8 * 1024 * 1024;

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new()
        .routes(routes!(bundle, apply))
        .routes(routes!(check))
        .routes(routes!(versions))
        .routes(routes!(files))
        .layer(DefaultBodyLimit::max(BUNDLE_BYTES_MAX))
}

/// The bundle in force, with what somebody should look at: in its files, and in the upstream accounts that its roles name.
#[utoipa::path(
    get, path = "/bundle", tag = "bundle", operation_id = "bundle", params(BundleQuery),
    responses((status = 200, description = "The bundle", body = Bundle), Problems)
)]
async fn bundle(
    State(rooms): State<Rooms>,
    Query(query): Query<BundleQuery>,
) -> Result<Json<Bundle>, Problem> {
    let accounts = match query.live {
        Some(true) => {
            let read = rooms.engine.read_back_accounts().await;
            let silent =
                || Problem::new(Kind::TimedOut, "no door has read the upstream accounts back in time");
            Some(read.ok_or_else(silent)?)
        }
        Some(false) | None => rooms.engine.accounts(),
    };
    let snapshot = rooms.engine.snapshot();
    let none = || {
        Problem::new(Kind::NotFound, "no bundle is in force").hint("`countersign apply FOLDER` applies one")
    };
    let in_force = snapshot.book.in_force.as_ref().ok_or_else(none)?;
    let policy = snapshot.policy.as_ref().ok_or_else(none)?;
    let catalogue = &policy.catalogue;
    Ok(Json(Bundle {
        id: in_force.bundle.to_string(),
        state: BundleState::Active,
        name: policy.name.clone(),
        version: in_force.version,
        principals: catalogue.principals.len(),
        groups: catalogue.groups.len(),
        resources: catalogue.resources.len(),
        roles: catalogue.roles.len(),
        rules: catalogue.rules.len(),
        warnings: policy
            .warnings
            .iter()
            .cloned()
            .map(Into::into)
            .chain(accounts.iter().flat_map(|read| &read.found).flat_map(Diagnostic::of_account))
            .chain(accounts.iter().flat_map(|read| &read.relations).flat_map(Diagnostic::of_relations))
            .collect(),
    }))
}

/// Checks a bundle and says every mistake; changes nothing.
#[utoipa::path(
    post, path = "/bundle/check", tag = "bundle", operation_id = "check",
    request_body = Files,
    responses((status = 200, description = "What was found", body = Check), Problems)
)]
async fn check(Body(files): Body<Files>) -> Result<Json<Check>, Problem> {
    let source = Source { files: files.files };
    // Compiling takes a while; others are served meanwhile.
    let compiled = tokio::task::spawn_blocking(move || compile(&source)).await;
    let compiled = compiled.map_err(|_| Problem::new(Kind::Internal, "the bundle could not be checked"))?;
    Ok(Json(match compiled {
        Ok(compiled) => Check {
            id: Some(compiled.hash.to_string()),
            state: BundleState::Valid,
            diagnostics: shown(compiled.warnings),
        },
        Err(found) => Check { id: None, state: BundleState::Invalid, diagnostics: shown(found) },
    }))
}

/// Applies a bundle, or asks those who must say yes.
#[utoipa::path(
    post, path = "/bundle", tag = "bundle", operation_id = "apply",
    request_body = Files,
    responses((status = 200, description = "It is active, or waits", body = Applied), Problems)
)]
async fn apply(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    Body(files): Body<Files>,
) -> Result<Json<Applied>, Problem> {
    match rooms.engine.apply_bundle(&caller, files.files).await {
        Ok(Outcome::Active { version, hash }) => Ok(Json(Applied {
            id: hash.to_string(),
            state: BundleState::Active,
            version: Some(version),
            request: None,
        })),
        Ok(Outcome::Pending(request)) => Ok(Json(Applied {
            id: request.to_string(),
            state: BundleState::Pending,
            version: None,
            request: Some(request.to_string()),
        })),
        Err(error) => Err(not_applied(error)),
    }
}

/// That a bundle has mistakes, with all of them, or that the house said no.
pub(super) fn not_applied(error: ApplyError) -> Problem {
    match error {
        ApplyError::Invalid(found) => {
            let mut problem = Problem::new(Kind::Invalid, "the bundle has mistakes; nothing was changed")
                .hint("`countersign check FOLDER` shows them with their places");
            problem.diagnostics = shown(found);
            problem
        }
        ApplyError::Refused(refused) => refused.into(),
    }
}

/// Every bundle that was in force, the last first.
#[utoipa::path(
    get, path = "/bundle/versions", tag = "bundle", operation_id = "bundle_versions",
    responses((status = 200, description = "Versions", body = List<BundleVersion>), Problems)
)]
async fn versions(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
) -> Result<Json<List<BundleVersion>>, Problem> {
    let found = reading(&rooms, move |engine| engine.bundle_versions(&caller)).await??;
    Ok(Json(List { items: found.into_iter().map(Into::into).collect() }))
}

/// The files of a bundle: of the one in force, of one that was, or of one that somebody proposes.
#[utoipa::path(
    get, path = "/bundle/files", tag = "bundle", operation_id = "bundle_files", params(WhichBundle),
    responses((status = 200, description = "Its files", body = BundleFiles), Problems)
)]
async fn files(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    Query(which): Query<WhichBundle>,
) -> Result<Json<BundleFiles>, Problem> {
    let wanted = which.id.map(|id| id.parse::<BundleHash>()).transpose();
    let wanted = wanted.map_err(|_| Problem::new(Kind::NotFound, "there is no such bundle in the store"))?;
    let (id, files) = reading(&rooms, move |engine| engine.files_of_bundle(&caller, wanted)).await??;
    let state = if rooms.engine.bundle() == Some(id) { BundleState::Active } else { BundleState::Valid };
    Ok(Json(BundleFiles { id: id.to_string(), state, files }))
}

fn shown(found: Vec<countersign_policy::Diagnostic>) -> Vec<Diagnostic> {
    found.into_iter().map(Into::into).collect()
}
