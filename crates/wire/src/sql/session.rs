//! What the caller knows about the session that sent a statement.
//!
//! The same text means different things under another search path, another encoding, or beside temporary objects.
//! A field that the caller does not know is `None` (or the doubtful value), and doubt makes the answer stricter.

use super::catalogue::Catalogue;
use super::facts::Facts;

/// The state of one session that changes the meaning of statement text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionState {
    /// `server_version_num` as the server reports it, such as `150018`.
    pub server_version_num: u32,
    /// The schemas of `search_path` as set, in order, `$user` included; `None` when it is not known for certain.
    pub search_path: Option<Vec<String>>,
    /// The current role, which `$user` stands for; `None` when it is not known for certain.
    pub role: Option<String>,
    /// `standard_conforming_strings` as last reported by the server.
    pub standard_conforming_strings: bool,
    /// `client_encoding` as last reported by the server.
    pub client_encoding: String,
    /// Whether the session may own temporary objects. True from the first statement whose facts say
    /// `taints_session` or that creates something temporary.
    pub temporary_objects: bool,
    /// Whether the session's open transaction may have changed definitions, which no other connection can see, so
    /// that no catalogue tells what names mean here. The caller clears it when the server is idle again and a
    /// catalogue was asked for since.
    pub uncommitted_definitions: bool,
}

impl SessionState {
    /// The state of a session right after it started with the server's ordinary settings.
    pub fn fresh(server_version_num: u32, role: &str) -> SessionState {
        SessionState {
            server_version_num,
            search_path: Some(vec!["$user".to_owned(), "public".to_owned()]),
            role: Some(role.to_owned()),
            standard_conforming_strings: true,
            client_encoding: "UTF8".to_owned(),
            temporary_objects: false,
            uncommitted_definitions: false,
        }
    }

    /// The server's major version.
    pub fn major(&self) -> u32 {
        self.server_version_num / 10_000
    }

    /// What is still known of the session once a statement with these facts has run, or may have run in part.
    ///
    /// Errs towards not knowing: a search path that may have changed is not known until the caller asks the server
    /// again. Settings that the server reports by itself (`client_encoding`, `standard_conforming_strings`) are
    /// taken to have changed for the worse at once, because it reports them only when it is ready again, and only if
    /// they are others then; the caller asks for them too, or overwrites them with what the server reports.
    #[must_use]
    pub fn after(&self, facts: &Facts) -> SessionState {
        let mut next = self.clone();
        next.temporary_objects |= facts.creates_temporary || facts.taints_session;
        if facts.taints_session {
            next.search_path = None;
            next.role = None;
            next.doubt_reading();
        }
        if facts.role_change {
            next.role = None;
        }
        for change in &facts.settings {
            match change.name.as_str() {
                "search_path" => next.search_path = None,
                "all" => {
                    next.search_path = None;
                    next.doubt_reading();
                }
                "client_encoding" => {
                    next.client_encoding = change.value.clone().unwrap_or_else(|| "unknown".to_owned());
                }
                "standard_conforming_strings" => {
                    next.standard_conforming_strings = change.value.as_deref() == Some("on");
                }
                _ => {}
            }
        }
        next
    }

    /// The same while a transaction is open, or messages are under way that the server has not ended with
    /// ReadyForQuery: what the statement may have defined is then visible to this session alone.
    #[must_use]
    pub fn after_in_transaction(&self, facts: &Facts) -> SessionState {
        let mut next = self.after(facts);
        next.uncommitted_definitions |= facts.may_define();
        next
    }

    /// Whether a statement with these facts leaves everything as it is: [`SessionState::after_in_transaction`] would
    /// give an equal state.
    #[must_use]
    pub fn outlasts(&self, facts: &Facts) -> bool {
        facts.settings.is_empty()
            && !facts.taints_session
            && !facts.role_change
            && !facts.creates_temporary
            && !facts.may_define()
    }

    /// What quotes and bytes mean is not known.
    fn doubt_reading(&mut self) {
        self.standard_conforming_strings = false;
        self.client_encoding = "unknown".to_owned();
    }

    /// Why this text of the session cannot be understood at all, if so: the server may see other characters in it
    /// than the grammar did. Without a backslash it does not matter what one means, and bytes of ASCII alone are the
    /// same characters in every encoding that a client can have.
    #[must_use]
    pub fn unreadable(&self, text: &[u8]) -> Option<String> {
        self.misread(Letters::of(text))
    }

    /// The same, of a text whose letters were looked at before.
    pub(super) fn misread(&self, letters: Letters) -> Option<String> {
        if letters.backslash && !self.standard_conforming_strings {
            return Some(
                "standard_conforming_strings is off, so quotes and backslashes may mean something else; set it on"
                    .to_owned(),
            );
        }
        let encoding = self.client_encoding.to_ascii_uppercase();
        if letters.beyond_ascii && !matches!(encoding.as_str(), "UTF8" | "UNICODE" | "SQL_ASCII") {
            return Some(format!(
                "the session's encoding is `{}`; only UTF8 and SQL_ASCII are understood",
                self.client_encoding
            ));
        }
        None
    }
}

/// What of a text depends on how it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Letters {
    backslash: bool,
    beyond_ascii: bool,
}

impl Letters {
    pub(super) fn of(text: &[u8]) -> Letters {
        Letters { backslash: text.contains(&b'\\'), beyond_ascii: !text.is_ascii() }
    }
}

/// Everything a judgement depends on beside the text.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The session.
    pub session: &'a SessionState,
    /// The target database's own objects; without it almost nothing is a provable read.
    pub catalogue: Option<&'a Catalogue>,
    /// Parameter types declared in Parse (OIDs, 0 for "the server decides"); empty for a simple query.
    pub parameter_types: &'a [u32],
}
