//! What could be read as one thing by the gateway and as another by the server reaches no server.

use countersign_testkit::tools::{ToolHouse, text};
use serde_json::Value;

/// Messages, and what their client reads of it.
const CASES: &[(&str, &str)] = &[
    // A name that comes twice, also when it is written otherwise.
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","name":"wipe"}}"#,
        "comes twice",
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","n\u0061me":"wipe"}}"#,
        "comes twice",
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"ping","params":{"name":"wipe"}}"#,
        "comes twice",
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"path":"/srv/reports/a","path":"/etc"}}}"#,
        "comes twice",
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","Method":"ping","params":{"name":"wipe"}}"#,
        "a member that no message has",
    ),
    // Several messages in one.
    (r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"wipe"}}]"#, "batches"),
    (
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\",\"params\":{\"name\":\"wipe\"}}",
        "the end was expected",
    ),
    ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\u{0}{}", "the end was expected"),
    // A line break within a text, which a server that reads lines would take for the end of a message.
    (
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{\"a\":\"\n\"}}}",
        "the end of a text was expected",
    ),
    // Text that is no text, and numbers that are not what they seem.
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"a":"\ud800"}}}"#,
        "half a surrogate pair",
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"n":1e999}}}"#,
        "not the same to every reader",
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"n":9007199254740993}}}"#,
        "not the same to every reader",
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"n":NaN}}}"#,
        "a value was expected",
    ),
    // Parameters beside those of the method.
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","task":{"ttl":1}}}"#,
        "there is no parameter `task`",
    ),
    (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":["wipe"]}}"#, "no name of a tool"),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":"{}"}}"#,
        "`arguments` is no object",
    ),
    (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["wipe"]}"#, "`params` is no object"),
    // Names that look like others.
    (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"wipe "}}"#, "no tool `wipe `"),
    (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"WIPE"}}"#, "no tool `WIPE`"),
    (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"w\u0456pe"}}"#, "no tool `wіpe`"),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/Call","params":{"name":"wipe"}}"#,
        "does not permit `mcp.unknown`",
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call\u0000","params":{"name":"wipe"}}"#,
        "no name of a method",
    ),
    // Identifiers of the gateway's own.
    (r#"{"jsonrpc":"2.0","id":"countersign:0","method":"tools/list"}"#, "the gateway's own"),
    (
        r#"{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"echo"}}"#,
        "neither a short text nor a whole number",
    ),
    // Paths that policy reads as they are written.
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"path":"/srv\/reports"}}}"#,
        "only-reports",
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"path":["/srv/reports/a"]}}}"#,
        "only-reports",
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"p\u0061th":"/etc/passwd"}}}"#,
        "only-reports",
    ),
];

#[tokio::test]
async fn nothing_of_it_reaches_the_server() {
    let house = ToolHouse::open().await.unwrap();
    let alice = house.alice().await.unwrap();
    // The list is asked for once, so that what comes behind it is the clients' own.
    alice.call(0, "fail", serde_json::json!({})).await.unwrap();
    let before = house.server.received();
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{{"a":{}1{}}}}}}}"#,
        "[".repeat(100),
        "]".repeat(100)
    );
    let many = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{{"a":[{}1]}}}}}}"#,
        "1,".repeat(1_000)
    );
    let cases = CASES.iter().map(|(message, why)| ((*message).to_owned(), *why));
    let more = [(deep, "nests deeper"), (many, "more than policies can look at")];
    for (message, why) in cases.chain(more) {
        let answer = alice.post(message.clone()).await.unwrap().text().await.unwrap();
        let read: Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{message}: {answer}"));
        let is_refused = read.get("error").is_some() || read["result"]["isError"] == true;
        assert!(is_refused && (text(&read).contains(why) || answer.contains(why)), "{message}\n{answer}");
    }
    let bytes = [
        &b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"wipe\xff\"}}"[..],
        b"\xef\xbb\xbf{}",
        b"",
    ];
    for message in bytes {
        let answer = alice.post(message).await.unwrap();
        assert_eq!(answer.status(), 400, "{message:?}");
    }
    let large =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"a":"{}"}}}}"#, "a".repeat(5 << 20));
    assert_eq!(alice.post(large).await.unwrap().status(), 413);
    assert_eq!(house.server.received(), before);
    house.close().await;
}
