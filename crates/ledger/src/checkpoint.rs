//! Checkpoints: the signed head of the log (c2sp.org/tlog-checkpoint).
//!
//! What: origin, size and root as the text of a signed note. Three lines and no more: extension lines are not
//! written and not accepted, since nobody could audit them. The key that signs has the log's origin for its
//! name. What not: keeping a promise never to sign two roots for one size; that is the writer's who owns the
//! key.

use crate::hash::Hash;
use crate::note::{self, NoteError, Sign, VerifierKey};
use crate::tree::SIZE_MAX;

/// What a checkpoint says: this log has this many entries, with this root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The identity of the log; a URL without its scheme, and the name of its key.
    pub origin: String,
    /// How many entries.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
}

/// Why there is no checkpoint to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note around it is malformed, or nobody known has signed it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text is not three lines: origin, size, root.
    #[error("not a checkpoint: three lines are due (origin, size, root), without extension lines")]
    Lines,
    /// An origin that can't name a key.
    #[error("not a checkpoint: its origin `{0}` is empty or has a space or a plus sign")]
    Origin(String),
    /// A size that is not a plain number within [`SIZE_MAX`].
    #[error("not a checkpoint: its size `{0}` is not a number without leading zeroes, at most 2^53 - 1")]
    Size(String),
    /// A root that is not the base64 of a hash.
    #[error("not a checkpoint: its root `{0}` is not the base64 of 32 bytes")]
    Root(String),
    /// Size 0 with another root than the empty tree's.
    #[error("not a checkpoint: an empty tree has only one root")]
    EmptyRoot,
    /// The key is another log's.
    #[error(
        "the checkpoint of `{origin}` is signed by a key named `{key}`: a log's key bears its origin's name"
    )]
    KeyName {
        /// The origin that the checkpoint states.
        origin: String,
        /// The name of the key.
        key: String,
    },
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())
    }

    /// Reads [`Self::to_text`].
    ///
    /// # Errors
    /// Everything in [`CheckpointError`] that is said of the form.
    pub fn from_text(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?.split('\n');
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Lines);
        };
        if !note::is_key_name(origin) {
            return Err(CheckpointError::Origin(origin.to_owned()));
        }
        let number =
            size.parse().ok().filter(|number: &u64| *number <= SIZE_MAX && number.to_string() == size);
        let checkpoint = Self {
            origin: origin.to_owned(),
            size: number.ok_or_else(|| CheckpointError::Size(size.to_owned()))?,
            root: Hash::from_base64(root).map_err(|_| CheckpointError::Root(root.to_owned()))?,
        };
        if checkpoint.size == 0 && checkpoint.root != Hash::empty() {
            return Err(CheckpointError::EmptyRoot);
        }
        Ok(checkpoint)
    }

    /// The signed note. The first signer is the log; others (its next key, during a rotation) follow.
    ///
    /// # Errors
    /// [`CheckpointError::KeyName`] if the first signer is not named after the origin, and everything of the
    /// form.
    pub fn sign(&self, signers: &[&dyn Sign]) -> Result<String, CheckpointError> {
        let text = self.to_text();
        Self::from_text(&text)?;
        let first = signers.first().ok_or(NoteError::Unfit)?;
        self.must_be_named(first.key().name())?;
        Ok(note::sign(&text, signers)?)
    }

    /// The checkpoint in a note that one of these keys of the log has signed.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn open(bytes: &[u8], known: &[VerifierKey]) -> Result<Self, CheckpointError> {
        let opened = note::open(bytes, known)?;
        let checkpoint = Self::from_text(&opened.text)?;
        match opened.signed_by.iter().find(|name| **name == checkpoint.origin) {
            Some(_) => Ok(checkpoint),
            None => Err(checkpoint.named_otherwise(&opened.signed_by.join(", "))),
        }
    }

    /// The checkpoint in a note **without checking any signature**: only to report on, never to rely on.
    ///
    /// # Errors
    /// Everything in [`CheckpointError`] that is said of the form.
    pub fn read_unverified(bytes: &[u8]) -> Result<Self, CheckpointError> {
        Self::from_text(&note::parse(bytes)?.text)
    }

    fn must_be_named(&self, key: &str) -> Result<(), CheckpointError> {
        if key == self.origin { Ok(()) } else { Err(self.named_otherwise(key)) }
    }

    fn named_otherwise(&self, key: &str) -> CheckpointError {
        CheckpointError::KeyName { origin: self.origin.clone(), key: key.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::note::tests::signer;

    fn checkpoint(size: u64) -> Checkpoint {
        Checkpoint { origin: "log.example/1".to_owned(), size, root: Hash::leaf(b"") }
    }

    #[test]
    fn signed_and_opened() {
        let (ours, next, other) =
            (signer("log.example/1", 1), signer("log.example/1", 2), signer("other", 3));
        let note = checkpoint(5).sign(&[&ours, &next, &other]).unwrap();
        assert!(note.starts_with(
            "log.example/1\n5\nbjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=\n\n\u{2014} log.example/1 "
        ));
        for key in [&ours, &next] {
            assert_eq!(Checkpoint::open(note.as_bytes(), &[key.key().clone()]), Ok(checkpoint(5)));
        }
        assert_eq!(
            Checkpoint::open(note.as_bytes(), &[other.key().clone()]).unwrap_err().to_string(),
            "the checkpoint of `log.example/1` is signed by a key named `other`: a log's key bears its origin's name"
        );
        assert!(matches!(checkpoint(5).sign(&[&other, &ours]), Err(CheckpointError::KeyName { .. })));
        assert_eq!(checkpoint(5).sign(&[]), Err(CheckpointError::Note(NoteError::Unfit)));
        assert_eq!(Checkpoint::read_unverified(note.as_bytes()), Ok(checkpoint(5)));
        assert_eq!(
            Checkpoint::open(note.as_bytes(), &[signer("log.example/1", 9).key().clone()]),
            Err(CheckpointError::Note(NoteError::NoKnownKey))
        );
    }

    #[test]
    fn malformed_texts_are_refused() {
        let root = Hash::leaf(b"").to_base64();
        let read = |text: String| Checkpoint::from_text(&text).unwrap_err();
        assert_eq!(read(String::new()), CheckpointError::Lines);
        assert_eq!(read(format!("a\n5\n{root}")), CheckpointError::Lines);
        assert_eq!(read("a\n5\n".to_owned()), CheckpointError::Lines);
        assert_eq!(read(format!("a\n5\n{root}\nextension\n")), CheckpointError::Lines);
        assert_eq!(read(format!("a\n5\n{root}\n\n")), CheckpointError::Lines);
        assert_eq!(read(format!("\n5\n{root}\n")), CheckpointError::Origin(String::new()));
        assert_eq!(read(format!("a b\n5\n{root}\n")), CheckpointError::Origin("a b".to_owned()));
        for size in ["", "05", "+5", "-5", "5 ", "0x5", "5.0", "9007199254740992", "99999999999999999999"] {
            assert_eq!(read(format!("a\n{size}\n{root}\n")), CheckpointError::Size(size.to_owned()));
        }
        let spare_bits = root.replace("B0=", "B1=");
        assert_eq!(read(format!("a\n5\n{spare_bits}\n")), CheckpointError::Root(spare_bits));
        assert_eq!(read(format!("a\n0\n{root}\n")), CheckpointError::EmptyRoot);
        assert!(Checkpoint::from_text(&format!("a\n0\n{}\n", Hash::empty().to_base64())).is_ok());
        assert_eq!(
            Checkpoint { origin: "a\n9".to_owned(), ..checkpoint(5) }.sign(&[&signer("a", 1)]),
            Err(CheckpointError::Lines),
            "an origin can't smuggle lines in"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(
            text in "[a-z \n0-9+/=]{0,90}",
            size in 1..=SIZE_MAX,
            root in any::<[u8; 32]>(),
        ) {
            if let Ok(read) = Checkpoint::from_text(&text) {
                prop_assert_eq!(read.to_text(), text);
            }
            let made = Checkpoint { origin: "a".to_owned(), size, root: Hash(root) };
            prop_assert_eq!(Checkpoint::from_text(&made.to_text()), Ok(made));
        }
    }
}
