//! The sample bundle is the first policy that a newcomer reads.

use super::{compiled, demo_source};

#[test]
fn it_compiles_without_a_warning() {
    assert_eq!(compiled(&demo_source()).warnings, []);
}
