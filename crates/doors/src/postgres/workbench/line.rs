//! The workbench's end of the pipe: messages cut out of bytes, within limits, and what they say in words.

use bytes::Bytes;
use countersign_engine::workbench::Said;
use countersign_wire::postgres::encode::client;
use countersign_wire::postgres::{ErrorFields, Frame, FrameHead, Limits};

use crate::postgres::stream::Link;

/// The longest message that is read, in bytes: of a longer row nothing can be shown.
pub(super) const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// The longest of the words of one message, in bytes.
const WORDS_BYTES_MAX: usize = 8 << 10;
/// How long it may take to say goodbye, in milliseconds.
const GOODBYE_MS_MAX: u64 = 500;

/// A pipe and what was not read to its end.
pub(super) struct Line {
    link: Link,
    /// So many bytes belong to a message that was too long.
    skip: usize,
}

/// What is next.
pub(super) enum Next {
    /// A whole message.
    Message(Bytes),
    /// The beginning of one, or nothing.
    Partial,
    /// A message that is too long to be read, and will be left out.
    TooLong,
    /// No message at all.
    Malformed,
}

impl Line {
    pub(super) const fn new(link: Link) -> Self {
        Self { link, skip: 0 }
    }

    /// The next message, as far as it has come.
    pub(super) fn ready(&mut self, limits: &Limits) -> Next {
        let skipped = self.link.take(self.skip.min(self.link.input.len()));
        self.skip -= skipped.len();
        if self.skip > 0 {
            return Next::Partial;
        }
        let length = match FrameHead::decode(&self.link.input, limits) {
            Ok(None) => return Next::Partial,
            Ok(Some(head)) => 1 + usize::try_from(head.len()).unwrap_or(usize::MAX),
            Err(_) => return Next::Malformed,
        };
        if length > MESSAGE_BYTES_MAX {
            self.skip = length;
            return Next::TooLong;
        }
        match Frame::decode(&self.link.input, limits) {
            Ok(Some((_, used))) => Next::Message(self.link.take(used)),
            Ok(None) => Next::Partial,
            Err(_) => Next::Malformed,
        }
    }

    /// Writes what is to be written and reads more. `false`: that was all.
    pub(super) async fn fill(&mut self) -> bool {
        if self.link.drain().await.is_err() {
            return false;
        }
        matches!(self.link.fill().await, Ok(count) if count > 0)
    }

    /// What is to be said.
    pub(super) const fn output(&mut self) -> &mut bytes::BytesMut {
        &mut self.link.output
    }

    /// Says goodbye.
    pub(super) async fn leave(&mut self) {
        client::terminate(&mut self.link.output);
        let goodbye = std::time::Duration::from_millis(GOODBYE_MS_MAX);
        let _late = tokio::time::timeout(goodbye, self.link.close()).await;
    }
}

/// An error or a notice, in words.
pub(super) fn said(fields: &ErrorFields<'_>) -> Said {
    let text = |kind| fields.get(kind).map(words);
    Said {
        severity: fields.severity().map(words).unwrap_or_default(),
        code: fields.code().map(words).unwrap_or_default(),
        message: fields.message().map(words).unwrap_or_default(),
        detail: text(b'D'),
        hint: text(b'H'),
        position: text(b'P').and_then(|position| position.parse().ok()),
    }
}

/// Bytes of the other side's as a text, not longer than anybody reads.
pub(super) fn words(bytes: &[u8]) -> String {
    cut(bytes, WORDS_BYTES_MAX)
}

/// The beginning of a text of at most so many bytes; what is no UTF-8 is replaced.
pub(super) fn cut(bytes: &[u8], bytes_max: usize) -> String {
    let text = String::from_utf8_lossy(bytes.get(..bytes_max).unwrap_or(bytes));
    if bytes.len() <= bytes_max {
        return text.into_owned();
    }
    // A character may have been cut in two.
    text.trim_end_matches('\u{fffd}').to_owned()
}

#[cfg(test)]
mod tests {
    use bytes::BufMut as _;
    use countersign_wire::postgres::Phase;
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::postgres::stream::Stream;

    #[test]
    fn what_is_long_is_cut_between_characters() {
        assert_eq!(cut("aé".as_bytes(), 2), "a");
        assert_eq!(cut("aé".as_bytes(), 3), "aé");
        assert_eq!(cut(b"\xff\xfe", 9), "\u{fffd}\u{fffd}");
    }

    #[tokio::test]
    async fn a_row_of_any_length_takes_no_memory_and_what_follows_is_read() {
        let (inner, mut outer) = tokio::io::duplex(64 * 1024);
        let mut line = Line::new(Link::new(Stream::Inside(inner)));
        let long = 3 * MESSAGE_BYTES_MAX;
        tokio::spawn(async move {
            let mut head = vec![b'D'];
            head.put_u32(u32::try_from(long + 4).unwrap());
            outer.write_all(&head).await.unwrap();
            for _ in 0..long / 1024 {
                outer.write_all(&[0; 1024]).await.unwrap();
            }
            outer.write_all(b"Z\0\0\0\x05I").await.unwrap();
        });
        let limits = Limits::new(Phase::Server);
        let (mut long, mut most) = (0, 0);
        let last = loop {
            most = most.max(line.link.input.capacity());
            match line.ready(&limits) {
                Next::Message(raw) => break raw,
                Next::TooLong => long += 1,
                Next::Partial => assert!(line.fill().await),
                Next::Malformed => panic!("what follows is read"),
            }
        };
        assert_eq!((long, &last[..]), (1, &b"Z\0\0\0\x05I"[..]));
        assert!(most < MESSAGE_BYTES_MAX, "{most}");
    }
}
