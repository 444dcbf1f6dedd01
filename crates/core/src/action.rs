//! The canonical action: what an approval is bound to (contract, section 2).
//!
//! An action is written as canonical JSON (RFC 8785) and digested with a salt. The JSON and the salt are
//! content, kept beside the chain; the line carries the digest. Members are in the order of their names and
//! all names are ASCII, so a derived serialiser over sorted maps is canonical.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ids::{ActionName, Digest, GrantId, PersonId, PrincipalId, ResourceId, RoleId};

/// Form version of [`Action`].
pub const FORM: u32 = 1;

/// The verdict of a yes, as it is signed.
pub const APPROVE: &str = "approve";

/// The verdict of a no, as it would be signed. A no needs no signature.
pub const DENY: &str = "deny";

/// One attempt, in full. Fields that a kind of action does not have are absent from the JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// The upstream account it runs under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The acting chain, from the principal up to the user who answers for it.
    pub chain: Vec<PrincipalId>,
    /// Form version: [`FORM`].
    pub form: u32,
    /// The grant it stands on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
    /// The action's name.
    pub kind: ActionName,
    /// Parameter types (protocol identifiers) in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameter_types: Vec<u32>,
    /// Parameter values in order: raw bytes in base64 behind their format (`t:` text, `b:` binary), or null.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Option<String>>,
    /// Who answers for it.
    pub person: PersonId,
    /// Who acts.
    pub principal: PrincipalId,
    /// Why, in the requester's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// The relations it names, as the session's own search path resolves them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relations: Vec<RelationVersion>,
    /// On what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceId>,
    /// In which role; for an access request the role that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleId>,
    /// Session settings that change its meaning: role, search path, encoding, string settings; and for other
    /// kinds what belongs to the question (`duration`, `bundle`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// The digests of its steps in order, for a script.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Digest>,
    /// The full text as sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What it does, beneath its kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verbs: Vec<String>,
}

/// A relation, with what tells when it is no longer the same one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelationVersion {
    /// Schema and name.
    pub name: String,
    /// The server's identifier of it, 0 if unknown.
    pub oid: u32,
    /// Changes whenever its definition does; empty if unknown.
    pub version: String,
}

impl Action {
    /// An action by `principal` with every optional part absent.
    #[must_use]
    pub fn new(kind: ActionName, chain: Vec<PrincipalId>, principal: PrincipalId, person: PersonId) -> Self {
        Self {
            account: None,
            chain,
            form: FORM,
            grant: None,
            kind,
            parameter_types: Vec::new(),
            parameters: Vec::new(),
            person,
            principal,
            purpose: None,
            relations: Vec::new(),
            resource: None,
            role: None,
            settings: BTreeMap::new(),
            steps: Vec::new(),
            text: None,
            verbs: Vec::new(),
        }
    }

    /// The canonical JSON (RFC 8785).
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        // A struct of strings, integers and sorted maps cannot fail to serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// One parameter value in the form that [`Action::parameters`] holds.
    #[must_use]
    pub fn parameter(binary: bool, bytes: &[u8]) -> String {
        let mut text = String::new();
        Self::write_parameter(binary, bytes, &mut text);
        text
    }

    /// [`Action::parameter`], behind what is there.
    pub fn write_parameter(binary: bool, bytes: &[u8], text: &mut String) {
        text.push_str(if binary { "b:" } else { "t:" });
        STANDARD.encode_string(bytes, text);
    }
}

/// `SHA-256("countersign/action/v1" LF || salt || JSON)`.
#[must_use]
pub fn digest(salt: &[u8; 16], canonical: &[u8]) -> Digest {
    hash(&[b"countersign/action/v1\n", salt, canonical])
}

/// What a passkey signs: `SHA-256("countersign/verdict/v1" LF || digest || verdict || bounds || rule hash)`,
/// where `verdict` is `approve` or `deny`, `bounds` what [`crate::request::Request::bounds_canonical`] writes, and the
/// rule hashes of all gates follow each other in the order of the request.
#[must_use]
pub fn challenge(digest: &Digest, verdict: &str, bounds: &[u8], rules: &[Digest]) -> Digest {
    let rules: Vec<u8> = rules.iter().flat_map(|rule| rule.0).collect();
    hash(&[b"countersign/verdict/v1\n", &digest.0, verdict.as_bytes(), bounds, &rules])
}

/// The digest of data that came after the yes, as it comes: `SHA-256("countersign/data/v1" LF || salt || data)`, with the salt of
/// the request.
#[derive(Clone)]
pub struct DataDigest(Sha256);

impl DataDigest {
    /// Of nothing yet.
    #[must_use]
    pub fn new(salt: &[u8; 16]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"countersign/data/v1\n");
        hasher.update(salt);
        Self(hasher)
    }

    /// More of it.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// All of it.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl std::fmt::Debug for DataDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataDigest")
    }
}

/// SHA-256 over the parts, one after the other.
#[must_use]
pub fn hash(parts: &[&[u8]]) -> Digest {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    Digest(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_form_is_sorted_and_stable() {
        let mut action = Action::new(
            ActionName::new("sql.write"),
            vec![PrincipalId::new("alice")],
            PrincipalId::new("alice"),
            PersonId::new("alice"),
        );
        action.text = Some("delete from \"o\"\n\u{1}ä".into());
        action.settings.insert("search_path".into(), "public".into());
        action.parameters = vec![None, Some(Action::parameter(false, b"7"))];
        let json = String::from_utf8(action.canonical()).unwrap();
        assert_eq!(
            json,
            r#"{"chain":["alice"],"form":1,"kind":"sql.write","parameters":[null,"t:Nw=="],"person":"alice","principal":"alice","settings":{"search_path":"public"},"text":"delete from \"o\"\n\u0001ä"}"#
        );
        assert_eq!(serde_json::from_str::<Action>(&json).unwrap(), action);
    }

    #[test]
    fn the_digest_of_data_is_that_of_its_pieces() {
        let mut data = DataDigest::new(&[3; 16]);
        data.update(b"1\ta");
        data.update(b"\n");
        assert_eq!(data.finish(), hash(&[b"countersign/data/v1\n", &[3; 16], b"1\ta\n"]));
    }

    #[test]
    fn the_digest_is_salted_and_domain_separated() {
        let one = digest(&[1; 16], b"{}");
        assert_ne!(one, digest(&[2; 16], b"{}"));
        assert_eq!(one, hash(&[b"countersign/action/v1\n", &[1; 16], b"{}"]));
    }
}
