//! Real clients, straight to a server and through the gateway: what they print must be the same, to the letter.
//!
//! The drivers are installed into the target folder from their languages' registries, in the versions that `clients/`
//! names. What cannot be had is named, and the command fails: a matrix with holes proves nothing.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::prerequisites;
use crate::run::{cargo, exists, finish, program, quietly, root, say, target};

/// A client: its name, and what starts its conversation.
type Start = (&'static str, Vec<String>);

/// The clients of tools.
const TOOLS: [&str; 6] = ["typescript-sdk", "python-sdk", "inspector", "filesystem", "oauth", "conformance"];

/// Clients that are installed together.
struct Family {
    name: &'static str,
    members: &'static [&'static str],
    /// Installs them, and says how each is started.
    install: fn() -> Result<Vec<Start>>,
}

const FAMILIES: [Family; 6] = [
    Family { name: "server", members: &["psql", "pg_dump", "pgbench", "large_objects"], install: server },
    Family { name: "python", members: &["psycopg", "asyncpg", "sqlalchemy", "django"], install: python },
    Family { name: "node", members: &["node-postgres"], install: node },
    Family { name: "jdbc", members: &["pgjdbc"], install: jdbc },
    Family { name: "rust", members: &["tokio-postgres", "sqlx"], install: rust },
    // A client of another protocol, with an example of its own to play it.
    Family { name: "mcp", members: &TOOLS, install: mcp },
];

impl Family {
    /// Whether this member is among those asked for, by its own name or the family's.
    fn is_wanted(&self, member: &str, wanted: &[&str]) -> bool {
        wanted.is_empty() || wanted.iter().any(|name| *name == member || *name == self.name)
    }
}

/// Plays the conversations named, or all.
pub fn clients(args: &[&str]) -> Result<()> {
    let (options, wanted): (Vec<&str>, Vec<&str>) = args.iter().partition(|arg| arg.starts_with('-'));
    known(&options, &wanted)?;
    prerequisites::for_tests()?;
    let mut starts = Vec::new();
    for family in &FAMILIES {
        if family.members.iter().any(|member| family.is_wanted(member, &wanted)) {
            let installed = (family.install)()
                .with_context(|| format!("the clients of `{}` can't be had", family.name))?;
            starts.extend(installed.into_iter().filter(|(name, _)| family.is_wanted(name, &wanted)));
        }
    }
    let (tools, starts): (Vec<Start>, Vec<Start>) =
        starts.into_iter().partition(|(name, _)| TOOLS.contains(name));
    if !tools.is_empty() {
        cargo(&["build", "--workspace", "--example", "tools"])?;
        let mut command = program(target().join("debug/examples/tools"));
        command.arg(kept("mcp")?);
        command.args(tools.iter().map(|(name, words)| format!("{name}={}", words.join("\t"))));
        finish(&mut command)?;
        if starts.is_empty() {
            return Ok(());
        }
    }
    cargo(&["build", "--workspace", "--example", "clients"])?;
    let mut command = program(target().join("debug/examples/clients"));
    command.args(options);
    command.args(starts.iter().map(|(name, words)| format!("{name}={}", words.join("\t"))));
    finish(&mut command)
}

/// Every name must be one of ours: of a list with a slip of the pen in it, a part proves less than was asked for.
fn known(options: &[&str], wanted: &[&str]) -> Result<()> {
    if let Some(option) = options.iter().find(|option| !["--plain", "--bytes"].contains(option)) {
        bail!(
            "there is no option `{option}`; there are `--plain` (without TLS) and `--bytes` (each read takes one byte)"
        );
    }
    let names = || FAMILIES.iter().flat_map(|family| family.members.iter().copied().chain([family.name]));
    if let Some(name) = wanted.iter().find(|name| names().all(|known| known != **name)) {
        let all: Vec<&str> = names().collect();
        bail!("there is no client `{name}`; there are {}", all.join(", "));
    }
    Ok(())
}

fn folder() -> PathBuf {
    root().join("clients")
}

/// Where the drivers are kept.
fn kept(name: &str) -> Result<PathBuf> {
    let path = target().join("clients").join(name);
    std::fs::create_dir_all(&path)?;
    Ok(path)
}

fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("`{}` is not UTF-8", path.display()))
}

#[expect(clippy::unnecessary_wraps, reason = "one of several that install something")]
fn server() -> Result<Vec<Start>> {
    let script = |name: &str| vec!["/bin/sh".to_owned(), format!("{}/{name}.sh", folder().display())];
    Ok(["psql", "pg_dump", "pgbench", "large_objects"].map(|name| (name, script(name))).into())
}

/// A Python of its own in the target folder, with what `requirements` names.
pub fn venv(name: &str, requirements: &Path) -> Result<PathBuf> {
    let place = kept(name)?;
    let python = place.join("bin/python");
    if !python.exists() {
        say("installing Python's packages (once)");
        quietly(program("python3").args(["-m", "venv"]).arg(&place))
            .context("get Python with venv, for example `sudo apt-get install python3-venv`")?;
    }
    quietly(program(&python).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(requirements))?;
    Ok(python)
}

fn python() -> Result<Vec<Start>> {
    let python = text(&venv("python", &folder().join("requirements.txt"))?)?;
    let script = |name: &str| vec![python.clone(), format!("{}/with_{name}.py", folder().display())];
    Ok(["psycopg", "asyncpg", "sqlalchemy", "django"].map(|name| (name, script(name))).into())
}

fn node() -> Result<Vec<Start>> {
    let place = kept("node")?;
    for file in ["package.json", "package-lock.json", "with_pg.mjs"] {
        std::fs::copy(folder().join("node").join(file), place.join(file))?;
    }
    quietly(program("npm").args(["ci", "--silent", "--no-audit", "--no-fund"]).current_dir(&place))?;
    Ok(vec![("node-postgres", vec!["node".into(), text(&place.join("with_pg.mjs"))?])])
}

/// The official SDKs, inspector and conformance suite as clients; and servers: the official ones of something of everything and of
/// files, and one that has what the suite asks for.
fn mcp() -> Result<Vec<Start>> {
    let place = kept("mcp")?;
    let scripts = ["with_sdk.mjs", "with_inspector.mjs", "with_files.mjs", "with_oauth.mjs"];
    let conformance = ["with_conformance.mjs", "conformance_server.mjs", "conformance_fs.mjs"];
    let scripts = scripts.into_iter().chain(conformance);
    for file in ["package.json", "package-lock.json"].into_iter().chain(scripts) {
        std::fs::copy(folder().join("mcp").join(file), place.join(file))?;
    }
    quietly(program("npm").args(["ci", "--silent", "--no-audit", "--no-fund"]).current_dir(&place))?;
    let python = text(&venv("mcp-python", &folder().join("mcp/requirements.txt"))?)?;
    let script = text(&folder().join("mcp/with_sdk.py"))?;
    Ok(vec![
        ("typescript-sdk", vec!["node".into(), "with_sdk.mjs".into()]),
        ("python-sdk", vec![python, script]),
        ("inspector", vec!["node".into(), "with_inspector.mjs".into()]),
        ("filesystem", vec!["node".into(), "with_files.mjs".into()]),
        ("oauth", vec!["node".into(), "with_oauth.mjs".into()]),
        ("conformance", vec!["node".into(), "with_conformance.mjs".into()]),
    ])
}

fn jdbc() -> Result<Vec<Start>> {
    let packaged = Path::new("/usr/share/java/postgresql.jar");
    let jar = if packaged.exists() { packaged.to_owned() } else { fetch_jdbc()? };
    if !exists("java") {
        bail!("get a JDK, for example `sudo apt-get install default-jdk-headless`");
    }
    let source = text(&folder().join("jdbc/Conversation.java"))?;
    Ok(vec![("pgjdbc", vec!["java".into(), "-cp".into(), text(&jar)?, source])])
}

/// Debian's package of the driver, unpacked into the target folder: nothing is installed on the machine.
fn fetch_jdbc() -> Result<PathBuf> {
    let place = kept("jdbc")?;
    let jar = place.join("usr/share/java/postgresql.jar");
    if !jar.exists() {
        say("fetching the JDBC driver (once)");
        let download = ["download", "-qq", "libpostgresql-jdbc-java"];
        quietly(program("apt-get").args(download).current_dir(&place)).context(
            "put the driver at /usr/share/java/postgresql.jar, or install libpostgresql-jdbc-java",
        )?;
        let package = std::fs::read_dir(&place)?.flatten().map(|entry| entry.path());
        let package = package.into_iter().find(|path| path.extension().is_some_and(|end| end == "deb"));
        quietly(program("dpkg").arg("-x").arg(package.context("no package came")?).arg(&place))?;
    }
    Ok(jar)
}

fn rust() -> Result<Vec<Start>> {
    let place = kept("rust")?;
    let manifest = folder().join("rust/Cargo.toml");
    say("building Rust's drivers (the first time takes a while)");
    let name = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = program(name);
    command.args(["build", "--quiet", "--locked", "--manifest-path"]).arg(manifest);
    finish(command.env("CARGO_TARGET_DIR", &place))?;
    let built = text(&place.join("debug/countersign-clients"))?;
    let start = |name: &'static str| (name, vec![built.clone(), name.to_owned()]);
    Ok(vec![start("tokio-postgres"), start("sqlx")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_known_is_an_error_beside_those_that_are() {
        assert!(known(&[], &[]).is_ok());
        assert!(known(&["--plain"], &["psql", "python", "sqlx"]).is_ok());
        let error = known(&[], &["psql", "sqlxx"]).unwrap_err().to_string();
        assert!(error.starts_with("there is no client `sqlxx`; there are psql, pg_dump,"), "{error}");
        assert!(known(&["--tls"], &["psql"]).is_err());
    }

    #[test]
    fn a_family_stands_for_its_members() {
        let [server, python, ..] = &FAMILIES;
        assert!(server.is_wanted("psql", &[]) && server.is_wanted("psql", &["server"]));
        assert!(server.is_wanted("psql", &["psql"]) && !server.is_wanted("pgbench", &["psql"]));
        assert!(!python.is_wanted("django", &["server"]));
    }
}
