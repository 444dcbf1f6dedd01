//! What the server calls a result column that has no alias (`FigureColname` in its parser): subqueries are looked into
//! by these names.

use crate::sql::tree::{Tree, Value, names_of};

/// The name of an expression's column.
pub(super) fn of(tree: &Tree) -> String {
    figured(tree).unwrap_or_else(|| "?column?".to_owned())
}

fn figured(tree: &Tree) -> Option<String> {
    let last = |field: &str| tree.names(field).last().map(|name| (*name).to_owned());
    match tree.name {
        "ColumnRef" => last("fields"),
        "AIndirection" => {
            let named = names_of(tree.list("indirection")).last().map(|name| (*name).to_owned());
            named.or_else(|| tree.node("arg").and_then(figured))
        }
        "FuncCall" => last("funcname"),
        "AExpr" if tree.int("kind") == pg_query::protobuf::AExprKind::AexprNullif as i64 => {
            Some("nullif".to_owned())
        }
        "TypeCast" => tree.node("arg").and_then(figured).or_else(|| {
            let names = tree.node("type_name").map(|name| name.names("names"));
            names.and_then(|names| names.last().map(|name| (*name).to_owned()))
        }),
        "CollateClause" => tree.node("arg").and_then(figured),
        "CaseExpr" => Some(tree.node("defresult").and_then(figured).unwrap_or_else(|| "case".to_owned())),
        "GroupingFunc" => Some("grouping".to_owned()),
        "AArrayExpr" => Some("array".to_owned()),
        "RowExpr" => Some("row".to_owned()),
        "CoalesceExpr" => Some("coalesce".to_owned()),
        "MinMaxExpr" => {
            let greatest = tree.int("op") == pg_query::protobuf::MinMaxOp::IsGreatest as i64;
            Some(if greatest { "greatest" } else { "least" }.to_owned())
        }
        "XmlExpr" => Some(xml(tree).to_owned()),
        "XmlSerialize" => Some("xmlserialize".to_owned()),
        "SqlValueFunction" => Some(value_function(tree).to_owned()),
        "SubLink" => sublink(tree),
        _ => None,
    }
}

fn xml(tree: &Tree) -> &'static str {
    use pg_query::protobuf::XmlExprOp as X;
    match X::try_from(i32::try_from(tree.int("op")).unwrap_or(0)) {
        Ok(X::IsXmlconcat) => "xmlconcat",
        Ok(X::IsXmlelement) => "xmlelement",
        Ok(X::IsXmlforest) => "xmlforest",
        Ok(X::IsXmlparse) => "xmlparse",
        Ok(X::IsXmlpi) => "xmlpi",
        Ok(X::IsXmlroot) => "xmlroot",
        Ok(X::IsXmlserialize) => "xmlserialize",
        _ => "?column?",
    }
}

fn value_function(tree: &Tree) -> &'static str {
    use pg_query::protobuf::SqlValueFunctionOp as S;
    match S::try_from(i32::try_from(tree.int("op")).unwrap_or(0)) {
        Ok(S::SvfopCurrentDate) => "current_date",
        Ok(S::SvfopCurrentTime | S::SvfopCurrentTimeN) => "current_time",
        Ok(S::SvfopCurrentTimestamp | S::SvfopCurrentTimestampN) => "current_timestamp",
        Ok(S::SvfopLocaltime | S::SvfopLocaltimeN) => "localtime",
        Ok(S::SvfopLocaltimestamp | S::SvfopLocaltimestampN) => "localtimestamp",
        Ok(S::SvfopCurrentRole) => "current_role",
        Ok(S::SvfopCurrentUser) => "current_user",
        Ok(S::SvfopUser) => "user",
        Ok(S::SvfopSessionUser) => "session_user",
        Ok(S::SvfopCurrentCatalog) => "current_catalog",
        Ok(S::SvfopCurrentSchema) => "current_schema",
        Ok(S::SqlvalueFunctionOpUndefined) | Err(_) => "?column?",
    }
}

fn sublink(tree: &Tree) -> Option<String> {
    use pg_query::protobuf::SubLinkType as L;
    match L::try_from(i32::try_from(tree.int("sub_link_type")).unwrap_or(0)) {
        Ok(L::ExistsSublink) => Some("exists".to_owned()),
        Ok(L::ArraySublink) => Some("array".to_owned()),
        Ok(L::ExprSublink) => {
            let mut select = tree.node("subselect")?;
            while let Some(left) = select.node("larg") {
                select = left;
            }
            let target = select.list("target_list").first().and_then(Value::as_node);
            match target {
                Some(target) if target.has("name") => Some(target.text("name").to_owned()),
                Some(target) => target.node("val").and_then(figured),
                None => Some("column1".to_owned()),
            }
        }
        _ => None,
    }
}
