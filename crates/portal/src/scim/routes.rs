//! Users and groups: create, read, replace, change, delete; and search, in one kind of them or in all.

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::Value;

use super::answer::{self, Wanted};
use super::desk::Desk;
use super::error::{Error, Why};
use super::filter::{self, Filter};
use super::records::{Of, Record, Records};
use super::schema::Object;
use super::{Shared, patch};

/// How much a page holds unless the client wants less, or more.
const PAGE: usize = 100;

/// How much a page holds at most.
pub const PAGE_MAX: usize = 500;

type Body = Result<Bytes, BytesRejection>;
type Answer = Result<Response, Error>;

pub fn router() -> Router<Shared> {
    let all = Router::new()
        .route("/", get(listed))
        .route("/.search", post(searched))
        .layer(Extension(Searched(&[Of::User, Of::Group])));
    all.merge(of(Of::User)).merge(of(Of::Group))
}

/// What kinds of resource a search goes through.
#[derive(Clone, Copy)]
struct Searched(&'static [Of]);

fn of(of: Of) -> Router<Shared> {
    let all = format!("/{}", of.kind().endpoint);
    Router::new()
        .route(&all, get(listed).post(created))
        .route(&format!("{all}/.search"), post(searched))
        .route(&format!("{all}/{{id}}"), get(read).put(replaced).patch(changed).delete(deleted))
        .layer(Extension(of))
        .layer(Extension(Searched(match of {
            Of::User => &[Of::User],
            Of::Group => &[Of::Group],
        })))
}

/// What is wanted of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    filter: Option<String>,
    start_index: Option<String>,
    count: Option<String>,
    attributes: Option<String>,
    excluded_attributes: Option<String>,
}

impl Asked {
    fn wanted(&self) -> Wanted {
        Wanted::new(self.attributes.as_deref(), self.excluded_attributes.as_deref())
    }
}

async fn listed(
    State(shared): State<Shared>,
    Extension(desk): Extension<Desk>,
    Extension(Searched(kinds)): Extension<Searched>,
    Query(asked): Query<Asked>,
) -> Answer {
    list(&shared, &desk, kinds, &asked).await
}

/// The same as a list, for filters that are not to be in an address (RFC 7644, section 3.4.3).
async fn searched(
    State(shared): State<Shared>,
    Extension(desk): Extension<Desk>,
    Extension(Searched(kinds)): Extension<Searched>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let body = object(&headers, body)?;
    let text = |name: &str| match body.get(name) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(Value::Array(all)) => Some(all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")),
        _ => None,
    };
    let asked = Asked {
        filter: text("filter"),
        start_index: text("startIndex"),
        count: text("count"),
        attributes: text("attributes"),
        excluded_attributes: text("excludedAttributes"),
    };
    list(&shared, &desk, kinds, &asked).await
}

async fn list(shared: &Shared, desk: &Desk, kinds: &[Of], asked: &Asked) -> Answer {
    let number = |text: &Option<String>, name: &str| match text.as_deref().map(str::trim) {
        None | Some("") => Ok(None),
        Some(text) => text
            .parse::<i64>()
            .map(Some)
            .map_err(|_| Error::new(Why::InvalidValue, format!("`{name}` has to be a whole number"))),
    };
    let start = number(&asked.start_index, "startIndex")?.unwrap_or(1).max(1);
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    let count = number(&asked.count, "count")?
        .map_or(PAGE, |count| usize::try_from(count.max(0)).unwrap_or(PAGE_MAX));
    let filter = asked.filter.as_deref().map(filter::read).transpose()?;
    let records = desk.records().await?;
    let found = kinds.iter().flat_map(|of| matching(&records, *of, filter.as_ref(), &shared.base));
    let found: Vec<&Record> = found.collect();
    let total = found.len();
    let page = found.into_iter().skip(start - 1).take(count.min(PAGE_MAX));
    let page = page.map(|record| answer::shown(&records, record, &shared.base)).collect();
    Ok(answer::list(page, (total, start), &asked.wanted()))
}

/// Those that are like the filter. The commonest question, for one name, is answered by looking it up.
fn matching<'a>(records: &'a Records, of: Of, filter: Option<&Filter>, base: &str) -> Vec<&'a Record> {
    let Some(filter) = filter else { return records.of(of).collect() };
    if let (Of::User, Some(name)) = (of, filter.as_user_name()) {
        return records.named(name).into_iter().collect();
    }
    let kind = of.kind();
    records.of(of).filter(|record| filter.matches(kind, &answer::shown(records, record, base))).collect()
}

async fn read(
    State(shared): State<Shared>,
    Extension(desk): Extension<Desk>,
    Extension(of): Extension<Of>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Answer {
    let records = desk.records().await?;
    let record = records.get(of, &id)?;
    if answer::names_tag(&headers, header::IF_NONE_MATCH, record) == Some(true) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    Ok(shown(&shared, StatusCode::OK, &records, record, &asked.wanted()))
}

async fn created(
    State(shared): State<Shared>,
    Extension(desk): Extension<Desk>,
    Extension(of): Extension<Of>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let resource = of.kind().read(&object(&headers, body)?)?;
    of.kind().check(&resource)?;
    let (records, record) = desk.create(of, resource).await?;
    Ok(shown(&shared, StatusCode::CREATED, &records, &record, &asked.wanted()))
}

async fn replaced(
    State(shared): State<Shared>,
    Extension(desk): Extension<Desk>,
    Extension(of): Extension<Of>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let resource = of.kind().read(&object(&headers, body)?)?;
    of.kind().check(&resource)?;
    let (records, record) = desk.change((of, &id), &headers, |had| Ok(had.replaced_by(resource))).await?;
    Ok(shown(&shared, StatusCode::OK, &records, &record, &asked.wanted()))
}

async fn changed(
    State(shared): State<Shared>,
    Extension(desk): Extension<Desk>,
    Extension(of): Extension<Of>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let body = object(&headers, body)?;
    let change = |had: &Record| patch::apply(of.kind(), &had.whole(), &body);
    let (records, record) = desk.change((of, &id), &headers, change).await?;
    Ok(shown(&shared, StatusCode::OK, &records, &record, &asked.wanted()))
}

async fn deleted(
    Extension(desk): Extension<Desk>,
    Extension(of): Extension<Of>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    desk.delete((of, &id), &headers).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn shown(
    shared: &Shared,
    status: StatusCode,
    records: &Records,
    record: &Record,
    wanted: &Wanted,
) -> Response {
    let resource = answer::shown(records, record, &shared.base);
    answer::one(status, resource, record, wanted, &shared.base)
}

/// The body, an object of JSON.
fn object(headers: &HeaderMap, body: Body) -> Result<Object, Error> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !["application/scim+json", "application/json"].iter().any(|one| essence.eq_ignore_ascii_case(one)) {
        return Err(Error::new(Why::MediaType, "the body has to be `application/scim+json`"));
    }
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Error::new(Why::TooLarge, "the body is larger than is taken"),
        _ => Error::new(Why::InvalidSyntax, "the body could not be read to its end"),
    })?;
    match serde_json::from_slice::<Value>(&body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Error::new(Why::InvalidSyntax, "the body has to be an object")),
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            let detail = format!("the body is not JSON at line {line}, column {column}");
            Err(Error::new(Why::InvalidSyntax, detail))
        }
    }
}
