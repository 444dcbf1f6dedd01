//! Running other programs, and saying so.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// The repository's root.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Where cargo builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Says what happens, on standard error.
pub fn say(text: &str) {
    let _nobody_listens = writeln!(std::io::stderr().lock(), "{}", text.trim_end());
}

/// A program run from the repository's root.
pub fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// Cargo, with the arguments; its output is shown.
pub fn cargo(args: &[&str]) -> Result<()> {
    let name = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    finish(program(name).args(args))
}

/// Runs to the end; anything but success is an error that names the program.
pub fn finish(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("could not run `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Runs quietly; what it printed is told only where it fails, what went wrong before everything else.
pub fn quietly(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let output = command.output().with_context(|| format!("could not run `{shown}`"))?;
    if output.status.success() {
        return Ok(());
    }
    let [wrong, said] =
        [&output.stderr, &output.stdout].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    bail!("`{shown}` failed ({}):\n{}\n{}", output.status, wrong.trim(), said.trim())
}

/// Becomes another program.
pub fn replace(name: PathBuf, args: &[&str]) -> Result<()> {
    use std::os::unix::process::CommandExt as _;
    let error = Command::new(&name).args(args).exec();
    Err(error).with_context(|| format!("could not start `{}`", name.display()))
}

/// Whether a program is on the path.
pub fn exists(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

fn shown(command: &Command) -> String {
    let name = command.get_program().to_string_lossy().into_owned();
    let args = command.get_args().map(|arg| arg.to_string_lossy().into_owned());
    std::iter::once(name).chain(args).collect::<Vec<_>>().join(" ")
}
