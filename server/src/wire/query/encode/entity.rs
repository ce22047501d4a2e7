//! Users, groups, roles, access keys and tags.

use std::collections::BTreeMap;

use stator_iam::directory::{Kind, Record};

use super::{Encode, page};
use crate::identity::access_key_last_used::KeyUse;
use crate::identity::create_access_key::NewAccessKey;
use crate::identity::get_entity::Got;
use crate::identity::get_group::GroupUsers;
use crate::identity::list_access_keys::AccessKeys;
use crate::identity::list_entities::Entities;
use crate::identity::page::Page;
use crate::identity::view::Entity;
use crate::wire::query::xml::Xml;

/// The region that calls of IAM are told to be of.
const IAM_REGION: &str = "us-east-1";

/// What is in the element of an entity.
pub(super) fn entity(xml: &mut Xml, entity: &Entity) {
    xml.text("Path", entity.record.path());
    match entity.record.as_ref() {
        Record::User(user) => {
            xml.text("UserName", &user.name);
            xml.text("UserId", &user.id);
            xml.text("Arn", &entity.arn);
            xml.time("CreateDate", user.created_at_ms);
        }
        Record::Group(group) => {
            xml.text("GroupName", &group.name);
            xml.text("GroupId", &group.id);
            xml.text("Arn", &entity.arn);
            xml.time("CreateDate", group.created_at_ms);
        }
        Record::Role(role) => {
            xml.text("RoleName", &role.name);
            xml.text("RoleId", &role.id);
            xml.text("Arn", &entity.arn);
            xml.time("CreateDate", role.created_at_ms);
            let trust = entity.trust_policy.as_deref().unwrap_or(&role.trust_policy);
            xml.document("AssumeRolePolicyDocument", trust);
            xml.optional("Description", role.description.as_deref());
            xml.text("MaxSessionDuration", &role.session_s_max.to_string());
        }
        Record::Policy(policy) => {
            xml.text("PolicyName", &policy.name);
            xml.text("PolicyId", &policy.id);
            xml.text("Arn", &entity.arn);
            xml.text("DefaultVersionId", &format!("v{}", policy.default_version));
            xml.text("AttachmentCount", &entity.usage.attachments.to_string());
            xml.text(
                "PermissionsBoundaryUsageCount",
                &entity.usage.boundaries.to_string(),
            );
            xml.boolean("IsAttachable", true);
            if entity.in_full {
                xml.optional("Description", policy.description.as_deref());
            }
            xml.time("CreateDate", policy.created_at_ms);
            xml.time("UpdateDate", policy.updated_at_ms);
        }
    }
    if let Some(boundary) = entity.boundary.as_deref().filter(|_| entity.in_full) {
        xml.element("PermissionsBoundary", |xml| {
            xml.text("PermissionsBoundaryType", "PermissionsBoundaryPolicy");
            xml.text("PermissionsBoundaryArn", boundary);
        });
    }
    match entity.record.tags() {
        Some(tags) if entity.in_full && !tags.is_empty() => tag_list(xml, tags),
        _ => {}
    }
}

fn tag_list(xml: &mut Xml, tags: &BTreeMap<String, String>) {
    xml.list("Tags", tags, |xml, (key, value)| {
        xml.text("Key", key);
        xml.text("Value", value);
    });
}

fn element(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "User",
        Kind::Group => "Group",
        Kind::Role => "Role",
        Kind::Policy => "Policy",
    }
}

impl Encode for Entity {
    fn encode(&self, action: &str, xml: &mut Xml) {
        // UpdateRole has a result without anything in it.
        if action != "UpdateRole" {
            xml.element(element(self.record.kind()), |xml| entity(xml, self));
        }
    }
}

impl Encode for Got {
    fn encode(&self, action: &str, xml: &mut Xml) {
        match self {
            Self::Entity(entity) => entity.encode(action, xml),
            Self::Root { account } => xml.element("User", |xml| {
                xml.text("UserId", account);
                xml.text("Arn", &format!("arn:aws:iam::{account}:root"));
                xml.time("CreateDate", 0);
            }),
        }
    }
}

impl Encode for Entities {
    fn encode(&self, _: &str, xml: &mut Xml) {
        page(xml, &format!("{}s", element(self.kind)), &self.page, entity);
    }
}

impl Encode for GroupUsers {
    fn encode(&self, _: &str, xml: &mut Xml) {
        xml.element("Group", |xml| entity(xml, &self.group));
        page(xml, "Users", &self.users, entity);
    }
}

impl Encode for Page<(String, String)> {
    fn encode(&self, _: &str, xml: &mut Xml) {
        page(xml, "Tags", self, |xml, (key, value)| {
            xml.text("Key", key);
            xml.text("Value", value);
        });
    }
}

impl Encode for NewAccessKey {
    fn encode(&self, _: &str, xml: &mut Xml) {
        xml.element("AccessKey", |xml| {
            xml.text("UserName", &self.user);
            xml.text("AccessKeyId", &self.id);
            xml.text("Status", "Active");
            xml.text("SecretAccessKey", self.secret.expose());
            xml.time("CreateDate", self.created_at_ms);
        });
    }
}

impl Encode for AccessKeys {
    fn encode(&self, _: &str, xml: &mut Xml) {
        page(xml, "AccessKeyMetadata", &self.page, |xml, key| {
            xml.text("UserName", &self.user);
            xml.text("AccessKeyId", &key.id);
            xml.text("Status", if key.inactive { "Inactive" } else { "Active" });
            xml.time("CreateDate", key.created_at_ms);
        });
    }
}

impl Encode for KeyUse {
    fn encode(&self, _: &str, xml: &mut Xml) {
        xml.optional("UserName", self.user.as_deref());
        xml.element("AccessKeyLastUsed", |xml| {
            if let Some(used) = self.last {
                let ms = i64::try_from(used.at_s).unwrap_or(0).saturating_mul(1000);
                xml.time("LastUsedDate", ms);
                xml.text("ServiceName", used.service);
                let region = if used.service == "dynamodb" {
                    self.region.as_str()
                } else {
                    IAM_REGION
                };
                xml.text("Region", region);
            } else {
                xml.text("ServiceName", "N/A");
                xml.text("Region", "N/A");
            }
        });
    }
}
