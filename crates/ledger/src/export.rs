//! An export: the log as a folder of files that anyone can verify offline.
//!
//! What: `checkpoint`, `vkey` (a copy, to be trusted by nobody), `tile/...` as c2sp.org/tlog-tiles lays them
//! out, `README.txt`, and `content.jsonl` if content is disclosed (its lines are [`crate::content::Record`]s,
//! in the order of index and pointer; the caller writes them). [`Writer`] takes the entries one by one and
//! gives each file when it is complete, so that no log is too large. Why so: the checkpoint comes last and
//! only if it covers exactly what was written; an export that was cut short has none, and verifies as broken.
//! What not: touching a disk.

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::hash::Hash;
use crate::note::VerifierKey;
use crate::tile::{self, Kind, TILE_WIDTH, Tile, TileBuilder, TileError};
use crate::tree::Frontier;

/// The signed head.
pub const CHECKPOINT_PATH: &str = "checkpoint";

/// A copy of the log's public key, with a final newline.
pub const VKEY_PATH: &str = "vkey";

/// How to verify, for people.
pub const README_PATH: &str = "README.txt";

/// Disclosed content, one record a line.
pub const CONTENT_PATH: &str = "content.jsonl";

/// SHA-256 of [`CONTENT_PATH`], so that what was left out after the export is noticed.
pub const CONTENT_HASH_PATH: &str = "content.sha256";

/// One file of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportFile {
    /// Its path, relative to the export's folder.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Why an export can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// An entry that no bundle can hold.
    #[error(transparent)]
    Entry(#[from] TileError),
    /// The checkpoint does not open with the key.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint covers another number of entries.
    #[error("the checkpoint covers {stated} entries, {found} were given")]
    Size {
        /// The checkpoint's size.
        stated: u64,
        /// How many entries came.
        found: u64,
    },
    /// The checkpoint has another root.
    #[error("the entries hash to {found}, the checkpoint states {stated}: they are not the log's")]
    Root {
        /// The checkpoint's root.
        stated: Hash,
        /// The root over the entries that came.
        found: Hash,
    },
}

/// Makes the files of an export while the entries go by.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    frontier: Frontier,
    tiles: TileBuilder,
    bundle: Vec<u8>,
}

impl Writer {
    /// A writer that has seen no entry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next entry; gives the files that it completed.
    ///
    /// # Errors
    /// [`ExportError::Entry`] if it is too long.
    pub fn push(&mut self, entry: &[u8]) -> Result<Vec<ExportFile>, ExportError> {
        self.bundle.extend(tile::encode_entries(&[entry])?);
        let leaf = Hash::leaf(entry);
        self.frontier.push(leaf, |_| ());
        let built = self.tiles.push(leaf);
        let bundle = if built.is_empty() { None } else { self.take_bundle(TILE_WIDTH) };
        Ok(bundle.into_iter().chain(built.into_iter().map(hash_file)).collect())
    }

    /// The remaining files: the tiles at the right edge, the key, the instructions, and last the checkpoint.
    ///
    /// # Errors
    /// [`ExportError::Checkpoint`] unless the key opens it, [`ExportError::Size`] and [`ExportError::Root`]
    /// unless it covers exactly the entries that came.
    pub fn finish(mut self, checkpoint: &str, key: &VerifierKey) -> Result<Vec<ExportFile>, ExportError> {
        let stated = Checkpoint::open(checkpoint.as_bytes(), std::slice::from_ref(key))?;
        let (size, root) = (self.frontier.size(), self.frontier.root());
        if stated.size != size {
            return Err(ExportError::Size { stated: stated.size, found: size });
        }
        if stated.root != root {
            return Err(ExportError::Root { stated: stated.root, found: root });
        }
        let width = u16::try_from(size % u64::from(TILE_WIDTH)).unwrap_or(0);
        let bundle = if width == 0 { None } else { self.take_bundle(width) };
        let edge = std::mem::take(&mut self.tiles).finish().into_iter().map(hash_file);
        let readme = text_file(README_PATH, readme(&stated, key));
        let vkey = text_file(VKEY_PATH, format!("{key}\n"));
        let head = text_file(CHECKPOINT_PATH, checkpoint.to_owned());
        Ok(bundle.into_iter().chain(edge).chain([readme, vkey, head]).collect())
    }

    /// The bundle of this width that ends with the latest entry.
    fn take_bundle(&mut self, width: u16) -> Option<ExportFile> {
        let last = self.frontier.size().checked_sub(1)?;
        let tile = Tile { kind: Kind::Entries, index: last / u64::from(TILE_WIDTH), width };
        Some(ExportFile { path: tile.to_string(), bytes: std::mem::take(&mut self.bundle) })
    }
}

/// All files of the export of these entries under this checkpoint: for a log that fits in memory.
///
/// # Errors
/// [`ExportError`].
pub fn files<E: AsRef<[u8]>>(
    entries: impl IntoIterator<Item = E>,
    checkpoint: &str,
    key: &VerifierKey,
) -> Result<Vec<ExportFile>, ExportError> {
    let mut writer = Writer::new();
    let mut files = Vec::new();
    for entry in entries {
        files.extend(writer.push(entry.as_ref())?);
    }
    files.extend(writer.finish(checkpoint, key)?);
    Ok(files)
}

/// The file that states the hash of the disclosed content.
#[must_use]
pub fn content_hash_file(content: &Hash) -> ExportFile {
    text_file(CONTENT_HASH_PATH, format!("{content}  {CONTENT_PATH}\n"))
}

fn hash_file((tile, hashes): tile::Built) -> ExportFile {
    ExportFile { path: tile.to_string(), bytes: tile::encode_hashes(&hashes) }
}

fn text_file(path: &str, text: String) -> ExportFile {
    ExportFile { path: path.to_owned(), bytes: text.into_bytes() }
}

pub(crate) fn readme(checkpoint: &Checkpoint, key: &VerifierKey) -> String {
    include_str!("../data/README.txt")
        .replace("{origin}", &checkpoint.origin)
        .replace("{size}", &checkpoint.size.to_string())
        .replace("{root}", &checkpoint.root.to_base64())
        .replace("{vkey}", &key.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::note::Sign as _;
    use crate::note::tests::signer;

    fn entries(count: u64) -> Vec<Vec<u8>> {
        (0..count).map(|index| index.to_string().into_bytes()).collect()
    }

    fn checkpoint(entries: &[Vec<u8>]) -> String {
        let root = Frontier::from_leaves(entries.iter().map(|entry| Hash::leaf(entry))).root();
        let checkpoint = Checkpoint { origin: "log".to_owned(), size: entries.len() as u64, root };
        checkpoint.sign(&[&signer("log", 1)]).unwrap()
    }

    #[test]
    fn exactly_the_tiles_of_the_size() {
        for count in [0, 1, 255, 256, 257, 700] {
            let entries = entries(count);
            let files = files(&entries, &checkpoint(&entries), signer("log", 1).key()).unwrap();
            let mut due: Vec<String> =
                tile::written_by_growth(0, count).map(|tile| tile.to_string()).collect();
            due.extend([README_PATH, VKEY_PATH, CHECKPOINT_PATH].map(str::to_owned));
            let (mut found, last) = (Vec::new(), files.last().unwrap().path.clone());
            let by_path: BTreeMap<String, Vec<u8>> = files
                .into_iter()
                .map(|file| {
                    found.push(file.path.clone());
                    (file.path, file.bytes)
                })
                .collect();
            found.sort();
            due.sort();
            assert_eq!(found, due);
            assert_eq!(last, CHECKPOINT_PATH, "last, so that a cut export has none");
            let mut read = Vec::new();
            for tile in tile::written_by_growth(0, count).filter(|tile| tile.kind == Kind::Entries) {
                let entries = tile::decode_entries(&by_path[&tile.to_string()], tile.width).unwrap();
                read.extend(entries.into_iter().map(<[u8]>::to_vec));
            }
            assert_eq!(read, entries);
        }
    }

    #[test]
    fn nothing_else_is_exported() {
        let (ours, five) = (signer("log", 1), entries(5));
        let checkpoint = checkpoint(&five);
        let export = |entries: &[Vec<u8>], key: &VerifierKey| {
            files(entries, &checkpoint, key).map(|files| files.len())
        };
        assert!(export(&five, ours.key()).is_ok());
        assert_eq!(export(&five[..4], ours.key()), Err(ExportError::Size { stated: 5, found: 4 }));
        let mut swapped = five.clone();
        swapped.swap(0, 1);
        assert!(matches!(export(&swapped, ours.key()), Err(ExportError::Root { .. })));
        assert!(matches!(export(&five, signer("log", 2).key()), Err(ExportError::Checkpoint(_))));
        assert_eq!(
            files([vec![0; 65_536]], &checkpoint, ours.key()),
            Err(ExportError::Entry(TileError::EntryLength(65_536)))
        );
    }

    #[test]
    fn the_instructions_name_this_log() {
        let readme = files(entries(3), &checkpoint(&entries(3)), signer("log", 1).key()).unwrap();
        let readme = readme.into_iter().find(|file| file.path == README_PATH).unwrap();
        let text = String::from_utf8(readme.bytes).unwrap();
        assert!(text.contains("3 entries") && text.contains(&signer("log", 1).key().to_string()), "{text}");
        assert!(!text.contains('{'), "everything is filled in: {text}");
    }
}
