//! What is measured, for how long, how often.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::plan::{Load, Variant};

/// How it is asked for.
pub const HELP: &str = "\
cargo xtask bench postgres [OPTIONS]
  --rounds N       interleaved rounds of each cell (default 5)
  --seconds N      how long each burst takes, connecting included (default 3)
  --clients LIST   how many clients at once (default 1,8,32,64)
  --loads LIST     of simple, extended, prepared, update, select, copy-out, copy-in (default: all)
  --tls LIST       of off, on: TLS to the client (default: both)
  --variants LIST  of direct, relay, pgbouncer, alongside, release, masked (default: all)
  --connections WHAT  only, or none, of: new, idle and busy connections (default: with everything else)
  --gateway PATH   the binary to measure (default: the one that was built together with the bench)
  --quick          one round of a few hundred statements at 1 and 8 clients: whether everything works";

/// Length of a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So many seconds.
    Seconds(u32),
    /// So many statements of each client.
    Statements(u32),
}

/// What is measured, for how long, how often.
#[derive(Clone, Debug)]
pub struct Options {
    /// Rounds of each cell.
    pub rounds: u32,
    /// Length of a burst.
    pub length: Length,
    /// Clients at once.
    pub clients: Vec<u32>,
    /// What they do.
    pub loads: Vec<Load>,
    /// TLS to the client.
    pub tls: Vec<bool>,
    /// Through what.
    pub variants: Vec<Variant>,
    /// Whether connections are measured, and whether anything else is.
    pub connections: Connections,
    /// The gateway's binary, if not the one that lies beside.
    pub gateway: Option<PathBuf>,
}

/// Whether connections are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// With everything else.
    Too,
    /// Nothing else.
    Only,
    /// Not.
    None,
}

impl Length {
    /// Enough to see that it works.
    pub const BRIEF: Self = Self::Statements(200);
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rounds: 5,
            length: Length::Seconds(3),
            clients: vec![1, 8, 32, 64],
            loads: Load::ALL.to_vec(),
            tls: vec![false, true],
            variants: Variant::ALL.to_vec(),
            connections: Connections::Too,
            gateway: None,
        }
    }
}

impl Options {
    /// Whether it is only to be seen that everything works.
    pub fn is_brief(&self) -> bool {
        self.length == Length::BRIEF
    }

    /// Reads the command line.
    ///
    /// # Errors
    /// It says something that is not known.
    pub fn read(args: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(name) = args.next() {
            if *name == "--quick" {
                options = Self { rounds: 1, length: Length::BRIEF, clients: vec![1, 8], ..options };
                continue;
            }
            let value =
                args.next().with_context(|| format!("`{name}` is not known, or has no value\n{HELP}"))?;
            match *name {
                "--rounds" => options.rounds = number(value)?.max(1),
                "--gateway" => options.gateway = Some(std::path::absolute(value)?),
                "--seconds" => options.length = Length::Seconds(number(value)?.max(1)),
                "--connections" => {
                    options.connections = match *value {
                        "only" => Connections::Only,
                        "none" => Connections::None,
                        _ => bail!("`{value}` is not known\n{HELP}"),
                    }
                }
                "--clients" => options.clients = list(value, |one| number(one).ok())?,
                "--loads" => options.loads = list(value, |one| named(&Load::ALL, one, Load::word))?,
                "--variants" => {
                    options.variants = list(value, |one| named(&Variant::ALL, one, Variant::word))?;
                }
                "--tls" => {
                    options.tls = list(value, |one| match one {
                        "on" => Some(true),
                        "off" => Some(false),
                        _ => None,
                    })?;
                }
                _ => bail!("`{name}` is not known\n{HELP}"),
            }
        }
        Ok(options)
    }
}

fn number(text: &str) -> Result<u32> {
    text.parse().with_context(|| format!("`{text}` is not a number"))
}

fn named<T: Copy>(all: &[T], word: &str, word_of: impl Fn(T) -> &'static str) -> Option<T> {
    all.iter().copied().find(|one| word_of(*one) == word)
}

fn list<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>> {
    let one = |word: &str| read(word).with_context(|| format!("`{word}` is not known\n{HELP}"));
    text.split(',').map(one).collect()
}
