//! What servers say of themselves: the tools that they have, and lists of which a part is shown.

use super::json::{Json, Kind};

/// A list in a server's answer, and where it is.
#[derive(Debug)]
pub struct Listing<'a> {
    result: &'a Json<'a>,
    member: &'static str,
    /// What is listed, in order, each by what it is called.
    pub items: Vec<(&'a str, &'a Json<'a>)>,
}

/// A tool as its server describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// What it is called.
    pub name: String,
    /// All of it in the canonical form, without what only a display needs.
    pub canonical: String,
    /// All of it over several lines, for people.
    pub in_lines: String,
    /// What the server says of it, unchecked: `read-only`, `destructive`, `idempotent`, `open-world`.
    pub claims: Vec<&'static str>,
    /// The JSON Schema of its arguments, as it is written.
    pub schema: String,
}

/// Under which name a method's answer lists what, and what its items are called by.
const LISTS: &[(&str, &str, &str)] = &[
    ("tools/list", "tools", "name"),
    ("prompts/list", "prompts", "name"),
    ("resources/list", "resources", "uri"),
    ("resources/templates/list", "resourceTemplates", "uriTemplate"),
];

/// The list in the answer to `method`; nothing where it answers with none. What has no name of its own is left out.
#[must_use]
pub fn listing<'a>(method: &str, result: &'a Json<'a>) -> Option<Listing<'a>> {
    let (_, member, key) = LISTS.iter().find(|(listing, ..)| *listing == method)?;
    let items = result.get(member)?.values()?;
    let items = items.iter().filter_map(|item| Some((item.get(key)?.text()?, item))).collect();
    Some(Listing { result, member, items })
}

impl Listing<'_> {
    /// The result with those items alone that `shown` says, each byte for byte as the server wrote it.
    #[must_use]
    pub fn only(&self, mut shown: impl FnMut(&str, &Json<'_>) -> bool) -> String {
        let kept = self.items.iter().filter(|(name, item)| shown(name, item)).map(|(_, item)| item.raw);
        let kept = kept.collect::<Vec<_>>().join(",");
        let others = self.result.members().unwrap_or_default();
        let others = others.iter().filter(|(name, _)| name != self.member);
        let mut out = format!("{{\"{}\":[{kept}]", self.member);
        for (name, value) in others {
            out.push(',');
            super::json::write_text(name, &mut out);
            out.push(':');
            out.push_str(value.raw);
        }
        out.push('}');
        out
    }
}

/// The tools in the answer to `tools/list`, and where the list goes on. What has no canonical form is left out: nobody
/// could approve a call of it.
#[must_use]
pub fn definitions(result: &Json<'_>) -> (Vec<Definition>, Option<String>) {
    let found = listing("tools/list", result);
    let items = found.iter().flat_map(|listing| &listing.items);
    let definitions = items.filter_map(|(name, tool)| definition(name, tool)).collect();
    (definitions, result.get("nextCursor").and_then(Json::text).map(str::to_owned))
}

fn definition(name: &str, tool: &Json<'_>) -> Option<Definition> {
    let shown = tool.members()?.iter().filter(|(key, _)| key != "icons").cloned().collect();
    let tool = Json { raw: tool.raw, kind: Kind::Object(shown) };
    let schema = tool.get("inputSchema").map_or("{}", |schema| schema.raw).to_owned();
    Some(Definition {
        name: name.to_owned(),
        canonical: tool.canonical().ok()?,
        in_lines: tool.in_lines().ok()?,
        claims: claims_of(&tool),
        schema,
    })
}

/// What the annotations of a tool say of it.
#[must_use]
pub fn claims_of(tool: &Json<'_>) -> Vec<&'static str> {
    let hints = [
        ("readOnlyHint", "read-only"),
        ("destructiveHint", "destructive"),
        ("idempotentHint", "idempotent"),
        ("openWorldHint", "open-world"),
    ];
    let annotations = tool.get("annotations");
    let says = |hint: &str| annotations.and_then(|one| one.get(hint)).is_some_and(Json::is_true);
    hints.into_iter().filter(|(hint, _)| says(hint)).map(|(_, claim)| claim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::json;

    const ANSWER: &str = r#"{"tools":[{"name":"a","inputSchema":{"type":"object"}, "annotations":{"readOnlyHint":true}},{"name":"b","n":1.50,"inputSchema":{}},{"x":1}],"nextCursor":"n"}"#;

    #[test]
    fn what_is_not_shown_is_gone_and_the_rest_is_as_it_was() {
        let result = json::read(ANSWER.as_bytes()).unwrap();
        let found = listing("tools/list", &result).unwrap();
        assert_eq!(
            found.only(|name, _| name == "b"),
            r#"{"tools":[{"name":"b","n":1.50,"inputSchema":{}}],"nextCursor":"n"}"#
        );
        assert_eq!(found.only(|_, _| false), r#"{"tools":[],"nextCursor":"n"}"#);
        assert!(listing("tools/call", &result).is_none());
    }

    #[test]
    fn a_tool_is_known_by_all_that_its_server_says_of_it() {
        let result = json::read(ANSWER.as_bytes()).unwrap();
        let (found, next) = definitions(&result);
        assert_eq!(next.as_deref(), Some("n"));
        assert_eq!(found.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(found[0].claims, ["read-only"]);
        assert_eq!(found[1].canonical, r#"{"inputSchema":{},"n":1.5,"name":"b"}"#);
    }
}
