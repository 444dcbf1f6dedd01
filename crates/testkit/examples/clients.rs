//! Plays the conversations that it is told of, straight and through a gateway, and prints what differs.
//!
//! Arguments: `[--plain | --bytes] NAME=PROGRAM[ ARG...] ...`, as `cargo xtask clients` gives them.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use countersign_testkit::clients::{Conversation, Way};

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let mut way = Way::Tls;
    let (mut differ, mut starts) = (0_usize, Vec::new());
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--plain" => way = Way::Clear,
            "--bytes" => way = Way::Bytes,
            _ => starts.push(argument),
        }
    }
    for argument in starts {
        let (name, command) = argument.split_once('=').context("write NAME=PROGRAM ARG...")?;
        let mut words = command.split('\t');
        let program = words.next().unwrap_or_default().into();
        let conversation =
            Conversation { name: name.to_owned(), program, args: words.map(Into::into).collect() };
        let compared = conversation.compare(way).await?;
        if compared.alike() {
            println!("same: {name} ({} lines)", compared.direct.text.lines().count());
        } else {
            differ += 1;
            println!("DIFFERS: {name}\n{}", compared.difference());
            if !compared.direct.success {
                println!("straight to the server it failed already:\n{}", compared.direct.text);
            }
        }
    }
    Ok(if differ == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
