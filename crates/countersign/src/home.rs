//! What one command line keeps between calls: its sign-in, the gateway's CA, the last checkpoint it saw.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// The folder of one command line.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

/// A kept sign-in.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SignIn {
    /// The gateway.
    pub url: String,
    /// Its token.
    pub token: String,
    /// Who.
    pub principal: String,
}

impl Home {
    /// The folder that was named, or `countersign` in the user's configuration folder.
    ///
    /// # Errors
    /// Neither a folder nor a home is known.
    pub fn new(named: Option<PathBuf>) -> Result<Self> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = named
            .or_else(|| variable("XDG_CONFIG_HOME").map(|config| config.join("countersign")))
            .or_else(|| variable("HOME").map(|home| home.join(".config").join("countersign")))
            .context("no home folder is known; name one with --home or COUNTERSIGN_HOME")?;
        Ok(Self(folder))
    }

    /// The kept sign-in, if there is one.
    #[must_use]
    pub fn sign_in(&self) -> Option<SignIn> {
        serde_json::from_slice(&fs::read(self.0.join("sign-in.json")).ok()?).ok()
    }

    /// Keeps a sign-in, readable by its owner only.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn keep_sign_in(&self, sign_in: &SignIn) -> Result<()> {
        self.write("sign-in.json", &serde_json::to_vec_pretty(sign_in)?).map(|_| ())
    }

    /// Forgets the sign-in.
    pub fn forget_sign_in(&self) {
        let _absent_is_fine = fs::remove_file(self.0.join("sign-in.json"));
    }

    /// The last checkpoint that was seen of the log with this origin.
    #[must_use]
    pub fn checkpoint(&self, origin: &str) -> Option<String> {
        fs::read_to_string(self.0.join(checkpoint_name(origin))).ok()
    }

    /// Keeps a checkpoint.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn keep_checkpoint(&self, origin: &str, note: &str) -> Result<()> {
        self.write(&checkpoint_name(origin), note.as_bytes()).map(|_| ())
    }

    /// Keeps the CA of a gateway and tells where.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn keep_ca(&self, url: &str, pem: &str) -> Result<PathBuf> {
        self.write(&format!("ca-{}.pem", file_name(url)), pem.as_bytes())
    }

    /// Replaces a file in one step, so that a crash leaves the old one or the new one.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.0.join(name);
        write_private(&path, bytes).with_context(|| {
            format!("could not write `{}`; check that the folder may be written", path.display())
        })?;
        Ok(path)
    }
}

/// Writes a file that only its owner reads, in one step.
///
/// # Errors
/// What the file system says.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let temporary = path.with_extension(format!("tmp{}", std::process::id()));
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

fn checkpoint_name(origin: &str) -> String {
    format!("checkpoint-{}.txt", file_name(origin))
}

/// A text as a file name: what is not a letter or digit becomes `_`.
fn file_name(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' }).collect()
}
