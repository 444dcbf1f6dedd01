//! A domain of a test's own: Samba's Active Directory domain controller, in a network of its own.
//!
//! A domain controller listens on the ports of a domain controller. It has a network namespace with nothing in it but its own
//! loopback, so that it meets neither the machine's nor another test's; [`ScratchDomain::within`] runs a test's own client in
//! there. What it is made of (some twenty seconds of work) is made once and copied. Where this is not permitted, or Samba is not
//! there, a test says so and is skipped.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sched::{CloneFlags, setns};

use crate::authority::Authority;
use crate::leash::{self, Dog, Leash};

/// Beneath what everything is.
pub const SUFFIX: &str = "DC=example,DC=com";

/// Who may change everything, and their password.
pub const ADMINISTRATOR: &str = "CN=Administrator,CN=Users,DC=example,DC=com";
/// As such a server wants it: long, with letters of both cases and digits.
pub const PASSWORD: &str = "A passw0rd of a Test";

/// How long it may take until it answers, in tenths of a second.
const START_TENTHS_MAX: u32 = 900;

/// A domain that ends with this.
#[derive(Debug)]
pub struct ScratchDomain {
    /// Who vouches for it, in PEM. Its certificate is made out to `localhost` alone.
    pub authority: String,
    folder: PathBuf,
    leash: Option<Leash>,
}

/// Why there is no domain here: said by a test that is skipped.
#[must_use]
pub fn missing() -> Option<&'static str> {
    if !leash::is_root() {
        return Some("a network namespace is made by root alone");
    }
    let works = |program: &str, args: &[&str]| {
        Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
    };
    if !works("unshare", &["--net", "true"]) {
        return Some("network namespaces are not permitted here");
    }
    if !works("samba-tool", &["--version"]) || !Path::new("/usr/share/samba/setup").is_dir() {
        return Some(
            "there is no samba (apt-get install samba samba-ad-provision samba-dsdb-modules samba-vfs-modules)",
        );
    }
    None
}

impl ScratchDomain {
    /// Makes an empty one and starts it.
    ///
    /// # Errors
    /// It can't be made, or does not start; what it said is in the message.
    pub fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("countersign-samba-").tempdir_in("/var/tmp")?.keep();
        let authority = Authority::new()?;
        let mut domain = Self { authority: authority.pem.clone(), folder, leash: None };
        domain.provision()?;
        let issued = authority.server(&["localhost"])?;
        for (name, text) in
            [("cert.pem", &issued.certificate_pem), ("key.pem", &issued.key_pem), ("ca.pem", &authority.pem)]
        {
            let path = domain.folder.join(name);
            std::fs::write(&path, text)?;
            // It takes no key that others read.
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        }
        let path = domain.folder.join("dc/etc/smb.conf");
        let settings = std::fs::read_to_string(&path)?;
        let place = |name: &str| domain.folder.join(name).display().to_string();
        let more = format!(
            "[global]\n\tserver services = ldap\n\tinterfaces = lo\n\tbind interfaces only = yes\n\ttls enabled = yes\n\
             \ttls certfile = {}\n\ttls keyfile = {}\n\ttls cafile = {}\n\tpid directory = {run}\n\tlock directory = {run}\n\
             \tncalrpc dir = {run}/rpc\n\tlog file = {log}\n",
            place("cert.pem"),
            place("key.pem"),
            place("ca.pem"),
            run = place("dc/run"),
            log = place("samba.log"),
        );
        std::fs::create_dir_all(domain.folder.join("dc/run"))?;
        // What was made names the services of a whole domain controller, and places of this machine's.
        let replaced = ["server services", "lock directory", "log file"];
        let kept =
            settings.lines().filter(|line| !replaced.iter().any(|name| line.trim_start().starts_with(name)));
        let settings: String = kept.flat_map(|line| [line, "\n"]).collect();
        std::fs::write(&path, settings.replacen("[global]\n", &more, 1))?;
        domain.begin()?;
        Ok(domain)
    }

    fn provision(&self) -> Result<()> {
        let target = format!("--targetdir={}", self.folder.join("dc").display());
        let password = format!("--adminpass={PASSWORD}");
        let made = Command::new("unshare")
            .args([
                "--net",
                "--",
                "samba-tool",
                "domain",
                "provision",
                "--server-role=dc",
                "--realm=EXAMPLE.COM",
            ])
            .args(["--domain=EXAMPLE", "--host-name=dc", "--dns-backend=NONE", &target, &password])
            .output()?;
        ensure!(made.status.success(), "no domain could be made: {}", String::from_utf8_lossy(&made.stderr));
        Ok(())
    }

    /// Starts it again with what it had.
    ///
    /// # Errors
    /// It does not start.
    pub fn begin(&mut self) -> Result<()> {
        let log = self.folder.join("log");
        let settings = format!("--configfile={}", self.folder.join("dc/etc/smb.conf").display());
        let shell = "ip link set lo up && exec samba --interactive --no-process-group --model=single \"$0\"";
        let program = ["unshare", "--net", "--", "sh", "-c", shell, settings.as_str()];
        let leash = Leash::start(&Dog {
            program: program.map(str::to_owned).into(),
            unprivileged: false,
            signal: "TERM",
            folder: None,
            log: &log,
            env: &[],
        })?;
        let namespace = Self::namespace(leash.pid());
        for _ in 0..START_TENTHS_MAX {
            let tried = inside(&namespace, || async {
                Ok(tokio::net::TcpStream::connect(("127.0.0.1", 636)).await.is_ok())
            });
            if tried.unwrap_or(false) {
                self.leash = Some(leash);
                return Ok(());
            }
            if !Path::new(&format!("/proc/{}", leash.pid())).exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("the domain did not start; it said:\n{}", std::fs::read_to_string(log).unwrap_or_default())
    }

    /// Stops it. What it has stays.
    pub fn stop(&mut self) {
        self.leash = None;
    }

    /// Runs this on a thread of its own, in the domain's network.
    ///
    /// # Errors
    /// The network can't be entered, or what was run failed.
    pub fn within<T, F>(&self, run: impl FnOnce() -> F + Send) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>>,
    {
        let leash = self.leash.as_ref().context("the domain is stopped")?;
        inside(&Self::namespace(leash.pid()), run)
    }

    fn namespace(pid: u32) -> PathBuf {
        PathBuf::from(format!("/proc/{pid}/ns/net"))
    }
}

impl Drop for ScratchDomain {
    fn drop(&mut self) {
        self.leash = None;
        let _gone = std::fs::remove_dir_all(&self.folder);
    }
}

/// Runs this on a thread of its own in another network: what it opens is there, and nothing else of this process is.
fn inside<T, F>(namespace: &Path, run: impl FnOnce() -> F + Send) -> Result<T>
where
    T: Send,
    F: Future<Output = Result<T>>,
{
    let entered = move || {
        setns(std::fs::File::open(namespace)?, CloneFlags::CLONE_NEWNET)?;
        // One thread drives everything: another one would be in this machine's own network.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(run())
    };
    std::thread::scope(|scope| scope.spawn(entered).join())
        .map_err(|_| anyhow::anyhow!("what was run in the domain's network ended abnormally"))?
}
