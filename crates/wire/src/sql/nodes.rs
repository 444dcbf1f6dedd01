//! The syntax nodes that a reviewed read may consist of, and since which server version each exists.
//!
//! The grammar in use is younger than most servers. A node that is younger than the server means that the server
//! reads the same text as something else (on 15, `json_value('x', 'y')` calls a user's function), so such a
//! statement is not understood. A node that is not in this table has no place in a read at all.

/// The first server version (major) that has a node, if it may appear in a reviewed read.
pub(super) fn since(node: &str) -> Option<u32> {
    match node {
        // The shape of a query.
        "SelectStmt" | "WithClause" | "CommonTableExpr" | "List" | "ResTarget" | "SortBy" | "WindowDef"
        | "GroupingSet" | "GroupingFunc" | "Alias" => Some(OLDEST),
        // SEARCH and CYCLE came with 14; before, the words are no syntax at all.
        "CteSearchClause" | "CteCycleClause" => Some(14),
        // Where rows come from.
        "RangeVar" | "JoinExpr" | "RangeSubselect" | "RangeFunction" | "RangeTableSample"
        | "RangeTableFunc" | "RangeTableFuncCol" | "ColumnDef" | "TypeName" => Some(OLDEST),
        // Values.
        "String" | "Integer" | "Float" | "Boolean" | "BitString" | "AConst" | "ColumnRef" | "AStar"
        | "ParamRef" | "SqlValueFunction" => Some(OLDEST),
        // Expressions.
        "AExpr" | "BoolExpr" | "NullTest" | "BooleanTest" | "FuncCall" | "NamedArgExpr" | "TypeCast"
        | "CollateClause" | "SubLink" | "CaseExpr" | "CaseWhen" | "CoalesceExpr" | "MinMaxExpr"
        | "RowExpr" | "AArrayExpr" | "AIndirection" | "AIndices" | "XmlExpr" | "XmlSerialize" | "DefElem" => {
            Some(OLDEST)
        }
        // SQL/JSON, first part.
        "JsonIsPredicate"
        | "JsonObjectConstructor"
        | "JsonArrayConstructor"
        | "JsonArrayQueryConstructor"
        | "JsonObjectAgg"
        | "JsonArrayAgg"
        | "JsonAggConstructor"
        | "JsonKeyValue"
        | "JsonValueExpr"
        | "JsonFormat"
        | "JsonReturning"
        | "JsonOutput" => Some(16),
        // SQL/JSON, second part.
        "JsonFuncExpr" | "JsonParseExpr" | "JsonScalarExpr" | "JsonSerializeExpr" | "JsonTable"
        | "JsonTableColumn" | "JsonTablePathSpec" | "JsonBehavior" | "JsonArgument" => Some(17),
        _ => None,
    }
}

/// Nodes of statements that change data or lock rows. They are judged as such; they make no statement unreadable.
pub(super) fn changes_data(node: &str) -> bool {
    matches!(
        node,
        "InsertStmt"
            | "UpdateStmt"
            | "DeleteStmt"
            | "MergeStmt"
            | "MergeWhenClause"
            | "OnConflictClause"
            | "InferClause"
            | "IndexElem"
            | "ReturningClause"
            | "ReturningOption"
            | "MultiAssignRef"
            | "SetToDefault"
            | "CurrentOfExpr"
            | "LockingClause"
            | "IntoClause"
    )
}

/// The first server version that has one of the nodes of [`changes_data`] where that is not the oldest.
pub(super) fn changes_data_since(node: &str) -> u32 {
    match node {
        "MergeStmt" | "MergeWhenClause" => 15,
        "ReturningOption" => 18,
        _ => OLDEST,
    }
}

/// The oldest server version that is supported.
pub(super) const OLDEST: u32 = 13;

/// The youngest server version whose catalogue and grammar are known.
pub(super) const YOUNGEST: u32 = 18;

/// Whether a TABLESAMPLE method is one of the server's own two.
pub(super) fn is_builtin_sample(name: &str) -> bool {
    matches!(name, "system" | "bernoulli")
}
