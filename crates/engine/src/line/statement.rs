//! Lines about statements, put together from parts.
//!
//! There are more of them than of all others together, and those of one session differ in little. What is the same in all of
//! them is written once and kept with what the session stands on. Tests hold the result against the envelope's own form,
//! byte for byte.

use std::sync::OnceLock;

use countersign_ledger::line::LINE_BYTES_MAX;
use serde::Serialize;

use super::{BadLine, Outcome, Place, PolicyShape, Stamp, Statement, USUAL_BYTES, VERSION};

/// What a line says of a statement, beside what it stands on.
pub(crate) struct Said<'a, D> {
    pub(crate) kind: &'static str,
    pub(crate) outcome: Outcome,
    pub(crate) policies: Option<&'a Policies>,
    pub(crate) data: D,
}

/// The policies that decided.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    shapes: Vec<PolicyShape>,
    written: OnceLock<String>,
}

/// The members of a line that are the same in every line of what a session stands on, in the order in which they come.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// Actor, bundle and chain, and the name of what follows.
    actor: String,
    grant: String,
    person: String,
    resource: String,
    session: String,
}

impl Statement {
    /// The bytes of a line about this statement at this place.
    pub(crate) fn seal<D: Serialize>(&self, said: &Said<'_, D>, place: &Place) -> Result<Vec<u8>, BadLine> {
        let standing = kept(&self.standing, || Standing::of(self))?;
        let policies = match said.policies {
            Some(policies) => kept(&policies.written, || policies.write())?,
            None => "",
        };
        let mut line = Parts(Vec::with_capacity(USUAL_BYTES));
        line.text(&standing.actor).value(&said.data)?;
        line.text(",\"epoch\":").value(&place.epoch)?;
        line.text(&standing.grant).text(",\"node\":").value(&*place.node)?;
        line.text(",\"outcome\":").value(&said.outcome)?;
        line.text(&standing.person).text(policies).text(",\"prev\":").value(&place.prev)?;
        line.text(&standing.resource).text(",\"seq\":").value(&place.seq)?;
        line.text(&standing.session).text(",\"ts\":").value(&Stamp(place.at))?;
        line.text(",\"type\":").value(said.kind)?.text(",\"v\":").value(&VERSION)?.text("}");
        let bytes = line.0;
        if bytes.len() > LINE_BYTES_MAX { Err(BadLine::TooLong(bytes.len())) } else { Ok(bytes) }
    }
}

impl Standing {
    fn of(statement: &Statement) -> Result<Self, BadLine> {
        let mut actor = Parts::default();
        actor.text("{\"actor\":").value(&statement.principal)?;
        actor.member(",\"bundle\":", statement.bundle.as_ref())?;
        let chain = Some(&*statement.chain).filter(|chain| chain.len() > 1);
        actor.member(",\"chain\":", chain)?.text(",\"data\":");
        let mut resource = Parts::default();
        resource.text(",\"resource\":").value(&statement.resource)?;
        resource.text(",\"role\":").value(&statement.role)?;
        Ok(Self {
            actor: actor.written()?,
            grant: member(",\"grant\":", statement.grant.as_ref())?,
            person: member(",\"person\":", Some(&statement.person))?,
            resource: resource.written()?,
            session: member(",\"session\":", Some(&statement.session))?,
        })
    }
}

impl Policies {
    pub(crate) fn new(shapes: Vec<PolicyShape>) -> Self {
        Self { shapes, written: OnceLock::new() }
    }

    fn write(&self) -> Result<String, BadLine> {
        member(",\"policies\":", (!self.shapes.is_empty()).then_some(&self.shapes))
    }
}

/// What is made once, unless it fails.
fn kept<T>(slot: &OnceLock<T>, make: impl FnOnce() -> Result<T, BadLine>) -> Result<&T, BadLine> {
    match slot.get() {
        Some(made) => Ok(made),
        None => {
            let made = make()?;
            Ok(slot.get_or_init(|| made))
        }
    }
}

fn member<T: Serialize>(name: &str, value: Option<&T>) -> Result<String, BadLine> {
    let mut parts = Parts::default();
    parts.member(name, value)?;
    parts.written()
}

/// A line that is being put together.
#[derive(Default)]
struct Parts(Vec<u8>);

impl Parts {
    fn text(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<&mut Self, BadLine> {
        serde_json::to_writer(&mut self.0, value)?;
        Ok(self)
    }

    /// A member, unless there is nothing to say.
    fn member<T: Serialize + ?Sized>(&mut self, name: &str, value: Option<&T>) -> Result<&mut Self, BadLine> {
        match value {
            Some(value) => self.text(name).value(value),
            None => Ok(self),
        }
    }

    fn written(self) -> Result<String, BadLine> {
        // JSON is UTF-8: this fails never.
        String::from_utf8(self.0).map_err(|error| BadLine::Json(serde::ser::Error::custom(error)))
    }
}

#[cfg(test)]
mod tests {
    use countersign_core::{
        At, Digest, GrantId, PersonId, PolicyId, PrincipalId, ResourceId, RoleId, SessionId,
    };
    use countersign_ledger::Hash;
    use serde_json::json;

    use super::*;

    fn statement(grant: Option<GrantId>, chain: &[&str]) -> Statement {
        Statement {
            session: SessionId(7),
            principal: PrincipalId::new("alice"),
            person: PersonId::new("alice"),
            chain: chain.iter().map(|name| PrincipalId::new(name)).collect(),
            resource: ResourceId::new("shop"),
            role: RoleId::new("shop-writer"),
            grant,
            bundle: grant.map(|_| Digest([0xab; 32])),
            key: "session:7".into(),
            account: None,
            standing: OnceLock::new(),
        }
    }

    #[test]
    fn a_line_is_what_its_envelope_would_be() {
        let shape = |reason: Option<&str>| PolicyShape {
            hash: Digest([3; 32]),
            id: PolicyId::new("reads"),
            reason: reason.map(Into::into),
        };
        let place = |node: &str| Place {
            seq: 4_711,
            prev: Hash::leaf(b"before"),
            at: At(1_709_210_096_000_007),
            epoch: 3,
            node: node.into(),
        };
        let policies = [vec![], vec![shape(None)], vec![shape(Some("\"quoted\"\nand ü")), shape(None)]];
        for statement in [
            statement(None, &[]),
            statement(Some(GrantId(9)), &["alice"]),
            statement(Some(GrantId(9)), &["bot", "alice"]),
        ] {
            for shapes in &policies {
                for (outcome, node) in [(Outcome::Success, "node-1"), (Outcome::Failure, "a \"node\"")] {
                    let data = json!({"action": "sql.select", "text": "c1:x"});
                    let mut envelope = statement.envelope("action.allowed", outcome, &data);
                    envelope.policies.clone_from(shapes);
                    let policies = Policies::new(shapes.clone());
                    let policies = Some(&policies).filter(|_| !shapes.is_empty());
                    let said = Said { kind: "action.allowed", outcome, policies, data: &data };
                    let line = statement.seal(&said, &place(node)).unwrap();
                    let whole = envelope.seal(&place(node)).unwrap();
                    assert_eq!(String::from_utf8(line).unwrap(), String::from_utf8(whole).unwrap());
                }
            }
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_refused() {
        let place = Place { seq: 0, prev: Hash([0; 32]), at: At(0), epoch: 0, node: "n".into() };
        let data = "x".repeat(LINE_BYTES_MAX);
        let said = Said { kind: "action.allowed", outcome: Outcome::Success, policies: None, data };
        assert!(matches!(statement(None, &[]).seal(&said, &place), Err(BadLine::TooLong(_))));
    }
}
