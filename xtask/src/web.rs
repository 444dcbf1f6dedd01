//! The console: its build, its tests, and driving it in a browser.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::Result;

use crate::demo::Demo;
use crate::run::{program, quietly, root, say, target};

/// Builds the console into `web/dist`, unless nothing has changed since it was built.
pub fn build() -> Result<()> {
    install()?;
    say("building the console");
    npm(&["run", "build"])
}

/// Type check, lint and unit tests of the console.
pub fn check() -> Result<()> {
    install()?;
    npm(&["run", "check"])?;
    npm(&["test"])
}

/// Drives the console in a browser, against a stand-in for the gateway.
pub fn against_stand_in(browser: &Path) -> Result<()> {
    install()?;
    say("driving the console in a browser, against a stand-in");
    let shots = shots("stand-in");
    npm_with(&["run", "e2e:mock"], &[("CHROMIUM", browser.as_os_str()), ("SHOTS", shots.as_os_str())])
}

/// Drives the console in a browser, against a demo that is started for it.
pub fn against_demo(browser: &Path) -> Result<()> {
    install()?;
    say("driving the console in a browser, against a demo");
    let demo = Demo::start()?;
    let shots = shots("demo");
    let (console, alice, bob) = (demo.console()?, demo.password("alice")?, demo.password("bob")?);
    let (carol, dave) = (demo.password("carol")?, demo.password("dave")?);
    let (bundle, program) = (root().join("demo/bundle"), target().join("debug/countersign"));
    let database = demo.database()?;
    let env: [(&str, &OsStr); 10] = [
        ("CHROMIUM", browser.as_os_str()),
        ("SHOTS", shots.as_os_str()),
        ("BASE_URL", console.as_ref()),
        ("PASSWORD_ALICE", alice.as_ref()),
        ("PASSWORD_BOB", bob.as_ref()),
        ("PASSWORD_CAROL", carol.as_ref()),
        ("PASSWORD_DAVE", dave.as_ref()),
        ("BUNDLE", bundle.as_os_str()),
        ("COUNTERSIGN", program.as_os_str()),
        ("DATABASE", database.as_ref()),
    ];
    // What one binds to an account, those before it would be asked for.
    let result = npm_with(&["run", "e2e"], &env)
        // It wants to be the first to sign in as alice from elsewhere, and leaves her with her password alone.
        .and_then(|()| npm_with(&["run", "e2e:identity"], &env))
        .and_then(|()| npm_with(&["run", "e2e:programs"], &env))
        // It revokes what alice holds.
        .and_then(|()| npm_with(&["run", "e2e:workbench"], &env))
        .and_then(|()| npm_with(&["run", "e2e:jobs"], &env))
        .and_then(|()| npm_with(&["run", "e2e:signing"], &env))
        .and_then(|()| npm_with(&["run", "e2e:oidc"], &env))
        .and_then(|()| npm_with(&["run", "e2e:setup"], &env));
    result.and(demo.stop())
}

/// Where the pictures of the last run are, for people to look at.
fn shots(name: &str) -> std::path::PathBuf {
    target().join("console").join(name)
}

fn install() -> Result<()> {
    let web = root().join("web");
    let stamp = web.join("node_modules/.package-lock.json");
    let newer = |a: &std::path::Path, b: &std::path::Path| {
        let time = |path: &std::path::Path| path.metadata().and_then(|meta| meta.modified()).ok();
        time(a) > time(b)
    };
    if stamp.exists() && !newer(&web.join("package-lock.json"), &stamp) {
        return Ok(());
    }
    say("installing the console's packages");
    npm(&["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
}

fn npm(args: &[&str]) -> Result<()> {
    npm_with(args, &[])
}

fn npm_with(args: &[&str], env: &[(&str, &OsStr)]) -> Result<()> {
    quietly(program("npm").current_dir(root().join("web")).args(args).envs(env.iter().copied()))
}
