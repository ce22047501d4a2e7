//! Licences and banned crates, as `deny.toml` lists them for cargo-deny, checked from `cargo metadata` alone.
//!
//! What needs the advisory database (which needs a network) is left to cargo-deny.

use serde::Deserialize;

use super::Finding;
use super::metadata::Metadata;
use crate::Result;

/// Where the lists are kept, from the root of the workspace.
pub(super) const POLICY_PATH: &str = "deny.toml";
const RULE: &str = "licenses";

/// The part of `deny.toml` that is checked here; the rest is cargo-deny's.
#[derive(Debug, Deserialize)]
pub(super) struct Policy {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    /// SPDX ids, with their exception if any: `Apache-2.0 WITH LLVM-exception`.
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Debug, Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

impl Policy {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let policy: Self = toml::from_str(text).map_err(|error| format!("{POLICY_PATH}: {error}"))?;
        if let Some(ban) = policy.bans.deny.iter().find(|ban| ban.name.contains(['@', ':'])) {
            return Err(format!("{POLICY_PATH}: `{}`: name the crate without a version", ban.name).into());
        }
        Ok(policy)
    }

    /// Whether a licence expression can be satisfied with allowed licences alone.
    fn allows(&self, license: &str) -> std::result::Result<bool, spdx::ParseError> {
        let expression = spdx::Expression::parse_mode(license, spdx::ParseMode::LAX)?;
        Ok(expression.evaluate(|requirement| self.licenses.allow.contains(&requirement.to_string())))
    }
}

/// Checks every package of the graph, ours included.
pub(super) fn check(metadata: &Metadata, policy: &Policy) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &metadata.packages {
        let who = format!("{} {}", package.name, package.version);
        let mut find = |message: String| findings.push(Finding::new("Cargo.lock", 1, RULE, message));
        match package
            .license
            .as_deref()
            .map(|license| (license, policy.allows(license)))
        {
            None => find(format!("{who} names no licence: do without it")),
            Some((license, Err(error))) => {
                find(format!(
                    "{who}: `{license}` is not an SPDX expression ({}): look it up",
                    error.reason
                ));
            }
            Some((license, Ok(false))) => {
                find(format!(
                    "{who}: `{license}` is not allowed: do without it, or extend `allow` in {POLICY_PATH}"
                ));
            }
            Some((_, Ok(true))) => {}
        }
        if let Some(ban) = policy.bans.deny.iter().find(|ban| ban.name == package.name) {
            find(format!(
                "{who} is banned ({}): `cargo tree -i {}` shows who needs it",
                ban.reason, ban.name
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Policy, check};
    use crate::tidy::metadata::Metadata;

    const POLICY: &str = r#"
        [licenses]
        allow = ["Apache-2.0", "MIT", "Apache-2.0 WITH LLVM-exception"]
        confidence-threshold = 0.9
        [bans]
        deny = [{ crate = "openssl-sys", reason = "rustls is our TLS" }]
    "#;

    fn messages(name: &str, license: Option<&str>) -> Vec<String> {
        let metadata: Metadata = serde_json::from_value(json!({
            "packages": [{
                "id": name, "name": name, "version": "1.2.3", "license": license,
                "manifest_path": "/r/Cargo.toml", "dependencies": [],
            }],
            "workspace_members": [], "workspace_root": "/w", "resolve": {"nodes": []},
        }))
        .unwrap();
        check(&metadata, &Policy::parse(POLICY).unwrap())
            .into_iter()
            .map(|finding| finding.message)
            .collect()
    }

    #[test]
    fn expressions_that_can_be_satisfied_are_fine() {
        for license in [
            "MIT",
            "MIT OR GPL-3.0-only",
            "GPL-2.0-or-later OR (MIT AND Apache-2.0)",
            "MIT/Apache-2.0",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert_eq!(messages("a", Some(license)), [""; 0], "{license}");
        }
    }

    #[test]
    fn expressions_that_cannot_be_satisfied_are_found() {
        for license in [
            "GPL-3.0-only",
            "MIT AND GPL-3.0-only",
            "MIT WITH Classpath-exception-2.0",
            "ISC",
        ] {
            let found = messages("a", Some(license));
            assert_eq!(found.len(), 1, "{license}");
            assert!(
                found[0].starts_with(&format!("a 1.2.3: `{license}` is not allowed")),
                "{found:?}"
            );
        }
        assert!(
            messages("a", Some("Gibberish-9"))
                .first()
                .is_some_and(|found| found.contains("not an SPDX expression"))
        );
        assert_eq!(messages("a", None), ["a 1.2.3 names no licence: do without it"]);
    }

    #[test]
    fn a_banned_crate_is_found_by_its_exact_name() {
        let found = messages("openssl-sys", Some("MIT"));
        assert!(
            found.len() == 1 && found[0].contains("banned (rustls is our TLS)"),
            "{found:?}"
        );
        assert_eq!(messages("openssl", Some("MIT")), [""; 0]);
    }

    #[test]
    fn a_ban_by_version_is_refused_rather_than_ignored() {
        let error = Policy::parse(&POLICY.replace("openssl-sys", "openssl-sys@0.9")).unwrap_err();
        assert!(error.to_string().contains("without a version"), "{error}");
    }
}
