//! Sees to it that the console's files are embedded anew whenever they were built anew. The folder is made
//! when it is missing, so that there is always something to watch; an empty one means a page that says how
//! to build the console.

fn main() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/dist");
    // Where the sources cannot be written, the folder stays missing and is looked for at every build.
    drop(std::fs::create_dir_all(folder));
    println!("cargo:rerun-if-changed={folder}");
    println!("cargo:rerun-if-changed=build.rs");
}
