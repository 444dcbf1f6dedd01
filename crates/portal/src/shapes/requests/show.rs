//! From what the engine shows of a request to the API's shape of it. Nothing is left out.

use countersign_core::envelope::Terms;
use countersign_core::ruling::{Gate, PolicyRef};
use countersign_core::{At, request};
use countersign_engine::foreseen::Foreseen;
use countersign_engine::views::{
    FunctionView, Named, ParameterView, ReceiptView, RelationView, RequestKind as Kind, RequestView,
    RowsView, SaidView, StageView,
};
use countersign_wire::postgres::binary;
use countersign_wire::sql::{layout, statements};

use super::marks::marks;
use super::steps;
use super::{
    Answer, Approval, By, Effects, Encoding, Envelope, Function, HeldBy, Most, MostEnvelope, Outcome,
    OutcomeResult, OutcomeTransaction, Parameter, Party, Policy, Receipt, Relation, Request, RequestCan,
    RequestKind, RequestState, Rows, Setting, Stage,
};

impl From<RequestView> for Request {
    fn from(view: RequestView) -> Self {
        let (outcome, most) = (outcome(&view), most(&view));
        let is_statement = view.kind == Kind::Action && view.action.as_str().starts_with("sql.");
        // What is no statement touches no rows and sets off no triggers.
        let rows = view.rows.filter(|_| is_statement || view.kind != Kind::Action);
        let rows = rows.map(|rows| Rows::of(rows, &view.foreseen));
        let layout = view.text.as_deref().filter(|_| is_statement).and_then(layout);
        let parts = view.text.as_deref().filter(|_| is_statement).and_then(statements);
        let statements = parts.into_iter().flatten().map(str::to_owned).collect();
        let steps = steps::all(&view);
        let text_marks = view.text.as_deref().map(marks).unwrap_or_default();
        let reason_marks = view.purpose.as_deref().map(marks).unwrap_or_default();
        let utf8 = speaks_utf8(&view.settings);
        Self {
            id: view.id.to_string(),
            state: RequestState::named(view.state),
            kind: match view.kind {
                Kind::Access => RequestKind::Access,
                Kind::Action => RequestKind::Action,
                Kind::Apply => RequestKind::Apply,
                Kind::Script => RequestKind::Script,
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
            layout,
            statements,
            steps,
            marks: text_marks,
            reason_marks,
            verbs: view.verbs,
            parameters: (1..)
                .zip(view.parameters)
                .map(|(place, one)| Parameter::of(place, one, utf8))
                .collect(),
            relations: view.relations.into_iter().map(Into::into).collect(),
            functions: view.functions.into_iter().map(Into::into).collect(),
            settings: view.settings.into_iter().map(|(name, value)| Setting { name, value }).collect(),
            rows,
            effects: is_statement.then(|| Effects::of(view.foreseen)),
            so_far: view.so_far.map(Into::into),
            earlier: view.earlier.map(Into::into),
            notes: view.notes,
            digest: view.digest.to_string(),
            signed: view.signed,
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
            receipt: view.receipt.map(Into::into),
            most,
            outcome,
            locked: view.locked,
            erased: view.erased,
            can: RequestCan { approve: view.can_approve, deny: view.can_deny, withdraw: view.can_withdraw },
        }
    }
}

fn outcome(view: &RequestView) -> Option<Outcome> {
    if view.running {
        return Some(Outcome::plain(OutcomeResult::Running));
    }
    let mut outcome = Outcome::of(view.outcome.as_ref()?);
    if let Some(ended) = &view.ended {
        (outcome.bytes, outcome.micros) = (ended.bytes, ended.micros);
    }
    outcome.transaction = view.transaction.map(Into::into);
    Some(outcome)
}

impl Outcome {
    fn plain(result: OutcomeResult) -> Self {
        Self { result, rows: None, code: None, bytes: None, micros: None, transaction: None }
    }

    /// As the book has it.
    pub(super) fn of(outcome: &request::Outcome) -> Self {
        match outcome {
            request::Outcome::Done { rows } => Self { rows: *rows, ..Self::plain(OutcomeResult::Done) },
            request::Outcome::Failed { code } => {
                Self { code: Some(code.clone()), ..Self::plain(OutcomeResult::Failed) }
            }
            request::Outcome::BeyondBound { rows } => {
                Self { rows: Some(*rows), ..Self::plain(OutcomeResult::BeyondBound) }
            }
            request::Outcome::Unknown => Self::plain(OutcomeResult::Unknown),
        }
    }
}

impl From<request::Transaction> for OutcomeTransaction {
    fn from(transaction: request::Transaction) -> Self {
        match transaction {
            request::Transaction::Open => Self::Open,
            request::Transaction::Over(request::Fate::Committed) => Self::Committed,
            request::Transaction::Over(request::Fate::RolledBack) => Self::RolledBack,
            request::Transaction::Over(request::Fate::Unknown) => Self::Unknown,
        }
    }
}

/// What its approvers may let a yes cover at most.
fn most(view: &RequestView) -> Option<Most> {
    let (uses, lasting) = view.most?;
    let envelope = view.ceiling.as_ref().map(|ceiling| MostEnvelope {
        rows: ceiling.rows,
        total: ceiling.total,
        uses: ceiling.uses,
        for_s: ceiling.longest.millis() / 1_000,
    });
    Some(Most { uses, for_s: lasting.millis() / 1_000, envelope })
}

impl From<ReceiptView> for Receipt {
    fn from(view: ReceiptView) -> Self {
        let envelope = view.envelope.map(|bounds| Envelope { rows: bounds.rows, total: bounds.total });
        Self { uses: view.uses, used: view.used, envelope, rows_spent: envelope.map(|_| view.spent) }
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
        let marks = value.as_deref().filter(|_| encoding != Encoding::Hex).map(marks).unwrap_or_default();
        Self { position, r#type: view.type_id, type_name, encoding, value, marks }
    }
}

impl From<FunctionView> for Function {
    fn from(view: FunctionView) -> Self {
        let FunctionView { name, volatile, definer } = view;
        Self { name, volatile, definer }
    }
}

impl From<RelationView> for Relation {
    fn from(view: RelationView) -> Self {
        let RelationView { name, owner, estimate_rows, access, kinds, columns, reached, .. } = view;
        let RelationView { title, responsible, impact, labels, .. } = view;
        let impact = impact.map(Into::into);
        Self {
            name,
            owner,
            estimate_rows,
            access,
            kinds,
            columns,
            reached,
            title,
            responsible,
            impact,
            labels,
        }
    }
}

impl Rows {
    pub(super) fn of(view: RowsView, foreseen: &Foreseen) -> Self {
        let RowsView { count, least, estimate, bound } = view;
        Self {
            count: count.filter(|_| least.is_none()),
            least,
            most: count.filter(|_| least.is_some()),
            unknown: foreseen.rows_unknown.clone(),
            branches: foreseen.branches.iter().cloned().map(Into::into).collect(),
            estimate,
            bound,
            unbounded: bound.is_none(),
        }
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
        let Terms { uses, valid_for, envelope } = view.terms;
        Self {
            by,
            display,
            at: view.at.rfc3339(),
            comment: view.comment,
            signed: view.signed,
            uses,
            for_s: valid_for.map(|span| span.millis() / 1_000),
            envelope: envelope.map(|bounds| Envelope { rows: bounds.rows, total: bounds.total }),
        }
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
