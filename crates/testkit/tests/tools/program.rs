//! A server that is a program on this machine.

use countersign_doors::mcp::Program;
use countersign_testkit::tools::{ToolHouse, text};
use serde_json::json;

/// A server of tools in a stream editor: it knows one tool, and says how it was called.
const SCRIPT: &str = r#"
/"method":"initialize"/{ s/.*"id":\([^,]*\),.*/{"jsonrpc":"2.0","id":\1,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"sed","version":"4"}}}/p; b
}
/"method":"tools\/list"/{ s/.*"id":\([^,]*\),.*/{"jsonrpc":"2.0","id":\1,"result":{"tools":[{"name":"echo","inputSchema":{"type":"object"}},{"name":"write","inputSchema":{"type":"object"}}]}}/p; b
}
/"method":"tools\/call"/{ s/.*"id":\([^,]*\),.*/{"jsonrpc":"2.0","id":\1,"result":{"content":[{"type":"text","text":"done"}]}}/p; b
}
"#;

#[tokio::test]
async fn calls_of_a_program_are_held_and_approved_too() {
    let command = ["sed", "-u", "-n", "-e", SCRIPT].map(str::to_owned).to_vec();
    let house = ToolHouse::program(Program { command, ..Program::default() }).await.unwrap();
    let alice = house.alice().await.unwrap();
    assert_eq!(alice.welcome["result"]["serverInfo"]["name"], "sed");
    let answer = alice
        .post("{\"jsonrpc\":\"2.0\",\n\"id\":1,\"method\":\"tools/call\",\n\"params\":{\"name\":\"echo\"}}");
    assert!(answer.await.unwrap().text().await.unwrap().contains("done"));
    let call = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "write"}});
    let waits = alice.ask(&call).await.unwrap();
    assert!(waits.is_stream(), "nothing is told without a token, but the answer has begun");
    let held = house.house.held().await.unwrap();
    house.house.approve(held.id).await.unwrap();
    assert_eq!(text(&waits.last().await.unwrap()), "done");
    house.close().await;
}

#[tokio::test]
async fn a_program_that_ends_ends_the_session() {
    let command = ["sh", "-c", "read line; exit 3"].map(str::to_owned).to_vec();
    let house = ToolHouse::program(Program { command, ..Program::default() }).await.unwrap();
    assert!(house.alice().await.is_err());
    house.deserted().await.unwrap();
    house.close().await;
}
