//! What somebody who wants a session stands on, and what they are told who stand on nothing.

use countersign_core::question::{Question, Target};
use countersign_core::ruling::Verdict;
use countersign_core::{ActionName, GrantId, PrincipalId, ResourceId, RoleId, Span};
use countersign_policy::context::{Access, Plain, Via};

use crate::engine::Engine;
use crate::snapshot::Snapshot;
use crate::words::{Refused, RefusedCode, ask_command, ask_link};

impl Engine {
    /// The role and the grant to stand on.
    pub(crate) fn choose(
        &self,
        snapshot: &Snapshot,
        principal: &PrincipalId,
        resource: &ResourceId,
        role: Option<RoleId>,
    ) -> Result<(RoleId, GrantId), Refused> {
        let book = &snapshot.book;
        if !book.catalogue.resources.contains_key(resource) {
            return Err(countersign_core::Refusal::NoSuchResource(resource.clone()).into());
        }
        if book.catalogue.principals.contains_key(principal) && !book.is_enabled(principal) {
            return Err(countersign_core::Refusal::Disabled(principal.clone()).into());
        }
        let reaches = |name: &RoleId| {
            book.catalogue.roles.get(name).is_some_and(|role| role.resources.contains(resource))
        };
        let live = book.live_roles(principal, self.now().max(snapshot.at));
        let live = live.into_iter().filter(|(name, _)| reaches(name));
        let wanted = live.filter(|(name, _)| role.as_ref().is_none_or(|role| role == *name));
        match wanted.max_by_key(|(_, grant)| (grant.not_before, grant.id)) {
            Some((name, grant)) => Ok((name.clone(), grant.id)),
            None => Err(self.no_grant(snapshot, principal, resource, role.as_ref())),
        }
    }

    /// That there is no grant, and which role to ask for.
    fn no_grant(
        &self,
        snapshot: &Snapshot,
        principal: &PrincipalId,
        resource: &ResourceId,
        role: Option<&RoleId>,
    ) -> Refused {
        let message = match role {
            Some(role) => format!("you hold no live grant of role `{role}` for `{resource}`"),
            None => format!("you hold no live grant that reaches `{resource}`"),
        };
        let refused = Refused::new(RefusedCode::NoGrant, message);
        let roles = snapshot.book.catalogue.roles.iter();
        let reaching = roles.filter(|(_, found)| found.resources.contains(resource)).map(|(name, _)| name);
        let reaching = reaching.filter(|name| role.is_none_or(|role| role == *name));
        let roles: Vec<&RoleId> = reaching.filter(|name| self.may_ask(snapshot, principal, name)).collect();
        let console = &self.0.house.settings.console_url;
        match roles.as_slice() {
            [] => refused.hint("no role that you may ask for reaches it; ask its owner"),
            [one] => refused.hint(format!("ask for it: {}", ask_command(one))).link(ask_link(console, one)),
            [first, ..] => {
                let names: Vec<String> = roles.iter().map(|name| format!("`{name}`")).collect();
                let hint =
                    format!("ask for one of {}, for example: {}", names.join(", "), ask_command(first));
                refused.hint(hint).link(ask_link(console, first))
            }
        }
    }

    /// Whether policy lets `principal` ask for `role`, with or without an approval.
    pub(crate) fn may_ask(&self, snapshot: &Snapshot, principal: &PrincipalId, role: &RoleId) -> bool {
        let (Some(policy), Some(found)) = (&snapshot.policy, snapshot.book.catalogue.roles.get(role)) else {
            return false;
        };
        let now = self.now().max(snapshot.at);
        let live = snapshot.book.live_roles(principal, now);
        let context = Access {
            plain: Plain { now, source: None, via: Via::Cli },
            duration: Span::minutes(30).min(found.longest),
            purpose: "...".into(),
            ticket: None,
        };
        let question = Question {
            principal: principal.clone(),
            roles: live.into_iter().map(|(name, _)| name.clone()).collect(),
            action: ActionName::new("access.request"),
            target: Target::Role(role.clone()),
            context: context.into(),
        };
        !matches!(policy.rule(&snapshot.book, &question).verdict(), Verdict::Deny(_))
    }

    /// The words that a grant was asked for with.
    pub(crate) fn words_of(&self, snapshot: &Snapshot, grant: GrantId) -> (String, Option<String>) {
        let request = snapshot.book.grant(grant).map(|grant| grant.request);
        let content = request.and_then(|id| self.0.house.content_of_request(id));
        content.map(|content| (content.purpose, content.ticket)).unwrap_or_default()
    }
}
