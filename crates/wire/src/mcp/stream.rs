//! Server-sent events (HTML, section 9.2), as far as messages come in them.

use super::MESSAGE_BYTES_MAX;

/// Reads events as their bytes come, in whatever pieces.
#[derive(Debug, Default)]
pub struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// A line ended with a carriage return, so that a line feed behind it ends none.
    after_return: bool,
}

/// An event is longer than [`MESSAGE_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {MESSAGE_BYTES_MAX} bytes")]
pub struct TooLong;

impl Events {
    /// More bytes. Gives the data of each event that they complete; one without data is none.
    ///
    /// # Errors
    /// [`TooLong`]: nothing of the stream is to be used any more.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut complete = Vec::new();
        for byte in bytes {
            let follows = std::mem::replace(&mut self.after_return, *byte == b'\r');
            match byte {
                b'\n' if follows => {}
                b'\n' | b'\r' => complete.extend(self.end_line()?),
                byte => {
                    if self.line.len() > MESSAGE_BYTES_MAX {
                        return Err(TooLong);
                    }
                    self.line.push(*byte);
                }
            }
        }
        Ok(complete)
    }

    fn end_line(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return Ok(std::mem::take(&mut self.has_data).then_some(data).filter(|data| !data.is_empty()));
        }
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(at) => (line.get(..at).unwrap_or_default(), line.get(at + 1..).unwrap_or_default()),
            None => (line.as_slice(), &[][..]),
        };
        if name == b"data" {
            let value = value.strip_prefix(b" ").unwrap_or(value);
            if self.data.len() + value.len() > MESSAGE_BYTES_MAX {
                return Err(TooLong);
            }
            if self.has_data {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value);
            self.has_data = true;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_however_their_bytes_come() {
        let stream = b": hello\r\nevent: message\ndata: {\"a\":\ndata: 1}\nid: 7\n\ndata:x\r\rdata: \n\nretry: 1\n\ndata\ndata\n\ndata: cut";
        for size in [1, 2, 3, 7, stream.len()] {
            let mut events = Events::default();
            let found: Vec<Vec<u8>> =
                stream.chunks(size).flat_map(|piece| events.feed(piece).unwrap()).collect();
            let found: Vec<&str> = found.iter().map(|one| std::str::from_utf8(one).unwrap()).collect();
            assert_eq!(found, ["{\"a\":\n1}", "x", "\n"], "{size}");
        }
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        let mut events = Events::default();
        let piece = vec![b'a'; 1 << 20];
        assert!((0..8).any(|_| events.feed(&piece) == Err(TooLong)));
    }
}
