//! The floor: what holds under every bundle and cannot be removed by one (contract, section 6).
//!
//! Most of it is Cedar text of its own, judged like any other policy. What Cedar cannot see, the book and the
//! difference between two bundles, is checked in code and named like a policy, so that whoever is refused
//! reads the same kind of reason.

use std::sync::Arc;

use countersign_core::PolicyId;
use countersign_core::action::hash;
use countersign_core::ruling::PolicyRef;

/// The floor's policies.
pub(crate) const POLICIES: &str = include_str!("floor.cedar");

/// What the names of the floor's policies begin with. No `@id` can: a name has no slash.
pub(crate) const PREFIX: &str = "floor/";

/// What the names of the floor's own approval rules begin with.
pub(crate) const RULES: &str = "floor.";

/// The rule that the floor falls back on when a bundle has none that could be asked.
pub(crate) const ANOTHER_PERSON: &str = "floor.another-person";

/// Part of the floor that is code: its name, and what it says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Check {
    id: &'static str,
    says: &'static str,
}

/// Nobody who is shut out does anything, whatever the bundle says of them.
pub(crate) const DISABLED: Check = Check {
    id: "floor/nobody-disabled-acts",
    says: "a principal that is disabled, or that a disabled person answers for, does nothing",
};

/// An agent does nothing beyond its ceiling, whoever approves.
pub(crate) const CEILING: Check = Check {
    id: "floor/no-agent-beyond-its-ceiling",
    says: "an agent holds no role and does nothing that its ceiling in the bundle does not name",
};

/// A gate may not go, change or be put on a forbid that lacked one by the word of one person.
pub(crate) const GATES: Check = Check {
    id: "floor/gates-are-changed-with-a-countersignature",
    says: "a gate is removed, weakened or put on a forbid that lacked one only with the approval that the old rule demands",
};

/// An approval rule may not be loosened by the word of one person.
pub(crate) const RULES_LOOSENED: Check = Check {
    id: "floor/rules-are-loosened-with-a-countersignature",
    says: "an approval rule asks fewer people, other people or for longer only with the approval that the old rule demands",
};

/// What separation of duties rests on may not be moved by the word of one person.
pub(crate) const FACTS: Check = Check {
    id: "floor/facts-behind-gates-are-changed-with-a-countersignature",
    says: "people, groups and resources that a gate looks at are changed only with the approval that the old rule demands",
};

impl Check {
    /// The reference to it in a ruling. Its hash is that of what it says.
    pub(crate) fn policy(self, reason: &str) -> PolicyRef {
        PolicyRef {
            id: PolicyId::new(self.id),
            hash: hash(&[self.says.as_bytes()]),
            reason: Some(Arc::from(reason)),
        }
    }

    /// The reference to it, with what it says for a reason.
    pub(crate) fn policy_itself(self) -> PolicyRef {
        self.policy(self.says)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every policy and check of the floor, by name.
    fn names() -> Vec<String> {
        let quoted = POLICIES.lines().filter_map(|line| line.strip_prefix("@id(\"")?.strip_suffix("\")"));
        let checks = [DISABLED, CEILING, GATES, RULES_LOOSENED, FACTS];
        quoted.map(ToOwned::to_owned).chain(checks.iter().map(|check| check.id.to_owned())).collect()
    }

    #[test]
    fn the_documentation_lists_the_whole_floor() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operators/policy-floor.md");
        let page = std::fs::read_to_string(path).unwrap();
        for name in names() {
            assert!(name.starts_with(PREFIX), "{name}");
            assert!(page.contains(&format!("`{name}`")), "{name} is not in {path}");
        }
        for word in page.split('`').filter(|word| word.starts_with(PREFIX)) {
            assert!(names().iter().any(|name| name == word), "{path} lists {word}, which is not there");
        }
    }
}
