//! Callers who want something else: other sites, forged tokens, malformed and enormous calls, climbing paths.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::house::{Answer, Call, House, PASSWORD, URL, make};

async fn status(house: &House, call: Call) -> u16 {
    house.make(call).await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_have_limits() {
    let house = House::open().await;
    let dave = house.token("dave");
    let big = |bytes: usize| json!({ "user": "a", "password": "x".repeat(bytes) }).to_string();
    let refused = house.make(Call::raw("/sign-in", big(70 * 1024))).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (413, "too-large".into()));
    let files = |bytes: usize| json!({ "files": { "a.cedar": "x".repeat(bytes) } }).to_string();
    let check = |bytes| Call::raw("/bundle/check", files(bytes)).bearer(&dave);
    assert_eq!(status(&house, check(9 * 1024 * 1024)).await, 413);
    assert_eq!(status(&house, check(200 * 1024)).await, 200);
    let nested = "[".repeat(50_000);
    assert_eq!(status(&house, Call::raw("/sign-in", nested)).await, 422);
    let nested = format!("{{\"files\":{{\"a\":{}", "[".repeat(100_000));
    assert_eq!(status(&house, Call::raw("/bundle/check", nested).bearer(&dave)).await, 422);
    let words = json!({ "role": "shop-writer", "for": "30m", "reason": "x".repeat(5_000) });
    assert_eq!(house.post("alice", "/requests", words).await.problem(), "too-large");
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_calls_are_refused_in_words() {
    let house = House::open().await;
    let alice = house.token("alice");
    let post = |body: &str| Call::raw("/requests", body.to_owned()).bearer(&alice);
    for (body, code, detail) in [
        ("", 400, "the body is not JSON at line 1, column 0"),
        ("{", 400, "the body is not JSON at line 1, column 1"),
        ("{\"role\":\"a\"}", 422, "the member `for` is missing (line 1, column 12)"),
        ("{\"role\":7}", 422, "a value is of another type than expected (line 1, column 9)"),
        ("{\"admin\":true}", 422, "there is no member `admin` (line 1, column 8)"),
        ("{\"role\":\"a\",\"role\":\"b\"}", 422, "the member `role` is there twice (line 1, column 18)"),
        (
            "{\"role\":\"shop-writer\",\"for\":\"soon\",\"reason\":\"x\"}",
            422,
            "`soon` is not a length of time; write for example `90s`, `30m`, `1h30m` or `2d`",
        ),
    ] {
        let refused = house.make(post(body)).await;
        assert_eq!(refused.status.as_u16(), code, "{body}");
        refused.problem();
        assert_eq!(refused.json()["detail"], detail, "{body}");
    }
    let latin = Call::raw("/requests", &b"{\"role\":\"\xe4\"}"[..]).bearer(&alice);
    assert_eq!(status(&house, latin).await, 400);
    let mut form = post("role=shop-writer");
    form.headers.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    assert_eq!(house.make(form).await.problem(), "unsupported-media-type");
    let missing_role = json!({ "role": "nope", "for": "30m", "reason": "x" });
    assert!(house.post("alice", "/requests", missing_role).await.status.is_client_error());
    for path in
        ["/requests?state=open", "/requests?limit=-1", "/requests?nosuch=1", "/requests?mine=1&mine=2"]
    {
        assert_eq!(house.get("alice", path).await.problem(), "bad-request", "{path}");
    }
    for path in ["/requests?limit=0", "/requests?limit=4294967295"] {
        assert_eq!(house.get("alice", path).await.status, StatusCode::OK, "{path}");
    }
    for path in [
        "/requests/grt_00000000000000000000000000",
        "/requests/req_00000000000000000000000000",
        "/requests/req_zzz",
        "/requests/%00",
        "/ledger/events/99999999999999999999999",
        "/ledger/events/-1",
    ] {
        assert!(
            ["not-found", "denied"].contains(&house.get("alice", path).await.problem().as_str()),
            "{path}"
        );
    }
    assert_eq!(house.get("bob", "/ledger/events/99999999").await.problem(), "not-found");
    let long = format!("/ledger/events?text={}", "x".repeat(300));
    assert_eq!(house.get("bob", &long).await.problem(), "invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_and_paths_that_are_not_there() {
    let house = House::open().await;
    for (method, path) in [
        (Method::PUT, "/requests"),
        (Method::DELETE, "/grants"),
        (Method::POST, "/me"),
        (Method::GET, "/sign-in"),
        (Method::OPTIONS, "/requests"),
        (Method::TRACE, "/me"),
    ] {
        let call = Call::new(method.clone(), path).bearer(&house.token("dave"));
        let refused = house.make(call).await;
        assert_eq!(
            (refused.status.as_u16(), refused.problem()),
            (405, "method-not-allowed".into()),
            "{method} {path}"
        );
    }
    for path in ["/nope", "/requests/x/y/z", "", "/../v2/requests", "/requests/"] {
        let refused = house.make(Call::get(path).bearer(&house.token("dave"))).await;
        assert_eq!(refused.problem(), "not-found", "{path}");
    }
    let head = house.make(Call::new(Method::HEAD, "/me")).await;
    assert_eq!(head.status, StatusCode::UNAUTHORIZED);
    let head = house.make(Call::new(Method::HEAD, "/me").bearer(&house.token("bob"))).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_tokens_and_cookies_open_nothing() {
    let house = House::open().await;
    let token = house.token("alice");
    let mut flipped = token.clone().into_bytes();
    flipped[5] = if flipped[5] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    for forged in
        ["", "x", "null", "undefined", &token[1..], &flipped, &token.to_uppercase(), &"a".repeat(10_000)]
    {
        assert_eq!(status(&house, Call::get("/me").bearer(forged)).await, 401, "{forged}");
        assert_eq!(status(&house, Call::get("/me").cookie(forged)).await, 401, "{forged}");
    }
    let planted = Call::get("/me").cookie("planted").cookie(&token);
    assert_eq!(status(&house, planted).await, 401);
    let other_name = Call::get("/me").with("cookie", &format!("__Host-countersign={token}"));
    assert_eq!(status(&house, other_name).await, 401);
    let basic = Call::get("/me").with("authorization", &format!("Basic {token}")).cookie(&token);
    assert_eq!(status(&house, basic).await, 401);
    for path in ["/me?token=", "/me?access_token=", "/events?token="] {
        assert_eq!(status(&house, Call::get(&format!("{path}{token}"))).await, 401, "{path}");
    }
    assert_eq!(status(&house, Call::get("/me").cookie(&token)).await, 200);
    house.clock.advance(countersign_core::Span::minutes(61));
    assert_eq!(status(&house, Call::get("/me").bearer(&token)).await, 401, "idle for too long");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_sites_cannot_make_the_browser_act() {
    let house = House::open().await.with_passwords().await;
    let bob = house.token("bob");
    let id = house.ask("alice", "shop-writer").await;
    let approve = || Call::post(&format!("/requests/{id}/approve"), &json!({})).cookie(&bob);
    let console = || approve().with("x-countersign", "1").with("origin", URL);
    for (call, what) in [
        (approve(), "a form post"),
        (approve().with("origin", "http://evil.example").with("x-countersign", "1"), "another site"),
        (approve().with("origin", "null").with("x-countersign", "1"), "a sandboxed frame"),
        (approve().with("origin", "http://localhost:9999").with("x-countersign", "1"), "another port"),
        (console().with("sec-fetch-site", "same-site"), "a sister domain"),
        (console().with("origin", "http://evil.example"), "two origins"),
    ] {
        let refused = house.make(call).await;
        assert_eq!((refused.status.as_u16(), refused.problem()), (403, "foreign-origin".into()), "{what}");
    }
    let login = || Call::sign_in("alice", PASSWORD).with("x-countersign", "1");
    assert_eq!(status(&house, login().with("origin", "http://evil.example")).await, 403);
    assert_eq!(status(&house, login().with("origin", URL)).await, 200);
    assert_eq!(
        status(&house, Call::get("/requests").cookie(&bob).with("origin", "http://evil.example")).await,
        403
    );
    let answer = house.make(console().with("sec-fetch-site", "same-origin")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_is_rationed_and_says_nothing() {
    let house = House::open().await.with_passwords().await;
    let unknown = house.make(Call::sign_in("mallory", "s3cret-guess-one")).await;
    let wrong = house.make(Call::sign_in("alice", "s3cret-guess-two")).await;
    assert_eq!((unknown.status.as_u16(), unknown.problem()), (401, "sign-in-refused".into()));
    assert_eq!(unknown.body, wrong.body, "a name that is known is not told from one that is not");
    assert!(!wrong.text().contains("s3cret"));
    let mut refused: Option<Answer> = None;
    for n in 0..40 {
        let answer = house.make(Call::sign_in(&format!("guess{n}"), "s3cret")).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("trying names is rationed");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(refused.problem(), "too-many");
    let mut elsewhere = Call::sign_in("bob", PASSWORD);
    elsewhere.from = "198.51.100.7:1".parse().unwrap();
    assert_eq!(status(&house, elsewhere).await, 200, "others are not rationed with them");
    house.clock.advance(countersign_core::Span::minutes(1));
    assert_eq!(status(&house, Call::sign_in("carol", PASSWORD)).await, 200);
    // Those who know their password are never rationed.
    for _ in 0..40 {
        assert_eq!(status(&house, Call::sign_in("carol", PASSWORD)).await, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_lock_out_the_pair_of_name_and_address() {
    let house = House::open().await.with_passwords().await;
    for _ in 0..5 {
        house.make(Call::sign_in("alice", "wrong wrong wrong")).await;
    }
    let locked = house.make(Call::sign_in("alice", PASSWORD)).await;
    assert_eq!((locked.status.as_u16(), locked.problem()), (429, "too-many".into()));
    let mut elsewhere = Call::sign_in("alice", PASSWORD);
    elsewhere.from = "198.51.100.7:1".parse().unwrap();
    assert_eq!(status(&house, elsewhere).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_are_tiles_and_nothing_else() {
    let house = House::open().await;
    let size = house.published().await;
    let good = format!("/ledger/tile/0/000.p/{size}");
    assert_eq!(house.get("bob", &good).await.body.len(), usize::try_from(size).unwrap() * 32);
    let over = size + 1;
    for path in [
        "0/000".to_owned(),
        format!("0/000.p/{over}"),
        "0/001".into(),
        "64/000".into(),
        "entries".into(),
        "0/../entries/000".into(),
        "..%2f..%2fcountersign.db".into(),
        "../../../countersign.db".into(),
        "/etc/passwd".into(),
        "%00".into(),
        "0/x999/x999/x999/x999/x999/x999/999".into(),
        "0/18446744073709551615".into(),
        format!("0/{}", "x001/".repeat(60)),
        format!("0/000.p/{size}/"),
        format!("0/000.p/0{size}"),
        format!("0/000.p/{size}%0a"),
    ] {
        let refused = house.get("bob", &format!("/ledger/tile/{path}")).await;
        assert_eq!(refused.problem(), "not-found", "{path}");
    }
    assert_eq!(house.get("alice", &good).await.problem(), "denied");
    assert_eq!(status(&house, Call::get(&good)).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_not_taken_by_the_tile_unrecorded() {
    let house = House::open().await;
    let size = house.published().await;
    let reads = async || {
        let events = house.get("bob", "/ledger/events?type=ledger.read&limit=100").await.json();
        events["items"].as_array().unwrap().len()
    };
    let before = reads().await;
    assert_eq!(house.get("bob", &format!("/ledger/tile/entries/000.p/{size}")).await.status.as_u16(), 200);
    // Looking that up was a reading too.
    assert_eq!(reads().await, before + 2);
    assert_eq!(house.get("alice", &format!("/ledger/tile/entries/000.p/{size}")).await.problem(), "denied");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_hardened() {
    let house = House::open().await;
    let alice = house.token("alice");
    let mut page = Call::get("");
    page.path = "/inbox".into();
    let mut climbing = Call::get("");
    climbing.path = "/assets/../../../etc/passwd.txt".into();
    let secured = countersign_portal::Portal::router(
        house.engine.clone(),
        crate::house::portal("https://gate.example"),
    );
    let secured = secured.unwrap();
    for call in [
        Call::get("/me"),
        Call::get("/me").bearer(&alice),
        Call::get("/nope"),
        Call::new(Method::PUT, "/me"),
        Call::raw("/sign-in", "{"),
        Call::get("/health"),
        page,
        climbing,
    ] {
        let path = call.path.clone();
        let again = Call { headers: call.headers.clone(), ..Call::new(call.method.clone(), "") };
        let again = Call { path: path.clone(), body: call.body.clone(), ..again };
        let answer = house.make(call).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), value, "{path}");
        }
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_eq!(answer.header("strict-transport-security"), "", "{path}");
        assert_eq!(
            make(&secured, again).await.header("strict-transport-security"),
            "max-age=31536000",
            "{path}"
        );
    }
    let mut zipped = Call::get("").with("accept-encoding", "gzip, br");
    zipped.path = "/inbox".into();
    assert_eq!(house.make(zipped).await.header("content-encoding"), "gzip");
    let plain = Call::get("/me").bearer(&alice).with("accept-encoding", "gzip, br");
    assert_eq!(
        house.make(plain).await.header("content-encoding"),
        "",
        "answers with secrets are not compressed"
    );
    let secret: Value = json!({ "user": "alice", "password": ["s3cret"] });
    let refused = house.make(Call::post("/sign-in", &secret)).await;
    assert!(!refused.text().contains("s3cret"), "{}", refused.text());
}
