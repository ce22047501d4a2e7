//! The simulation of policies.

use super::Decode;
use crate::identity::simulate::{ContextEntry, Simulate};
use crate::wire::query::fields::Fields;

impl Decode for Simulate {
    fn decode(action: &'static str, fields: &mut Fields<'_>) -> Self {
        let form = fields.form();
        let context = form.members("ContextEntries").into_iter().map(|prefix| {
            let member = |name: &str| {
                form.get(&format!("{prefix}.{name}"))
                    .unwrap_or_default()
                    .to_owned()
            };
            ContextEntry {
                key: member("ContextKeyName"),
                values: form.list(&format!("{prefix}.ContextKeyValues")),
                kind: member("ContextKeyType"),
            }
        });
        let mut resources = form.list("ResourceArns");
        if resources.is_empty() {
            resources.push("*".to_owned());
        }
        if form.members("ActionNames").is_empty() {
            fields.required("ActionNames");
        }
        let source = (action == "SimulatePrincipalPolicy").then(|| fields.arn("PolicySourceArn"));
        if source.is_none() && form.members("PolicyInputList").is_empty() {
            fields.required("PolicyInputList");
        }
        Self {
            source,
            policies: form.list("PolicyInputList"),
            boundaries: form.list("PermissionsBoundaryPolicyInputList"),
            resource_policy: fields.optional("ResourcePolicy"),
            actions: form.list("ActionNames"),
            resources,
            caller: fields.optional("CallerArn"),
            context: context.collect(),
            page: fields.page(),
        }
    }
}
