//! Given a bundle, when somebody asks, then policy says.

mod demo;

use crate::{Compiled, Source, compile};

/// The sample bundle of the repository.
fn demo_source() -> Source {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../demo/bundle");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect()
}

fn compiled(source: &Source) -> Compiled {
    compile(source).unwrap_or_else(|found| panic!("{}", lines(&found)))
}

fn lines(found: &[crate::Diagnostic]) -> String {
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
