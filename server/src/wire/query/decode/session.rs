//! Calls of STS.

use super::Decode;
use crate::identity::assume_role::AssumeRole;
use crate::identity::get_caller_identity::GetCallerIdentity;
use crate::identity::get_session_token::GetSessionToken;
use crate::wire::query::fields::Fields;

impl Decode for GetCallerIdentity {
    fn decode(_: &'static str, _: &mut Fields<'_>) -> Self {
        Self
    }
}

impl Decode for GetSessionToken {
    fn decode(_: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            duration_s: fields.number("DurationSeconds", 900, 129_600),
        }
    }
}

impl Decode for AssumeRole {
    fn decode(_: &'static str, fields: &mut Fields<'_>) -> Self {
        let form = fields.form();
        let policy_arns = form.members("PolicyArns");
        let policy_arns = policy_arns
            .iter()
            .filter_map(|prefix| form.get(&format!("{prefix}.arn")).map(str::to_owned));
        Self {
            role_arn: fields.arn("RoleArn"),
            session_name: {
                fields.text("RoleSessionName", 2, usize::MAX);
                fields.name("RoleSessionName", 64)
            },
            policy: form.get("Policy").is_some().then(|| fields.document("Policy")),
            policy_arns: policy_arns.collect(),
            duration_s: fields.number("DurationSeconds", 900, 43_200),
            tags: fields.tags(),
            transitive_tag_keys: fields.list("TransitiveTagKeys"),
            external_id: fields.text("ExternalId", 2, 1224),
            source_identity: fields.optional_name("SourceIdentity", 64),
        }
    }
}
