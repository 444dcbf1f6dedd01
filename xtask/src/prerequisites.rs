//! What must be on the machine, how to find out, and how to get it.
//!
//! Installing is idempotent and quiet: what is there is left alone. Where installing is not possible, the
//! message names what is missing and the one command that gets it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::run::{exists, program, quietly, say};

/// The oldest Node.js that builds the console.
const NODE_MIN: (u32, u32) = (20, 19);

/// Something that must be on the machine.
struct Need {
    /// What it is, for people.
    what: &'static str,
    /// Whether it is there.
    found: fn() -> bool,
    /// Debian's and Ubuntu's package.
    apt: &'static str,
    /// Homebrew's package.
    brew: &'static str,
}

const COMPILER: Need = Need {
    what: "a C compiler",
    found: || exists("cc") || exists("clang"),
    apt: "build-essential",
    brew: "llvm",
};
const LIBCLANG: Need =
    Need { what: "libclang, for the SQL grammar", found: libclang, apt: "libclang-dev", brew: "llvm" };
const POSTGRES: Need =
    Need { what: "a PostgreSQL server", found: postgres, apt: "postgresql", brew: "postgresql@17" };
const PSQL: Need = Need { what: "psql", found: || exists("psql"), apt: "postgresql-client", brew: "libpq" };
const PGBENCH: Need =
    Need { what: "pgbench", found: || exists("pgbench"), apt: "postgresql-contrib", brew: "postgresql@17" };
const PGBOUNCER: Need = Need {
    what: "pgbouncer, to compare with",
    found: || exists("pgbouncer") || Path::new("/usr/sbin/pgbouncer").exists(),
    apt: "pgbouncer",
    brew: "pgbouncer",
};
const SLAPD: Need = Need {
    what: "slapd, a directory to ask",
    found: || {
        let places = ["/usr/sbin/slapd", "/usr/libexec/slapd", "/opt/homebrew/opt/openldap/libexec/slapd"];
        exists("slapd") || places.iter().any(|place| Path::new(place).exists())
    },
    apt: "slapd",
    brew: "openldap",
};
const PIP: Need = Need {
    what: "pip, to fetch PostgreSQL's regression suite",
    found: || program("python3").args(["-m", "pip", "--version"]).output().is_ok_and(|o| o.status.success()),
    apt: "python3-pip",
    brew: "python",
};
const CHROMIUM: Need = Need {
    what: "Chromium, for the console's tests",
    found: || chromium().is_some(),
    apt: "chromium",
    brew: "chromium",
};

/// What building and running the demo needs.
pub fn for_demo() -> Result<()> {
    node()?;
    install(&[COMPILER, LIBCLANG, POSTGRES, PSQL])
}

/// What the benchmarks need.
pub fn for_bench() -> Result<()> {
    install(&[COMPILER, LIBCLANG, POSTGRES, PSQL, PGBENCH, PGBOUNCER])
}

/// What the regression suite needs: a server, and pip, which fetches the suite.
pub fn for_regress() -> Result<()> {
    install(&[COMPILER, LIBCLANG, POSTGRES, PIP])
}

/// What the tests need.
pub fn for_tests() -> Result<()> {
    node()?;
    install(&[COMPILER, LIBCLANG, POSTGRES, PSQL, SLAPD])?;
    domain_controller();
    Ok(())
}

/// A domain controller for the test that asks one. Its packages start file servers wherever something starts services, so they
/// are got only where nothing does, in a container; elsewhere the test says what is missing, and is skipped.
fn domain_controller() {
    let is_there = exists("samba-tool") && Path::new("/usr/share/samba/setup").is_dir();
    let is_container = is_root() && exists("apt-get") && !Path::new("/run/systemd/system").exists();
    if is_there || !is_container {
        return;
    }
    say("installing: a domain controller to ask");
    if apt(&["samba", "samba-ad-provision", "samba-dsdb-modules", "samba-vfs-modules"]).is_err() {
        say("no domain controller could be installed; the test that asks one is skipped");
    }
}

/// The browser that the console's tests drive. Where there is none and none can be installed, this says how to get one; the
/// other checks do not need it.
pub fn browser() -> Result<PathBuf> {
    if let Some(found) = chromium() {
        return Ok(found);
    }
    let advice = "the console's tests need Chromium or Chrome: install one, or set CHROMIUM to its program";
    install(&[CHROMIUM]).context(advice)?;
    chromium().context(advice)
}

/// `CHROMIUM`, or what is on the path or where macOS has it.
fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
    let on_path = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let applications = [
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    ];
    let known = on_path.chain(applications.iter().map(PathBuf::from));
    named.into_iter().chain(known).find(|program| program.is_file())
}

fn install(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !(need.found)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.iter().map(|need| need.what).collect::<Vec<_>>().join(", ");
    say(&format!("installing: {names}"));
    let tried = if exists("apt-get") {
        apt(&missing.iter().map(|need| need.apt).collect::<Vec<_>>())
    } else if exists("brew") {
        quietly(program("brew").args(["install", "--quiet"]).args(missing.iter().map(|need| need.brew)))
    } else {
        bail!("missing: {names}; there is no apt-get or brew here to get it with")
    };
    let still: Vec<&&Need> = missing.iter().filter(|need| !(need.found)()).collect();
    if still.is_empty() {
        return Ok(());
    }
    let names = still.iter().map(|need| need.what).collect::<Vec<_>>().join(", ");
    let by_hand = if exists("brew") && !exists("apt-get") {
        format!("brew install {}", still.iter().map(|need| need.brew).collect::<Vec<_>>().join(" "))
    } else {
        format!("sudo apt-get install {}", still.iter().map(|need| need.apt).collect::<Vec<_>>().join(" "))
    };
    tried.with_context(|| format!("could not install {names}; get it with `{by_hand}`"))?;
    bail!("{names}: installed, but not found; check with `{by_hand}`")
}

fn apt(packages: &[&str]) -> Result<()> {
    let command = |args: &[&str]| -> Command {
        let mut command = if is_root() { program("apt-get") } else { program("sudo") };
        if !is_root() {
            command.args(["-n", "apt-get"]);
        }
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            // Programs are wanted, and no services.
            .env("RUNLEVEL", "1")
            .args(["-qq", "-y", "-o", "Dpkg::Use-Pty=0"])
            .args(args);
        command
    };
    let install = [&["install", "--no-install-recommends"], packages].concat();
    // Lists may be fresh already; only where the first try fails are they fetched.
    quietly(&mut command(&install))
        .or_else(|_| quietly(&mut command(&["update"])).and_then(|()| quietly(&mut command(&install))))
}

/// Node.js is not installed for people: distributions have old ones, and many keep their own.
fn node() -> Result<()> {
    let advice = "get Node.js 20.19 or newer with npm from https://nodejs.org or your version manager";
    if !exists("node") || !exists("npm") {
        bail!("missing: Node.js and npm, for the console; {advice}");
    }
    let output = program("node").arg("--version").output()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().trim_start_matches('v').to_owned();
    let mut numbers = text.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    let found = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    if found < NODE_MIN {
        bail!("Node.js {text} is too old for the console; {advice}");
    }
    Ok(())
}

fn is_root() -> bool {
    let output = program("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn libclang() -> bool {
    let named = std::env::var_os("LIBCLANG_PATH").is_some();
    let folders =
        ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/opt/llvm/lib", "/usr/local/opt/llvm/lib"];
    let versions = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let llvm = versions.filter(|path| path.to_string_lossy().contains("llvm-")).map(|path| path.join("lib"));
    let mut all = folders.iter().map(|folder| Path::new(folder).to_owned()).chain(llvm);
    named
        || Path::new("/Library/Developer/CommandLineTools/usr/lib/libclang.dylib").exists()
        || all.any(has_libclang)
}

fn has_libclang(folder: PathBuf) -> bool {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.map(|file| file.file_name().to_string_lossy().into_owned()).any(|name| {
        name.starts_with("libclang.so") || name.starts_with("libclang-") || name == "libclang.dylib"
    })
}

fn postgres() -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = versions.map(|version| version.path().join("bin/initdb")).any(|program| program.exists());
    let brew = std::fs::read_dir("/opt/homebrew/opt").into_iter().flatten().flatten();
    let brew = brew.map(|package| package.path().join("bin/initdb")).any(|program| program.exists());
    debian || brew || exists("initdb")
}
