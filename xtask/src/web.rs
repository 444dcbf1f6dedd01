//! The console's build.

use anyhow::Result;

use crate::run::{program, quietly, root, say};

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
    quietly(program("npm").current_dir(root().join("web")).args(args))
}
