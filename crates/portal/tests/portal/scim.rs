//! Provisioning over HTTP, with what clients in the field send.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use countersign_core::{DirectoryName, Span};
use countersign_engine::testing::SeededEntropy;
use countersign_engine::{ApplyError, Engine, SecretSource, Via};
use countersign_portal::scim::{Scim, ScimClient, ScimSettings};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use zeroize::Zeroizing;

use crate::house::{self, House, who};

const TOKEN: &str = "corp-0123456789abcdef0123456789";
const OTHER: &str = "part-0123456789abcdef0123456789";
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// Tokens that a test may change.
#[derive(Clone, Default)]
struct Tokens(Arc<Mutex<BTreeMap<String, String>>>);

impl SecretSource for Tokens {
    fn resolve(&self, reference: &str) -> Result<Zeroizing<String>, String> {
        let found = self.0.lock().unwrap().get(reference).cloned();
        found.map(Zeroizing::new).ok_or_else(|| "there is no such file".into())
    }
}

/// A gateway with two directories, served on a port of its own.
struct Served {
    house: House,
    tokens: Tokens,
    url: String,
    http: reqwest::Client,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// What came back.
#[derive(Debug)]
struct Said {
    status: StatusCode,
    etag: String,
    location: String,
    body: Value,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

fn bundle() -> BTreeMap<String, String> {
    let mut files = house::bundle();
    let people = files.get_mut("people.toml").unwrap();
    *people =
        people.replace("members = [\"bob\"]", "members = [\"bob\", \"alice\"]\nfrom = { corp = \"DBA\" }");
    people.push_str("\n[directory.corp]\nstrip = \"@example.com\"\n[directory.partners]\n");
    files
}

async fn served() -> Served {
    let house = House::with(bundle()).await;
    let tokens = Tokens::default();
    tokens
        .0
        .lock()
        .unwrap()
        .extend([("file:corp".into(), format!("{TOKEN}\n")), ("file:other".into(), OTHER.into())]);
    let client = |directory: &str, tokens: &[&str]| ScimClient {
        directory: DirectoryName::new(directory),
        tokens: tokens.iter().map(|one| (*one).to_owned()).collect(),
    };
    let settings = ScimSettings {
        public_url: house::URL.into(),
        clients: vec![client("corp", &["file:next", "file:corp"]), client("partners", &["file:other"])],
        secrets: Arc::new(tokens.clone()),
        entropy: Arc::new(SeededEntropy::new(77)),
    };
    let scim = Scim::new(house.engine.clone(), settings);
    let router = house.router.clone().merge(scim.router());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        countersign_portal::serve(listener, router, None, std::future::pending()).await.unwrap();
    });
    let following = tokio::spawn(async move { scim.follow().await });
    Served { house, tokens, url, http: reqwest::Client::new(), tasks: vec![serving, following] }
}

impl Served {
    fn engine(&self) -> &Engine {
        &self.house.engine
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>, headers: &[(&str, &str)]) -> Said {
        let mut call = self.http.request(method, format!("{}/scim/v2{path}", self.url));
        let given = |name: &str| headers.iter().any(|(one, _)| *one == name);
        if !given("authorization") {
            call = call.bearer_auth(TOKEN);
        }
        if let Some(body) = body {
            call = call.body(body.to_string());
            if !given("content-type") {
                call = call.header("content-type", "application/scim+json");
            }
        }
        for (name, value) in headers {
            call = call.header(*name, *value);
        }
        let answer = call.send().await.unwrap();
        let header = |name: &str| {
            answer.headers().get(name).map_or(String::new(), |value| value.to_str().unwrap().to_owned())
        };
        let (status, etag, location) = (answer.status(), header("etag"), header("location"));
        let kind = header("content-type");
        let text = answer.text().await.unwrap();
        let body = if text.is_empty() {
            Value::Null
        } else {
            assert_eq!(kind, "application/scim+json", "{text}");
            serde_json::from_str(&text).unwrap()
        };
        Said { status, etag, location, body }
    }

    async fn get(&self, path: &str) -> Said {
        self.send(Method::GET, path, None, &[]).await
    }

    async fn post(&self, path: &str, body: Value) -> Said {
        self.send(Method::POST, path, Some(&body), &[]).await
    }

    async fn patch(&self, path: &str, operations: Value) -> Said {
        let body = json!({ "schemas": [PATCH], "Operations": operations });
        self.send(Method::PATCH, path, Some(&body), &[]).await
    }

    /// A user who is there then.
    async fn user(&self, name: &str) -> String {
        let said = self.post("/Users", json!({ "schemas": [USER], "userName": name, "active": true })).await;
        assert_eq!(said.status, StatusCode::CREATED, "{said:?}");
        said.body["id"].as_str().unwrap().to_owned()
    }

    async fn group(&self, name: &str, members: &[&str]) -> String {
        let members: Vec<Value> = members.iter().map(|id| json!({ "value": id })).collect();
        let body = json!({ "schemas": [GROUP], "displayName": name, "members": members });
        let said = self.post("/Groups", body).await;
        assert_eq!(said.status, StatusCode::CREATED, "{said:?}");
        said.body["id"].as_str().unwrap().to_owned()
    }

    fn is_enabled(&self, name: &str) -> bool {
        self.engine().snapshot().book.is_enabled(&who(name))
    }

    fn is_dba(&self, name: &str) -> bool {
        let snapshot = self.engine().snapshot();
        snapshot.book.catalogue.groups_of(&who(name)).iter().any(|group| group.as_str() == "dba")
    }

    async fn names(&self, query: &str) -> Vec<String> {
        let said = self.get(&format!("/Users?{query}")).await;
        assert_eq!(said.status, StatusCode::OK, "{said:?}");
        let all = said.body["Resources"].as_array().unwrap();
        all.iter().map(|one| one["userName"].as_str().unwrap().to_owned()).collect()
    }
}

fn refusal(said: &Said) -> (u16, &str) {
    assert_eq!(said.body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]), "{said:?}");
    assert_eq!(said.body["status"], said.status.as_u16().to_string());
    (said.status.as_u16(), said.body["scimType"].as_str().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_provisions_its_directory_and_does_nothing_else() {
    let served = served().await;
    let with =
        async |value: &str| served.send(Method::GET, "/Users", None, &[("authorization", value)]).await;
    let persons = served.house.token("dave").to_string();
    let bearers = [
        "Bearer x".to_owned(),
        format!("Bearer {TOKEN}x"),
        format!("Basic {TOKEN}"),
        format!("Bearer {persons}"),
    ];
    for wrong in &bearers {
        assert_eq!(refusal(&with(wrong).await).0, 401, "{wrong}");
    }
    for path in ["", "/nonsense", "/ServiceProviderConfig", "/Schemas", "/Users/x", "/Me", "/Bulk"] {
        let said = served.send(Method::GET, path, None, &[("authorization", "")]).await;
        assert_eq!(refusal(&said).0, 401, "{path}");
    }
    // It is nobody to the API.
    for path in ["/me", "/requests", "/principals", "/sessions", "/bundle"] {
        let answer = served.house.make(house::Call::get(path).bearer(TOKEN)).await;
        assert_eq!(answer.status.as_u16(), 401, "{path}");
    }
    // What one directory said, the other neither sees nor changes.
    let zoe = served.user("zoe").await;
    let other = ("authorization", &*format!("Bearer {OTHER}"));
    assert_eq!(served.send(Method::GET, "/Users", None, &[other]).await.body["totalResults"], 0);
    for method in [Method::GET, Method::DELETE] {
        let said = served.send(method, &format!("/Users/{zoe}"), None, &[other]).await;
        assert_eq!(refusal(&said).0, 404);
    }
    let taken = json!({ "schemas": [USER], "userName": "ZOE" });
    assert_eq!(
        refusal(&served.send(Method::POST, "/Users", Some(&taken), &[other]).await),
        (409, "uniqueness")
    );
    assert!(served.is_enabled("zoe"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_change_without_a_restart_and_guessing_is_rationed() {
    let served = served().await;
    let next = "next-0123456789abcdef0123456789";
    let with = async |token: &str| {
        let bearer = format!("Bearer {token}");
        served.send(Method::GET, "/Users", None, &[("authorization", &bearer)]).await.status.as_u16()
    };
    assert_eq!((with(TOKEN).await, with(next).await), (200, 401));
    served.tokens.0.lock().unwrap().insert("file:next".into(), next.into());
    assert_eq!((with(TOKEN).await, with(next).await), (200, 200));
    served.tokens.0.lock().unwrap().insert("file:corp".into(), "short".into());
    assert_eq!((with(TOKEN).await, with("short").await, with(next).await), (401, 401, 200));
    for _ in 0..40 {
        with("a guess that is wrong").await;
    }
    assert_eq!(with(next).await, 429);
    served.house.clock.advance(Span::minutes(2));
    assert_eq!(with(next).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_can_do_is_told() {
    let served = served().await;
    let config = served.get("/ServiceProviderConfig").await.body;
    let supported = ["patch", "bulk", "filter", "sort", "etag"].map(|what| config[what]["supported"] == true);
    assert_eq!(supported, [true, false, true, false, true]);
    let types = served.get("/ResourceTypes").await.body;
    assert_eq!(
        (types["totalResults"].as_u64(), types["Resources"][0]["endpoint"].as_str()),
        (Some(2), Some("/Users"))
    );
    assert_eq!(served.get("/ResourceTypes/Group").await.body["schema"], GROUP);
    let schemas = served.get("/Schemas").await.body;
    assert_eq!(schemas["totalResults"], 3);
    let user = served.get(&format!("/Schemas/{USER}")).await.body;
    let names: Vec<&str> =
        user["attributes"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"userName") && names.contains(&"emails"), "{names:?}");
    assert_eq!(refusal(&served.get("/Schemas/urn:nonsense").await).0, 404);
    assert_eq!(refusal(&served.get("/Schemas?filter=id%20pr").await).0, 403);
    assert_eq!(refusal(&served.get("/Me").await).0, 501);
    assert_eq!(refusal(&served.get("/nonsense").await).0, 404);
    assert_eq!(refusal(&served.send(Method::PUT, "/Users", Some(&json!({})), &[]).await).0, 405);
}

/// As Okta's client does it: look, create, replace, deactivate by replacing or by a change without a path.
#[tokio::test(flavor = "multi_thread")]
async fn okta_provisions() {
    let served = served().await;
    assert!(
        served
            .names("filter=userName%20eq%20%22zoe%40example.com%22&startIndex=1&count=100")
            .await
            .is_empty()
    );
    let body = json!({
        "schemas": [USER], "userName": "zoe@example.com", "externalId": "00ujl29u0le5T6Aj10h7",
        "name": { "givenName": "Zoe", "familyName": "Zimmer" }, "displayName": "Zoe Zimmer", "locale": "en-US",
        "emails": [{ "primary": true, "value": "zoe@example.com", "type": "work" }],
        "groups": [], "password": "1mz050nq", "active": true,
    });
    let made = served.post("/Users", body.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let id = made.body["id"].as_str().unwrap().to_owned();
    assert_eq!(made.location, format!("{}/scim/v2/Users/{id}", house::URL));
    assert_eq!(made.body["meta"]["resourceType"], "User");
    assert_eq!(made.body["externalId"], "00ujl29u0le5T6Aj10h7");
    assert!(made.body.get("password").is_none());
    assert!(served.is_enabled("zoe"));
    assert_eq!(refusal(&served.post("/Users", body.clone()).await), (409, "uniqueness"));
    let found = served.names("filter=userName%20eq%20%22ZOE%40example.com%22").await;
    assert_eq!(found, ["zoe@example.com"]);
    // A group, renamed with its identifier in the value, and members one way and the other.
    let group = served.group("DBAs", &[]).await;
    let path = format!("/Groups/{group}");
    let renamed = json!([{ "op": "replace", "value": { "id": group, "displayName": "DBA" } }]);
    assert_eq!(served.patch(&path, renamed).await.body["displayName"], "DBA");
    let joins = json!([{ "op": "add", "path": "members", "value": [{ "value": id, "display": "zoe" }] }]);
    assert_eq!(served.patch(&path, joins).await.body["members"][0]["value"], id.as_str());
    assert!(served.is_dba("zoe"));
    let leaves = json!([{ "op": "remove", "path": format!("members[value eq \"{id}\"]") }]);
    assert_eq!(served.patch(&path, leaves).await.status, StatusCode::OK);
    assert!(!served.is_dba("zoe"));
    let whole =
        json!({ "schemas": [GROUP], "id": group, "displayName": "DBA", "members": [{ "value": id }] });
    assert_eq!(served.send(Method::PUT, &path, Some(&whole), &[]).await.status, StatusCode::OK);
    assert!(served.is_dba("zoe"));
    // Deactivated, and here at once.
    let token = served.house.token("zoe").to_string();
    assert!(served.engine().caller(&token, Via::Api, None).await.is_ok());
    let off = served
        .patch(&format!("/Users/{id}"), json!([{ "op": "replace", "value": { "active": false } }]))
        .await;
    assert_eq!((off.status, &off.body["active"]), (StatusCode::OK, &json!(false)));
    assert!(!served.is_enabled("zoe") && !served.is_dba("zoe"));
    assert!(served.engine().caller(&token, Via::Api, None).await.is_err());
    assert_eq!(
        served.send(Method::PUT, &format!("/Users/{id}"), Some(&body), &[]).await.status,
        StatusCode::OK
    );
    assert!(served.is_enabled("zoe") && served.is_dba("zoe"));
}

/// What is known of directories is told: where an account comes from, what it is called there, when it was last heard.
#[tokio::test(flavor = "multi_thread")]
async fn directories_are_seen() {
    let served = served().await;
    let zoe = json!({ "schemas": [USER], "userName": "zoe", "displayName": "Zoe Zimmer" });
    served.post("/Users", zoe).await;
    let off = json!({ "schemas": [USER], "userName": "yan", "active": false });
    served.post("/Users", off).await;
    let seen = served.house.get("carol", "/directories").await.json();
    let [corp, partners] = seen["items"].as_array().unwrap().as_slice() else { panic!("{seen}") };
    assert_eq!((&corp["id"], &corp["state"]), (&json!("corp"), &json!("heard")));
    assert_eq!((&corp["accounts"], &corp["active"]), (&json!(2), &json!(1)));
    assert_eq!(corp["heard_at"], served.engine().now().rfc3339());
    assert_eq!((&partners["id"], &partners["accounts"]), (&json!("partners"), &json!(0)));
    let people = served.house.get("bob", "/principals").await.json();
    let of =
        |id: &str| people["items"].as_array().unwrap().iter().find(|one| one["id"] == id).unwrap().clone();
    assert_eq!((&of("zoe")["directory"], &of("zoe")["name"]), (&json!("corp"), &json!("Zoe Zimmer")));
    assert_eq!(of("alice").get("directory"), None);
    assert_eq!(served.house.get("zoe", "/me").await.json()["name"], "Zoe Zimmer");
}

/// As Entra's client does it: words in capitals, truth values in quotes, filters within paths, dotted names.
#[tokio::test(flavor = "multi_thread")]
async fn entra_provisions() {
    let served = served().await;
    let body = json!({
        "schemas": [USER, ENTERPRISE], "externalId": "58342554-38d6-4ec8-948c-50044d0a33fd",
        "userName": "yan@example.com", "active": "True", "displayName": "Yan",
        "emails": [{ "type": "work", "value": "yan@example.com", "primary": true }],
        (ENTERPRISE): { "department": "Sales", "manager": "4711" }, "meta": { "resourceType": "User" },
    });
    let made = served.post("/Users", body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(
        (&made.body["active"], &made.body[ENTERPRISE]["manager"]["value"]),
        (&json!(true), &json!("4711"))
    );
    assert_eq!(made.body["schemas"], json!([USER, ENTERPRISE]));
    let id = made.body["id"].as_str().unwrap().to_owned();
    let path = format!("/Users/{id}");
    let changed = served
        .patch(
            &path,
            json!([
                { "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "y@example.com" },
                { "op": "Add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "555" },
                { "op": "Replace", "path": "name.familyName", "value": "Young" },
                { "op": "Add", "value": { "name.givenName": "Yan", (format!("{ENTERPRISE}:department")): "IT" } },
                { "op": "Remove", "path": "displayName" },
            ]),
        )
        .await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    assert_eq!(changed.body["emails"][0]["value"], "y@example.com");
    assert_eq!(changed.body["phoneNumbers"], json!([{ "type": "mobile", "value": "555" }]));
    assert_eq!(changed.body["name"], json!({ "familyName": "Young", "givenName": "Yan" }));
    assert_eq!(changed.body[ENTERPRISE]["department"], "IT");
    assert!(changed.body.get("displayName").is_none());
    let group = served.group("DBA", &[]).await;
    let group_path = format!("/Groups/{group}");
    let joins = json!([{ "op": "Add", "path": "members", "value": [{ "$ref": null, "value": id }] }]);
    assert_eq!(served.patch(&group_path, joins).await.status, StatusCode::OK);
    assert!(served.is_dba("yan"));
    let lean = served.get(&format!("{group_path}?excludedAttributes=members")).await.body;
    assert!(lean.get("members").is_none() && lean["displayName"] == "DBA");
    let found =
        served.get("/Groups?excludedAttributes=members&filter=displayName%20eq%20%22dba%22").await.body;
    assert_eq!(found["totalResults"], 1);
    let leaves = json!([{ "op": "Remove", "path": "members", "value": [{ "value": id }] }]);
    assert_eq!(served.patch(&group_path, leaves).await.status, StatusCode::OK);
    assert!(!served.is_dba("yan"));
    let off = served.patch(&path, json!([{ "op": "Replace", "path": "active", "value": "False" }])).await;
    assert_eq!(off.body["active"], false);
    assert!(!served.is_enabled("yan"));
    assert_eq!(served.send(Method::DELETE, &path, None, &[]).await.status, StatusCode::NO_CONTENT);
    assert_eq!(refusal(&served.get(&path).await).0, 404);
    assert!(!served.engine().snapshot().book.catalogue.principals.contains_key(&who("yan")));
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_within_groups_and_names_that_change() {
    let served = served().await;
    let zoe = served.user("zoe").await;
    let inner = served.group("Night shift", &[&zoe]).await;
    let outer = served.group("DBA", &[&inner]).await;
    assert!(served.is_dba("zoe"));
    let shown = served.get(&format!("/Users/{zoe}")).await.body["groups"].clone();
    let kinds: Vec<(&str, &str)> = shown
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["display"].as_str().unwrap(), one["type"].as_str().unwrap()))
        .collect();
    assert_eq!(kinds, [("Night shift", "direct"), ("DBA", "indirect")]);
    // A circle is no harm.
    let circle = json!([{ "op": "add", "path": "members", "value": [{ "value": outer }] }]);
    assert_eq!(served.patch(&format!("/Groups/{inner}"), circle).await.status, StatusCode::OK);
    assert!(served.is_dba("zoe"));
    let renamed = json!([{ "op": "replace", "path": "displayName", "value": "Former DBAs" }]);
    served.patch(&format!("/Groups/{outer}"), renamed).await;
    assert!(!served.is_dba("zoe"));
    served
        .patch(
            &format!("/Groups/{inner}"),
            json!([{ "op": "replace", "path": "displayName", "value": "DBA" }]),
        )
        .await;
    assert!(served.is_dba("zoe"));
    // Whoever gets another name is somebody else here: what the old name had ends.
    let other = json!([{ "op": "replace", "path": "userName", "value": "zoe.zimmer@example.com" }]);
    assert_eq!(served.patch(&format!("/Users/{zoe}"), other).await.status, StatusCode::OK);
    assert!(!served.is_enabled("zoe") && served.is_enabled("zoe.zimmer") && served.is_dba("zoe.zimmer"));
    assert_eq!(
        served.send(Method::DELETE, &format!("/Groups/{inner}"), None, &[]).await.status.as_u16(),
        204
    );
    assert!(!served.is_dba("zoe.zimmer"));
    let unknown = json!([{ "op": "add", "path": "members", "value": [{ "value": "nobody" }] }]);
    assert_eq!(refusal(&served.patch(&format!("/Groups/{outer}"), unknown).await), (400, "invalidValue"));
}

/// Names that only resemble somebody's, or are theirs once what the bundle strips is taken off: none takes the place of whoever has
/// the name, and no search finds one for the other.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_the_place_of_somebody_called_alike() {
    let served = served().await;
    let kim = served.user("kim").await;
    let record = |served: &Served| served.engine().snapshot().book.account(&who("kim")).unwrap().record;
    let before = record(&served);
    let alike = [
        "\u{212a}im",
        "k\u{131}m",
        "k\u{130}m",
        "\u{ff4b}im",
        "k\u{456}m",
        "kim\u{200b}",
        "kim\u{a0}",
        "\u{2003}kim",
    ];
    for name in alike {
        let said =
            served.post("/Users", json!({ "schemas": [USER], "userName": name, "active": true })).await;
        assert_eq!(refusal(&said), (400, "invalidValue"), "{name:?}");
        let filter = format!("filter=userName%20eq%20%22{}%22", encoded(name));
        assert_eq!(served.names(&filter).await, Vec::<String>::new(), "{name:?}");
    }
    let other = served.user("someone").await;
    for name in ["KIM", " kim", "kim ", "kim@example.com", "Kim@Example.COM"] {
        let said =
            served.post("/Users", json!({ "schemas": [USER], "userName": name, "active": false })).await;
        assert_eq!(refusal(&said), (409, "uniqueness"), "{name:?}");
        let renamed = json!([{ "op": "replace", "path": "userName", "value": name }]);
        let said = served.patch(&format!("/Users/{other}"), renamed).await;
        assert_eq!(refusal(&said), (409, "uniqueness"), "{name:?}");
    }
    assert!(served.is_enabled("kim") && served.is_enabled("someone") && record(&served) == before);
    assert_eq!(served.names("filter=userName%20eq%20%22Kim%22").await, ["kim"], "case is of no account");
    // A group is found by its own name, and is not filled as another one is.
    served.group("\u{ff24}BA", &[&kim]).await;
    assert!(!served.is_dba("kim"));
    // Once it is free, the name is to be had, and what the former one had is not.
    assert_eq!(served.send(Method::DELETE, &format!("/Users/{kim}"), None, &[]).await.status.as_u16(), 204);
    served.user("kim@example.com").await;
    assert!(served.is_enabled("kim") && record(&served) != before);
}

/// As it stands in an address.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages_and_versions_are_held_against_each_other() {
    let served = served().await;
    for name in ["a1", "a2", "b1", "b2", "b3"] {
        served.user(name).await;
    }
    assert_eq!(served.names("startIndex=2&count=2").await, ["a2", "b1"]);
    assert_eq!(served.names("filter=userName%20sw%20%22b%22&startIndex=0&count=2").await, ["b1", "b2"]);
    let none = served.get("/Users?count=0").await.body;
    assert_eq!((&none["totalResults"], &none["itemsPerPage"]), (&json!(5), &json!(0)));
    assert_eq!(served.get("/Users?count=-1&startIndex=-7").await.body["itemsPerPage"], 0);
    assert_eq!(refusal(&served.get("/Users?count=x").await), (400, "invalidValue"));
    assert_eq!(refusal(&served.get("/Users?filter=userName%20is%20%22b%22").await), (400, "invalidFilter"));
    let search =
        json!({ "filter": "userName ew \"1\"", "attributes": ["userName"], "startIndex": 1, "count": 10 });
    let found = served.post("/Users/.search", search).await.body;
    assert_eq!(found["totalResults"], 2);
    let keys: Vec<&String> = found["Resources"][0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["schemas", "id", "userName"]);

    let id = served.user("c1").await;
    let path = format!("/Users/{id}");
    let first = served.get(&path).await;
    assert_eq!((first.etag.as_str(), &first.body["meta"]["version"]), ("W/\"1\"", &json!("W/\"1\"")));
    let unchanged = served.send(Method::GET, &path, None, &[("if-none-match", "W/\"1\"")]).await;
    assert_eq!(unchanged.status, StatusCode::NOT_MODIFIED);
    let body = json!({ "schemas": [USER], "userName": "c1", "title": "Boss" });
    let second = served.send(Method::PUT, &path, Some(&body), &[("if-match", "W/\"1\"")]).await;
    assert_eq!((second.status, second.etag.as_str()), (StatusCode::OK, "W/\"2\""));
    for method in [Method::PUT, Method::DELETE] {
        let stale = served.send(method, &path, Some(&body), &[("if-match", "W/\"1\"")]).await;
        assert_eq!(refusal(&stale).0, 412);
    }
    // What changes nothing makes no version.
    assert_eq!(served.send(Method::PUT, &path, Some(&body), &[]).await.etag, "W/\"2\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_refused_and_changes_nothing() {
    let served = served().await;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for (body, expected) in [
        (json!({ "schemas": [USER] }), (400, "invalidValue")),
        (json!({ "userName": "" }), (400, "invalidValue")),
        (json!({ "userName": ["zoe"] }), (400, "invalidValue")),
        (json!({ "userName": "zoë" }), (400, "invalidValue")),
        (json!({ "userName": "zoe zimmer" }), (400, "invalidValue")),
        (json!({ "userName": "a".repeat(65) }), (400, "invalidValue")),
        (json!({ "userName": "alice" }), (409, "uniqueness")),
        (json!({ "userName": "zoe", "title": "x".repeat(5_000) }), (400, "invalidValue")),
        (json!({ "userName": "zoe", "active": "perhaps" }), (400, "invalidValue")),
        (json!({ "userName": "zoe", "emails": 7 }), (400, "invalidValue")),
        (json!([]), (400, "invalidSyntax")),
    ] {
        assert_eq!(refusal(&served.post("/Users", body.clone()).await), expected, "{body}");
    }
    let unnamed = json!({ "displayName": "DBA", "members": [{ "display": "zoe" }] });
    assert_eq!(refusal(&served.post("/Groups", unnamed).await), (400, "invalidValue"));
    let raw = async |text: String, kind: &str| {
        let call = served.http.post(format!("{}/scim/v2/Users", served.url)).bearer_auth(TOKEN);
        // What is too large is not read to its end, and its connection is of no use to the next call.
        let call = call.header("connection", "close");
        call.header("content-type", kind).body(text).send().await.unwrap().status().as_u16()
    };
    assert_eq!(raw("{\"userName\"".into(), "application/scim+json").await, 400);
    assert_eq!(raw(deep, "application/json").await, 400);
    assert_eq!(raw("{}".into(), "text/plain").await, 415);
    assert_eq!(raw(" ".repeat(3 * 1024 * 1024), "application/scim+json").await, 413);
    assert_eq!(served.get("/Users").await.body["totalResults"], 0);
    let principals = served.engine().snapshot();
    assert_eq!(principals.book.catalogue, *principals.book.stated());
}

/// Not saying whether an account is let in lets nobody in who was shut out.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_said_of_an_account_lets_nobody_in() {
    let served = served().await;
    let zoe = served.user("zoe").await;
    let path = format!("/Users/{zoe}");
    assert_eq!(served.get(&path).await.body["active"], true);
    let unsaid = json!([{ "op": "remove", "path": "active" }]);
    assert_eq!(served.patch(&path, unsaid.clone()).await.body.get("active"), None);
    assert!(served.is_enabled("zoe"));
    served.patch(&path, json!([{ "op": "replace", "path": "active", "value": false }])).await;
    assert!(!served.is_enabled("zoe"));
    let whole = json!({ "schemas": [USER], "userName": "zoe", "title": "Boss" });
    let kept = served.send(Method::PUT, &path, Some(&whole), &[]).await.body;
    assert_eq!((&kept["active"], &kept["title"]), (&json!(false), &json!("Boss")));
    assert_eq!(served.patch(&path, unsaid).await.body.get("active"), None);
    assert_eq!(served.send(Method::PUT, &path, Some(&whole), &[]).await.body.get("active"), None);
    served.patch(&path, json!([{ "op": "replace", "path": "title", "value": "Clerk" }])).await;
    assert!(!served.is_enabled("zoe"));
    served.patch(&path, json!([{ "op": "add", "path": "active", "value": true }])).await;
    assert!(served.is_enabled("zoe"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_goes_through_all_kinds() {
    let served = served().await;
    let zoe = served.user("zoe").await;
    let group = served.group("DBA", &[&zoe]).await;
    let ids = |said: &Said| -> Vec<String> {
        let all = said.body["Resources"].as_array().unwrap().iter();
        all.map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    let search = async |filter: &str| ids(&served.post("/.search", json!({ "filter": filter })).await);
    assert_eq!(search("meta.resourceType eq \"Group\"").await.join(" "), group);
    assert_eq!(search("userName eq \"zoe\" or displayName eq \"DBA\"").await, [zoe.clone(), group.clone()]);
    assert_eq!(search("userName eq \"ZOE\"").await.join(" "), zoe);
    assert_eq!(search("displayName eq \"nobody\"").await, [""; 0]);
    assert_eq!(ids(&served.get("").await), [zoe, group]);
    let page =
        served.post("/.search", json!({ "startIndex": 2, "count": 5, "attributes": ["id"] })).await.body;
    assert_eq!((&page["totalResults"], &page["itemsPerPage"]), (&json!(2), &json!(1)));
    assert_eq!(refusal(&served.post("/.search", json!({ "filter": "?" })).await), (400, "invalidFilter"));
}

/// What was provisioned before the bundle filled a group from it counts from then on, and no longer once it does not.
#[tokio::test(flavor = "multi_thread")]
async fn another_bundle_fills_its_groups_anew() {
    let served = served().await;
    let zoe = served.user("zoe").await;
    served.group("Night shift", &[&zoe]).await;
    assert!(!served.is_dba("zoe"));
    let mut files = bundle();
    let people = files.get_mut("people.toml").unwrap();
    *people = people.replace("corp = \"DBA\"", "corp = [\"DBA\", \"Night shift\"]");
    let dave = served.house.caller("dave").await;
    let applied = served.engine().apply_bundle(&dave, files).await;
    let Ok(countersign_engine::Applied::Pending(request)) = applied else {
        panic!("{:?}", applied.map_err(|error| matches!(error, ApplyError::Invalid(_))))
    };
    // It goes live with the last yes.
    approve_by_all(&served, request).await;
    for _ in 0..2_000 {
        if served.is_dba("zoe") {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("nobody said anew who is in the group");
}

async fn approve_by_all(served: &Served, request: countersign_core::RequestId) {
    for name in ["bob", "alice", "carol"] {
        let caller = served.house.caller(name).await;
        let _not_asked = served.engine().approve(&caller, request, None, None).await;
    }
    let snapshot = served.engine().snapshot();
    assert_eq!(snapshot.book.request(request).unwrap().state.as_str(), "approved");
}
