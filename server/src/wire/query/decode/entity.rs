//! Calls about users, groups and roles.

use stator_iam::directory::{Kind, NewGroup, NewRole, NewUser, Tagging};

use super::{Decode, NAME_MAX, kind, member, name_max};
use crate::identity::create_group::CreateGroup;
use crate::identity::create_role::CreateRole;
use crate::identity::create_user::CreateUser;
use crate::identity::delete_entity::DeleteEntity;
use crate::identity::get_entity::GetEntity;
use crate::identity::get_group::GetGroup;
use crate::identity::group_member::GroupMember;
use crate::identity::list_entities::ListEntities;
use crate::identity::list_groups_for_user::ListGroupsForUser;
use crate::identity::rename_entity::RenameEntity;
use crate::identity::tag::{ChangeTags, ListTags, Tagged};
use crate::identity::update_role::{UpdateAssumeRolePolicy, UpdateRole};
use crate::wire::query::fields::Fields;

/// Bounds of `MaxSessionDuration`, in seconds.
const SESSION_S: (u32, u32) = (3600, 43_200);

impl Decode for CreateUser {
    fn decode(_: &'static str, fields: &mut Fields<'_>) -> Self {
        Self(NewUser {
            name: fields.name("UserName", name_max(Kind::User)),
            path: fields.path("Path"),
            boundary: fields.optional_arn("PermissionsBoundary"),
            tags: fields.tags(),
        })
    }
}

impl Decode for CreateGroup {
    fn decode(_: &'static str, fields: &mut Fields<'_>) -> Self {
        Self(NewGroup {
            name: fields.name("GroupName", name_max(Kind::Group)),
            path: fields.path("Path"),
        })
    }
}

impl Decode for CreateRole {
    fn decode(_: &'static str, fields: &mut Fields<'_>) -> Self {
        Self(NewRole {
            name: fields.name("RoleName", name_max(Kind::Role)),
            path: fields.path("Path"),
            trust_policy: fields.document("AssumeRolePolicyDocument"),
            description: fields.text("Description", 0, 1000),
            session_s_max: fields.number("MaxSessionDuration", SESSION_S.0, SESSION_S.1),
            boundary: fields.optional_arn("PermissionsBoundary"),
            tags: fields.tags(),
        })
    }
}

impl Decode for GetEntity {
    fn decode(action: &'static str, fields: &mut Fields<'_>) -> Self {
        let kind = kind(action);
        let name = match kind {
            Kind::User => fields.optional_name("UserName", NAME_MAX),
            kind => Some(fields.name(member(kind), NAME_MAX)),
        };
        Self { kind, name }
    }
}

impl Decode for GetGroup {
    fn decode(_: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            name: fields.name("GroupName", NAME_MAX),
            page: fields.page(),
        }
    }
}

impl Decode for RenameEntity {
    fn decode(action: &'static str, fields: &mut Fields<'_>) -> Self {
        let kind = kind(action);
        Self {
            kind,
            name: fields.name(member(kind), NAME_MAX),
            new_name: fields.optional_name(&format!("New{}", member(kind)), name_max(kind)),
            new_path: fields.optional_path("NewPath"),
        }
    }
}

impl Decode for DeleteEntity {
    fn decode(action: &'static str, fields: &mut Fields<'_>) -> Self {
        let kind = kind(action);
        Self {
            kind,
            name: fields.name(member(kind), NAME_MAX),
        }
    }
}

impl Decode for ListEntities {
    fn decode(action: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            kind: kind(action),
            path_prefix: fields.path_prefix(),
            page: fields.page(),
        }
    }
}

impl Decode for ListGroupsForUser {
    fn decode(_: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            user: fields.name("UserName", NAME_MAX),
            page: fields.page(),
        }
    }
}

impl Decode for GroupMember {
    fn decode(action: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            user: fields.name("UserName", NAME_MAX),
            group: fields.name("GroupName", NAME_MAX),
            remove: action == "RemoveUserFromGroup",
        }
    }
}

impl Decode for UpdateRole {
    fn decode(action: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            name: fields.name("RoleName", NAME_MAX),
            action,
            description: fields.text("Description", 0, 1000),
            session_s_max: fields.number("MaxSessionDuration", SESSION_S.0, SESSION_S.1),
        }
    }
}

impl Decode for UpdateAssumeRolePolicy {
    fn decode(_: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            name: fields.name("RoleName", NAME_MAX),
            document: fields.document("PolicyDocument"),
        }
    }
}

fn tagged(action: &'static str, fields: &mut Fields<'_>) -> Tagged {
    let kind = kind(action);
    let name = match kind {
        Kind::Policy => fields.arn("PolicyArn"),
        kind => fields.name(member(kind), NAME_MAX),
    };
    Tagged { kind, name, action }
}

impl Decode for ChangeTags {
    fn decode(action: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            tagged: tagged(action, fields),
            tagging: if action.starts_with("Untag") {
                Tagging::Remove(fields.list("TagKeys"))
            } else {
                Tagging::Add(fields.tags())
            },
        }
    }
}

impl Decode for ListTags {
    fn decode(action: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            tagged: tagged(action, fields),
            page: fields.page(),
        }
    }
}
