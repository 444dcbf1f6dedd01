//! The framer gives the same pieces however the bytes arrive, in constant memory, and forwards what it took.

use std::iter::repeat_n;

use countersign_wire::postgres::frame::{LARGE_LEN_MAX, PROTOCOL_LEN_MAX, STREAM_ABOVE_LEN};
use countersign_wire::postgres::{Frame, Framer, Limits, Malformed, Phase, Piece, fuzz_targets};
use proptest::prelude::*;

use crate::vectors::{From, VECTORS};

fn of(from: From) -> impl Iterator<Item = &'static [u8]> {
    VECTORS.iter().filter(move |vector| vector.from == from).map(|vector| vector.bytes)
}

fn long_row(body: u32) -> Vec<u8> {
    let head = [b"D".as_slice(), &(body + 4).to_be_bytes()].concat();
    head.into_iter().chain(repeat_n(b'x', body as usize)).collect()
}

/// Feeds `stream` in chunks of the given sizes, in turn, and returns what comes out: per message its type and
/// its bytes.
fn frames(stream: &[u8], chunks: &[usize]) -> Vec<(u8, Vec<u8>)> {
    let mut framer = Framer::new(Limits::new(Phase::Server));
    let (mut buffer, mut seen): (Vec<u8>, Vec<(u8, Vec<u8>)>) = (Vec::new(), Vec::new());
    let (mut rest, mut chunks) = (stream, chunks.iter().cycle());
    while !rest.is_empty() {
        let (arrived, later) = rest.split_at((*chunks.next().unwrap()).min(rest.len()));
        rest = later;
        buffer.extend_from_slice(arrived);
        while let Some((piece, used)) = framer.next(&buffer).unwrap() {
            match piece {
                Piece::Whole(frame) => seen.push((frame.tag(), piece.raw().to_vec())),
                Piece::Head(head, raw) => seen.push((head.tag(), raw.to_vec())),
                Piece::Body { bytes, last } => {
                    seen.last_mut().unwrap().1.extend_from_slice(bytes);
                    assert_eq!(last, framer.at_boundary());
                }
            }
            buffer.drain(..used);
        }
        assert!(buffer.len() <= STREAM_ABOVE_LEN as usize + 1, "never waits for more than a short message");
    }
    assert!(buffer.is_empty() && framer.at_boundary(), "everything was understood");
    seen
}

proptest! {
    #[test]
    fn any_split_gives_the_same_frames(
        picks in prop::collection::vec(0..100_usize, 1..40),
        long in prop::option::of(STREAM_ABOVE_LEN - 10..STREAM_ABOVE_LEN + 5_000),
        chunks in prop::collection::vec(1..3_000_usize, 1..20),
    ) {
        let server: Vec<_> = of(From::Server).collect();
        let mut expected: Vec<_> = picks.iter().map(|pick| server[pick % server.len()].to_vec()).collect();
        if let Some(body) = long {
            expected.insert(expected.len() / 2, long_row(body));
        }
        let stream = expected.concat();
        let seen = frames(&stream, &chunks);
        prop_assert_eq!(&seen.iter().map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>(), &expected);
        let at_once = frames(&stream, &[stream.len()]);
        prop_assert_eq!(seen, at_once);
    }

    #[test]
    fn a_run_of_rows_is_what_would_have_come_one_by_one(
        rows in 0..30_usize,
        tail in prop::sample::select(vec![&b"Z\0\0\0\x05I"[..], b"D\0\0", b"", b"D\0\0\0\x00", b"?"]),
    ) {
        let row = b"D\0\0\0\x0b\0\x01\0\0\0\x01x";
        let stream = [row.repeat(rows), tail.to_vec()].concat();
        let run = Framer::new(Limits::new(Phase::Server)).run(&stream, b'D');
        prop_assert_eq!((run.frames, run.raw), (rows as u64, &stream[..rows * row.len()]));
    }
}

#[test]
fn a_row_of_the_longest_length_passes_in_constant_memory() {
    let mut framer = Framer::new(Limits::new(Phase::Server));
    let head = [b"D".as_slice(), &PROTOCOL_LEN_MAX.to_be_bytes()].concat();
    assert!(matches!(framer.next(&head), Ok(Some((Piece::Head(..), 5)))));
    let chunk = vec![b'Q'; 1 << 20];
    let mut left = PROTOCOL_LEN_MAX as usize - 4;
    while left > 0 {
        let Some((Piece::Body { bytes, last }, used)) = framer.next(&chunk).unwrap() else {
            panic!("no body")
        };
        assert_eq!(
            (bytes.len(), used, last),
            (left.min(chunk.len()), left.min(chunk.len()), left <= chunk.len())
        );
        left -= used;
    }
    let Some((Piece::Whole(frame), 6)) = framer.next(b"Z\0\0\0\x05I").unwrap() else { panic!("no message") };
    assert_eq!(frame.tag(), b'Z', "back in step");
}

#[test]
fn what_looks_like_a_message_inside_a_long_body_is_body() {
    let smuggled = b"Q\0\0\0\x11DROP TABLE t\0".repeat(6_000);
    let head = [b"d".as_slice(), &(u32::try_from(smuggled.len()).unwrap() + 4).to_be_bytes()].concat();
    let mut framer = Framer::new(Limits::new(Phase::Client));
    assert!(matches!(framer.next(&head), Ok(Some((Piece::Head(..), 5)))));
    for byte in smuggled.chunks(997) {
        assert!(matches!(framer.next(byte), Ok(Some((Piece::Body { .. }, used))) if used == byte.len()));
    }
    assert!(framer.at_boundary());
}

#[test]
fn a_length_that_wraps_in_32_bits_smuggles_nothing() {
    // The sum of the parameters' lengths wraps around 2^32 to what the message length says.
    let mut body = b"\0\0\0\0\0\x02".to_vec();
    body.extend_from_slice(&0xffff_fff0_u32.to_be_bytes());
    body.extend_from_slice(&0x0000_0010_u32.to_be_bytes());
    body.extend_from_slice(b"\0\0");
    let mut bytes = vec![b'B'];
    bytes.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend_from_slice(&body);
    let found = countersign_wire::postgres::frontend::Message::decode(&bytes, &Limits::new(Phase::Client));
    assert!(matches!(found, Err(Malformed::Value { value: -16, .. })), "{found:?}");
}

#[test]
fn only_a_framer_carries_what_must_be_streamed() {
    let limits = Limits::new(Phase::Server);
    let long = [b"D".as_slice(), &(LARGE_LEN_MAX + 1).to_be_bytes()].concat();
    assert!(matches!(Frame::decode(&long, &limits), Err(Malformed::TooLong { message: "DataRow", .. })));
    let row = long_row(STREAM_ABOVE_LEN);
    assert_eq!(Frame::decode(&row, &limits).unwrap().unwrap().1, row.len(), "whole, for those who ask so");
}

#[test]
fn another_phase_begins_with_the_next_message() {
    let mut framer = Framer::new(Limits::new(Phase::ServerLogin));
    assert!(framer.next(b"T\0\0\0\x06\0\0").is_err(), "no rows before the server is ready");
    framer.enter(Phase::Server);
    assert!(framer.next(b"T\0\0\0\x06\0\0").is_ok());
    assert_eq!(framer.limits().phase, Phase::Server);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn arbitrary_bytes_break_no_property(data in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz_targets::fuzz_frontend(&data);
        fuzz_targets::fuzz_backend(&data);
        fuzz_targets::fuzz_track(&data);
    }
}
