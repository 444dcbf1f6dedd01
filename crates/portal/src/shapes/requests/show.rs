//! From what the engine shows of a request to the API's shape of it. Nothing is left out.

use countersign_core::ruling::{Gate, PolicyRef};
use countersign_core::{At, request};
use countersign_engine::views::{
    Named, ParameterView, RelationView, RequestKind as Kind, RequestView, RowsView, SaidView, StageView,
};
use countersign_wire::postgres::binary;

use super::{
    Answer, Approval, By, Encoding, HeldBy, Outcome, OutcomeResult, Parameter, Party, Policy, Relation,
    Request, RequestCan, RequestKind, RequestState, Rows, Setting, Stage,
};

impl From<RequestView> for Request {
    fn from(view: RequestView) -> Self {
        let outcome = outcome(&view);
        let utf8 = speaks_utf8(&view.settings);
        Self {
            id: view.id.to_string(),
            state: RequestState::named(view.state),
            kind: match view.kind {
                Kind::Access => RequestKind::Access,
                Kind::Action => RequestKind::Action,
                Kind::Apply => RequestKind::Apply,
            },
            by: By {
                name: view.by.id.to_string(),
                display: view.by.display,
                person: view.person.to_string(),
            },
            action: view.action.to_string(),
            role: view.role.map(|id| id.to_string()),
            resource: view.resource.map(|id| id.to_string()),
            bundle: view.bundle.map(|hash| hash.to_string()),
            for_s: view.lasting.map(|span| span.millis() / 1_000),
            reason: view.purpose,
            ticket: view.ticket,
            text: view.text,
            verbs: view.verbs,
            parameters: (1..)
                .zip(view.parameters)
                .map(|(place, one)| Parameter::of(place, one, utf8))
                .collect(),
            relations: view.relations.into_iter().map(Into::into).collect(),
            settings: view.settings.into_iter().map(|(name, value)| Setting { name, value }).collect(),
            rows: view.rows.map(Into::into),
            notes: view.notes,
            digest: view.digest.to_string(),
            held_by: view.gates.iter().map(Into::into).collect(),
            stages: view.stages.into_iter().map(Into::into).collect(),
            missing: view.missing,
            approvals: view.approvals.into_iter().map(Into::into).collect(),
            answer: view.denial.map(Into::into),
            why: view.why,
            ended_at: view.ended_at.map(At::rfc3339),
            session: view.session.map(|id| id.to_string()),
            grant: view.grant.map(|id| id.to_string()),
            asked_at: view.asked_at.rfc3339(),
            lapses_at: view.lapses_at.rfc3339(),
            valid_until: view.valid_until.map(At::rfc3339),
            outcome,
            locked: view.locked,
            erased: view.erased,
            can: RequestCan { approve: view.can_approve, deny: view.can_deny, withdraw: view.can_withdraw },
        }
    }
}

fn outcome(view: &RequestView) -> Option<Outcome> {
    let plain = |result, rows, code| Some(Outcome { result, rows, code });
    match &view.outcome {
        _ if view.running => plain(OutcomeResult::Running, None, None),
        None => None,
        Some(request::Outcome::Done { rows }) => plain(OutcomeResult::Done, *rows, None),
        Some(request::Outcome::Failed { code }) => plain(OutcomeResult::Failed, None, Some(code.clone())),
        Some(request::Outcome::BeyondBound { rows }) => plain(OutcomeResult::BeyondBound, Some(*rows), None),
        Some(request::Outcome::Unknown) => plain(OutcomeResult::Unknown, None, None),
    }
}

/// Whether texts mean what they look like. Under another encoding the target would read other letters than people see
/// here, except in ASCII, which is the same in all of them.
fn speaks_utf8(settings: &[(String, String)]) -> bool {
    let encoding =
        settings.iter().find(|(name, _)| name == "client_encoding").map(|(_, value)| value.as_str());
    encoding.is_none_or(|found| {
        ["UTF8", "UNICODE", "SQL_ASCII"].iter().any(|one| found.eq_ignore_ascii_case(one))
    })
}

impl Parameter {
    fn of(position: usize, view: ParameterView, utf8: bool) -> Self {
        let (encoding, value) = match view.bytes {
            None => (Encoding::Null, None),
            Some(bytes) => {
                let (encoding, text) = if view.binary {
                    (Encoding::Decoded, binary::text(view.written_like, &bytes))
                } else {
                    (Encoding::Text, std::str::from_utf8(&bytes).ok().map(str::to_owned))
                };
                match text.filter(|text| utf8 || text.is_ascii()) {
                    Some(text) => (encoding, Some(text)),
                    None => (Encoding::Hex, Some(binary::hex(&bytes))),
                }
            }
        };
        let type_name = view.type_name.or_else(|| binary::type_name(view.type_id));
        Self { position, r#type: view.type_id, type_name, encoding, value }
    }
}

impl From<RelationView> for Relation {
    fn from(view: RelationView) -> Self {
        let RelationView { name, owner, estimate_rows, access } = view;
        Self { name, owner, estimate_rows, access }
    }
}

impl From<RowsView> for Rows {
    fn from(view: RowsView) -> Self {
        let RowsView { count, estimate, bound } = view;
        Self { count, estimate, bound, unbounded: bound.is_none() }
    }
}

impl From<&Gate> for HeldBy {
    fn from(gate: &Gate) -> Self {
        Self { rule: gate.rule.to_string(), policies: gate.policies.iter().map(Into::into).collect() }
    }
}

impl From<&PolicyRef> for Policy {
    fn from(policy: &PolicyRef) -> Self {
        Self { id: policy.id.to_string(), reason: policy.reason.as_deref().map(str::to_owned) }
    }
}

impl From<StageView> for Stage {
    fn from(view: StageView) -> Self {
        Self {
            rule: view.rule.to_string(),
            need: view.need,
            from: view.from,
            people: view.people.into_iter().map(Into::into).collect(),
            given: view.given.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Named> for Party {
    fn from(named: Named) -> Self {
        Self { name: named.id.to_string(), display: named.display }
    }
}

impl From<SaidView> for Approval {
    fn from(view: SaidView) -> Self {
        let Party { name: by, display } = view.by.into();
        Self { by, display, at: view.at.rfc3339(), comment: view.comment }
    }
}

impl From<SaidView> for Answer {
    fn from(view: SaidView) -> Self {
        let Party { name: by, display } = view.by.into();
        Self { by, display, at: view.at.rfc3339(), comment: view.comment }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_shown_in_full_and_unmistakably() {
        let shown = |type_id, binary, bytes: Option<&[u8]>| {
            let bytes = bytes.map(<[u8]>::to_vec);
            let view = ParameterView { type_id, type_name: None, written_like: type_id, binary, bytes };
            let Parameter { type_name, encoding, value, .. } = Parameter::of(1, view, true);
            (type_name.unwrap_or_default(), encoding, value.unwrap_or_default())
        };
        let expected = |name: &str, encoding, value: &str| (name.to_owned(), encoding, value.to_owned());
        assert_eq!(shown(25, false, None), expected("text", Encoding::Null, ""));
        assert_eq!(shown(25, false, Some(b"")), expected("text", Encoding::Text, ""));
        assert_eq!(
            shown(0, false, Some("NULL ä".as_bytes())),
            expected("", Encoding::Text, "NULL ä"),
            "text is shown as it is"
        );
        assert_eq!(shown(25, false, Some(b"\xff\xfe")), expected("text", Encoding::Hex, "fffe"));
        assert_eq!(
            shown(20, true, Some(&[0, 0, 0, 0, 0, 0, 1, 0])),
            expected("bigint", Encoding::Decoded, "256")
        );
        assert_eq!(shown(20, true, Some(&[1, 0])), expected("bigint", Encoding::Hex, "0100"));
        assert_eq!(shown(869, true, Some(&[2, 32])), expected("inet", Encoding::Hex, "0220"));
        assert_eq!(shown(90_000, true, Some(b"abc")), expected("", Encoding::Hex, "616263"));
        let mood = ParameterView {
            type_id: 90_000,
            type_name: Some("public.mood".into()),
            written_like: 25,
            binary: true,
            bytes: Some(b"happy".to_vec()),
        };
        let mood = Parameter::of(1, mood, true);
        assert_eq!((mood.r#type, mood.encoding), (90_000, Encoding::Decoded));
        assert_eq!((mood.type_name.as_deref(), mood.value.as_deref()), (Some("public.mood"), Some("happy")));
    }

    #[test]
    fn letters_of_another_encoding_are_shown_as_bytes() {
        let shown = |encoding: &str, binary: bool, text: &str| {
            let settings = [("client_encoding".to_owned(), encoding.to_owned())];
            let bytes = Some(text.as_bytes().to_vec());
            let view = ParameterView { type_id: 25, type_name: None, written_like: 25, binary, bytes };
            Parameter::of(1, view, speaks_utf8(&settings)).encoding
        };
        assert_eq!(shown("UTF8", false, "ä"), Encoding::Text);
        assert_eq!(shown("sql_ascii", true, "ä"), Encoding::Decoded);
        // Two letters to the target.
        assert_eq!(shown("LATIN1", false, "ä"), Encoding::Hex);
        assert_eq!(shown("(unknown)", true, "ä"), Encoding::Hex);
        assert_eq!(shown("LATIN1", true, "a"), Encoding::Decoded);
        assert!(speaks_utf8(&[]));
    }

    #[test]
    fn every_state_of_the_core_has_its_word_here() {
        for state in RequestState::ALL {
            assert_eq!(RequestState::named(state.as_str()), state);
        }
    }
}
