use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::tree::{Folded, Frontier};

fn tile(kind: Kind, index: u64, width: u16) -> Tile {
    Tile { kind, index, width }
}

#[test]
fn names() {
    let table = [
        (tile(Kind::Hashes(0), 0, 256), "tile/0/000"),
        (tile(Kind::Hashes(0), 0, 1), "tile/0/000.p/1"),
        (tile(Kind::Hashes(6), 999, 255), "tile/6/999.p/255"),
        (tile(Kind::Entries, 1_000, 256), "tile/entries/x001/000"),
        (tile(Kind::Hashes(1), 1_234_067, 256), "tile/1/x001/x234/067"),
        (tile(Kind::Entries, 1_234_067, 9), "tile/entries/x001/x234/067.p/9"),
    ];
    for (tile, path) in table {
        assert_eq!(tile.to_string(), path);
        assert_eq!(path.parse(), Ok(tile));
    }
}

#[test]
fn other_spellings_name_nothing() {
    for path in [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/00/000",
        "tile/7/000",
        "tile/-1/000",
        "tile/+1/000",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/x001/x000",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/1/1",
        "tile/entries/000.P/1",
        "tile/Entries/000",
        "/tile/0/000",
        "tile/0/000 ",
        "tile/0/+01",
        "tile/0/../000",
        "tile/data/000",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "checkpoint",
    ] {
        assert!(path.parse::<Tile>().is_err(), "{path}");
    }
    let long = "é".repeat(100);
    assert_eq!(long.parse::<Tile>().unwrap_err().path.chars().count(), NAME_BYTES_MAX);
}

/// The example of the specification: 70,000 entries.
#[test]
fn a_tree_of_70_000_entries() {
    let tiles: Vec<Tile> = written_by_growth(0, 70_000).collect();
    let of = |kind| tiles.iter().filter(|tile| tile.kind == kind).collect::<Vec<_>>();
    assert_eq!(of(Kind::Hashes(0)).iter().filter(|tile| tile.is_full()).count(), 273);
    assert_eq!(of(Kind::Hashes(0)).last().unwrap().to_string(), "tile/0/273.p/112");
    assert_eq!(of(Kind::Hashes(1)), [&tile(Kind::Hashes(1), 0, 256), &tile(Kind::Hashes(1), 1, 17)]);
    assert_eq!(of(Kind::Hashes(2)), [&tile(Kind::Hashes(2), 0, 1)]);
    assert_eq!(of(Kind::Hashes(3)), [] as [&Tile; 0]);
    assert_eq!(of(Kind::Entries).len(), 274);
    assert!(tiles.iter().all(|tile| tile.belongs_to(70_000)));
    assert!(!tile(Kind::Hashes(0), 273, 256).belongs_to(70_000));
    assert!(!tile(Kind::Hashes(0), 273, 111).belongs_to(70_000));
    assert!(!tile(Kind::Hashes(0), 272, 1).belongs_to(70_000));
    assert!(!tile(Kind::Hashes(0), u64::MAX, 1).belongs_to(70_000));
    assert_eq!(
        written_by_growth(0, 256).map(|tile| tile.to_string()).collect::<Vec<_>>(),
        ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]
    );
}

#[test]
fn growth_writes_only_what_moved() {
    let names = |old, new| written_by_growth(old, new).map(|tile| tile.to_string()).collect::<Vec<_>>();
    assert_eq!(names(5, 5), [] as [&str; 0]);
    assert_eq!(names(6, 5), [] as [&str; 0]);
    assert_eq!(names(5, 6), ["tile/entries/000.p/6", "tile/0/000.p/6"]);
    assert_eq!(
        names(255, 257),
        ["tile/entries/000", "tile/entries/001.p/1", "tile/0/000", "tile/0/001.p/1", "tile/1/000.p/1"]
    );
    assert_eq!(names(257, 258), ["tile/entries/001.p/2", "tile/0/001.p/2"]);
}

#[test]
fn bundles_are_read_strictly() {
    let bytes = encode_entries(&["a", "", "bcd"]).unwrap();
    assert_eq!(bytes, b"\x00\x01a\x00\x00\x00\x03bcd");
    assert_eq!(decode_entries(&bytes, 3).unwrap(), [&b"a"[..], b"", b"bcd"]);
    assert_eq!(decode_entries(&bytes, 4), Err(TileError::Entries { found: 3, due: 4 }));
    assert_eq!(decode_entries(&bytes, 2), Err(TileError::Entries { found: 3, due: 2 }));
    assert_eq!(decode_entries(&bytes[..9], 3), Err(TileError::Ended { position: 2 }));
    assert_eq!(decode_entries(&bytes[..6], 3), Err(TileError::Ended { position: 2 }));
    assert_eq!(split_entries(&bytes[..6], 3).0, [&b"a"[..], b""]);
    let many = vec![0; 1_000_000];
    assert_eq!(
        decode_entries(&many, 256),
        Err(TileError::Entries { found: 257, due: 256 }),
        "bounded memory"
    );
    let longest = vec![b'x'; ENTRY_BYTES_MAX];
    let bundle = encode_entries(&vec![&longest; 256]).unwrap();
    assert_eq!(bundle.len(), BUNDLE_BYTES_MAX);
    assert_eq!(decode_entries(&bundle, 256).unwrap().len(), 256);
    assert_eq!(encode_entries(&[vec![0; 65_536]]), Err(TileError::EntryLength(65_536)));
}

#[test]
fn hash_tiles_are_read_strictly() {
    let hashes: Vec<Hash> = (0..3_u8).map(|byte| Hash::leaf(&[byte])).collect();
    let bytes = encode_hashes(&hashes);
    assert_eq!(decode_hashes(&bytes, 3), Ok(hashes));
    assert_eq!(decode_hashes(&bytes, 2), Err(TileError::Hashes { found: 96, due: 2 }));
    assert_eq!(decode_hashes(&bytes[1..], 3), Err(TileError::Hashes { found: 95, due: 3 }));
}

#[test]
fn tiles_are_made_from_hashes_and_hash_to_their_parents() {
    let mut frontier = Frontier::new();
    let mut nodes = BTreeMap::new();
    for index in 0..70_000_u64 {
        frontier.push(Hash::leaf(&index.to_be_bytes()), |node| {
            if node.level.is_multiple_of(TILE_HEIGHT) {
                nodes.insert((node.level, node.index), node.hash);
            }
        });
    }
    let hashes_of = |tile: Tile| decode_hashes(&produce_hashes(&tile, &nodes).unwrap(), tile.width).unwrap();
    for lower in written_by_growth(0, 70_000).filter(|tile| matches!(tile.kind, Kind::Hashes(_))) {
        let Kind::Hashes(level) = lower.kind else { continue };
        let root = root_of_full(&hashes_of(lower));
        let upper = Tile::holding(Kind::Hashes(level + 1), lower.index, 70_000);
        assert_eq!(root.is_some(), lower.is_full());
        assert_eq!(
            root,
            upper.filter(|_| lower.is_full()).map(|upper| hashes_of(upper)[usize::from(lower.index as u8)])
        );
    }
    assert_eq!(crate::tree::root(&Folded(&nodes), 70_000), Ok(frontier.root()));
    assert_eq!(produce_hashes(&tile(Kind::Hashes(0), 273, 113), &nodes), None);
    assert_eq!(produce_hashes(&tile(Kind::Entries, 0, 1), &nodes), None);
    assert_eq!(produce_hashes(&tile(Kind::Hashes(255), u64::MAX, 1), &nodes), None);
}

proptest! {
    #[test]
    fn a_path_reads_back(
        level in 0..=TILE_LEVEL_MAX,
        index in 0..=crate::tree::SIZE_MAX,
        width in 1..=256_u16,
        entries: bool,
    ) {
        let kind = if entries { Kind::Entries } else { Kind::Hashes(level) };
        let tile = tile(kind, index, width);
        prop_assert!(tile.to_string().len() <= NAME_BYTES_MAX);
        prop_assert_eq!(tile.to_string().parse(), Ok(tile));
    }

    #[test]
    fn bundles_read_back(
        entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..=256),
    ) {
        let bytes = encode_entries(&entries).unwrap();
        let read = decode_entries(&bytes, entries.len() as u16).unwrap();
        prop_assert_eq!(encode_entries(&read).unwrap(), bytes);
    }

    #[test]
    fn any_bytes_are_read_without_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..2_000),
        width in any::<u16>(),
    ) {
        if let Ok(entries) = decode_entries(&bytes, width) {
            prop_assert_eq!(encode_entries(&entries).unwrap(), &bytes[..]);
        }
        let _ = decode_hashes(&bytes, width);
    }

    /// Growing in steps leaves the same tiles as growing at once, once the partial ones that grew are
    /// dropped.
    #[test]
    fn steps_add_up(steps in prop::collection::vec(1..2_000_u64, 1..12)) {
        let (mut size, mut kept) = (0, BTreeMap::new());
        for step in steps {
            for tile in written_by_growth(size, size + step) {
                kept.insert((tile.kind, tile.index), tile);
            }
            size += step;
        }
        let at_once: Vec<Tile> = written_by_growth(0, size).collect();
        prop_assert_eq!(kept.into_values().collect::<Vec<_>>(), at_once);
    }
}
