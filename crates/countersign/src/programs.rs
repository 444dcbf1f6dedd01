//! `[mcp]` of the gateway's configuration: the programs that resources may name as their servers of tools.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use countersign_doors::mcp::Program;
use nix::unistd::User;
use serde::Deserialize;

/// The section.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct McpSection {
    /// By name.
    program: BTreeMap<String, ProgramSection>,
}

/// A program. Its secrets are references: they are never in this file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProgramSection {
    command: Vec<String>,
    /// The account it runs as; the gateway's own if absent.
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    folder: Option<PathBuf>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    /// Variables of its environment that are secrets: `env:NAME` or `file:PATH`.
    #[serde(default)]
    secrets: BTreeMap<String, String>,
    /// Of address space.
    #[serde(default)]
    memory_mib: Option<u32>,
    /// Of processors.
    #[serde(default)]
    cpu_s: Option<u32>,
}

impl McpSection {
    /// The programs that it describes.
    ///
    /// # Errors
    /// One of them can't be so, with its name.
    pub fn programs(&self) -> Result<BTreeMap<String, Program>> {
        let read = |(name, section): (&String, &ProgramSection)| {
            let program = section.program().with_context(|| format!("[mcp.program.{name}] is not right"))?;
            Ok((name.clone(), program))
        };
        self.program.iter().map(read).collect()
    }
}

impl ProgramSection {
    fn program(&self) -> Result<Program> {
        if self.command.first().is_none_or(String::is_empty) {
            bail!("`command` is empty; write the program and its arguments, each as a text of its own");
        }
        let mut environment = self.environment.clone();
        let secrets = crate::wiring::ports().secrets;
        for (name, reference) in &self.secrets {
            let value = secrets.resolve(reference).map_err(anyhow::Error::msg);
            let value = value.with_context(|| format!("the secret `{name}` can't be had"))?;
            if environment.insert(name.clone(), value.as_str().to_owned()).is_some() {
                bail!("`{name}` is under `environment` and under `secrets`; remove one of them");
            }
        }
        let bad = |text: &str| text.contains('\0');
        if environment
            .iter()
            .any(|(name, value)| name.is_empty() || name.contains('=') || bad(name) || bad(value))
        {
            bail!("a variable of the environment has a name or a value that none can have");
        }
        Ok(Program {
            command: self.command.clone(),
            environment,
            folder: self.folder.clone(),
            runs_as: self.user.as_deref().map(account).transpose()?,
            memory_mib_max: self.memory_mib,
            cpu_s_max: self.cpu_s,
        })
    }
}

/// User and group of an account.
fn account(name: &str) -> Result<(u32, u32)> {
    let found = User::from_name(name).with_context(|| format!("the account `{name}` can't be looked up"))?;
    let user = found.with_context(|| format!("there is no account `{name}` on this machine"))?;
    Ok((user.uid.as_raw(), user.gid.as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(text: &str) -> Result<BTreeMap<String, Program>> {
        toml::from_str::<McpSection>(text)?.programs()
    }

    #[test]
    fn a_program_is_told_in_full_or_refused() {
        let found =
            programs("[program.files]\ncommand = [\"a\", \"b\"]\nuser = \"root\"\nmemory_mib = 512").unwrap();
        let files = &found["files"];
        assert_eq!((files.command.len(), files.runs_as, files.memory_mib_max), (2, Some((0, 0)), Some(512)));
        for (text, why) in [
            ("command = []", "`command` is empty"),
            (
                "command = [\"a\"]\nuser = \"nobody-of-that-name\"",
                "there is no account `nobody-of-that-name`",
            ),
            ("command = [\"a\"]\nsecrets = { A = \"hunter2\" }", "`hunter2` is not a reference to a secret"),
            ("command = [\"a\"]\nenvironment = { \"A=B\" = \"c\" }", "a name or a value that none can have"),
            ("command = [\"a\"]\nshell = true", "unknown field `shell`"),
        ] {
            let error = programs(&format!("[program.files]\n{text}")).unwrap_err();
            assert!(format!("{error:#}").contains(why), "{error:#}");
        }
    }
}
