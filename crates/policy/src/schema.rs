//! The Cedar schema: what a policy may speak of. It is the same for every bundle, so that a policy that was
//! checked once means the same everywhere.

use std::fmt::Write as _;

use cedar_policy::Schema;

use crate::actions::{ACTIONS, Class, MCP, On, SQL, Spec};
use crate::context;

/// The one entity of the gateway itself.
pub(crate) const GATEWAY: &str = "gateway";

const ENTITIES: &str = r#"
// A set of principals.
entity Group in [Group];

// A privilege scope. As a resource it is what somebody asks for. A principal is in a role while a grant says so;
// a resource is in a role that reaches it.
entity Role {
  // The longest grant.
  longest: duration,
  // The highest impact of its resources: "low", "moderate", "high".
  impact?: String,
};

entity User in [Group, Role] {
  // Its own name: what `principal` of a request, grant or session says.
  name: String,
  // The human behind it: who separation of duties counts.
  person: String,
};
entity Service in [Group, Role] {
  name: String,
  person: String,
  owner: User,
};
entity Agent in [Group, Role] {
  name: String,
  person: String,
  owner: User,
};

// Something protected. Labels are tags: resource.hasTag("env") && resource.getTag("env") == "prod".
entity Resource in [Role] {
  kind: String,
  impact: String,
  recording: String,
  // "user:NAME" or "group:NAME".
  owner?: String,
} tags String;

// A request that somebody wants to read, answer or withdraw; principal is the requester's name, person who answers
// for them: an agent of alice's is not alice, but has her person.
entity Request {
  principal: String,
  person: String,
  // The action it would allow.
  action: String,
};
entity Grant {
  principal: String,
  person: String,
  role: Role,
};
entity Session {
  principal: String,
  person: String,
};

// The gateway itself: its policy, its ledger.
entity Gateway;

// Arguments of a call, by their JSON pointers without the first slash, which whoever calls has chosen:
// context.args.hasTag("path") && context.args.getTag("path") like "/srv/reports/*".
entity Fields tags String;
// Those of them that are whole numbers.
entity Numbers tags Long;
"#;

/// The schema in Cedar's own syntax, for people, editors and the documentation.
#[must_use]
pub fn schema_text() -> String {
    let mut text = ENTITIES.to_owned();
    for class in Class::ALL {
        let _ = writeln!(text, "action \"{}\";", class.group());
    }
    for group in [SQL, MCP] {
        let _ = writeln!(text, "action \"{group}\";");
    }
    for spec in ACTIONS {
        action(&mut text, spec);
    }
    text
}

fn action(text: &mut String, spec: &Spec) {
    let parents = spec.parent.iter().map(|name| format!("\"{name}\""));
    let parents: Vec<String> = parents.chain([format!("\"{}\"", spec.class.group())]).collect();
    let _ = writeln!(text, "\naction \"{}\" in [{}] appliesTo {{", spec.name, parents.join(", "));
    let _ = writeln!(text, "  principal: [User, Service, Agent],");
    let _ = writeln!(text, "  resource: [{}],", types(spec.on));
    let _ = writeln!(text, "  context: {{");
    for one in context::of(spec.with) {
        let mark = if one.optional { "?" } else { "" };
        let _ = writeln!(text, "    {}{mark}: {},", one.name, one.kind.as_str());
    }
    let _ = writeln!(text, "  }},\n}};");
}

const fn types(on: On) -> &'static str {
    match on {
        On::Resource => "Resource",
        On::Role => "Role",
        On::Request => "Request",
        On::Grant => "Grant",
        On::Session => "Session",
        On::Principal => "User, Service, Agent",
        On::Gateway => "Gateway",
    }
}

/// The schema that policies are checked against and questions are built with.
///
/// # Errors
/// The text above is not a schema; a test says that it is.
pub(crate) fn schema() -> Result<Schema, String> {
    let parsed = Schema::from_cedarschema_str(&schema_text());
    parsed.map(|(schema, _warnings)| schema).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_one_that_cedar_accepts() {
        let (schema, warnings) = Schema::from_cedarschema_str(&schema_text()).unwrap();
        assert_eq!(warnings.map(|warning| warning.to_string()).collect::<Vec<_>>(), Vec::<String>::new());
        assert_eq!(schema.actions().count(), ACTIONS.len() + Class::ALL.len() + 2);
    }
}
