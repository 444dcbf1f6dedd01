//! What is known of a session's settings that change what statements mean.
//!
//! The server reports some of them itself (`ParameterStatus`), but only when it is ready again; search path and role it
//! does not (before version 18). All are asked for with SHOW, which takes no snapshot and runs in any transaction that
//! has not failed. From the moment that something may have changed them until they were asked for again, they are
//! unknown, and statements are judged by the stricter reading. What was asked for inside a transaction is known until it
//! ends, or is rolled back in part: nobody says then which settings were taken back.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_wire::sql::{Facts, SessionState, TransactionStep};

/// Settings that change the meaning of literals, and of text that functions read. The server reports the first few of
/// them; all are asked for.
pub(crate) const FOLLOWED: &[&str] = &[
    "client_encoding",
    "standard_conforming_strings",
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "xmloption",
];
/// What stands for a setting that is not known.
const UNKNOWN: &str = "(unknown)";

/// What is known of one session.
#[derive(Clone, Debug)]
pub struct Known {
    session: Arc<SessionState>,
    account: String,
    reported: BTreeMap<String, String>,
    settings: Arc<BTreeMap<String, String>>,
    generation: u64,
    doubtful: bool,
    /// What is known was asked for inside a transaction or batch, whose end may take it back.
    provisional: bool,
}

impl Known {
    /// A session under `account`, whose server reported these settings. Search path and role are still unknown.
    pub fn new(account: &str, reported: &[(Vec<u8>, Vec<u8>)]) -> Self {
        let mut session = SessionState::fresh(0, account);
        session.search_path = None;
        let mut known = Self {
            session: Arc::new(session),
            account: account.to_owned(),
            reported: BTreeMap::new(),
            settings: Arc::new(BTreeMap::new()),
            generation: 0,
            doubtful: true,
            provisional: false,
        };
        for (name, value) in reported {
            known.report(name, value);
        }
        known.renew();
        known
    }

    /// The state as classification takes it.
    pub const fn shared_session(&self) -> &Arc<SessionState> {
        &self.session
    }

    /// The settings as an approval binds them.
    pub(crate) fn settings(&self) -> &Arc<BTreeMap<String, String>> {
        &self.settings
    }

    /// Counts the changes: what was classified under another number is classified again.
    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether search path and role must be asked for before anything is judged.
    pub const fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// The server has reported a setting.
    pub fn report(&mut self, name: &[u8], value: &[u8]) {
        let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
            self.doubtful = true;
            return;
        };
        let session = Arc::make_mut(&mut self.session);
        match name {
            "server_version" => session.server_version_num = version_num(value),
            "client_encoding" => value.clone_into(&mut session.client_encoding),
            "standard_conforming_strings" => session.standard_conforming_strings = value == "on",
            _ => {}
        }
        if FOLLOWED.contains(&name) {
            self.reported.insert(name.to_owned(), value.to_owned());
            self.renew();
        }
    }

    /// The answers to SHOW search_path, SHOW role and SHOW session_authorization.
    pub fn shown(&mut self, search_path: &str, role: &str, authorization: &str) {
        let role = if role == "none" { authorization } else { role };
        let (path, role) = (identifiers(search_path), Some(role.to_owned()));
        self.doubtful = false;
        self.provisional = false;
        if self.session.search_path != path || self.session.role != role {
            let session = Arc::make_mut(&mut self.session);
            session.search_path = path;
            session.role = role;
            self.renew();
        }
    }

    /// Nothing is certain until it was asked for again.
    pub fn doubt(&mut self) {
        self.doubtful = true;
    }

    /// What was shown was asked for inside a transaction or a batch that goes on.
    pub fn shown_within(&mut self) {
        self.provisional = true;
    }

    /// A statement is being sent: from here on it may have run.
    pub fn sends(&mut self, facts: &Facts) {
        let changes = facts.taints_session
            || facts.role_change
            || facts.settings.iter().any(|change| is_followed(&change.name));
        let taken_back = self.provisional && takes_back(facts);
        if !taken_back && self.session.outlasts(facts) {
            return;
        }
        let mut next = self.session.after_in_transaction(facts);
        if changes || taken_back {
            self.doubtful = true;
            next.search_path = None;
            next.role = None;
        }
        self.turn_into(next);
    }

    /// The server is ready, and no transaction is open.
    pub fn is_idle(&mut self) {
        if !self.provisional {
            return;
        }
        (self.provisional, self.doubtful) = (false, true);
        let mut next = SessionState::clone(&self.session);
        next.search_path = None;
        next.role = None;
        self.turn_into(next);
    }

    /// Whether something may have been defined that the catalogue does not tell of.
    pub fn has_definitions(&self) -> bool {
        self.session.uncommitted_definitions
    }

    /// A catalogue was asked for since, while no transaction was open.
    pub fn definitions_are_known(&mut self) {
        let next = SessionState { uncommitted_definitions: false, ..SessionState::clone(&self.session) };
        self.turn_into(next);
    }

    /// Whether the session may have temporary objects.
    pub fn may_have_temporary_objects(&self) -> bool {
        self.session.temporary_objects
    }

    /// The server says that the session has no temporary schema, and no transaction was open.
    pub fn has_no_temporary_objects(&mut self) {
        let next = SessionState { temporary_objects: false, ..SessionState::clone(&self.session) };
        self.turn_into(next);
    }

    /// Whether what is known was asked for inside a transaction that a statement ends, or takes back in part.
    pub fn loses(&self, facts: &Facts) -> bool {
        self.provisional && takes_back(facts)
    }

    fn turn_into(&mut self, next: SessionState) {
        if next != *self.session {
            self.session = Arc::new(next);
            self.renew();
        }
    }

    fn renew(&mut self) {
        self.generation += 1;
        let mut settings = self.reported.clone();
        let path = self.session.search_path.as_ref().map(|path| path.join(", "));
        settings.insert("search_path".to_owned(), path.unwrap_or_else(|| UNKNOWN.to_owned()));
        let role = self.session.role.clone();
        settings.insert("role".to_owned(), role.unwrap_or_else(|| UNKNOWN.to_owned()));
        settings.insert("account".to_owned(), self.account.clone());
        self.settings = Arc::new(settings);
    }
}

/// Whether a transaction ends with it, or goes back to a savepoint.
fn takes_back(facts: &Facts) -> bool {
    let goes_on = |step: &TransactionStep| {
        matches!(step, TransactionStep::Begin | TransactionStep::Savepoint(_) | TransactionStep::Release(_))
    };
    !facts.transaction.iter().all(goes_on)
}

/// Whether a setting is among those that are followed here.
pub(crate) fn is_followed(name: &str) -> bool {
    let of_names = ["all", "search_path", "role", "session_authorization"];
    of_names.contains(&name) || FOLLOWED.iter().any(|reported| reported.eq_ignore_ascii_case(name))
}

/// Whether a statement may leave the session with other settings, names, definitions or transaction than before, so that
/// what follows can't be judged until it is answered.
pub fn may_change(facts: &Facts) -> bool {
    facts.taints_session
        || facts.may_define()
        || facts.role_change
        || !facts.settings.is_empty()
        || !facts.transaction.is_empty()
        || !facts.prepared.is_empty()
        || !facts.cursors.is_empty()
}

/// `15.8 (Debian 15.8-1)` is 150008, `9.6.24` is 90624, `18beta1` is 180000; 0 for what is not understood.
fn version_num(text: &str) -> u32 {
    let digits = |part: &str| -> Option<u32> {
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part.get(..end)?.parse().ok()
    };
    let mut parts = text.split('.');
    let major = parts.next().and_then(digits).unwrap_or(0).min(10_000);
    let minor = parts.next().and_then(digits).unwrap_or(0).min(9_999);
    if major >= 10 { major * 10_000 + minor } else { major * 10_000 + minor * 100 }
}

/// A list of identifiers as `search_path` has it: separated by commas, folded to lower case unless quoted.
/// `None` for what is not such a list.
pub(crate) fn identifiers(list: &str) -> Option<Vec<String>> {
    let (mut names, mut rest) = (Vec::new(), list.trim());
    if rest.is_empty() {
        return Some(names);
    }
    loop {
        let (name, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_name(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (name, after) = rest.split_at_checked(end)?;
                (name.trim_end().to_lowercase(), after)
            }
        };
        if name.is_empty() || (!rest.starts_with('"') && name.contains('"')) {
            return None;
        }
        names.push(name);
        match after.trim_start().strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None if after.trim().is_empty() => return Some(names),
            None => return None,
        }
    }
}

/// The name up to its closing quote, where two quotes stand for one, and what follows.
fn quoted_name(text: &str) -> Option<(String, &str)> {
    let (mut name, mut rest) = (String::new(), text);
    loop {
        let (part, after) = rest.split_once('"')?;
        name.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_become_numbers() {
        for (text, number) in
            [("15.8 (Debian 15.8-1)", 150_008), ("9.6.24", 90_600), ("18beta1", 180_000), ("junk", 0)]
        {
            assert_eq!(version_num(text), number, "{text}");
        }
    }

    #[test]
    fn search_paths_are_read_as_the_server_reads_them() {
        let list = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(identifiers("\"$user\", public"), list(&["$user", "public"]));
        assert_eq!(identifiers("\"a\"\"b, c\",D"), list(&["a\"b, c", "d"]));
        assert_eq!(identifiers(""), list(&[]));
        for bad in [",", "a,", "\"a", "a\"b", "\"a\"b"] {
            assert_eq!(identifiers(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_was_shown_is_known() {
        let mut known = Known::new("writer", &[(b"server_version".to_vec(), b"15.8".to_vec())]);
        assert!(known.is_doubtful());
        assert_eq!(known.shared_session().server_version_num, 150_008);
        known.shown("\"$user\", public", "none", "writer");
        assert!(!known.is_doubtful());
        assert_eq!(known.shared_session().role.as_deref(), Some("writer"));
        assert_eq!(known.settings().get("search_path").map(String::as_str), Some("$user, public"));
        let generation = known.generation();
        known.shown("\"$user\", public", "none", "writer");
        assert_eq!(known.generation(), generation, "nothing changed");
        known.report(b"client_encoding", b"LATIN1");
        assert!(known.generation() > generation);
    }
}
