//! What the door of tools costs: calls of one tool straight to its server and through the gateway, in turn, in one run.
//! `cargo xtask bench mcp` builds and runs this; `docs/developers/benchmarks.md` explains what it prints.
//!
//! Clients, gateway and server share one process, so figures say what a hop adds, not what a machine of its own could do. No
//! timing makes this fail; an answer that is not the tool's does.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use countersign_core::Span;
use countersign_testkit::tools::{ToolClient, ToolHouse, call};
use serde_json::json;
use tokio::task::JoinSet;

/// How it is asked for.
const HELP: &str = "\
cargo xtask bench mcp [--rounds N] [--seconds N] [--clients LIST] [--quick]
  --rounds N      interleaved rounds (default 5)
  --seconds N     how long each burst takes (default 3)
  --clients LIST  how many clients at once (default 1,32,256)
  --quick         one short round of 1 and 32 clients: whether everything works";
/// How many sessions the clients share: nobody may have more at the gateway.
const SESSIONS: usize = 32;

/// What is measured.
struct Options {
    rounds: u32,
    length: Duration,
    clients: Vec<usize>,
}

/// What came of a burst.
struct Burst {
    /// How long each call took, in microseconds, shortest first.
    micros: Vec<f64>,
    per_second: f64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--help") {
        println!("{HELP}");
        return Ok(());
    }
    let options = Options::read(&args)?;
    let house = ToolHouse::open().await?;
    house.house.grant("alice", "clerk", Span::minutes(60)).await?;
    let token = house.token("alice", "files").await?;
    let direct = sessions(&house.server.url(), "").await?;
    let through = sessions(&house.url(), &token).await?;
    // Connections are made, and what is made at first use.
    for ways in [&direct, &through] {
        burst(ways, 8, Duration::from_millis(300)).await?;
    }
    println!(
        "clients | direct: p50 us, calls/s | gateway: p50 us, p99 us, calls/s | added p50 us | of direct's calls/s"
    );
    for count in &options.clients {
        let mut rounds = Vec::new();
        for round in 0..options.rounds {
            // Every round begins with the other.
            let (first, second) = if round % 2 == 0 { (&direct, &through) } else { (&through, &direct) };
            let one = burst(first, *count, options.length).await?;
            let other = burst(second, *count, options.length).await?;
            rounds.push(if round % 2 == 0 { (one, other) } else { (other, one) });
        }
        println!("{}", told(*count, &rounds));
    }
    house.close().await;
    Ok(())
}

impl Options {
    fn read(args: &[String]) -> Result<Self> {
        let mut options = Self { rounds: 5, length: Duration::from_secs(3), clients: vec![1, 32, 256] };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if arg == "--quick" {
                options = Self { rounds: 1, length: Duration::from_millis(300), clients: vec![1, 32] };
                continue;
            }
            let value = args.next().with_context(|| format!("`{arg}` needs a value:\n{HELP}"))?;
            match arg.as_str() {
                "--rounds" => options.rounds = value.parse()?,
                "--seconds" => options.length = Duration::from_secs(value.parse()?),
                "--clients" => {
                    options.clients = value.split(',').map(str::parse).collect::<Result<_, _>>()?;
                }
                _ => bail!("there is no option `{arg}`:\n{HELP}"),
            }
        }
        ensure!(options.rounds > 0 && !options.clients.contains(&0), "there is nothing to measure:\n{HELP}");
        Ok(options)
    }
}

/// Clients that have begun, each in a session of its own.
async fn sessions(url: &str, token: &str) -> Result<Vec<ToolClient>> {
    let mut begun = Vec::new();
    for _ in 0..SESSIONS {
        let mut client = ToolClient::new(url, token);
        client.begin().await?;
        begun.push(client);
    }
    Ok(begun)
}

/// So many clients call one after the other, each its own next call when the last is answered.
async fn burst(sessions: &[ToolClient], count: usize, length: Duration) -> Result<Burst> {
    let mut clients = JoinSet::new();
    let began = now();
    for (place, session) in sessions.iter().cycle().take(count).enumerate() {
        let (session, id) = (session.clone(), u64::try_from(place)? + 1);
        clients.spawn(async move {
            let body = call(id, "echo", json!({"path": "/srv/reports/a", "place": id})).to_string();
            let place = format!("\\\"place\\\":{id}");
            let mut took = Vec::new();
            while began.elapsed() < length {
                let asked = now();
                let answer = session.post(body.clone()).await?.text().await?;
                took.push(asked.elapsed().as_secs_f64() * 1e6);
                ensure!(answer.contains(&place), "this is not the tool's answer: {answer}");
            }
            anyhow::Ok(took)
        });
    }
    let mut micros = Vec::new();
    while let Some(took) = clients.join_next().await {
        micros.extend(took??);
    }
    let seconds = began.elapsed().as_secs_f64();
    micros.sort_by(f64::total_cmp);
    let per_second = f64::from(u32::try_from(micros.len())?) / seconds;
    Ok(Burst { micros, per_second })
}

/// A line: medians over the rounds; what is added and the ratio are taken within each.
fn told(clients: usize, rounds: &[(Burst, Burst)]) -> String {
    let over = |of: fn(&(Burst, Burst)) -> f64| median(rounds.iter().map(of).collect());
    format!(
        "{clients:>7} | {:>7.0}, {:>6.0} | {:>7.0}, {:>7.0}, {:>6.0} | {:>7.0} | {:.2}",
        over(|(direct, _)| direct.at(0.5)),
        over(|(direct, _)| direct.per_second),
        over(|(_, through)| through.at(0.5)),
        over(|(_, through)| through.at(0.99)),
        over(|(_, through)| through.per_second),
        over(|(direct, through)| through.at(0.5) - direct.at(0.5)),
        over(|(direct, through)| through.per_second / direct.per_second),
    )
}

impl Burst {
    /// The time below which this part of the calls took.
    fn at(&self, part: f64) -> f64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place in a list"
        )]
        let place = (self.micros.len() as f64 * part) as usize;
        self.micros.get(place).copied().unwrap_or_default()
    }
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock; nothing it measures does")]
fn now() -> Instant {
    Instant::now()
}
