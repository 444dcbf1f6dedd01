//! Binary values as an approver reads them, against the server's own text form.

use std::error::Error;

use anyhow::{Context as _, Result, ensure};
use countersign_testkit::ScratchPostgres;
use countersign_wire::postgres::binary;
use tokio_postgres::types::{FromSql, Type};

/// A value's bytes, whatever its type.
struct Raw(Vec<u8>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw.to_vec()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Each gives many values `x` of one type.
const VALUES: &[&str] = &[
    "SELECT x FROM (VALUES (true), (false)) v(x)",
    "SELECT x::int2 FROM (VALUES (0), (-32768), (32767)) v(x)",
    "SELECT x::int4 FROM (VALUES (0), (-2147483648), (2147483647)) v(x)",
    "SELECT x::int8 FROM (VALUES (0), (-9223372036854775808), (9223372036854775807)) v(x)",
    "SELECT x::oid FROM (VALUES (0), (4294967295)) v(x)",
    "SELECT ((random() - 0.5) * 10 ^ (random() * 70 - 35))::float4 FROM generate_series(1, 3000)",
    "SELECT x::float4 FROM (VALUES ('NaN'), ('inf'), ('-inf'), ('0'), ('-0'), ('100000'), ('1e6'), ('123456'), ('1e-4'), ('1e-5')) v(x)",
    "SELECT (random() - 0.5) * 10 ^ (random() * 600 - 300) FROM generate_series(1, 3000)",
    "SELECT x::float8 FROM (VALUES ('NaN'), ('inf'), ('-inf'), ('0'), ('-0'), ('1e14'), ('1e15'), ('123456789012345'), ('1e-4'), ('1e-5'), ('5e-324')) v(x)",
    "SELECT round(((random() - 0.5) * 10 ^ (random() * 60 - 30))::numeric, (random() * 30)::int) FROM generate_series(1, 3000)",
    "SELECT x::numeric FROM (VALUES ('NaN'), ('Infinity'), ('-Infinity'), ('0'), ('0.00'), ('-0.001'), ('10000'), ('99999999.9999'), ('1e40')) v(x)",
    "SELECT x::text FROM (VALUES (''), ('NULL'), ('ä \"quoted\" \\ {1,2}')) v(x)",
    "SELECT x::varchar(10) FROM (VALUES (''), ('abc')) v(x)",
    "SELECT x::char(5) FROM (VALUES (''), ('abc')) v(x)",
    "SELECT x::name FROM (VALUES (''), ('abc')) v(x)",
    "SELECT x::\"char\" FROM (VALUES (''), ('a')) v(x)",
    "SELECT x::bytea FROM (VALUES (''), ('\\x00ff10')) v(x)",
    "SELECT gen_random_uuid() FROM generate_series(1, 100)",
    "SELECT x::json FROM (VALUES ('{\"a\": [1, null]}'), ('null')) v(x)",
    "SELECT x::jsonb FROM (VALUES ('{\"a\": [1, null]}'), ('null')) v(x)",
    "SELECT DATE '2000-01-01' + (random() * 4000000 - 2400000)::int FROM generate_series(1, 3000)",
    "SELECT x::date FROM (VALUES ('infinity'), ('-infinity'), ('0001-01-01'), ('0001-12-31 BC'), ('4713-01-01 BC'), ('5874897-12-31'), ('2024-02-29'), ('1900-03-01')) v(x)",
    "SELECT x::time FROM (VALUES ('00:00'), ('24:00'), ('23:59:59.999999'), ('12:30:01.5')) v(x)",
    "SELECT TIMESTAMP '2000-01-01' + random() * 200000 * interval '1 day' - interval '250 years' FROM generate_series(1, 3000)",
    "SELECT x::timestamp FROM (VALUES ('infinity'), ('-infinity'), ('4713-01-01 00:00:00 BC'), ('294276-12-31 23:59:59.999999'), ('1999-12-31 23:59:59.999999')) v(x)",
    "SELECT x::timestamptz FROM (VALUES ('infinity'), ('-infinity'), ('0044-03-15 12:00:00+00 BC'), ('2024-02-29 12:34:56.000007+00')) v(x)",
    "SELECT x::int8[] FROM (VALUES ('{}'), ('{1,NULL,-3}'), ('{{1,2},{3,4}}'), ('[0:1]={5,6}'), ('[2:2][-1:0]={{7,8}}')) v(x)",
    "SELECT x::text[] FROM (VALUES ('{\"\",NULL,\"NULL\",null,\"a b\",\"c,d\",\"\\\"\\\\\",\"{\"}')) v(x)",
    "SELECT ARRAY[chr(9), chr(10), chr(11), chr(12), chr(13), chr(160), 'Null']",
    "SELECT x::float8[] FROM (VALUES ('{1.5,NaN,1e300}')) v(x)",
    "SELECT x::numeric[] FROM (VALUES ('{1.50,NULL}')) v(x)",
    "SELECT x::timestamptz[] FROM (VALUES ('{\"2024-02-29 12:34:56+00\"}')) v(x)",
    "SELECT x::date[] FROM (VALUES ('{2024-02-29,\"0044-03-15 BC\"}')) v(x)",
    "SELECT x::bytea[] FROM (VALUES ('{\"\\\\x00ff\"}')) v(x)",
    "SELECT x::jsonb[] FROM (VALUES ('{\"{\\\"a\\\": 1}\"}')) v(x)",
    "SELECT ARRAY[gen_random_uuid(), NULL]",
    "SELECT make_interval(0, (random() * 400 - 200)::int, 0, (random() * 400 - 200)::int, 0, 0, (random() - 0.5) * 10 ^ (random() * 12 - 6)) FROM generate_series(1, 3000)",
    "SELECT x::interval FROM (VALUES ('0'), ('1 year'), ('-1 year -2 mons +3 days -04:05:06.7'), ('-1 day +1 sec'), ('1 mon -1 sec'), ('-13 mons'), ('2000000000 hours'), ('1 day'), ('-0.000001 sec')) v(x)",
    "SELECT x::timetz FROM (VALUES ('00:00+00'), ('24:00-15:59:59'), ('12:30:01.5+05:30'), ('23:59:59.999999-08')) v(x)",
    "SELECT x::inet FROM (VALUES ('127.0.0.1'), ('10.1.2.3/24'), ('::'), ('::1'), ('::2'), ('::ffff:1.2.3.4'), ('::1.2.3.4/96'), ('2001:db8::1/64'), ('1:0:0:2::3'), ('1:0:0:2:0:0:3:4'), ('fe80::'), ('1:2:3:4:5:6:7:8'), ('::ffff:0:0'), ('0:0:1::'), ('::5:6:7:8')) v(x)",
    "SELECT x::cidr FROM (VALUES ('10.1.2.0/24'), ('0.0.0.0/0'), ('10.1.2.3'), ('2001:db8::/32'), ('::/0'), ('::ffff:1.2.3.0/120')) v(x)",
    "SELECT x::macaddr FROM (VALUES ('08:00:2b:01:02:03'), ('ff:ff:ff:ff:ff:ff')) v(x)",
    "SELECT x::macaddr8 FROM (VALUES ('08:00:2b:01:02:03:04:05')) v(x)",
    "SELECT x::bit(5) FROM (VALUES ('10101'), ('00000')) v(x)",
    "SELECT x::varbit FROM (VALUES (''), ('1'), ('111100001111')) v(x)",
    "SELECT point((random() - 0.5) * 10 ^ (random() * 40 - 20), 1) FROM generate_series(1, 100)",
    "SELECT x::lseg FROM (VALUES ('[(1,2),(3.5,-4)]')) v(x)",
    "SELECT x::line FROM (VALUES ('{1,-1,0.5}')) v(x)",
    "SELECT x::box FROM (VALUES ('(1,2),(3,4)'), ('(-1e300,0),(0,0)')) v(x)",
    "SELECT x::path FROM (VALUES ('((1,2),(3,4))'), ('[(1,2),(3,4),(5,6)]')) v(x)",
    "SELECT x::polygon FROM (VALUES ('((1,2),(3,4),(5,6))')) v(x)",
    "SELECT x::circle FROM (VALUES ('<(1,2),3>')) v(x)",
    "SELECT x::box[] FROM (VALUES ('{(1,2),(3,4);(5,6),(7,8)}')) v(x)",
    "SELECT x::point[] FROM (VALUES ('{\"(1,2)\",NULL}')) v(x)",
    "SELECT x::tid FROM (VALUES ('(0,1)'), ('(4294967295,65535)')) v(x)",
    "SELECT x::xid FROM (VALUES ('0'), ('4294967295')) v(x)",
    "SELECT x::xid8 FROM (VALUES ('0'), ('18446744073709551615')) v(x)",
    "SELECT x::pg_lsn FROM (VALUES ('0/0'), ('16/B374D848')) v(x)",
    "SELECT x::xml FROM (VALUES ('<a b=\"c\">ä</a>')) v(x)",
    "SELECT x::jsonpath FROM (VALUES ('$.a[*] ? (@ > 1)'), ('strict $')) v(x)",
    "SELECT x::tsvector FROM (VALUES ('a:1A,2B fat:3C cat:4 it''s \\b'), ('')) v(x)",
    "SELECT x::int4range FROM (VALUES ('[1,5)'), ('(,)'), ('empty'), ('[,3)'), ('(7,]')) v(x)",
    "SELECT x::int8range FROM (VALUES ('[1,5)')) v(x)",
    "SELECT x::numrange FROM (VALUES ('[1.50,5]'), ('(1,2)')) v(x)",
    "SELECT x::daterange FROM (VALUES ('[2024-02-29,infinity)'), ('[0044-03-15 BC,2000-01-01)')) v(x)",
    "SELECT x::tsrange FROM (VALUES ('[\"2024-02-29 12:00\",\"2024-03-01 00:00:00.5\"]')) v(x)",
    "SELECT x::tstzrange FROM (VALUES ('[\"2024-02-29 12:00+00\",)')) v(x)",
    "SELECT x::int4multirange FROM (VALUES ('{}'), ('{[1,3),[5,9)}'), ('{(,)}')) v(x)",
    "SELECT x::tstzmultirange FROM (VALUES ('{[\"2024-02-29 12:00+00\",\"2024-03-01 00:00+00\")}')) v(x)",
    "SELECT x::int4range[] FROM (VALUES ('{\"[1,5)\",empty,NULL}')) v(x)",
    "SELECT x::interval[] FROM (VALUES ('{\"1 day\",01:00:00}')) v(x)",
    "SELECT x::inet[] FROM (VALUES ('{127.0.0.1,::1}')) v(x)",
];

#[tokio::test]
async fn binary_values_read_as_the_server_writes_them() -> Result<()> {
    let direct = ScratchPostgres::shared().await?.database().await?.direct().await?;
    direct.batch_execute("SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; SET bytea_output = 'hex'").await?;
    let mut compared = 0;
    for values in VALUES {
        // The cast of an address to text is not how the server writes it.
        let written = if values.starts_with("SELECT x::inet") { "format('%s', x)" } else { "x::text" };
        let text = format!("SELECT x, {written}, pg_typeof(x)::text FROM ({values}) AS v(x)");
        let rows = direct.query(&text, &[]).await.with_context(|| text.clone())?;
        ensure!(!rows.is_empty(), "no values: {values}");
        for row in rows {
            let (Raw(bytes), expected): (Raw, String) = (row.get(0), row.get(1));
            let oid = row.columns().first().map_or(0, |column| column.type_().oid());
            // A text of `char(n)` loses its padding; the value has it.
            let shown = binary::text(oid, &bytes)
                .map(|shown| if oid == 1042 { shown.trim_end().to_owned() } else { shown });
            let same = shown.as_deref() == Some(expected.as_str())
                || shown.as_deref().is_some_and(|shown| is_same_float(oid, shown, &expected));
            assert!(same, "{values}: {bytes:?} is shown as {shown:?}, not `{expected}`");
            let named: String = row.get(2);
            let name = binary::type_name(oid).unwrap_or_default();
            assert_eq!(name, named.replace(" without time zone", ""), "{oid}");
            compared += 1;
        }
    }
    assert!(compared > 15_000, "{compared} values");
    Ok(())
}

/// Of the shortest texts that read back as the same float, several may be as near to it.
fn is_same_float(oid: u32, shown: &str, expected: &str) -> bool {
    const GEOMETRY: [u32; 7] = [600, 601, 602, 603, 604, 628, 718];
    match oid {
        700 => shown.parse::<f32>().ok() == expected.parse::<f32>().ok() && is_as_short(shown, expected),
        701 => shown.parse::<f64>().ok() == expected.parse::<f64>().ok() && is_as_short(shown, expected),
        _ if GEOMETRY.contains(&oid) => {
            let parts = |text: &str| text.split(GEOMETRY_MARKS).map(str::to_owned).collect::<Vec<_>>();
            let marks = |text: &str| text.matches(GEOMETRY_MARKS).collect::<String>();
            let (ours, theirs) = (parts(shown), parts(expected));
            let same =
                |(ours, theirs): (&String, &String)| ours == theirs || is_same_float(701, ours, theirs);
            marks(shown) == marks(expected) && ours.iter().zip(&theirs).all(same)
        }
        _ => false,
    }
}

/// What stands between the numbers of geometric values.
const GEOMETRY_MARKS: &[char] = &['(', ')', '[', ']', '{', '}', '<', '>', ','];

fn is_as_short(shown: &str, expected: &str) -> bool {
    shown.len() <= expected.len() && shown.contains('e') == expected.contains('e')
}

#[tokio::test]
async fn built_in_types_have_the_servers_names() -> Result<()> {
    let direct = ScratchPostgres::shared().await?.database().await?.direct().await?;
    let rows = direct.query("SELECT oid, format_type(oid, NULL) FROM pg_type WHERE oid < 16384", &[]).await?;
    let mut known = 0;
    for row in rows {
        let (oid, name): (u32, String) = (row.get(0), row.get(1));
        if let Some(ours) = binary::type_name(oid) {
            assert_eq!(ours, name.replace(" without time zone", ""), "{oid}");
            known += 1;
        }
    }
    assert!(known > 80, "{known} types");
    Ok(())
}
