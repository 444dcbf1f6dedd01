//! What `people.toml` says of jobs: who issues their identities, and which of them are which service.

use std::collections::BTreeMap;

use countersign_core::PrincipalId;
use countersign_core::catalogue::{Catalogue, Issuer, PrincipalKind, Workload};

use crate::diagnostic::Problems;
use crate::text::{Kind, Read, Shape, optional, required};

pub(super) const ISSUER: Shape = Shape {
    doc: "Who issues identities to jobs (OpenID Connect): a CI system, a cluster.",
    fields: &[
        required("url", Kind::Text, "its identifier, exactly as its tokens have it"),
        required("audience", Kind::Text, "what its tokens have to be meant for: this gateway's address"),
        optional("title", Kind::Text, "one line for people"),
    ],
};

pub(super) const WORKLOAD: Shape = Shape {
    doc: "Which jobs are a service.",
    fields: &[
        required("service", Kind::Name, "the service that they are"),
        required("issuer", Kind::Name, "who says so"),
        optional("subject", Kind::Text, "the subject of their tokens, exactly"),
        optional("claims", Kind::Map(false, &Kind::Text), "claims of their tokens, exactly"),
    ],
};

pub(super) fn issuers(file: &Read<'_>) -> BTreeMap<String, Issuer> {
    let issuers = file.root.tables("issuer").map(|(name, table)| {
        let issuer = Issuer {
            url: table.text("url").to_owned(),
            audience: table.text("audience").to_owned(),
            title: table.maybe_text("title").map(str::to_owned),
        };
        (name.to_owned(), issuer)
    });
    issuers.collect()
}

pub(super) fn workloads(file: &Read<'_>) -> BTreeMap<String, Workload> {
    let workloads = file.root.tables("workload").map(|(name, table)| {
        let workload = Workload {
            service: PrincipalId::new(table.text("service")),
            issuer: table.text("issuer").to_owned(),
            subject: table.maybe_text("subject").map(str::to_owned),
            claims: table.pairs("claims").map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        };
        (name.to_owned(), workload)
    });
    workloads.collect()
}

/// Issuers have addresses that keys may come from, and one name each; what is said of jobs is said of services that are
/// there, and is something.
pub(super) fn check(file: &Read<'_>, catalogue: &Catalogue, problems: &mut Problems) {
    let mut report = |path: String, message: String, hint: &str| {
        problems.error(file.within, file.place(&path), message, Some(hint.to_owned()));
    };
    for (name, issuer) in &catalogue.issuers {
        if !is_safe(&issuer.url) {
            let message = format!("the issuer `{}` has no https address", issuer.url);
            report(format!("issuer.{name}.url"), message, "keys that come in clear are nobody's");
        }
        let same = |(other, found): (&String, &Issuer)| other != name && found.url == issuer.url;
        if catalogue.issuers.iter().any(same) {
            let message = format!("there are two issuers `{}`", issuer.url);
            report(
                format!("issuer.{name}.url"),
                message,
                "its tokens say its identifier, and nothing else of it",
            );
        }
    }
    for (name, workload) in &catalogue.workloads {
        let path = format!("workload.{name}");
        if !catalogue.issuers.contains_key(&workload.issuer) {
            let message = format!("there is no issuer `{}`", workload.issuer);
            report(
                format!("{path}.issuer"),
                message,
                "describe it as `[issuer.NAME]` with `url` and `audience`",
            );
        }
        let kind = catalogue.principals.get(&workload.service).map(|found| &found.kind);
        if !matches!(kind, Some(PrincipalKind::Service { .. })) {
            let message = format!("there is no service `{}`", workload.service);
            report(format!("{path}.service"), message, "jobs are services; describe it as `[service.NAME]`");
        }
        if workload.subject.is_none() && workload.claims.is_empty() {
            let message = "every job of the issuer's would be this service".to_owned();
            report(path, message, "say `subject`, `claims` or both; an issuer serves more than one customer");
        }
    }
}

/// An address that keys may come from: https, or this machine.
fn is_safe(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_plain = !authority.is_empty() && !authority.contains('@') && !url.contains(['#', '?', '\\', ' ']);
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    is_plain && (scheme == "https" || scheme == "http" && ["localhost", "127.0.0.1", "::1"].contains(&host))
}

#[cfg(test)]
mod tests {
    use super::is_safe;

    #[test]
    fn keys_come_from_nowhere_in_clear() {
        for good in
            ["https://gitlab.example.com", "http://localhost:3000", "http://[::1]:80/a", "https://a/b/c"]
        {
            assert!(is_safe(good), "{good}");
        }
        for bad in [
            "",
            "gitlab.example.com",
            "http://gitlab.example.com",
            "http://localhost.example.com",
            "https://",
            "https://user@gitlab.example.com",
            "https://a/#b",
            "https://a?b",
            "file:///etc/passwd",
        ] {
            assert!(!is_safe(bad), "{bad}");
        }
    }
}
