//! What a message of a client's amounts to: which action, about what, with which arguments.
//!
//! Every method of the protocol that is known has its parameters read in full; what is not known is `mcp.unknown`, about
//! nothing, and is permitted by no role that does not say so.

use std::collections::BTreeMap;

use super::json::{BadJson, Json, Kind};
use super::{Id, Malformed};

/// How many values the arguments of one call may hold, in all.
pub const ARGUMENTS_MAX: usize = 512;
/// The longest name of a tool, prompt or resource, in bytes.
const NAME_BYTES_MAX: usize = 4_096;

/// What a message amounts to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The action's name: `mcp.call`.
    pub action: &'static str,
    /// The tool that it is about; empty if none.
    pub tool: String,
    /// The prompt that it is about; empty if none.
    pub prompt: String,
    /// The server's resource that it is about; empty if none.
    pub uri: String,
    /// Every value in the arguments by its JSON pointer without the first slash: texts as they are, the rest as canonical
    /// JSON.
    pub args: BTreeMap<String, String>,
    /// Those that are whole numbers, by the same names.
    pub numbers: BTreeMap<String, i64>,
    /// All of it, for people: the method and its parameters, over several lines. Two messages that mean something else
    /// have other texts.
    pub text: String,
    /// Under which token progress is told, as JSON.
    pub progress: Option<String>,
    /// The request that it is about, for what cancels one.
    pub of: Option<Id>,
}

/// Which parameters a method has.
struct Form {
    method: &'static str,
    action: &'static str,
    about: About,
    /// Parameters beside what it is about, and `_meta`.
    more: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    Nothing,
    Tool,
    Prompt,
    Uri,
    /// What is completed: a prompt, or a template of resources.
    Reference,
}

const fn form(
    method: &'static str,
    action: &'static str,
    about: About,
    more: &'static [&'static str],
) -> Form {
    Form { method, action, about, more }
}

/// The methods of clients, and what they tell (revisions 2025-06-18 and 2025-11-25).
const FORMS: &[Form] = &[
    form("initialize", "mcp.session", About::Nothing, &["protocolVersion", "capabilities", "clientInfo"]),
    form("ping", "mcp.session", About::Nothing, &[]),
    form("logging/setLevel", "mcp.session", About::Nothing, &["level"]),
    form("tools/list", "mcp.list", About::Nothing, &["cursor"]),
    form("prompts/list", "mcp.list", About::Nothing, &["cursor"]),
    form("resources/list", "mcp.list", About::Nothing, &["cursor"]),
    form("resources/templates/list", "mcp.list", About::Nothing, &["cursor"]),
    form("tools/call", "mcp.call", About::Tool, &["arguments"]),
    form("prompts/get", "mcp.prompt", About::Prompt, &["arguments"]),
    form("resources/read", "mcp.read", About::Uri, &[]),
    form("resources/subscribe", "mcp.subscribe", About::Uri, &[]),
    form("resources/unsubscribe", "mcp.session", About::Uri, &[]),
    form("completion/complete", "mcp.complete", About::Reference, &["argument", "context"]),
    form("notifications/initialized", "mcp.session", About::Nothing, &[]),
    form("notifications/cancelled", "mcp.session", About::Nothing, &["requestId", "reason"]),
    form(
        "notifications/progress",
        "mcp.session",
        About::Nothing,
        &["progressToken", "progress", "total", "message"],
    ),
    form("notifications/roots/list_changed", "mcp.roots", About::Nothing, &[]),
];

/// What a server may ask of a client, as actions.
const OF_SERVERS: &[(&str, &str)] = &[
    ("ping", "mcp.session"),
    ("sampling/createMessage", "mcp.sample"),
    ("elicitation/create", "mcp.elicit"),
    ("roots/list", "mcp.roots"),
];

/// The action of what a server asks of a client.
#[must_use]
pub fn name_of(method: &str) -> &'static str {
    OF_SERVERS.iter().find(|(known, _)| *known == method).map_or("mcp.unknown", |(_, action)| action)
}

/// What a client's request or notification amounts to.
///
/// # Errors
/// [`Malformed::Params`]: its parameters are not those of its method, or hold what two readers would read differently.
pub fn said(method: &str, params: Option<&Json<'_>>) -> Result<Said, Malformed> {
    let wrong = |why: String| Malformed::Params { method: method.chars().take(64).collect(), why };
    let form = FORMS.iter().find(|form| form.method == method);
    let mut said = Said { action: form.map_or("mcp.unknown", |form| form.action), ..Said::default() };
    let members = params.and_then(Json::members).unwrap_or_default();
    if let Some(form) = form {
        let own = form.about.names();
        let known = |name: &str| name == "_meta" || own.contains(&name) || form.more.contains(&name);
        if let Some((name, _)) = members.iter().find(|(name, _)| !known(name)) {
            return Err(wrong(format!(
                "there is no parameter `{}`",
                name.chars().take(64).collect::<String>()
            )));
        }
        about(&mut said, form.about, params).map_err(|why| wrong(why.to_owned()))?;
    }
    if let Some(arguments) = params.and_then(|params| params.get("arguments")) {
        if arguments.members().is_none() {
            return Err(wrong("`arguments` is no object".into()));
        }
        let mut left = ARGUMENTS_MAX;
        flatten(arguments, "", &mut left, &mut said).map_err(|bad| wrong(bad.to_string()))?;
    }
    said.of = params.and_then(|params| params.get("requestId")).map(Id::of).transpose()?;
    let token = params.and_then(|params| params.get("_meta")?.get("progressToken"));
    said.progress = token.map(Id::of).transpose()?.map(|token| token.json());
    said.text = text(method, members).map_err(|bad| wrong(bad.to_string()))?;
    Ok(said)
}

impl About {
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Nothing => &[],
            Self::Tool | Self::Prompt => &["name"],
            Self::Uri => &["uri"],
            Self::Reference => &["ref"],
        }
    }
}

fn about(said: &mut Said, about: About, params: Option<&Json<'_>>) -> Result<(), &'static str> {
    let named = |value: Option<&Json<'_>>| {
        let name = value.and_then(Json::text).filter(|name| !name.is_empty() && name.len() <= NAME_BYTES_MAX);
        name.map(str::to_owned)
    };
    let param = |name: &str| params.and_then(|params| params.get(name));
    match about {
        About::Nothing => {}
        About::Tool => said.tool = named(param("name")).ok_or("`name` is no name of a tool")?,
        About::Prompt => said.prompt = named(param("name")).ok_or("`name` is no name of a prompt")?,
        About::Uri => said.uri = named(param("uri")).ok_or("`uri` is no address of a resource")?,
        About::Reference => {
            let reference = param("ref").ok_or("`ref` is missing")?;
            match reference.get("type").and_then(Json::text) {
                Some("ref/prompt") => {
                    said.prompt = named(reference.get("name")).ok_or("`ref.name` is no name of a prompt")?;
                }
                Some("ref/resource") => {
                    said.uri = named(reference.get("uri")).ok_or("`ref.uri` is no address of a resource")?;
                }
                _ => return Err("`ref` refers neither to a prompt nor to a resource"),
            }
        }
    }
    Ok(())
}

/// Why arguments can't be told to policy.
#[derive(Debug, thiserror::Error)]
enum Unflat {
    #[error(transparent)]
    Json(#[from] BadJson),
    #[error("`arguments` hold more than {ARGUMENTS_MAX} values, which is more than policies can look at")]
    Many,
}

fn flatten(value: &Json<'_>, at: &str, left: &mut usize, said: &mut Said) -> Result<(), Unflat> {
    let below = |name: &str| {
        let name = name.replace('~', "~0").replace('/', "~1");
        if at.is_empty() { name } else { format!("{at}/{name}") }
    };
    match &value.kind {
        Kind::Object(members) => {
            for (name, inner) in members {
                put(inner, below(name), left, said)?;
            }
        }
        Kind::List(values) => {
            for (place, inner) in values.iter().enumerate() {
                put(inner, below(&place.to_string()), left, said)?;
            }
        }
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) => {}
    }
    Ok(())
}

fn put(value: &Json<'_>, at: String, left: &mut usize, said: &mut Said) -> Result<(), Unflat> {
    *left = left.checked_sub(1).ok_or(Unflat::Many)?;
    let told = match value.text() {
        Some(text) => text.to_owned(),
        None => value.canonical()?,
    };
    if let Some(number) = value.whole() {
        said.numbers.insert(at.clone(), number);
    }
    flatten(value, &at, left, said)?;
    said.args.insert(at, told);
    Ok(())
}

/// The method, its name on the same line, and the parameters in lines. Where progress is told is no part of the meaning.
fn text(method: &str, members: &[(std::borrow::Cow<'_, str>, Json<'_>)]) -> Result<String, BadJson> {
    let mut out = method.to_owned();
    let mut sorted: Vec<_> = members.iter().collect();
    // What it is about comes first.
    sorted.sort_by_key(|(name, _)| (!["name", "uri", "ref"].contains(&&**name), name.clone()));
    for (name, value) in sorted {
        if name == "_meta" {
            let Some(rest) = without_progress(value)? else { continue };
            out.push_str("\n_meta: ");
            out.push_str(&rest);
            continue;
        }
        out.push('\n');
        out.push_str(name);
        out.push_str(": ");
        out.push_str(&value.in_lines()?);
    }
    Ok(out)
}

fn without_progress(meta: &Json<'_>) -> Result<Option<String>, BadJson> {
    let Some(members) = meta.members() else { return meta.in_lines().map(Some) };
    let rest: Vec<_> = members.iter().filter(|(name, _)| name != "progressToken").cloned().collect();
    if rest.is_empty() {
        return Ok(None);
    }
    Json { raw: meta.raw, kind: Kind::Object(rest) }.in_lines().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::json;

    fn of(method: &str, params: &str) -> Result<Said, String> {
        let params = json::read(params.as_bytes()).unwrap();
        said(method, Some(&params)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_call_tells_its_arguments_one_by_one() {
        let said = of(
            "tools/call",
            r#"{"name":"write","arguments":{"path":"/srv/a","lines":20,"more":{"x/y":[true,"z"]},"half":0.5},"_meta":{"progressToken":"t"}}"#,
        )
        .unwrap();
        assert_eq!((said.action, said.tool.as_str()), ("mcp.call", "write"));
        let args: Vec<(&str, &str)> = said.args.iter().map(|(name, text)| (&**name, &**text)).collect();
        assert_eq!(
            args,
            [
                ("half", "0.5"),
                ("lines", "20"),
                ("more", r#"{"x/y":[true,"z"]}"#),
                ("more/x~1y", r#"[true,"z"]"#),
                ("more/x~1y/0", "true"),
                ("more/x~1y/1", "z"),
                ("path", "/srv/a"),
            ]
        );
        assert_eq!(said.numbers, [("lines".to_owned(), 20)].into());
        assert_eq!(said.progress.as_deref(), Some("\"t\""));
        assert_eq!(
            said.text,
            "tools/call\nname: \"write\"\narguments: {\n  \"half\": 0.5,\n  \"lines\": 20,\n  \"more\": {\n    \"x/y\": [\n      true,\n      \"z\"\n    ]\n  },\n  \"path\": \"/srv/a\"\n}"
        );
    }

    #[test]
    fn the_order_of_names_and_the_way_of_writing_make_no_difference() {
        let one = of("tools/call", r#"{"arguments":{"b":1.0,"a":"A"},"name":"x"}"#).unwrap();
        let other =
            of("tools/call", r#"{"name":"x","arguments":{"a":"\u0041","b":1},"_meta":{"progressToken":7}}"#)
                .unwrap();
        assert_eq!(one.text, other.text);
        let third =
            of("tools/call", r#"{"name":"x","arguments":{"a":"\u0041","b":1},"_meta":{"a":7}}"#).unwrap();
        assert_ne!(one.text, third.text);
    }

    #[test]
    fn nothing_of_a_name_reaches_into_another_part_of_the_text() {
        let sly = of("tools/call", "{\"name\":\"x\\narguments: {}\",\"arguments\":{}}").unwrap();
        assert_eq!(sly.text, "tools/call\nname: \"x\\narguments: {}\"\narguments: {}");
    }

    #[test]
    fn what_does_not_fit_the_method_is_refused() {
        for (method, params, error) in [
            (
                "tools/call",
                r#"{"arguments":{}}"#,
                "the parameters of `tools/call` are not right: `name` is no name of a tool",
            ),
            (
                "tools/call",
                r#"{"name":7}"#,
                "the parameters of `tools/call` are not right: `name` is no name of a tool",
            ),
            (
                "tools/call",
                r#"{"name":"x","arguments":[]}"#,
                "the parameters of `tools/call` are not right: `arguments` is no object",
            ),
            (
                "tools/call",
                r#"{"name":"x","task":{}}"#,
                "the parameters of `tools/call` are not right: there is no parameter `task`",
            ),
            (
                "tools/call",
                r#"{"name":"x","arguments":{"n":12345678901234567890}}"#,
                "the parameters of `tools/call` are not right: the number `12345678901234567890` is not the same to every reader; send it as a text",
            ),
            (
                "resources/read",
                r#"{"uri":""}"#,
                "the parameters of `resources/read` are not right: `uri` is no address of a resource",
            ),
            (
                "completion/complete",
                r#"{"ref":{"type":"x"}}"#,
                "the parameters of `completion/complete` are not right: `ref` refers neither to a prompt nor to a resource",
            ),
        ] {
            assert_eq!(of(method, params), Err(error.to_owned()));
        }
        let many = format!(r#"{{"name":"x","arguments":{{"a":[{}0]}}}}"#, "0,".repeat(ARGUMENTS_MAX));
        assert!(of("tools/call", &many).unwrap_err().ends_with("which is more than policies can look at"));
        assert_eq!(of("tasks/get", r#"{"taskId":"a"}"#).unwrap().action, "mcp.unknown");
    }
}
