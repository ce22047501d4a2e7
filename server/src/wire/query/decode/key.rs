//! Calls about access keys.

use super::{Decode, NAME_MAX};
use crate::identity::access_key_last_used::GetAccessKeyLastUsed;
use crate::identity::create_access_key::CreateAccessKey;
use crate::identity::delete_access_key::DeleteAccessKey;
use crate::identity::list_access_keys::ListAccessKeys;
use crate::identity::update_access_key::UpdateAccessKey;
use crate::wire::query::fields::Fields;

impl Decode for CreateAccessKey {
    fn decode(_: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            user: fields.optional_name("UserName", NAME_MAX),
        }
    }
}

impl Decode for UpdateAccessKey {
    fn decode(_: &'static str, fields: &mut Fields<'_>) -> Self {
        fields.required("Status");
        Self {
            user: fields.optional_name("UserName", NAME_MAX),
            id: fields.name("AccessKeyId", NAME_MAX),
            active: fields.one_of("Status", &["Active", "Inactive"]).as_deref() == Some("Active"),
        }
    }
}

impl Decode for DeleteAccessKey {
    fn decode(_: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            user: fields.optional_name("UserName", NAME_MAX),
            id: fields.name("AccessKeyId", NAME_MAX),
        }
    }
}

impl Decode for ListAccessKeys {
    fn decode(_: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            user: fields.optional_name("UserName", NAME_MAX),
            page: fields.page(),
        }
    }
}

impl Decode for GetAccessKeyLastUsed {
    fn decode(_: &'static str, fields: &mut Fields<'_>) -> Self {
        Self {
            id: fields.name("AccessKeyId", NAME_MAX),
        }
    }
}
