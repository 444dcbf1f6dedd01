//! The text of a bundle as it lies in its folder, and the hash that names it.

use std::collections::BTreeMap;

use countersign_core::BundleHash;
use countersign_core::action::hash;

use crate::diagnostic::{Problems, Within};

/// The largest file of a bundle, in bytes. A file of people with 20,000 entries is about half of it.
pub const FILE_BYTES_MAX: usize = 4 << 20;

/// The most files that a bundle may have: far more than anybody can review.
pub const FILES_MAX: usize = 500;

/// The files of a bundle by path relative to its folder, with `/` between folders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Text by path.
    pub files: BTreeMap<String, String>,
}

/// Whether a file belongs to a bundle; whatever else lies in the folder is no part of it. Files and folders
/// whose names start with a dot never do.
#[must_use]
pub fn is_bundle_file(path: &str) -> bool {
    let hidden = path.split('/').any(|part| part.is_empty() || part.starts_with('.'));
    let known = path.ends_with(".cedar") || path.ends_with(".toml");
    known && !hidden && path.is_ascii()
}

impl Source {
    /// The hash that names the bundle: `SHA-256("countersign/bundle/v1" LF || JSON)`, where the JSON is the
    /// object of all files by path in canonical form (RFC 8785; paths are ASCII).
    #[must_use]
    pub fn hash(&self) -> BundleHash {
        hash(&[b"countersign/bundle/v1\n", &self.canonical()])
    }

    /// The canonical JSON that is hashed and kept.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        // A map of strings cannot fail to serialise.
        serde_json::to_vec(&self.files).unwrap_or_default()
    }

    /// Reads back what [`Source::canonical`] wrote.
    ///
    /// # Errors
    /// When the bytes are not such an object.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes).map(|files| Self { files })
    }

    pub(crate) fn check(&self, known: &[&str], problems: &mut Problems) {
        if self.files.len() > FILES_MAX {
            let within = Within { file: "bundle.toml", text: "" };
            let message =
                format!("a bundle has at most {FILES_MAX} files; this one has {}", self.files.len());
            problems.error(within, None, message, None);
        }
        for (path, text) in &self.files {
            let within = Within { file: path, text: "" };
            if text.len() > FILE_BYTES_MAX {
                let message = format!("this file is larger than {FILE_BYTES_MAX} bytes");
                problems.error(within, None, message, Some("split it, or remove what is not needed".into()));
            }
            let expected = known.contains(&path.as_str()) || path.ends_with(".cedar");
            if !expected || !is_bundle_file(path) {
                let hint = format!(
                    "a bundle is made of {} and `*.cedar`",
                    crate::diagnostic::list(known.iter().copied())
                );
                problems.error(within, None, "this file is no part of a bundle".into(), Some(hint));
            }
        }
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Source {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(files: I) -> Self {
        Self { files: files.into_iter().map(|(path, text)| (path.into(), text.into())).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_of_the_canonical_form() {
        let source: Source = [("b.cedar", "x"), ("a.toml", "\"\n\u{1}ä")].into_iter().collect();
        assert_eq!(source.canonical(), br#"{"a.toml":"\"\n\u0001"#.iter().chain("ä\",\"b.cedar\":\"x\"}".as_bytes()).copied().collect::<Vec<_>>());
        assert_eq!(Source::from_canonical(&source.canonical()).unwrap(), source);
        let moved: Source = [("b.cedar", ""), ("a.toml", "\"\n\u{1}äx")].into_iter().collect();
        assert_ne!(source.hash(), moved.hash());
    }

    #[test]
    fn other_files_are_no_part_of_a_bundle() {
        assert!(is_bundle_file("policies/shop.cedar") && is_bundle_file("bundle.toml"));
        for other in ["README.md", ".git/x.toml", "a//b.toml", "a.cedar~", "ä.cedar", ".a.toml"] {
            assert!(!is_bundle_file(other), "{other}");
        }
    }
}
