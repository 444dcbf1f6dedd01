//! What is encoded from arbitrary values is decoded to the same values.

use bytes::BytesMut;
use countersign_wire::postgres::encode::client::{self, Binding, Call};
use countersign_wire::postgres::encode::{Report, Severity, server};
use countersign_wire::postgres::startup::{Opening, ProtocolVersion};
use countersign_wire::postgres::{Column, Format, Limits, Phase, Target, backend, frontend};
use proptest::collection::vec;
use proptest::prelude::*;

fn text() -> impl Strategy<Value = Vec<u8>> {
    vec(1..=u8::MAX, 0..40)
}

fn values() -> impl Strategy<Value = Vec<Option<Vec<u8>>>> {
    vec(prop::option::of(vec(any::<u8>(), 0..40)), 0..12)
}

fn format() -> impl Strategy<Value = Format> {
    prop::sample::select(vec![Format::Text, Format::Binary])
}

/// None, one, or one for each value.
fn formats_for(count: usize) -> impl Strategy<Value = Vec<Format>> {
    prop::sample::select(vec![0, 1, count]).prop_flat_map(|len| vec(format(), len))
}

fn borrowed(values: &[Option<Vec<u8>>]) -> Vec<Option<&[u8]>> {
    values.iter().map(Option::as_deref).collect()
}

fn from_client(bytes: &[u8]) -> frontend::Body<'_> {
    let (message, used) = frontend::Message::decode(bytes, &Limits::new(Phase::Client)).unwrap().unwrap();
    assert_eq!(used, bytes.len());
    *message.body()
}

fn from_server(bytes: &[u8]) -> backend::Body<'_> {
    let (message, used) = backend::Message::decode(bytes, &Limits::new(Phase::Server)).unwrap().unwrap();
    assert_eq!(used, bytes.len());
    *message.body()
}

proptest! {
    #[test]
    fn parse(name in text(), query in text(), types in vec(any::<u32>(), 0..20)) {
        let mut out = BytesMut::new();
        client::parse(&mut out, &name, &query, &types).unwrap();
        let frontend::Body::Parse(parse) = from_client(&out) else { panic!("not a Parse") };
        prop_assert_eq!((parse.statement, parse.text), (&*name, &*query));
        prop_assert_eq!(parse.types.iter().collect::<Vec<_>>(), types);
    }

    #[test]
    fn bind(
        names in (text(), text()),
        (parameters, formats) in values().prop_flat_map(|v| { let n = v.len(); (Just(v), formats_for(n)) }),
        result_formats in vec(format(), 0..5),
    ) {
        let mut out = BytesMut::new();
        let binding = Binding {
            portal: &names.0,
            statement: &names.1,
            formats: &formats,
            parameters: &borrowed(&parameters),
            result_formats: &result_formats,
        };
        client::bind(&mut out, &binding).unwrap();
        let frontend::Body::Bind(bind) = from_client(&out) else { panic!("not a Bind") };
        prop_assert_eq!((bind.portal, bind.statement), (&*names.0, &*names.1));
        prop_assert_eq!(bind.parameters.len(), parameters.len());
        prop_assert_eq!(bind.parameters.iter().collect::<Vec<_>>(), borrowed(&parameters));
        prop_assert_eq!(bind.formats.iter().collect::<Vec<_>>(), formats);
        prop_assert_eq!(bind.result_formats.iter().collect::<Vec<_>>(), result_formats);
    }

    #[test]
    fn function_call(
        function in any::<u32>(),
        (arguments, formats) in values().prop_flat_map(|v| { let n = v.len(); (Just(v), formats_for(n)) }),
        result_format in format(),
    ) {
        let mut out = BytesMut::new();
        let arguments = borrowed(&arguments);
        let said = Call { function, formats: &formats, arguments: &arguments, result_format };
        client::function_call(&mut out, &said).unwrap();
        let frontend::Body::FunctionCall(call) = from_client(&out) else { panic!("not a FunctionCall") };
        prop_assert_eq!((call.function, call.result_format), (function, result_format));
        prop_assert_eq!(call.arguments.iter().collect::<Vec<_>>(), arguments);
        prop_assert_eq!(call.formats.iter().collect::<Vec<_>>(), formats);
    }

    #[test]
    fn names_and_limits(name in text(), rows in 0..=0x7fff_ffff_u32, of_statement in any::<bool>()) {
        let target = if of_statement { Target::Statement(&name) } else { Target::Portal(&name) };
        let mut out = BytesMut::new();
        client::describe(&mut out, target).unwrap();
        prop_assert_eq!(from_client(&out), frontend::Body::Describe(target));
        out.clear();
        client::close(&mut out, target).unwrap();
        prop_assert_eq!(from_client(&out), frontend::Body::Close(target));
        out.clear();
        client::execute(&mut out, &name, rows).unwrap();
        let frontend::Body::Execute(execute) = from_client(&out) else { panic!("not an Execute") };
        prop_assert_eq!((execute.portal, execute.rows_max), (&*name, rows));
        out.clear();
        client::query(&mut out, &name).unwrap();
        prop_assert_eq!(from_client(&out), frontend::Body::Query(&name));
        out.clear();
        client::copy_fail(&mut out, &name).unwrap();
        prop_assert_eq!(from_client(&out), frontend::Body::CopyFail(&name));
    }

    #[test]
    fn startup(parameters in vec((vec(1..=u8::MAX, 1..20), text()), 0..10), minor in any::<u16>()) {
        let mut names: Vec<_> = parameters.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        names.sort();
        names.dedup();
        let mut out = BytesMut::new();
        let version = ProtocolVersion { major: 3, minor };
        let pairs: Vec<(&[u8], &[u8])> = parameters.iter().map(|(name, value)| (&**name, &**value)).collect();
        client::startup(&mut out, version, &pairs).unwrap();
        match Opening::decode(&out) {
            Ok(Some((Opening::Startup(message), used))) => {
                prop_assert_eq!(used, out.len());
                prop_assert_eq!(message.version, version);
                prop_assert_eq!(message.parameters().collect::<Vec<_>>(), pairs);
                prop_assert_eq!(names.len(), parameters.len(), "each name once");
            }
            _ => prop_assert!(names.len() < parameters.len(), "refused only for a name that is there twice"),
        }
    }

    #[test]
    fn rows(row in values()) {
        let mut out = BytesMut::new();
        server::data_row(&mut out, &borrowed(&row)).unwrap();
        let backend::Body::DataRow(found) = from_server(&out) else { panic!("not a DataRow") };
        prop_assert_eq!(found.iter().collect::<Vec<_>>(), borrowed(&row));
    }

    #[test]
    fn columns(
        names in vec(text(), 0..12),
        numbers in any::<(u32, i16, u32, i16, i32)>(),
        format in format(),
    ) {
        let (table, number, type_oid, type_size, type_modifier) = numbers;
        let columns: Vec<_> = names
            .iter()
            .map(|name| Column { name, table, number, type_oid, type_size, type_modifier, format })
            .collect();
        let mut out = BytesMut::new();
        server::row_description(&mut out, &columns).unwrap();
        let backend::Body::RowDescription(found) = from_server(&out) else { panic!("not a RowDescription") };
        prop_assert_eq!(found.len(), columns.len());
        prop_assert_eq!(found.iter().collect::<Vec<_>>(), columns);
    }

    #[test]
    fn reports(
        texts in ("[^\0]{0,30}", "[^\0]{0,30}", prop::option::of("[^\0]{0,30}")),
        fatal in any::<bool>(),
    ) {
        let (message, detail, hint) = texts;
        let severity = if fatal { Severity::Fatal } else { Severity::Warning };
        let mut report = Report::new(severity, "57014", message.clone()).detail(detail.clone());
        if let Some(hint) = &hint {
            report = report.hint(hint.clone());
        }
        let mut out = BytesMut::new();
        report.encode(&mut out).unwrap();
        let fields = match from_server(&out) {
            backend::Body::ErrorResponse(fields) if fatal => fields,
            backend::Body::NoticeResponse(fields) if !fatal => fields,
            other => panic!("severity and type disagree: {other:?}"),
        };
        prop_assert_eq!(fields.severity(), Some(severity.word().as_bytes()));
        prop_assert_eq!(fields.code(), Some(b"57014".as_slice()));
        prop_assert_eq!(fields.message(), Some(message.as_bytes()));
        prop_assert_eq!(fields.get(b'D'), Some(detail.as_bytes()));
        prop_assert_eq!(fields.get(b'H'), hint.as_ref().map(String::as_bytes));
        prop_assert_eq!(fields.is_fatal(), fatal);
    }
}
