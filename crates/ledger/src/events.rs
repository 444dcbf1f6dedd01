//! The taxonomy of events: what each type of line is evidence for, and how other systems classify it.
//!
//! What: 105 types with their NIST SP 800-53 controls, CSF 2.0 outcomes, syslog and CEF severities and OCSF
//! 1.8 class. Why so: controls are derived from a line's `type` when it is read and never stored in it, since
//! mappings change and lines do not. What not: a closed list; a type that is not in the table is kept like
//! any other line.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// One type of event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventType {
    /// Its name, as in a line's `type`: subject, dot, what happened.
    pub name: String,
    /// The controls of NIST SP 800-53 that it is evidence for.
    pub controls: Vec<String>,
    /// The outcomes of the Cybersecurity Framework 2.0 that it serves.
    pub csf: Vec<String>,
    /// Syslog severity (RFC 5424): 0 emergency to 7 debug.
    pub syslog_severity: u8,
    /// CEF severity: 0 to 3 low, 4 to 6 medium, 7 and 8 high, 9 and 10 very high.
    pub cef_severity: u8,
    /// Its place in the Open Cybersecurity Schema Framework, 1.8.
    pub ocsf: Ocsf,
    /// What its author should know; empty if nothing.
    pub note: String,
}

/// The place of an event in OCSF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ocsf {
    /// `class_uid`; 0 is the base event.
    pub class: u32,
    /// `activity_id`; 99 is other.
    pub activity: u32,
    /// `activity_name`, where the activity is 99.
    pub activity_name: Option<String>,
    /// `action_id` and `disposition_id` of the profile `security_control`, where they are said.
    pub control: Option<(u32, u32)>,
}

impl Ocsf {
    /// `type_uid`: a hundred times the class, and the activity.
    #[must_use]
    pub fn type_uid(&self) -> u32 {
        self.class * 100 + self.activity
    }
}

/// Every type, sorted by name.
#[must_use]
pub fn all() -> &'static [EventType] {
    &TABLE
}

/// The type of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static EventType> {
    let at = TABLE.binary_search_by(|event| event.name.as_str().cmp(name)).ok()?;
    TABLE.get(at)
}

/// One row of `data/events.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    cls: u32,
    act: u32,
    an: Option<String>,
    sc: Option<(u32, u32)>,
    sys: u8,
    cef: u8,
    ctl: Vec<String>,
    csf: Vec<String>,
    note: String,
}

/// The data is part of the program; that it parses is what the tests below are for.
static TABLE: LazyLock<Vec<EventType>> = LazyLock::new(|| read(DATA).unwrap_or_default());

const DATA: &str = include_str!("../data/events.json");

fn read(data: &str) -> serde_json::Result<Vec<EventType>> {
    let rows: BTreeMap<String, Row> = serde_json::from_str(data)?;
    Ok(rows.into_iter().map(|(name, row)| row.into_type(name)).collect())
}

impl Row {
    fn into_type(self, name: String) -> EventType {
        let ocsf = Ocsf { class: self.cls, activity: self.act, activity_name: self.an, control: self.sc };
        EventType {
            name,
            controls: self.ctl,
            csf: self.csf,
            syslog_severity: self.sys,
            cef_severity: self.cef,
            ocsf,
            note: self.note,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_there() {
        let table = read(DATA).unwrap();
        assert_eq!(table.len(), 105);
        assert_eq!(all(), table);
        assert!(table.iter().all(|event| find(&event.name) == Some(event)));
        assert_eq!(find("request.unheard_of"), None);
    }

    #[test]
    fn rows_are_typed() {
        let event = find("breakglass.invoked").unwrap();
        assert_eq!((event.syslog_severity, event.cef_severity), (1, 9));
        assert_eq!(event.controls, ["AC-3(10)", "AC-2(2)", "SI-4(12)"]);
        assert_eq!(event.csf, ["PR.AA-05", "DE.AE-06"]);
        assert_eq!((event.ocsf.type_uid(), event.ocsf.control), (300_408, Some((1, 19))));
        assert_eq!(find("notification.sent").unwrap().ocsf.type_uid(), 99);
    }

    #[test]
    fn rows_keep_to_the_formats_they_feed() {
        for event in all() {
            assert!(event.name.len() <= 32, "{} is a syslog MSGID", event.name);
            assert!(
                event.name.bytes().all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte)),
                "{}",
                event.name
            );
            assert!(event.syslog_severity <= 7 && event.cef_severity <= 10, "{}", event.name);
            assert!(!event.controls.is_empty() && !event.csf.is_empty(), "{}", event.name);
            assert_eq!(event.ocsf.activity == 99, event.ocsf.activity_name.is_some(), "{}", event.name);
        }
    }
}
