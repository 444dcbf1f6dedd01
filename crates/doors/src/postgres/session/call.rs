//! Calls of functions without a statement (the fast path): libpq reads and writes large objects so.
//!
//! A call names its function by OID, so nothing that a session has set changes what it means. It is judged as what it is, a
//! call, under the name that the catalogue has for that OID; of one that the catalogue does not have nothing is known. An
//! approver reads it like a statement with parameters, long values by their length and hash.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use countersign_engine::Parameter;
use countersign_wire::postgres::Format;
use countersign_wire::postgres::frontend::FunctionCall;
use countersign_wire::postgres::track::Sent as Kind;
use countersign_wire::sql::{self, Facts};
use sha2::{Digest, Sha256};

use super::super::Shared;
use super::super::classify::{Statement, Understood};
use super::super::query::simple;
use super::super::target::Target;
use super::action::Action;
use super::sent::Show;
use super::{End, Session};

/// An argument up to this length is shown as it is, a longer one by its length and hash, in bytes.
const ARGUMENT_BYTES_SHOWN: usize = 2_048;
/// Functions from this OID on are made by users.
const FIRST_USER_OID: u32 = 16_384;
/// How many functions of the server's own are remembered by their OID.
const REMEMBERED_MAX: usize = 64;
/// Functions of the server's own that run nothing but themselves and change no setting and no name: those that libpq
/// calls for large objects. A large object has no type, no default, no constraint, no index of a user's and no trigger
/// (`pg_largeobject` is a catalogue of the server's, on which nobody puts one without being let change the server's own), so no code is reached by way of it;
/// whether the account may do it is checked by the server. Each group with what it does, for the approver.
///
/// Not here, though libpq knows them: `lo_import` and `lo_export`, which reach the server's files.
const PLAIN: &[(&[&str], &str)] = &[
    // No row is touched before something is read or written through the descriptor, and that is a call of its own.
    (&["lo_open", "lo_close"], "it opens or closes a large object for this transaction"),
    // What is moved is a number of the session's own.
    (
        &["lo_lseek", "lo_lseek64", "lo_tell", "lo_tell64"],
        "it moves or tells the place in an open large object",
    ),
    // A read all the same stays a call: which object it is, the descriptor does not say.
    (&["loread"], "it reads from an open large object"),
    (&["lowrite", "lo_truncate", "lo_truncate64"], "it changes an open large object"),
    (&["lo_creat", "lo_create", "lo_unlink"], "it makes or removes a large object"),
];

/// A function, as the catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Called {
    schema: String,
    name: String,
    /// The types of its arguments.
    types: Vec<u32>,
}

impl Session {
    pub(super) async fn function_call(&mut self, raw: &Bytes, call: &FunctionCall<'_>) -> Result<(), End> {
        self.release_deferred().await?;
        if self.tracker.is_skipping() {
            return Ok(());
        }
        self.ascertain().await?;
        let called = self.called(call.function).await?;
        let (text, facts) = in_words(call, called.as_deref());
        let types = called.as_ref().map_or_else(Vec::new, |called| called.types.clone());
        let statement = Arc::new(Statement::new(text.into(), types, self.known.shared_session()));
        let understood = Arc::new(Understood::of(Arc::new(facts)));
        let action = Action::new(&statement, understood, raw.clone()).of_call(arguments(raw, call).into());
        let Some(granted) = self.permit(action, true).await? else { return Ok(()) };
        if self.batch_open {
            // Something before it may fail yet, and then the server ignores this.
            self.settle().await?;
        }
        let raw = granted.bytes.clone();
        let act = self.begin(granted);
        if self.tracker.is_skipping() {
            self.abandon(Some(act));
            return Ok(());
        }
        self.forward(Kind::FunctionCall, &raw, Self::of_act(act, true, Show::Client)).await?;
        self.batch_open = false;
        Ok(())
    }

    /// The function behind an OID. Those of the server's own stay what they are.
    async fn called(&mut self, oid: u32) -> Result<Option<Arc<Called>>, End> {
        if let Some(called) = self.called.get(&oid) {
            return Ok(Some(Arc::clone(called)));
        }
        let (target, shared) = (Arc::clone(&self.target), Arc::clone(&self.shared));
        let found = self.drive(Box::pin(look_up(&target, &shared, oid))).await?.map(Arc::new);
        if let Some(called) = found.as_ref().filter(|_| oid < FIRST_USER_OID) {
            if self.called.len() >= REMEMBERED_MAX {
                self.called.clear();
            }
            self.called.insert(oid, Arc::clone(called));
        }
        Ok(found)
    }
}

async fn look_up(target: &Target, shared: &Shared, oid: u32) -> Option<Called> {
    let question = format!(
        "SELECT n.nspname, p.proname, pg_catalog.array_to_string(p.proargtypes::pg_catalog.oid[], ',') \
         FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = {oid}"
    );
    let rows = target.look(shared, async |link| simple(link, &question).await).await;
    let rows = rows.inspect_err(|error| {
        tracing::debug!(resource = %target.resource, error = %error, "a function was not looked up");
    });
    let mut columns = rows.ok()?.into_iter().next()?.into_iter();
    let (schema, name, types) = (columns.next()??, columns.next()??, columns.next()??);
    let types =
        types.split(',').filter(|oid| !oid.is_empty()).map(str::parse).collect::<Result<_, _>>().ok()?;
    Some(Called { schema, name, types })
}

/// The call as a text with parameters, and what is known of it.
fn in_words(call: &FunctionCall<'_>, called: Option<&Called>) -> (String, Facts) {
    let mut places = String::new();
    for number in 1..=call.arguments.len() {
        let _ = write!(places, "{}${number}", if number == 1 { "" } else { ", " });
    }
    let parameters = (1..).take(call.arguments.len()).collect();
    match called {
        Some(Called { schema, name, .. }) => {
            let text =
                format!("-- called without a statement\n{}.{}({places})", quoted(schema), quoted(name));
            let own = schema == "pg_catalog" && call.function < FIRST_USER_OID;
            let plain = PLAIN.iter().filter(|_| own).find(|(names, _)| names.contains(&name.as_str()));
            let does = plain.map_or("what it runs is not looked into", |(_, does)| does);
            let name = format!("{schema}.{name}");
            let facts =
                Facts::of(sql::Kind::Call, format!("a function is called without a statement: {does}"));
            let calls = BTreeSet::from([sql::Called { name: name.clone(), volatile: true, definer: false }]);
            let (functions, tainted) = (BTreeSet::from([name]), plain.is_none());
            (text, Facts { statements: 1, functions, calls, parameters, taints_session: tainted, ..facts })
        }
        None => {
            let text = format!(
                "-- called without a statement: the function with OID {}, of which nothing is known\n({places})",
                call.function
            );
            let facts = Facts::of(sql::Kind::Unknown, "the function that is called is not known".to_owned());
            (text, Facts { statements: 1, parameters, taints_session: true, ..facts })
        }
    }
}

fn arguments(raw: &Bytes, call: &FunctionCall<'_>) -> Vec<Option<Parameter>> {
    let shown = |(index, value): (usize, Option<&[u8]>)| {
        value.map(|bytes| {
            if bytes.len() > ARGUMENT_BYTES_SHOWN {
                let mut text = format!("({} bytes, SHA-256 ", bytes.len());
                for byte in Sha256::digest(bytes) {
                    let _ = write!(text, "{byte:02x}");
                }
                text.push(')');
                return Parameter { binary: false, bytes: text.into() };
            }
            let binary = call.formats.of(index) == Some(Format::Binary);
            Parameter { binary, bytes: raw.slice_ref(bytes) }
        })
    };
    call.arguments.iter().enumerate().map(shown).collect()
}

/// An identifier as SQL has it.
fn quoted(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let begins = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
    if begins && name.bytes().all(plain) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use countersign_wire::postgres::encode::client;
    use countersign_wire::postgres::frontend::{Body, Message};
    use countersign_wire::postgres::{Limits, Phase};

    fn with_call<T>(arguments: &[Option<&[u8]>], then: impl FnOnce(&Bytes, &FunctionCall<'_>) -> T) -> T {
        let mut out = BytesMut::new();
        let call = client::Call { function: 955, formats: &[], arguments, result_format: Format::Text };
        client::function_call(&mut out, &call).unwrap();
        let raw = out.freeze();
        let (message, _) = Message::decode(&raw, &Limits::new(Phase::Client)).unwrap().unwrap();
        let Body::FunctionCall(call) = message.body() else { panic!("{message:?}") };
        then(&raw, call)
    }

    #[test]
    fn a_call_reads_like_a_statement_with_parameters() {
        let lowrite = Called { schema: "pg_catalog".into(), name: "lowrite".into(), types: vec![23, 17] };
        let odd = Called { schema: "Shop".into(), name: "a\"b".into(), types: vec![23, 17] };
        with_call(&[Some(b"0"), None], |_, call| {
            let (text, facts) = in_words(call, Some(&lowrite));
            assert_eq!(text, "-- called without a statement\npg_catalog.lowrite($1, $2)");
            assert_eq!(
                (facts.kind, facts.provable_read, facts.taints_session),
                (sql::Kind::Call, false, false)
            );
            assert_eq!(facts.functions, BTreeSet::from(["pg_catalog.lowrite".to_owned()]));
            let (text, facts) = in_words(call, Some(&odd));
            assert!(text.ends_with("\n\"Shop\".\"a\"\"b\"($1, $2)"), "{text}");
            assert!(facts.taints_session);
            let (text, facts) = in_words(call, None);
            assert!(text.contains("OID 955"), "{text}");
            assert_eq!((facts.kind, facts.taints_session), (sql::Kind::Unknown, true));
        });
    }

    #[test]
    fn long_arguments_are_shown_by_length_and_hash() {
        let long = vec![b'x'; 300_000];
        with_call(&[Some(b"0"), Some(&long)], |raw, call| {
            let shown = arguments(raw, call);
            assert_eq!(shown[0].as_ref().map(|one| &one.bytes[..]), Some(&b"0"[..]));
            let text = String::from_utf8(shown[1].as_ref().unwrap().bytes.to_vec()).unwrap();
            assert!(text.starts_with("(300000 bytes, SHA-256 "), "{text}");
            assert_eq!(text.len(), "(300000 bytes, SHA-256 )".len() + 64);
        });
    }
}
