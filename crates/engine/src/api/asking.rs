//! Asking: how every question gets into the ledger, be it for a role, for a bundle or for a statement that waits.

use std::sync::Arc;

use countersign_core::action::{Action, digest};
use countersign_core::request::{Ask, Command as RequestCommand, HoldsUp};
use countersign_core::{Command, GrantId, RequestId};
use countersign_policy::Compiled;

use crate::engine::Engine;
use crate::request::{LookContent, RequestContent, StepContent};
use crate::seal::Field;
use crate::so_far::SoFar;
use crate::store::Put;
use crate::words::Refused;
use crate::writer::work::{Deed, From, Standing};

/// A question, before it has a number.
pub(crate) struct Asking<'a> {
    action: &'a Action,
    /// What policy is asked about it, now and whenever it is approved.
    standing: Arc<Standing>,
    from: From,
    pub(crate) purpose: &'a str,
    pub(crate) ticket: Option<&'a str>,
    /// What was looked up about it.
    pub(crate) look: Option<LookContent>,
    /// What was done in the session before.
    pub(crate) so_far: Option<SoFar>,
    /// The bundle that is proposed.
    pub(crate) proposed: Option<Arc<Compiled>>,
    /// What is kept beside its line.
    pub(crate) puts: Vec<Put>,
    /// What is held up while it waits.
    pub(crate) holds_up: HoldsUp,
    /// The steps of a script.
    pub(crate) steps: Vec<StepContent>,
    /// The salt of its digest, where that is needed before.
    pub(crate) salt: Option<[u8; 16]>,
}

/// A question that is in the ledger.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filed {
    pub(crate) id: RequestId,
    /// That of its digest.
    pub(crate) salt: [u8; 16],
}

impl<'a> Asking<'a> {
    /// About `action`, without words.
    pub(crate) fn new(action: &'a Action, standing: Arc<Standing>, from: From) -> Self {
        Self {
            action,
            standing,
            from,
            purpose: "",
            ticket: None,
            look: None,
            so_far: None,
            proposed: None,
            puts: Vec::new(),
            holds_up: HoldsUp::Nothing,
            steps: Vec::new(),
            salt: None,
        }
    }
}

impl Engine {
    /// Asks. The request is in the ledger when this returns. `ask` says what for, given the salt of the digest.
    ///
    /// # Errors
    /// The house said no.
    pub(crate) async fn file(
        &self,
        asking: Asking<'_>,
        ask: impl FnOnce(&[u8; 16]) -> Ask,
    ) -> Result<Filed, Refused> {
        let ports = &self.0.house.ports;
        let id = RequestId(ports.entropy.id());
        let salt = asking.salt.unwrap_or_else(|| ports.random());
        let Asking { action, standing, from, purpose, ticket, look, so_far, proposed, mut puts, .. } = asking;
        let canonical = action.canonical();
        let mut content = RequestContent::new(&canonical, &salt, from).words(purpose, ticket);
        (content.look, content.so_far, content.steps) = (look, so_far, asking.steps);
        puts.push(self.same_put(action, id));
        let field = Field::new(ports, "/data/content", "request.content", content.canonical());
        let command = RequestCommand::Ask {
            request: id,
            by: action.principal.clone(),
            ask: ask(&salt),
            digest: digest(&salt, &canonical),
            content: Some(field.commitment()),
            grant: GrantId(ports.entropy.id()),
            holds_up: asking.holds_up,
        };
        let mut deed = Deed::new(Command::Request(command), from);
        deed.standing = Some(standing);
        deed.key = format!("request:{id}").into();
        deed.fields = vec![field];
        (deed.proposed, deed.puts) = (proposed, puts);
        self.deed(deed).await?;
        Ok(Filed { id, salt })
    }
}
