//! Countersign: countersign.
fn main() {}
