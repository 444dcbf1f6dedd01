//! A directory server of a test's own: OpenLDAP's slapd, with some people in it.
//!
//! It runs from a copy of its program: where a security module confines slapd by its path, a test's folder is out of
//! its reach.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::authority::Authority;
use crate::leash::{self, Dog, Leash};

/// Beneath what everything is.
pub const SUFFIX: &str = "dc=example,dc=com";

/// Who may change everything.
pub const ADMIN: &str = "cn=admin,dc=example,dc=com";

/// As whom a gateway binds. What it finds without pages is cut off.
pub const GATEWAY: &str = "cn=gateway,dc=example,dc=com";

/// The password of both.
pub const PASSWORD: &str = "a password of a test";

/// Where slapd is, where it is not on the path.
const PLACES: [&str; 4] = [
    "/usr/sbin/slapd",
    "/usr/lib/openldap/slapd",
    "/usr/libexec/slapd",
    "/opt/homebrew/opt/openldap/libexec/slapd",
];

/// A server that ends with this.
#[derive(Debug)]
pub struct ScratchSlapd {
    /// Where it speaks in clear until it is asked for TLS.
    pub port: u16,
    /// Where it speaks TLS.
    pub tls_port: u16,
    /// Who vouches for it, in PEM. Its certificate is made out to `localhost` alone.
    pub authority: String,
    folder: PathBuf,
    leash: Option<Leash>,
}

impl ScratchSlapd {
    /// Starts an empty one.
    ///
    /// # Errors
    /// There is no slapd, or it does not start; what it said is in the message.
    pub fn start() -> Result<Self> {
        let folder = leash::folder("slapd")?;
        let authority = Authority::new()?;
        let issued = authority.server(&["localhost"])?;
        for (name, text) in
            [("cert.pem", &issued.certificate_pem), ("key.pem", &issued.key_pem), ("ca.pem", &authority.pem)]
        {
            std::fs::write(folder.join(name), text)?;
        }
        std::fs::create_dir(folder.join("db"))?;
        std::fs::copy(program()?, folder.join("slapd"))?;
        std::fs::write(folder.join("slapd.conf"), settings(&folder)?)?;
        let (port, tls_port) = (leash::free_port()?, leash::free_port()?);
        let mut server = Self { port, tls_port, authority: authority.pem, folder, leash: None };
        server.begin()?;
        Ok(server)
    }

    /// Starts it again, on the same ports with what it had.
    ///
    /// # Errors
    /// It does not start.
    pub fn begin(&mut self) -> Result<()> {
        let urls = format!("ldap://127.0.0.1:{} ldaps://127.0.0.1:{}", self.port, self.tls_port);
        let path = |name: &str| self.folder.join(name).display().to_string();
        let program = ["-d", "0", "-f", &path("slapd.conf"), "-h", &urls].map(str::to_owned);
        let log = self.folder.join("log");
        let leash = Leash::start(&Dog {
            program: std::iter::once(path("slapd")).chain(program).collect(),
            unprivileged: false,
            signal: "INT",
            folder: None,
            log: &log,
            env: &[],
        })?;
        leash.listens(self.port, &log)?;
        leash.listens(self.tls_port, &log)?;
        self.leash = Some(leash);
        Ok(())
    }

    /// Stops it. What it has stays.
    pub fn stop(&mut self) {
        self.leash = None;
    }
}

impl Drop for ScratchSlapd {
    fn drop(&mut self) {
        self.leash = None;
        let _gone = std::fs::remove_dir_all(&self.folder);
    }
}

fn program() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).map(|folder| folder.join("slapd")).collect();
    let found = folders.into_iter().chain(PLACES.map(PathBuf::from)).find(|program| program.is_file());
    found.context("there is no slapd; `cargo xtask test` installs it, or `sudo apt-get install slapd`")
}

fn settings(folder: &Path) -> Result<String> {
    let schemas = ["/etc/ldap/schema", "/opt/homebrew/etc/openldap/schema", "/etc/openldap/schema"];
    let schemas = schemas.into_iter().find(|place| Path::new(place).is_dir());
    let schemas = schemas.context("slapd's schemas are not where they usually are")?;
    let mut text = String::new();
    for name in ["core", "cosine", "inetorgperson", "nis", "msuser"] {
        writeln!(text, "include {schemas}/{name}.schema")?;
    }
    if Path::new("/usr/lib/ldap/back_mdb.la").exists() {
        writeln!(text, "modulepath /usr/lib/ldap\nmoduleload back_mdb")?;
    }
    let folder = folder.display();
    writeln!(
        text,
        "pidfile {folder}/pid\nTLSCertificateFile {folder}/cert.pem\nTLSCertificateKeyFile {folder}/key.pem\n\
         TLSCACertificateFile {folder}/ca.pem\ndatabase mdb\nmaxsize 104857600\nsuffix \"{SUFFIX}\"\n\
         rootdn \"{ADMIN}\"\nrootpw \"{PASSWORD}\"\ndirectory {folder}/db\n\
         access to attrs=userPassword by anonymous auth by * none\n\
         access to * by dn.exact=\"{GATEWAY}\" read by * none\n\
         limits dn.exact=\"{GATEWAY}\" size.soft=100 size.hard=100 size.pr=1000 size.prtotal=unlimited"
    )?;
    Ok(text)
}
