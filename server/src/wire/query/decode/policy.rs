//! Calls about policies: inline, managed, attached, boundaries.

use stator_iam::directory::{Kind, NewPolicy};

use super::{Decode, NAME_MAX, name_max, owner};
use crate::identity::attach_policy::AttachPolicy;
use crate::identity::boundary::SetBoundary;
use crate::identity::create_policy::CreatePolicy;
use crate::identity::create_policy_version::CreatePolicyVersion;
use crate::identity::delete_policy::DeletePolicy;
use crate::identity::get_policy::GetPolicy;
use crate::identity::inline_policy::{
    DeleteInlinePolicy, GetInlinePolicy, ListInlinePolicies, PutInlinePolicy,
};
use crate::identity::list_attached_policies::ListAttachedPolicies;
use crate::identity::list_entities_for_policy::ListEntitiesForPolicy;
use crate::identity::list_policies::{ListPolicies, PolicyUsage};
use crate::identity::policy_version::{ChangePolicyVersion, GetPolicyVersion, ListPolicyVersions};
use crate::wire::query::fields::Fields;

impl Decode for CreatePolicy {
    fn decode(_: &'static str, fields: &mut Fields<'_>) -> Self {
        Self(NewPolicy {
            name: fields.name("PolicyName", name_max(Kind::Policy)),
            path: fields.path("Path"),
            document: fields.document("PolicyDocument"),
            description: fields.text("Description", 0, 1000),
            tags: fields.tags(),
        })
    }
}

impl Decode for GetPolicy {
    fn decode(_: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            arn: fields.arn("PolicyArn"),
        }
    }
}

impl Decode for DeletePolicy {
    fn decode(_: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            arn: fields.arn("PolicyArn"),
        }
    }
}

impl Decode for ListPolicies {
    fn decode(_: &'static str, fields: &mut Fields<'_>) -> Self {
        let scope = fields.one_of("Scope", &["All", "AWS", "Local"]);
        Self {
            customers: scope.as_deref() != Some("AWS"),
            only_attached: fields.boolean("OnlyAttached"),
            path_prefix: fields.path_prefix(),
            usage: usage(fields),
            page: fields.page(),
        }
    }
}

fn usage(fields: &mut Fields<'_>) -> Option<PolicyUsage> {
    let usage = fields.one_of("PolicyUsageFilter", &["PermissionsPolicy", "PermissionsBoundary"])?;
    Some(if usage == "PermissionsBoundary" {
        PolicyUsage::Boundary
    } else {
        PolicyUsage::Permissions
    })
}

impl Decode for ListEntitiesForPolicy {
    fn decode(_: &'static str, fields: &mut Fields<'_>) -> Self {
        let filter = fields.one_of(
            "EntityFilter",
            &["User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy"],
        );
        Self {
            arn: fields.arn("PolicyArn"),
            kind: filter.map(|filter| match filter.as_str() {
                "User" => Kind::User,
                "Role" => Kind::Role,
                "Group" => Kind::Group,
                // Policies are attached to no policy.
                _ => Kind::Policy,
            }),
            path_prefix: fields.path_prefix(),
            usage: usage(fields),
            page: fields.page(),
        }
    }
}

impl Decode for CreatePolicyVersion {
    fn decode(_: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            arn: fields.arn("PolicyArn"),
            document: fields.document("PolicyDocument"),
            set_default: fields.boolean("SetAsDefault"),
        }
    }
}

impl Decode for GetPolicyVersion {
    fn decode(_: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            arn: fields.arn("PolicyArn"),
            version: fields.required("VersionId"),
        }
    }
}

impl Decode for ListPolicyVersions {
    fn decode(_: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            arn: fields.arn("PolicyArn"),
            page: fields.page(),
        }
    }
}

impl Decode for ChangePolicyVersion {
    fn decode(action: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            arn: fields.arn("PolicyArn"),
            version: fields.required("VersionId"),
            delete: action == "DeletePolicyVersion",
        }
    }
}

impl Decode for PutInlinePolicy {
    fn decode(action: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            owner: owner(action, fields),
            policy: fields.name("PolicyName", NAME_MAX),
            document: fields.document("PolicyDocument"),
        }
    }
}

impl Decode for GetInlinePolicy {
    fn decode(action: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            owner: owner(action, fields),
            policy: fields.name("PolicyName", NAME_MAX),
        }
    }
}

impl Decode for DeleteInlinePolicy {
    fn decode(action: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            owner: owner(action, fields),
            policy: fields.name("PolicyName", NAME_MAX),
        }
    }
}

impl Decode for ListInlinePolicies {
    fn decode(action: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            owner: owner(action, fields),
            page: fields.page(),
        }
    }
}

impl Decode for AttachPolicy {
    fn decode(action: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            owner: owner(action, fields),
            arn: fields.arn("PolicyArn"),
            detach: action.starts_with("Detach"),
        }
    }
}

impl Decode for SetBoundary {
    fn decode(action: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            owner: owner(action, fields),
            arn: action
                .starts_with("Put")
                .then(|| fields.arn("PermissionsBoundary")),
        }
    }
}

impl Decode for ListAttachedPolicies {
    fn decode(action: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            owner: owner(action, fields),
            path_prefix: fields.path_prefix(),
            page: fields.page(),
        }
    }
}
