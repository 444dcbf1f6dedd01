//! Where the master key is: in a file, in the environment, in systemd's credentials, or with a server that never gives it away.
//!
//! Wherever it is, its source may hold several keys, one a line: the first is the current one, the others are those before it.
//! It is read anew whenever it is needed, so that a key may change while the gateway runs. What not: no key is kept in memory
//! for longer than it takes to unwrap the house's keys.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use countersign_engine::ports::SecretSource as _;
use countersign_engine::{Keeper, KeeperAnswer, KeeperError, Keepers, MasterKey, MasterKeys, Unwrapped};
use countersign_integrations::vault::{Vault, VaultSettings};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::home::write_private;
use crate::wiring::{OutsideSecrets, SystemEntropy, random_text};

/// What the credential is called that systemd hands over.
const CREDENTIAL: &str = "countersign-master-key";

/// The file in the data folder that is made where nothing else is said.
const FILE: &str = "master.key";

/// A store that is larger has something in it.
const EMPTY_STORE_BYTES: u64 = 65_536;

/// More keys than one source ever has.
const KEYS_MAX: usize = 16;

/// What the configuration says of the master key.
#[derive(Clone, Debug, Default)]
pub struct Master {
    /// `env:NAME`, `file:PATH` or `vault`; if absent, systemd's credential, or else a file in the data folder.
    pub current: Option<String>,
    /// Where it was before, so that the house's keys can be unwrapped there once more.
    pub before: Vec<String>,
    /// The vault, if there is one.
    pub vault: Option<VaultSettings>,
}

/// `[vault]` of the configuration: a server that keeps the master key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultSection {
    /// Where it is: `https://vault.example.com:8200`.
    address: String,
    /// Where its transit engine is mounted; `transit` if absent.
    mount: Option<String>,
    /// The name of the key there.
    key: String,
    /// Its namespace, if it has several.
    namespace: Option<String>,
    /// Where the token is that the gateway shows: `env:NAME` or `file:PATH`.
    token: String,
    /// Who vouches for it (PEM), if not the authorities that the machine trusts.
    ca: Option<PathBuf>,
}

impl From<VaultSection> for VaultSettings {
    fn from(section: VaultSection) -> Self {
        let VaultSection { address, mount, key, namespace, token, ca } = section;
        let mount = mount.unwrap_or_else(|| "transit".to_owned());
        Self { address, mount, key, namespace, token, ca }
    }
}

/// Where master keys of this machine are.
#[derive(Clone, Debug)]
enum Source {
    Reference(String),
    File(PathBuf),
}

/// Master keys on this machine.
#[derive(Debug)]
struct Local {
    name: &'static str,
    source: Source,
}

impl Master {
    /// Whoever may unwrap the house's keys.
    ///
    /// # Errors
    /// The configuration is wrong, or a key that should be there is not.
    pub fn keepers(&self, data: &Path) -> Result<Keepers> {
        let current = match &self.current {
            Some(reference) => self.keeper(reference, "master_key")?,
            None => Arc::new(default(data)?),
        };
        let before = self.before.iter().map(|reference| self.keeper(reference, "master_key_before"));
        let before: Vec<Arc<dyn Keeper>> = before.collect::<Result<_>>()?;
        Ok(Keepers::new(current, before))
    }

    fn keeper(&self, reference: &str, key: &str) -> Result<Arc<dyn Keeper>> {
        if reference == "vault" {
            let settings = self.vault.clone();
            let settings =
                settings.with_context(|| format!("`{key}` is `vault`, and there is no section [vault]"))?;
            let vault = Vault::new(settings, Arc::new(OutsideSecrets)).context("[vault] is not right")?;
            return Ok(Arc::new(vault));
        }
        let name = match reference.split_once(':') {
            Some(("file", _)) => "file",
            Some(("env", _)) => "env",
            _ => bail!("`{key}` is `{reference}`; write env:NAME, file:PATH or vault"),
        };
        Ok(Arc::new(Local { name, source: Source::Reference(reference.to_owned()) }))
    }
}

/// Systemd's credential, or else a file in the data folder that is made at first start.
fn default(data: &Path) -> Result<Local> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    if let Some(path) = credentials.map(|folder| folder.join(CREDENTIAL)).filter(|path| path.exists()) {
        return Ok(Local { name: "credential", source: Source::File(path) });
    }
    let path = data.join(FILE);
    if !path.exists() {
        if data.join("countersign.db").metadata().is_ok_and(|file| file.len() > EMPTY_STORE_BYTES) {
            bail!(
                "`{}` is gone, and without it the store cannot be read; restore it from your backup",
                path.display()
            );
        }
        write_private(&path, Zeroizing::new(random_text(32)).as_bytes())?;
    }
    Ok(Local { name: "file", source: Source::File(path) })
}

impl Local {
    fn keys(&self) -> Result<MasterKeys, KeeperError> {
        let silent = |why: String| KeeperError::Silent { keeper: self.name.into(), why };
        let text = match &self.source {
            Source::Reference(reference) => OutsideSecrets.resolve(reference).map_err(silent)?,
            Source::File(path) => {
                let text = fs::read_to_string(path);
                let text =
                    text.map_err(|error| silent(format!("`{}` cannot be read ({error})", path.display())));
                Zeroizing::new(text?)
            }
        };
        let keys = read_keys(&text).map_err(|error| silent(error.to_string()))?;
        Ok(MasterKeys::new(keys, Arc::new(SystemEntropy::default())))
    }
}

impl Keeper for Local {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn wrap<'a>(&'a self, plain: &'a [u8]) -> KeeperAnswer<'a, Vec<u8>> {
        Box::pin(async move { self.keys()?.wrap_now(self.name, plain) })
    }

    fn unwrap<'a>(&'a self, wrapped: &'a [u8]) -> KeeperAnswer<'a, Unwrapped> {
        Box::pin(async move { self.keys()?.unwrap_now(self.name, wrapped) })
    }

    fn rewrap<'a>(&'a self, wrapped: &'a [u8]) -> KeeperAnswer<'a, Vec<u8>> {
        Box::pin(async move {
            let keys = self.keys()?;
            keys.wrap_now(self.name, &keys.unwrap_now(self.name, wrapped)?.plain)
        })
    }

    fn master(&self) -> Option<MasterKey> {
        self.keys().ok()?.first().cloned()
    }
}

/// Keys of 64 hexadecimal digits, one a line.
fn read_keys(text: &str) -> Result<Vec<MasterKey>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let keys = lines.map(read_key).collect::<Result<Vec<_>>>()?;
    if keys.is_empty() || keys.len() > KEYS_MAX {
        bail!(
            "a master key is 64 hexadecimal digits; there may be several, one a line, the current one first"
        );
    }
    Ok(keys)
}

fn read_key(text: &str) -> Result<MasterKey> {
    let bad = || anyhow!("the master key is not 64 hexadecimal digits");
    let mut key = Zeroizing::new([0; 32]);
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(bad());
    }
    for (slot, place) in key.iter_mut().zip((0..64).step_by(2)) {
        let pair = text.get(place..place + 2).ok_or_else(bad)?;
        *slot = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
    }
    Ok(MasterKey::new(*key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(path: &Path) -> Local {
        Local { name: "file", source: Source::Reference(format!("file:{}", path.display())) }
    }

    #[test]
    fn what_is_no_key_is_told_and_not_repeated() {
        let good = "0123456789abcdefABCDEF0123456789".repeat(2);
        assert_eq!(read_keys(&format!("{good}\r\n\n  {good}\n")).unwrap().len(), 2);
        let many = format!("{good}\n").repeat(KEYS_MAX + 1);
        for bad in [
            "",
            "\n\n",
            &good[1..],
            &format!("{good}0"),
            &good.replace('0', "g"),
            &many,
            "+1".repeat(32).as_str(),
        ] {
            let error = read_keys(bad).unwrap_err().to_string();
            assert!(error.contains("64 hexadecimal digits") && !error.contains("abcdef"), "{error}");
        }
    }

    /// A key is put in front while the gateway runs; what the one before wrapped is unwrapped, and is not current.
    #[tokio::test]
    async fn a_file_of_keys_is_read_anew_each_time() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("key");
        let (old, new) = ("11".repeat(32), "22".repeat(32));
        fs::write(&path, &old).unwrap();
        let keeper = local(&path);
        let wrapped = keeper.wrap(b"keys of the house").await.unwrap();
        fs::write(&path, format!("{new}\n{old}\n")).unwrap();
        let unwrapped = keeper.unwrap(&wrapped).await.unwrap();
        assert_eq!((&**unwrapped.plain, unwrapped.is_current), (&b"keys of the house"[..], false));
        let again = keeper.rewrap(&wrapped).await.unwrap();
        fs::write(&path, &new).unwrap();
        assert!(keeper.unwrap(&again).await.unwrap().is_current);
        assert!(matches!(keeper.unwrap(&wrapped).await, Err(KeeperError::Stranger(_))));
        fs::remove_file(&path).unwrap();
        let gone = keeper.unwrap(&again).await.unwrap_err();
        assert!(matches!(&gone, KeeperError::Silent { why, .. } if why.contains("cannot be read")), "{gone}");
    }

    #[test]
    fn a_vault_needs_its_section_and_a_reference_a_form() {
        let folder = tempfile::TempDir::new().unwrap();
        let told = |current: &str| {
            let master = Master { current: Some(current.into()), ..Master::default() };
            format!("{:#}", master.keepers(folder.path()).unwrap_err())
        };
        assert_eq!(told("vault"), "`master_key` is `vault`, and there is no section [vault]");
        assert_eq!(told("secret"), "`master_key` is `secret`; write env:NAME, file:PATH or vault");
    }

    #[test]
    fn a_key_that_is_gone_is_not_made_anew() {
        let folder = tempfile::TempDir::new().unwrap();
        assert_eq!(default(folder.path()).unwrap().name, "file");
        fs::write(folder.path().join("countersign.db"), vec![0; 100_000]).unwrap();
        assert!(default(folder.path()).is_ok());
        fs::remove_file(folder.path().join(FILE)).unwrap();
        assert!(default(folder.path()).unwrap_err().to_string().contains("is gone"));
    }
}
