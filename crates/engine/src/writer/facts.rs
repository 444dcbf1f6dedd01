//! What the writer looks up before a decision: the instant, and what policy says, over its own working book.
//!
//! A request may have been judged on a snapshot that is some milliseconds old. What counts is what policy says of
//! the command when it is decided, so every ruling here is made anew.

use std::collections::BTreeSet;

use countersign_core::bundle::Command as BundleCommand;
use countersign_core::directory::Command as DirectoryCommand;
use countersign_core::grant::Command as GrantCommand;
use countersign_core::principal::Command as PrincipalCommand;
use countersign_core::question::{Context, Question, Target};
use countersign_core::request::Command as RequestCommand;
use countersign_core::ruling::Ruling;
use countersign_core::session::{Command as SessionCommand, Opening};
use countersign_core::{ActionName, At, Book, Command, Facts, PrincipalId, RequestId, RoleId, SessionId};
use countersign_policy::Compiled;
use countersign_policy::context::Auth;

use super::work::{Deed, From, Standing};

/// Policy, the book it is asked over, and the instant.
#[derive(Clone, Copy)]
pub(crate) struct Desk<'a> {
    pub(crate) book: &'a Book,
    pub(crate) policy: Option<&'a Compiled>,
    pub(crate) now: At,
}

impl Desk<'_> {
    /// The facts of a command. `standing` and `proposed` find what a request is about.
    pub(crate) fn facts(&self, deed: &Deed, standing: &mut dyn FnMut(RequestId) -> Option<Ruling>) -> Facts {
        Facts { now: self.now, ruling: self.ruling(deed), standing: self.standing_of(deed, standing) }
    }

    fn ruling(&self, deed: &Deed) -> Option<Ruling> {
        let from = deed.from;
        match &deed.command {
            Command::Request(command) => self.on_request(command, deed),
            Command::Grant(GrantCommand::Revoke { grant, by, .. }) => {
                let found = self.book.grant(*grant)?;
                let target = Target::Grant {
                    id: found.id,
                    principal: found.principal.clone(),
                    person: found.person.clone(),
                    role: found.role.clone(),
                };
                self.asks(by, "grant.revoke", target, from)
            }
            Command::Session(SessionCommand::Open(opening)) => self.on_open(opening, from),
            Command::Session(SessionCommand::End { session, by }) => {
                self.on_session(*session, by, "session.end", from)
            }
            Command::Session(SessionCommand::Pause { session, by, .. }) => {
                self.on_session(*session, by, "session.pause", from)
            }
            Command::Session(SessionCommand::Resume { session, by, .. }) => {
                self.on_session(*session, by, "session.resume", from)
            }
            Command::Principal(PrincipalCommand::Disable { principal, by, .. }) => {
                self.asks(by, "principal.disable", Target::Principal(principal.clone()), from)
            }
            Command::Principal(PrincipalCommand::Enable { principal, by }) => {
                self.asks(by, "principal.enable", Target::Principal(principal.clone()), from)
            }
            Command::Bundle(BundleCommand::Activate { by, .. }) => {
                self.on_apply(by, deed.proposed.as_deref(), from)
            }
            Command::Directory(DirectoryCommand::Unfound { grant, .. }) => {
                let found = self.book.grant(*grant)?;
                self.rule_standing(&found.principal, deed.standing.as_deref()?, None)
            }
            Command::Directory(DirectoryCommand::Tell { .. } | DirectoryCommand::Hear { .. })
            | Command::Grant(GrantCommand::Relinquish { .. })
            | Command::Session(SessionCommand::Close { .. })
            | Command::Sweep
            | Command::Restart => None,
        }
    }

    /// What policy says of something that is done to a session.
    fn on_session(&self, session: SessionId, by: &PrincipalId, action: &str, from: From) -> Option<Ruling> {
        let found = self.book.session(session)?;
        let target = Target::Session {
            id: found.opening.session,
            principal: found.opening.principal.clone(),
            person: found.person.clone(),
        };
        self.asks(by, action, target, from)
    }

    /// Whether a session may be opened, in its role.
    pub(crate) fn on_open(&self, opening: &Opening, from: From) -> Option<Ruling> {
        let question = Question {
            principal: opening.principal.clone(),
            roles: BTreeSet::from([opening.role.clone()]),
            action: ActionName::new("session.open"),
            target: Target::Resource(opening.resource.clone()),
            context: self.plain(from),
        };
        self.rule(&question)
    }

    fn on_request(&self, command: &RequestCommand, deed: &Deed) -> Option<Ruling> {
        match command {
            RequestCommand::Ask { by, .. } => {
                self.rule_standing(by, deed.standing.as_deref()?, deed.proposed.as_deref())
            }
            RequestCommand::Approve { request, by, .. } => {
                self.asks(by, "request.approve", self.request_target(*request)?, deed.from)
            }
            RequestCommand::Deny { request, by, .. } => {
                self.asks(by, "request.deny", self.request_target(*request)?, deed.from)
            }
            RequestCommand::Withdraw { .. }
            | RequestCommand::Use { .. }
            | RequestCommand::Settle { .. }
            | RequestCommand::Conclude { .. }
            | RequestCommand::Void { .. } => None,
        }
    }

    fn standing_of(
        &self,
        deed: &Deed,
        standing: &mut dyn FnMut(RequestId) -> Option<Ruling>,
    ) -> Option<Ruling> {
        match &deed.command {
            Command::Request(RequestCommand::Approve { request, .. }) => standing(*request),
            // What is about to run says itself what it is: it may be another statement than the one that waited.
            Command::Request(RequestCommand::Use { request, .. }) => {
                match (&deed.standing, self.book.request(*request)) {
                    (Some(own), Some(found)) => self.rule_standing(&found.by, own, None),
                    _ => standing(*request),
                }
            }
            _ => None,
        }
    }

    /// What policy says of the action that a request of `by` is about.
    pub(crate) fn rule_standing(
        &self,
        by: &PrincipalId,
        standing: &Standing,
        proposed: Option<&Compiled>,
    ) -> Option<Ruling> {
        match standing {
            Standing::Access { role, context, from } => {
                let question = Question {
                    principal: by.clone(),
                    roles: self.roles(by),
                    action: ActionName::new("access.request"),
                    target: Target::Role(role.clone()),
                    context: self.common(context, *from),
                };
                self.rule(&question)
            }
            Standing::Act { principal, role, resource, action, actions, context, from } => {
                let question = Question {
                    principal: principal.clone(),
                    roles: BTreeSet::from([role.clone()]),
                    action: action.clone(),
                    target: Target::Resource(resource.clone()),
                    context: self.common(context, *from),
                };
                self.policy.map(|policy| policy.rule_all(self.book, &question, actions))
            }
            Standing::Script(steps) => {
                let rulings = steps.iter().map(|step| self.rule_standing(by, step, None));
                rulings.reduce(|one, other| Some(one?.and(other?))).flatten()
            }
            Standing::Apply { from, .. } => self.on_apply(by, proposed, *from),
        }
    }

    /// `policy.apply`, with what the floor demands for the difference between the bundles.
    fn on_apply(&self, by: &PrincipalId, proposed: Option<&Compiled>, from: From) -> Option<Ruling> {
        let question = self.question(by, "policy.apply", Target::Gateway, from);
        Some(self.policy?.rule_apply(self.book, &question, proposed?))
    }

    /// Whether `by` may do `action` to `target` at all.
    pub(crate) fn asks(&self, by: &PrincipalId, action: &str, target: Target, from: From) -> Option<Ruling> {
        self.rule(&self.question(by, action, target, from))
    }

    fn question(&self, by: &PrincipalId, action: &str, target: Target, from: From) -> Question {
        Question {
            principal: by.clone(),
            roles: self.roles(by),
            action: ActionName::new(action),
            target,
            context: self.plain(from),
        }
    }

    fn rule(&self, question: &Question) -> Option<Ruling> {
        self.policy.map(|policy| policy.rule(self.book, question))
    }

    fn roles(&self, by: &PrincipalId) -> BTreeSet<RoleId> {
        self.book.live_roles(by, self.now).into_iter().map(|(role, _)| role.clone()).collect()
    }

    pub(crate) fn request_target(&self, request: RequestId) -> Option<Target> {
        let found = self.book.request(request)?;
        Some(Target::Request {
            id: found.id,
            principal: found.by.clone(),
            person: found.person.clone(),
            action: found.action(),
        })
    }

    fn plain(&self, from: From) -> Context {
        from.plain(self.now)
    }

    /// `context` with the instant and the place that are so now.
    pub(crate) fn common(&self, context: &Context, from: From) -> Context {
        let mut whole = context.clone();
        whole.remove("source");
        Auth::NAMES.iter().for_each(|name| drop(whole.remove(name)));
        whole.extend(self.plain(from));
        whole
    }
}
