use proptest::prelude::*;

use super::*;

/// The key pair of the Go note package's documentation, and the note it signs there.
const SECRET: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const NOTE: &str = "If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
";

pub(crate) fn signer(name: &str, seed: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(name, &[seed; 32]).unwrap()
}

#[test]
fn the_published_example() {
    let signer = Ed25519Signer::from_secret_text(SECRET).unwrap();
    assert_eq!(signer.key().to_string(), PUBLIC);
    assert_eq!(*signer.to_secret_text(), SECRET);
    assert_eq!(sign(TEXT, &[&signer]).unwrap(), NOTE);
    let opened = open(NOTE.as_bytes(), &[PUBLIC.parse().unwrap()]).unwrap();
    assert_eq!(
        opened,
        Opened { text: TEXT.to_owned(), signed_by: vec!["PeterNeumann".to_owned()], unknown: 0 }
    );
    assert_eq!(format!("{signer:?}"), format!("Ed25519Signer({PUBLIC})"), "no secret in a log");
}

#[test]
fn unknown_signatures_are_ignored_and_known_ones_must_hold() {
    let (ours, witness, stranger) =
        (signer("log.example/1", 1), signer("witness.example", 2), signer("log.example/1", 3));
    let note = sign("text\n", &[&witness, &ours, &stranger]).unwrap();
    let known = [ours.key().clone()];
    let opened = open(note.as_bytes(), &known).unwrap();
    assert_eq!((opened.signed_by.as_slice(), opened.unknown), (&["log.example/1".to_owned()][..], 2));
    assert_eq!(open(note.as_bytes(), &[]), Err(NoteError::NoKnownKey));
    assert_eq!(
        open(note.as_bytes(), &[signer("log.example/1", 9).key().clone()]),
        Err(NoteError::NoKnownKey)
    );

    let changed = note.replace("text", "tent");
    assert_eq!(open(changed.as_bytes(), &known), Err(NoteError::BadSignature("log.example/1".to_owned())));

    // A known key whose signature does not hold spoils the note, even beside one that does.
    let both = [ours.key().clone(), witness.key().clone()];
    let mut spoiled = parse(note.as_bytes()).unwrap();
    spoiled.signatures[0].bytes[7] ^= 1;
    assert_eq!(open(&spoiled.to_bytes(), &both), Err(NoteError::BadSignature("witness.example".to_owned())));
    assert!(open(&spoiled.to_bytes(), &known).is_ok(), "unknown, so ignored");
    spoiled.signatures[1].bytes.truncate(63);
    assert_eq!(open(&spoiled.to_bytes(), &known), Err(NoteError::BadSignature("log.example/1".to_owned())));
}

#[test]
fn malformed_notes_are_refused() {
    let line = NOTE.lines().last().unwrap();
    let table: &[(&str, NoteError)] = &[
        ("", NoteError::Unsigned),
        ("text\n", NoteError::Unsigned),
        ("text\n\n", NoteError::Unsigned),
        (&format!("text\n{line}\n"), NoteError::Unsigned),
        (&format!("text\n\n{line}"), NoteError::Unsigned),
        (&format!("text\n\n{line}\n\n"), NoteError::Unsigned),
        (&format!("text\n\n{line}\nmore\n"), NoteError::SignatureLine(2)),
        (&format!("text\n\n{line} \n"), NoteError::SignatureLine(1)),
        (&format!("text\n\n{}\n", line.replace("— ", "- ")), NoteError::SignatureLine(1)),
        (&format!("text\n\n{}\n", line.replace('=', "")), NoteError::SignatureLine(1)),
        (&format!("text\n\n{}\n", line.replace("PeterNeumann", "")), NoteError::SignatureLine(1)),
        (&format!("text\n\n{}\n", line.replace("Neumann", "+Neumann")), NoteError::SignatureLine(1)),
        (&format!("text\n\n{}\n", line.replace("Neumann", "\u{a0}Neumann")), NoteError::SignatureLine(1)),
        ("text\n\n— a AAAAAA==\n", NoteError::SignatureLine(1)),
        ("text\n\n— a AAA=\n", NoteError::SignatureLine(1)),
        (&format!("te\txt\n\n{line}\n"), NoteError::Text),
        (&format!("text\r\n\r\n{line}\r\n"), NoteError::Text),
        (&format!("te\0xt\n\n{line}\n"), NoteError::Text),
        (
            &format!("text\n\n{}", format!("{line}\n").repeat(SIGNATURES_MAX + 1)),
            NoteError::TooManySignatures,
        ),
        (&"x".repeat(NOTE_BYTES_MAX + 1), NoteError::TooLong),
    ];
    for (note, error) in table {
        assert_eq!(parse(note.as_bytes()).as_ref(), Err(error), "{note}");
    }
    assert_eq!(parse(b"\xff\n\n"), Err(NoteError::Text));
    assert_eq!(
        parse(format!("text\n\n{}", format!("{line}\n").repeat(SIGNATURES_MAX)).as_bytes())
            .unwrap()
            .signatures
            .len(),
        100
    );
}

#[test]
fn only_fit_texts_are_signed() {
    let signer = signer("a", 1);
    for unfit in ["", "text", "te\rxt\n", "\u{7}\n"] {
        assert_eq!(sign(unfit, &[&signer]), Err(NoteError::Unfit), "{unfit:?}");
    }
    assert_eq!(sign("text\n", &[]), Err(NoteError::Unfit));
    struct Gone(VerifierKey);
    impl Sign for Gone {
        fn key(&self) -> &VerifierKey {
            &self.0
        }
        fn sign(&self, _: &[u8]) -> Result<[u8; 64], SignFailed> {
            Err(SignFailed("the token was pulled out".to_owned()))
        }
    }
    let error = sign("text\n", &[&signer, &Gone(signer.key().clone())]).unwrap_err();
    assert_eq!(error.to_string(), "signing failed: the token was pulled out");
}

#[test]
fn keys_are_read_strictly() {
    let read = |text: &str| text.parse::<VerifierKey>().map(|key| key.to_string());
    assert_eq!(read(PUBLIC), Ok(PUBLIC.to_owned()));
    assert_eq!(read(&PUBLIC.replace("c74f", "C74F")), Err(KeyError::Form));
    assert_eq!(read(&PUBLIC.replace("c74f", "c74e")), Err(KeyError::Id));
    assert_eq!(read(&PUBLIC.replace("Peter", "Pater")), Err(KeyError::Id));
    assert_eq!(read(&PUBLIC.replace("Peter", "Peter ")), Err(KeyError::Name));
    assert_eq!(read(&PUBLIC.replace("PeterNeumann", "")), Err(KeyError::Name));
    assert_eq!(read(&PUBLIC.replace("+AR", "+BB")), Err(KeyError::Algorithm(4)));
    assert_eq!(read(&format!("{PUBLIC}\n")), Err(KeyError::Form));
    assert_eq!(read(SECRET), Err(KeyError::Form));
    assert_eq!(read(""), Err(KeyError::Form));
    assert_eq!(read("a+b"), Err(KeyError::Form));
    assert_eq!(read("a+00000000+"), Err(KeyError::Form));
    assert_eq!(read("a+00000000+AQ=="), Err(KeyError::Form));
    // The point of order one: everybody's signature.
    let weak = VerifierKey::new("a", &{
        let mut one = [0; 32];
        one[0] = 1;
        one
    });
    assert_eq!(weak, Err(KeyError::Point));
    assert_eq!(Ed25519Signer::from_secret_text(PUBLIC).unwrap_err(), KeyError::Form);
    assert_eq!(Ed25519Signer::from_secret_text(&SECRET.replace("c74f", "c74e")).unwrap_err(), KeyError::Id);
    assert_eq!(Ed25519Signer::from_seed("a b", &[1; 32]).unwrap_err(), KeyError::Name);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        text in any::<String>(),
    ) {
        if let Ok(note) = parse(&bytes) {
            prop_assert_eq!(note.to_bytes(), bytes);
        }
        if let Ok(key) = text.parse::<VerifierKey>() {
            prop_assert_eq!(key.to_string(), text);
        }
    }

    #[test]
    fn no_changed_byte_survives(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut changed = NOTE.as_bytes().to_vec();
        let at = at.index(changed.len());
        prop_assume!(changed[at] != byte);
        changed[at] = byte;
        if let Ok(note) = parse(&changed) {
            prop_assert_eq!(note.to_bytes(), changed.clone(), "one note, one spelling");
        }
        prop_assert!(open(&changed, &[PUBLIC.parse().unwrap()]).is_err());
    }
}
