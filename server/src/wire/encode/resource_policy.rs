//! Answers about resource policies.

use super::Encode;
use super::json::Json;
use crate::operation::delete_resource_policy::DeleteResourcePolicyOutput;
use crate::operation::get_resource_policy::GetResourcePolicyOutput;
use crate::operation::put_resource_policy::PutResourcePolicyOutput;

impl Encode for PutResourcePolicyOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("RevisionId").text(&self.revision);
        });
    }
}

impl Encode for GetResourcePolicyOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("Policy").text(&self.policy.document);
            json.member("RevisionId").text(&self.policy.revision);
        });
    }
}

impl Encode for DeleteResourcePolicyOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            if let Some(revision) = &self.revision {
                json.member("RevisionId").text(revision);
            }
        });
    }
}
