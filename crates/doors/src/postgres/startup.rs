//! What a client asks for when it connects, read as the hostile text that it is.
//!
//! User and database are names of ours and nothing else; settings are kept as they were asked for, to be judged before
//! the server gets them ([`super::settings`]); `options` is taken apart the way PostgreSQL does it, and only
//! `-c name=value` (also written `--name=value`) is understood. Settings in the `countersign.` namespace speak to the
//! gateway and never reach the server.

use countersign_core::{RoleId, Span};
use countersign_wire::postgres::startup::{PROTOCOL_PARAMETER_PREFIX, StartupMessage};

/// The longest value of any parameter, in bytes.
const VALUE_BYTES_MAX: usize = 1_024;
/// How many settings one client may ask for.
const SETTINGS_MAX: usize = 32;
/// The longest name of a setting, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// How long a client may want to wait for an answer before it is let in.
const WAIT_MAX: Span = Span::minutes(60);
/// What a startup packet says beside settings: as a setting's name each would turn into something else on its way.
const RESERVED: &[&str] = &["database", "options", "replication", "user"];

/// A client's wish, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Who, in the client's words; not yet a principal.
    pub(crate) user: String,
    /// Which resource, or its database.
    pub(crate) database: String,
    /// The client program, as it calls itself.
    pub(crate) application: String,
    /// In which role.
    pub(crate) role: Option<RoleId>,
    /// Why, for this session.
    pub(crate) reason: Option<String>,
    /// A reference to another system.
    pub(crate) ticket: Option<String>,
    /// A role to ask for where no grant of it is live.
    pub(crate) ask: Option<RoleId>,
    /// For how long to ask for it.
    pub(crate) lasting: Option<Span>,
    /// How long to wait for the answer.
    pub(crate) wait: Option<Span>,
    /// Settings for the server: those of `options` before the others, as the server takes them, and each once.
    pub(crate) settings: Vec<(String, String)>,
}

/// Why a wish cannot be granted: said to the client before it is known, so nothing of ours is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadWish {
    #[error("no user name is given; name yourself, for example `psql -U alice`")]
    NoUser,
    #[error("the {0} is not valid text; use UTF-8")]
    NotText(&'static str),
    #[error("the {0} has more than {VALUE_BYTES_MAX} bytes; shorten it")]
    TooLong(String),
    #[error("more than {SETTINGS_MAX} settings are asked for; ask for fewer")]
    TooMany,
    #[error("replication through this gateway is not possible; connect to a database without `replication`")]
    Replication,
    #[error("`{0}` is not the name of a setting; correct it")]
    Setting(String),
    #[error("the option `{0}` is not understood; only `-c name=value` is")]
    Option(String),
    #[error("`{0}` is not the name of a role; list yours with `countersign grants`")]
    Role(String),
    #[error(
        "the setting `countersign.{0}` does not exist; there are `role`, `reason`, `ticket`, `ask`, `for` and `wait`"
    )]
    Own(String),
    #[error("`{0}` is not a length of time; write for example `5m`")]
    Span(String),
    #[error("a client may wait for at most {WAIT_MAX} for an answer; ask for less")]
    Wait,
    #[error(
        "`countersign.wait` and `countersign.for` are about the role that `countersign.ask` names; name one"
    )]
    Unasked,
    #[error("`countersign.ask` and `countersign.role` name different roles; name one")]
    OtherRole,
    #[error("the setting `{0}` is given twice; name it once")]
    Twice(String),
}

impl BadWish {
    /// The SQLSTATE to tell the client.
    pub(crate) const fn sqlstate(&self) -> &'static str {
        match self {
            Self::NoUser => "28000",
            Self::NotText(_) | Self::Option(_) | Self::Twice(_) => "08P01",
            Self::TooLong(_) | Self::TooMany => "54000",
            Self::Replication => "0A000",
            Self::Setting(_) | Self::Own(_) => "42704",
            Self::Role(_) | Self::Span(_) | Self::Wait | Self::Unasked | Self::OtherRole => "22023",
        }
    }
}

/// Reads what a startup packet asks for.
///
/// # Errors
/// [`BadWish`] for anything that is not understood.
pub(crate) fn read(startup: &StartupMessage<'_>) -> Result<Wish, BadWish> {
    let user = text("user", startup.user().ok_or(BadWish::NoUser)?)?;
    let database = text("database", startup.database().ok_or(BadWish::NoUser)?)?;
    let mut wish = Wish {
        user: user.to_owned(),
        database: database.to_owned(),
        application: String::new(),
        role: None,
        reason: None,
        ticket: None,
        ask: None,
        lasting: None,
        wait: None,
        settings: Vec::new(),
    };
    let mut own = Vec::new();
    for (name, value) in startup.parameters() {
        if name.starts_with(PROTOCOL_PARAMETER_PREFIX) {
            continue;
        }
        let name = text("parameter name", name)?.to_ascii_lowercase();
        let value = text("parameter value", value)?;
        match name.as_str() {
            "user" | "database" => {}
            "replication" if is_off(value) => {}
            "replication" => return Err(BadWish::Replication),
            "options" => options(&mut wish, value)?,
            _ => own.push((name, value)),
        }
    }
    for (name, value) in own {
        setting(&mut wish, &name, value)?;
    }
    consistent(wish)
}

/// A role is asked for to be acted in, and nobody waits for what is not asked.
fn consistent(mut wish: Wish) -> Result<Wish, BadWish> {
    let Some(ask) = wish.ask.clone() else {
        return if wish.wait.is_some() || wish.lasting.is_some() { Err(BadWish::Unasked) } else { Ok(wish) };
    };
    match &wish.role {
        Some(role) if *role != ask => Err(BadWish::OtherRole),
        _ => {
            wish.role = Some(ask);
            Ok(wish)
        }
    }
}

fn is_off(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "false" | "off" | "no" | "0" | "f" | "n")
}

fn text<'a>(what: &'static str, bytes: &'a [u8]) -> Result<&'a str, BadWish> {
    if bytes.len() > VALUE_BYTES_MAX {
        return Err(BadWish::TooLong(what.to_owned()));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| BadWish::NotText(what))?;
    if text.chars().any(char::is_control) { Err(BadWish::NotText(what)) } else { Ok(text) }
}

fn setting(wish: &mut Wish, name: &str, value: &str) -> Result<(), BadWish> {
    if name == "application_name" {
        value.clone_into(&mut wish.application);
        return Ok(());
    }
    if let Some(own) = name.strip_prefix("countersign.") {
        return own_setting(wish, own, value);
    }
    if !is_name(name) {
        return Err(BadWish::Setting(shown(name)));
    }
    // The last one counts.
    wish.settings.retain(|(known, _)| known != name);
    if wish.settings.len() >= SETTINGS_MAX {
        return Err(BadWish::TooMany);
    }
    wish.settings.push((name.to_owned(), value.to_owned()));
    Ok(())
}

/// Whether a name can only be a setting's, here and for the server.
fn is_name(name: &str) -> bool {
    let letters =
        name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.'));
    let starts = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
    let protocol = name.as_bytes().starts_with(PROTOCOL_PARAMETER_PREFIX);
    letters && starts && !protocol && name.len() <= NAME_BYTES_MAX && !RESERVED.contains(&name)
}

fn own_setting(wish: &mut Wish, name: &str, value: &str) -> Result<(), BadWish> {
    let slot = match name {
        "role" => {
            let role = value.parse().map_err(|_| BadWish::Role(shown(value)))?;
            return once(&mut wish.role, role, name);
        }
        "ask" => {
            let role = value.parse().map_err(|_| BadWish::Role(shown(value)))?;
            return once(&mut wish.ask, role, name);
        }
        "for" => return once(&mut wish.lasting, span(value)?, name),
        "wait" => {
            let wait = span(value)?;
            return if wait > WAIT_MAX { Err(BadWish::Wait) } else { once(&mut wish.wait, wait, name) };
        }
        "reason" => &mut wish.reason,
        "ticket" => &mut wish.ticket,
        other => return Err(BadWish::Own(shown(other))),
    };
    once(slot, value.to_owned(), name)
}

fn span(value: &str) -> Result<Span, BadWish> {
    value.parse().ok().filter(|span: &Span| span.0 > 0).ok_or_else(|| BadWish::Span(shown(value)))
}

fn once<T>(slot: &mut Option<T>, value: T, name: &str) -> Result<(), BadWish> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(BadWish::Twice(format!("countersign.{name}"))),
    }
}

/// `options`: words separated by blanks, a backslash makes the next character ordinary (PostgreSQL, `pg_split_opts`).
fn options(wish: &mut Wish, line: &str) -> Result<(), BadWish> {
    let mut words = split(line).into_iter();
    while let Some(word) = words.next() {
        let assignment = match word.as_str() {
            "-c" => words.next().ok_or_else(|| BadWish::Option("-c".to_owned()))?,
            long if long.starts_with("--") => long.trim_start_matches('-').to_owned(),
            short if short.starts_with("-c") => short.chars().skip(2).collect(),
            other => return Err(BadWish::Option(shown(other))),
        };
        let (name, value) = assignment.split_once('=').ok_or_else(|| BadWish::Option(shown(&assignment)))?;
        // On the command line a dash stands for an underscore.
        setting(wish, &name.trim().to_ascii_lowercase().replace('-', "_"), value)?;
    }
    Ok(())
}

fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut inside) = (Vec::new(), String::new(), false);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                inside = true;
                word.extend(letters.next());
            }
            blank if blank.is_ascii_whitespace() => {
                if inside {
                    words.push(std::mem::take(&mut word));
                }
                inside = false;
            }
            other => {
                inside = true;
                word.push(other);
            }
        }
    }
    if inside {
        words.push(word);
    }
    words
}

/// A text of the client's for a message: short and printable.
fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use countersign_wire::postgres::encode::client;
    use countersign_wire::postgres::startup::{Opening, ProtocolVersion};

    fn wish(parameters: &[(&str, &str)]) -> Result<Wish, BadWish> {
        let pairs: Vec<(&[u8], &[u8])> =
            parameters.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        let mut bytes = BytesMut::new();
        client::startup(&mut bytes, ProtocolVersion::V3_0, &pairs).unwrap();
        match Opening::decode(&bytes).unwrap() {
            Some((Opening::Startup(startup), _)) => read(&startup),
            other => panic!("{other:?}"),
        }
    }

    fn refusal(name: &str, value: &str) -> String {
        wish(&[("user", "alice"), (name, value)]).unwrap_err().to_string()
    }

    #[test]
    fn a_plain_client_is_understood() {
        let wish = wish(&[
            ("user", "alice"),
            ("database", "shop"),
            ("application_name", "psql"),
            ("client_encoding", "UTF8"),
            (
                "options",
                r"-c search_path=a\ b,public -c countersign.reason=fix\ 4711 --countersign.role=shop-writer",
            ),
            ("_pq_.anything", "x"),
        ])
        .unwrap();
        assert_eq!(
            (wish.user.as_str(), wish.database.as_str(), wish.application.as_str()),
            ("alice", "shop", "psql")
        );
        assert_eq!(
            wish.settings,
            [("search_path".into(), "a b,public".into()), ("client_encoding".into(), "UTF8".into())]
        );
        assert_eq!(wish.reason.as_deref(), Some("fix 4711"));
        assert_eq!(wish.role, Some(RoleId::new("shop-writer")));
    }

    #[test]
    fn the_database_is_named_like_the_user_unless_said() {
        assert_eq!(wish(&[("user", "alice")]).unwrap().database, "alice");
    }

    #[test]
    fn hostile_parameters_are_refused_with_a_reason() {
        assert_eq!(refusal("options", "-P"), "the option `-P` is not understood; only `-c name=value` is");
        assert_eq!(refusal("options", "-c"), "the option `-c` is not understood; only `-c name=value` is");
        assert_eq!(refusal("options", "-cx"), "the option `x` is not understood; only `-c name=value` is");
        for smuggled in
            ["replication=database", "options=-cx", "user=postgres", "database=x", "_pq_.x=1", "a b=1", "=1"]
        {
            let message = refusal("options", &format!("-c {}", smuggled.replace(' ', "\\ ")));
            assert!(message.ends_with("is not the name of a setting; correct it"), "{smuggled}: {message}");
        }
        assert!(refusal("_PQ_.x", "1").contains("not the name of a setting"));
        assert_eq!(
            refusal("replication", "database"),
            "replication through this gateway is not possible; connect to a database without `replication`"
        );
        assert!(
            refusal("countersign.admin", "1").starts_with("the setting `countersign.admin` does not exist")
        );
        assert!(
            refusal("options", "-c countersign.role=../x").starts_with("`../x` is not the name of a role")
        );
        assert!(refusal("search_path", &"x".repeat(2_000)).contains("shorten it"));
        assert!(refusal("application_name", "a\nb").contains("not valid text"));
        let many: Vec<String> = (0..40).map(|number| format!("-c a.b{number}=1")).collect();
        assert!(refusal("options", &many.join(" ")).contains("ask for fewer"));
    }

    #[test]
    fn a_role_is_asked_for_to_be_acted_in() {
        let asked = wish(&[
            ("user", "alice"),
            ("options", "-c countersign.ask=shop-writer -c countersign.for=2h -c countersign.wait=5m"),
        ])
        .unwrap();
        assert_eq!((asked.role.clone(), asked.role), (asked.ask, Some(RoleId::new("shop-writer"))));
        assert_eq!((asked.lasting, asked.wait), (Some(Span::minutes(120)), Some(Span::minutes(5))));
        for (options, why) in [
            ("-c countersign.wait=5m", "are about the role"),
            ("-c countersign.for=5m", "are about the role"),
            ("-c countersign.ask=a -c countersign.role=b", "different roles"),
            ("-c countersign.ask=a -c countersign.wait=soon", "not a length of time"),
            ("-c countersign.ask=a -c countersign.wait=0s", "not a length of time"),
            ("-c countersign.ask=a -c countersign.wait=61m", "at most 1h"),
            ("-c countersign.ask=../a", "not the name of a role"),
        ] {
            let refused = refusal("options", options);
            assert!(refused.contains(why), "{options}: {refused}");
        }
    }

    #[test]
    fn settings_come_in_the_order_of_the_server_and_the_last_of_a_name_counts() {
        let wish = wish(&[
            ("user", "alice"),
            ("Work_Mem", "2MB"),
            ("options", "-c work_mem=1MB -c search_path=a --SEARCH-PATH=b"),
        ]);
        assert_eq!(
            wish.unwrap().settings,
            [("search_path".into(), "b".into()), ("work_mem".into(), "2MB".into())]
        );
    }

    #[test]
    fn a_name_is_never_taken_for_a_connection_string() {
        let wish = wish(&[("user", "host=evil user=x"), ("database", "postgres://evil/db")]).unwrap();
        assert_eq!(wish.user, "host=evil user=x", "a text, to be looked up and not found");
        assert_eq!(wish.database, "postgres://evil/db");
        assert!(wish.settings.is_empty());
    }
}
