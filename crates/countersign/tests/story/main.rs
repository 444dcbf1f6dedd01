//! The demo as a stranger runs it: the real binary, a real PostgreSQL, a real psql.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod demo;
mod local;
mod planted;

use std::process::Command;

use serde_json::Value;

use demo::{Demo, PROGRAM, first, last_line, psql, text, words};

#[test]
fn the_story_goes_as_told_twice() {
    let mut demo = Demo::start(tempfile::tempdir().unwrap());
    for _ in 0..2 {
        let told =
            Command::new(PROGRAM).args(["demo", "--script", "--data"]).arg(demo.data()).output().unwrap();
        let text = words(&told);
        assert!(told.status.success(), "{text}");
        assert!(text.contains("DELETE 12"), "{text}");
    }
    assert!(demo.stop().success());
    assert!(!demo.data().join("demo.json").exists(), "demo.json is removed at the end");
}

/// Killed while a statement waits: it is withdrawn, nothing ran, the grant lives on, the ledger is proved. What was
/// answered before the crash is in the ledger after it.
#[test]
fn killed_while_a_statement_waits() {
    let mut demo = Demo::start(tempfile::tempdir().unwrap());
    let alice = demo.sign_in("alice");
    let bob = demo.sign_in("bob");
    let asked = alice.json(&["request", "shop-writer", "--for", "10m", "--reason", "a crash is coming"]);
    bob.json(&["approve", text(&asked, "id")]);
    let url = last_line(&alice.run(&["connect", "shop", "--print", "url"]));
    let answered = psql(&url, "SELECT 'the answer is ' || 6 * 7;\n").wait_with_output().unwrap();
    assert!(words(&answered).contains("the answer is 42"), "{}", words(&answered));

    let waiting = psql(&url, "DELETE FROM orders WHERE status = 'duplicate';\n");
    let held = bob.eventually(&["requests", "--inbox"], |list| first(list, "kind", "action"));
    let held = text(&held, "id").to_owned();
    let grants = bob.json(&["grants"]);
    demo.kill();
    assert!(!words(&waiting.wait_with_output().unwrap()).contains("DELETE 12"));

    let mut demo = demo.again();
    let bob = demo.sign_in("bob");
    assert_eq!(text(&bob.json(&["requests", &held]), "state"), "withdrawn");
    let all = bob.json(&["requests", "--state", "all"]);
    assert!(first(&all, "id", &held).is_some() && first(&all, "state", "approved").is_some(), "{all}");
    assert_eq!(
        bob.json(&["grants"]).pointer("/items/0/not_after"),
        grants.pointer("/items/0/not_after"),
        "the grant ends when it should have ended"
    );
    let verified = bob.run(&["audit", "verify"]);
    assert!(verified.status.success(), "{}", words(&verified));
    let found = bob.json(&["audit", "search", "--text", "the answer is", "--limit", "10"]);
    assert!(
        found.to_string().contains("6 * 7"),
        "the answer that reached the client is in the ledger: {found}"
    );
    let sessions = bob.json(&["sessions"]);
    assert_eq!(sessions.pointer("/items").unwrap().as_array().unwrap().len(), 0, "{sessions}");
    assert_eq!(demo.count("select count(*) from orders where status = 'duplicate'"), "12");
    assert!(demo.stop().success());
}

/// No file can grow for a while, neither the store nor the log that tells of it: everything is refused meanwhile, and goes on
/// afterwards.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_for_a_while() {
    // Who exceeds a limit is told by a signal, which would end it, unless it is ignored.
    let mut program = Command::new("sh");
    program.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", PROGRAM]);
    let mut demo = Demo::start_by(program, tempfile::tempdir().unwrap());
    let alice = demo.sign_in("alice");
    let grow_to = |bytes: &str| {
        let pid = demo.child.id().to_string();
        let limit = format!("--fsize={bytes}:");
        assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
    };
    let ask = || alice.run(&["request", "shop-writer", "--for", "10m", "--reason", "the disk is full"]);
    grow_to("1");
    for _ in 0..3 {
        let refused = ask();
        assert!(words(&refused).contains("can't take a record now"), "{}", words(&refused));
    }
    // It is tried again, and that told, a few times meanwhile.
    std::thread::sleep(std::time::Duration::from_secs(2));
    grow_to("unlimited");
    let asked = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        ask().status.success()
    });
    assert!(asked, "{}", words(&ask()));
    let verified = demo.sign_in("bob").run(&["audit", "verify"]);
    assert!(verified.status.success(), "{}", words(&verified));
    assert!(demo.stop_soon().success());
}

/// Killed while an approved statement runs: its outcome is unknown, said so, and it is never run again.
#[test]
fn killed_while_an_approved_statement_runs() {
    let demo = Demo::start(tempfile::tempdir().unwrap());
    let alice = demo.sign_in("alice");
    let bob = demo.sign_in("bob");
    let asked = alice.json(&["request", "shop-writer", "--for", "10m", "--reason", "a crash is coming"]);
    bob.json(&["approve", text(&asked, "id")]);
    let url = last_line(&alice.run(&["connect", "shop", "--print", "url"]));
    let slow = "UPDATE products SET stock = 4711 WHERE id = 1 \
                AND (SELECT count(*) FROM orders a, orders b, orders c WHERE a.id + b.id = c.id) > 0;\n";
    let running = psql(&url, slow);
    let held = bob.eventually(&["requests", "--inbox"], |list| first(list, "kind", "action"));
    let held = text(&held, "id").to_owned();
    bob.json(&["approve", &held]);
    demo.until("select count(*) from pg_stat_activity where state = 'active' and query like '%4711%' and pid <> pg_backend_pid()", "1");
    let mut demo = demo;
    demo.kill();
    drop(running.wait_with_output());

    let mut demo = demo.again();
    let bob = demo.sign_in("bob");
    let after = bob.json(&["requests", &held]);
    assert_eq!(after.pointer("/outcome/result").and_then(Value::as_str), Some("unknown"), "{after}");
    assert!(bob.run(&["audit", "verify"]).status.success());
    assert!(demo.stop().success());
}

/// Killed between two statements of a script: the first one stands, the second is not run, and nothing takes it up again.
#[test]
fn killed_between_the_statements_of_a_script() {
    let mut demo = Demo::start(tempfile::tempdir().unwrap());
    let alice = demo.sign_in("alice");
    let bob = demo.sign_in("bob");
    let asked = alice.json(&["request", "shop-writer", "--for", "10m", "--reason", "a crash is coming"]);
    bob.json(&["approve", text(&asked, "id")]);
    let (one, two) = (
        "UPDATE products SET stock = 4711 WHERE id = 1;",
        "-- the second shelf\nUPDATE products SET stock = 4711 WHERE id = 2;",
    );
    let file = demo.data().join("fix.sql");
    std::fs::write(&file, format!("{one}\n{two}\n")).unwrap();
    let file = file.to_str().unwrap().to_owned();
    let script = alice.json(&["request", "script", &file, "--resource", "shop", "--reason", "two shelves"]);
    let id = text(&script, "id").to_owned();
    assert_eq!((text(&script, "kind"), text(&script, "state")), ("script", "pending"));
    let shown = String::from_utf8(bob.run(&["requests", &id]).stdout).unwrap();
    assert!(
        shown.contains("Statement 2 of 2, waiting:") && shown.contains("stock = 4711 WHERE id = 2"),
        "{shown}"
    );
    bob.json(&["approve", &id]);
    let url = last_line(&alice.run(&["connect", "shop", "--print", "url"]));
    let running = psql(&url, &format!("{one}\n\\! sleep 3\n{two}\n"));
    bob.eventually(&["requests", &id], |found| {
        (found.pointer("/steps/0/state").and_then(Value::as_str) == Some("ended")).then(|| found.clone())
    });
    demo.kill();
    drop(running.wait_with_output());

    let mut demo = demo.again();
    let bob = demo.sign_in("bob");
    let after = bob.json(&["requests", &id]);
    assert_eq!((text(&after, "state"), text(&after, "why")), ("withdrawn", "gateway_restarted"), "{after}");
    let state = |step: usize| after.pointer(&format!("/steps/{step}/state")).and_then(Value::as_str);
    assert_eq!((state(0), state(1)), (Some("ended"), Some("skipped")), "{after}");
    assert_eq!(demo.count("select count(*) from products where stock = 4711"), "1");
    let alice = demo.sign_in("alice");
    let url = last_line(&alice.run(&["connect", "shop", "--print", "url"]));
    let waiting = psql(&url, &format!("{two}\n"));
    let held = bob.eventually(&["requests", "--inbox"], |list| first(list, "kind", "action"));
    bob.json(&["deny", text(&held, "id"), "--comment", "not again"]);
    assert!(words(&waiting.wait_with_output().unwrap()).contains("not again"));
    assert_eq!(demo.count("select count(*) from products where stock = 4711"), "1");
    assert!(bob.run(&["audit", "verify"]).status.success());
    assert!(demo.stop().success());
}
