//! Answers of STS.

use super::Encode;
use crate::identity::assume_role::AssumedRole;
use crate::identity::get_caller_identity::CallerIdentity;
use crate::identity::session::Credentials;
use crate::wire::query::xml::Xml;

impl Encode for CallerIdentity {
    fn encode(&self, _: &str, xml: &mut Xml) {
        xml.text("Arn", &self.arn);
        xml.text("UserId", &self.user_id);
        xml.text("Account", &self.account);
    }
}

impl Encode for Credentials {
    fn encode(&self, _: &str, xml: &mut Xml) {
        xml.element("Credentials", |xml| {
            xml.text("AccessKeyId", &self.access_key_id);
            xml.text("SecretAccessKey", self.secret.expose());
            xml.text("SessionToken", &self.token);
            let ms = i64::try_from(self.expires_at_s).unwrap_or(0).saturating_mul(1000);
            xml.time("Expiration", ms);
        });
    }
}

impl Encode for AssumedRole {
    fn encode(&self, action: &str, xml: &mut Xml) {
        self.credentials.encode(action, xml);
        xml.element("AssumedRoleUser", |xml| {
            xml.text("AssumedRoleId", &self.id);
            xml.text("Arn", &self.arn);
        });
        if self.packed_policy_percent > 0 {
            xml.text("PackedPolicySize", &self.packed_policy_percent.to_string());
        }
        xml.optional("SourceIdentity", self.source_identity.as_deref());
    }
}
