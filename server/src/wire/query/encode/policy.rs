//! Policies and what has them.

use stator_iam::directory::Kind;

use super::entity::entity;
use super::{Encode, page, truncated};
use crate::identity::inline_policy::InlinePolicy;
use crate::identity::list_attached_policies::AttachedPolicy;
use crate::identity::list_entities_for_policy::PolicyUser;
use crate::identity::page::Page;
use crate::identity::policy_version::VersionView;
use crate::identity::view::Entity;
use crate::wire::query::xml::Xml;

impl Encode for InlinePolicy {
    fn encode(&self, _: &str, xml: &mut Xml) {
        let owner = match self.kind {
            Kind::User => "UserName",
            Kind::Group => "GroupName",
            Kind::Role | Kind::Policy => "RoleName",
        };
        xml.text(owner, &self.owner);
        xml.text("PolicyName", &self.policy);
        xml.document("PolicyDocument", &self.document);
    }
}

impl Encode for Page<String> {
    fn encode(&self, _: &str, xml: &mut Xml) {
        page(xml, "PolicyNames", self, |xml, name| xml.escaped(name));
    }
}

impl Encode for Page<Entity> {
    fn encode(&self, _: &str, xml: &mut Xml) {
        page(xml, "Policies", self, entity);
    }
}

impl Encode for Page<AttachedPolicy> {
    fn encode(&self, _: &str, xml: &mut Xml) {
        page(xml, "AttachedPolicies", self, |xml, policy| {
            xml.text("PolicyName", &policy.name);
            xml.text("PolicyArn", &policy.arn);
        });
    }
}

impl Encode for Page<PolicyUser> {
    fn encode(&self, _: &str, xml: &mut Xml) {
        for (list, kind, name, id) in [
            ("PolicyGroups", Kind::Group, "GroupName", "GroupId"),
            ("PolicyUsers", Kind::User, "UserName", "UserId"),
            ("PolicyRoles", Kind::Role, "RoleName", "RoleId"),
        ] {
            let of_kind = self.items.iter().filter(|user| user.kind == kind);
            xml.list(list, of_kind, |xml, user| {
                xml.text(name, &user.name);
                xml.text(id, &user.id);
            });
        }
        truncated(xml, self);
    }
}

fn version(xml: &mut Xml, version: &VersionView) {
    if let Some(document) = &version.document {
        xml.document("Document", document);
    }
    xml.text("VersionId", &format!("v{}", version.number));
    xml.boolean("IsDefaultVersion", version.is_default);
    xml.time("CreateDate", version.created_at_ms);
}

impl Encode for VersionView {
    fn encode(&self, _: &str, xml: &mut Xml) {
        xml.element("PolicyVersion", |xml| version(xml, self));
    }
}

impl Encode for Page<VersionView> {
    fn encode(&self, _: &str, xml: &mut Xml) {
        page(xml, "Versions", self, version);
    }
}
