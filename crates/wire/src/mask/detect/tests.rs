use super::*;

fn covered(detector: Detector, text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    Detectors::from_iter([detector]).cover(&mut bytes, Fill::Stars);
    String::from_utf8(bytes).unwrap()
}

/// What stands between brackets is found, and nothing else.
fn check(detector: Detector, cases: &[&str]) {
    for case in cases {
        let text: String = case.replace(['[', ']'], "");
        let mut expected = String::new();
        let mut inside = false;
        for letter in case.chars() {
            match letter {
                '[' => inside = true,
                ']' => inside = false,
                _ if inside => expected.push('*'),
                _ => expected.push(letter),
            }
        }
        assert_eq!(covered(detector, &text), expected, "{detector:?} {case}");
    }
}

#[test]
fn mail_addresses() {
    check(
        Detector::Email,
        &[
            "write to [alice@example.com].",
            "<[bob.o'hara+tag@mail.example.co.uk]>, [c@d.ee]",
            "{\"m\":\"[x_y@z-1.io]\"}",
            "no: @example.com, a@b, a@b.c, user@10.0.0.1, a @b.com, @",
        ],
    );
}

#[test]
fn payment_cards() {
    check(
        Detector::Card,
        &[
            "card [4111 1111 1111 1111] of",
            "[4111111111111111]",
            "[5500-0055-5555-5559], [340000000000009]",
            "id 7 [4111 1111 1111 1111]",
            "4111111111111112",
            "41111111111111111111111111",
            "order 1234567890123456",
            "0000000000000000 a4111111111111111",
        ],
    );
}

#[test]
fn bank_accounts() {
    check(
        Detector::Iban,
        &[
            "to [DE89 3704 0044 0532 0130 00],",
            "[GB82WEST12345698765432]",
            "[fr1420041010050500013m02606]",
            "DE89370400440532013001 DE8937040044 XX89370400440532013000",
        ],
    );
}

#[test]
fn telephone_numbers() {
    check(
        Detector::Phone,
        &[
            "call [+49 170 1234567] now",
            "[+14155552671]",
            "[+44 (0) 20 7946 0958]",
            "[0049 170 1234567], [030/12345678], [0170 1234567], [01 23 45 67 89], [01701234567]",
            "[(415) 555-2671] or [415-555-2671] or [1-415-555-2671]",
            "2024-01-01 10:30, 01.02.2024, 12345678, v1.2.3, 1-2-3, +1, +12345",
        ],
    );
}

#[test]
fn network_addresses() {
    check(
        Detector::Ip,
        &[
            "from [10.1.2.3]:8080, [192.168.0.255].",
            "[2001:db8::1] and [fe80::1:2], [::ffff:10.0.0.1]",
            "1.2.3, 256.1.1.1, 1.2.3.4.5, 12:30:45, aa:bb:cc:dd:ee:ff, a::b::c",
        ],
    );
}

#[test]
fn national_ids() {
    check(
        Detector::NationalId,
        &[
            "ssn [123-45-6789]; 000-12-3456 666-12-3456 900-12-3456 123-00-1234 123-45-0000 123-45-67890",
            "[86095742719], [47036892816], [65 929 970 489]",
            "86095742718 12345678901",
            "[2 55 08 14 168 025 38], [255081416802538], 255081416802539",
            "[AB 12 34 56 C], [ab123456d], GB123456A QQ123456C AB123456E AB12345C",
        ],
    );
}

#[test]
fn keys_and_tokens() {
    check(
        Detector::Secret,
        &[
            "[AKIAIOSFODNN7EXAMPLE] xAKIAIOSFODNN7EXAMPLE AKIA123",
            "t=[ghp_0123456789abcdefghijABCDEFGHIJ012345], ghp_short",
            "[xoxb-123456789012-abcdef]",
            "Bearer [eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl]; eyJhbGciOiJIUzI1NiJ9",
            "a [-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----] b",
            "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
            "cut [-----BEGIN PRIVATE KEY-----\nMIIE]",
        ],
    );
}

#[test]
fn json_stays_json() {
    let text = r#"{"card": 4111111111111111, "mail": "a@b.com", "key": "-----BEGIN PRIVATE KEY-----\nMI\u00e9E\n-----END PRIVATE KEY-----"}"#;
    let mut bytes = text.as_bytes().to_vec();
    let all: Detectors = Detector::WORDS.iter().map(|(_, detector)| *detector).collect();
    assert!(all.cover(&mut bytes, Fill::Shape));
    let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(value["card"], 1_111_111_111_111_111_i64);
    assert_eq!(value["mail"], "x@x.xxx");
    assert!(!String::from_utf8(bytes).unwrap().contains("MI"));
}

#[test]
fn every_word_is_one_detector() {
    let all: Detectors = Detector::WORDS.iter().map(|(_, detector)| *detector).collect();
    for (word, detector) in Detector::WORDS {
        assert_eq!(Detector::named(word), Some(*detector));
        assert!(all.has(*detector) && !Detectors::default().has(*detector));
    }
    assert_eq!(Detector::named("mail"), None);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_searched_and_keep_their_length(mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        let all: Detectors = Detector::WORDS.iter().map(|(_, detector)| *detector).collect();
        let before = bytes.len();
        for range in all.find(&bytes) {
            proptest::prop_assert!(range.end <= before && range.start < range.end);
        }
        all.cover(&mut bytes, Fill::Shape);
        proptest::prop_assert_eq!(bytes.len(), before);
    }

    #[test]
    fn digits_and_signs_take_no_longer(text in "[0-9 +().@:/-]{0,400}") {
        let all: Detectors = Detector::WORDS.iter().map(|(_, detector)| *detector).collect();
        let _ = all.find(text.as_bytes());
    }
}
