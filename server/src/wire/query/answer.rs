//! From the name of a call to its operation: decode, perform, encode. The one list of which type serves which call.

use crate::identity::access_key_last_used::GetAccessKeyLastUsed;
use crate::identity::assume_role::AssumeRole;
use crate::identity::attach_policy::AttachPolicy;
use crate::identity::boundary::SetBoundary;
use crate::identity::create_access_key::CreateAccessKey;
use crate::identity::create_group::CreateGroup;
use crate::identity::create_policy::CreatePolicy;
use crate::identity::create_policy_version::CreatePolicyVersion;
use crate::identity::create_role::CreateRole;
use crate::identity::create_user::CreateUser;
use crate::identity::delete_access_key::DeleteAccessKey;
use crate::identity::delete_entity::DeleteEntity;
use crate::identity::delete_policy::DeletePolicy;
use crate::identity::error::IdentityError;
use crate::identity::get_caller_identity::GetCallerIdentity;
use crate::identity::get_entity::GetEntity;
use crate::identity::get_group::GetGroup;
use crate::identity::get_policy::GetPolicy;
use crate::identity::get_session_token::GetSessionToken;
use crate::identity::group_member::GroupMember;
use crate::identity::inline_policy::{
    DeleteInlinePolicy, GetInlinePolicy, ListInlinePolicies, PutInlinePolicy,
};
use crate::identity::list_access_keys::ListAccessKeys;
use crate::identity::list_attached_policies::ListAttachedPolicies;
use crate::identity::list_entities::ListEntities;
use crate::identity::list_entities_for_policy::ListEntitiesForPolicy;
use crate::identity::list_groups_for_user::ListGroupsForUser;
use crate::identity::list_policies::ListPolicies;
use crate::identity::policy_version::{ChangePolicyVersion, GetPolicyVersion, ListPolicyVersions};
use crate::identity::rename_entity::RenameEntity;
use crate::identity::simulate::Simulate;
use crate::identity::tag::{ChangeTags, ListTags};
use crate::identity::update_access_key::UpdateAccessKey;
use crate::identity::update_role::{UpdateAssumeRolePolicy, UpdateRole};
use crate::identity::{Call, IdentityOperation};
use crate::wire::query::Api;
use crate::wire::query::decode::{Decode, decode};
use crate::wire::query::encode::{Encode, encode};
use crate::wire::query::fields::Fields;
use crate::wire::query::form::Form;

/// A call that is to be answered.
pub(crate) struct Asked<'a> {
    pub(crate) api: Api,
    pub(crate) form: &'a Form,
    pub(crate) call: Call<'a>,
    pub(crate) request_id: &'a str,
}

impl Asked<'_> {
    /// The body of the answer.
    ///
    /// # Errors
    /// Whatever the call is refused with.
    pub(crate) async fn run(&self) -> Result<String, IdentityError> {
        let Some(action) = self.form.get("Action") else {
            return Err(IdentityError::InvalidAction(
                "Could not find operation in the request".to_owned(),
            ));
        };
        let version = self.form.get("Version").unwrap_or_default();
        if version != self.api.version() {
            return Err(self.unknown(action));
        }
        match self.api {
            Api::Iam => Box::pin(self.entities(action)).await,
            Api::Sts => Box::pin(self.sessions(action)).await,
        }
    }

    async fn answer<O>(&self, action: &'static str) -> Result<String, IdentityError>
    where
        O: IdentityOperation + Decode,
        O::Output: Encode,
    {
        let operation: O = decode(action, Fields::new(self.form))?;
        let answer = self.call.perform(operation).await?;
        Ok(encode(self.api, action, &answer, self.request_id))
    }

    fn unknown(&self, action: &str) -> IdentityError {
        let version = self.form.get("Version").unwrap_or_default();
        IdentityError::InvalidAction(format!("Could not find operation {action} for version {version}"))
    }

    /// Users, groups, roles, access keys and tags.
    async fn entities(&self, action: &str) -> Result<String, IdentityError> {
        match action {
            "CreateUser" => self.answer::<CreateUser>("CreateUser").await,
            "CreateGroup" => self.answer::<CreateGroup>("CreateGroup").await,
            "CreateRole" => self.answer::<CreateRole>("CreateRole").await,
            "GetUser" => self.answer::<GetEntity>("GetUser").await,
            "GetRole" => self.answer::<GetEntity>("GetRole").await,
            "GetGroup" => self.answer::<GetGroup>("GetGroup").await,
            "UpdateUser" => self.answer::<RenameEntity>("UpdateUser").await,
            "UpdateGroup" => self.answer::<RenameEntity>("UpdateGroup").await,
            "DeleteUser" => self.answer::<DeleteEntity>("DeleteUser").await,
            "DeleteGroup" => self.answer::<DeleteEntity>("DeleteGroup").await,
            "DeleteRole" => self.answer::<DeleteEntity>("DeleteRole").await,
            "ListUsers" => self.answer::<ListEntities>("ListUsers").await,
            "ListGroups" => self.answer::<ListEntities>("ListGroups").await,
            "ListRoles" => self.answer::<ListEntities>("ListRoles").await,
            "ListGroupsForUser" => self.answer::<ListGroupsForUser>("ListGroupsForUser").await,
            "AddUserToGroup" => self.answer::<GroupMember>("AddUserToGroup").await,
            "RemoveUserFromGroup" => self.answer::<GroupMember>("RemoveUserFromGroup").await,
            "UpdateRole" => self.answer::<UpdateRole>("UpdateRole").await,
            "UpdateRoleDescription" => self.answer::<UpdateRole>("UpdateRoleDescription").await,
            "UpdateAssumeRolePolicy" => {
                self.answer::<UpdateAssumeRolePolicy>("UpdateAssumeRolePolicy")
                    .await
            }
            "TagUser" => self.answer::<ChangeTags>("TagUser").await,
            "TagRole" => self.answer::<ChangeTags>("TagRole").await,
            "TagPolicy" => self.answer::<ChangeTags>("TagPolicy").await,
            "UntagUser" => self.answer::<ChangeTags>("UntagUser").await,
            "UntagRole" => self.answer::<ChangeTags>("UntagRole").await,
            "UntagPolicy" => self.answer::<ChangeTags>("UntagPolicy").await,
            "ListUserTags" => self.answer::<ListTags>("ListUserTags").await,
            "ListRoleTags" => self.answer::<ListTags>("ListRoleTags").await,
            "ListPolicyTags" => self.answer::<ListTags>("ListPolicyTags").await,
            "CreateAccessKey" => self.answer::<CreateAccessKey>("CreateAccessKey").await,
            "UpdateAccessKey" => self.answer::<UpdateAccessKey>("UpdateAccessKey").await,
            "DeleteAccessKey" => self.answer::<DeleteAccessKey>("DeleteAccessKey").await,
            "ListAccessKeys" => self.answer::<ListAccessKeys>("ListAccessKeys").await,
            "GetAccessKeyLastUsed" => self.answer::<GetAccessKeyLastUsed>("GetAccessKeyLastUsed").await,
            _ => Box::pin(self.policies(action)).await,
        }
    }

    /// Policies of all kinds.
    async fn policies(&self, action: &str) -> Result<String, IdentityError> {
        match action {
            "PutUserPolicy" => self.answer::<PutInlinePolicy>("PutUserPolicy").await,
            "PutGroupPolicy" => self.answer::<PutInlinePolicy>("PutGroupPolicy").await,
            "PutRolePolicy" => self.answer::<PutInlinePolicy>("PutRolePolicy").await,
            "GetUserPolicy" => self.answer::<GetInlinePolicy>("GetUserPolicy").await,
            "GetGroupPolicy" => self.answer::<GetInlinePolicy>("GetGroupPolicy").await,
            "GetRolePolicy" => self.answer::<GetInlinePolicy>("GetRolePolicy").await,
            "DeleteUserPolicy" => self.answer::<DeleteInlinePolicy>("DeleteUserPolicy").await,
            "DeleteGroupPolicy" => self.answer::<DeleteInlinePolicy>("DeleteGroupPolicy").await,
            "DeleteRolePolicy" => self.answer::<DeleteInlinePolicy>("DeleteRolePolicy").await,
            "ListUserPolicies" => self.answer::<ListInlinePolicies>("ListUserPolicies").await,
            "ListGroupPolicies" => self.answer::<ListInlinePolicies>("ListGroupPolicies").await,
            "ListRolePolicies" => self.answer::<ListInlinePolicies>("ListRolePolicies").await,
            "AttachUserPolicy" => self.answer::<AttachPolicy>("AttachUserPolicy").await,
            "AttachGroupPolicy" => self.answer::<AttachPolicy>("AttachGroupPolicy").await,
            "AttachRolePolicy" => self.answer::<AttachPolicy>("AttachRolePolicy").await,
            "DetachUserPolicy" => self.answer::<AttachPolicy>("DetachUserPolicy").await,
            "DetachGroupPolicy" => self.answer::<AttachPolicy>("DetachGroupPolicy").await,
            "DetachRolePolicy" => self.answer::<AttachPolicy>("DetachRolePolicy").await,
            "ListAttachedUserPolicies" => {
                self.answer::<ListAttachedPolicies>("ListAttachedUserPolicies")
                    .await
            }
            "ListAttachedGroupPolicies" => {
                self.answer::<ListAttachedPolicies>("ListAttachedGroupPolicies")
                    .await
            }
            "ListAttachedRolePolicies" => {
                self.answer::<ListAttachedPolicies>("ListAttachedRolePolicies")
                    .await
            }
            "PutUserPermissionsBoundary" => self.answer::<SetBoundary>("PutUserPermissionsBoundary").await,
            "PutRolePermissionsBoundary" => self.answer::<SetBoundary>("PutRolePermissionsBoundary").await,
            "DeleteUserPermissionsBoundary" => {
                self.answer::<SetBoundary>("DeleteUserPermissionsBoundary").await
            }
            "DeleteRolePermissionsBoundary" => {
                self.answer::<SetBoundary>("DeleteRolePermissionsBoundary").await
            }
            "CreatePolicy" => self.answer::<CreatePolicy>("CreatePolicy").await,
            "GetPolicy" => self.answer::<GetPolicy>("GetPolicy").await,
            "DeletePolicy" => self.answer::<DeletePolicy>("DeletePolicy").await,
            "ListPolicies" => self.answer::<ListPolicies>("ListPolicies").await,
            "CreatePolicyVersion" => self.answer::<CreatePolicyVersion>("CreatePolicyVersion").await,
            "GetPolicyVersion" => self.answer::<GetPolicyVersion>("GetPolicyVersion").await,
            "ListPolicyVersions" => self.answer::<ListPolicyVersions>("ListPolicyVersions").await,
            "DeletePolicyVersion" => self.answer::<ChangePolicyVersion>("DeletePolicyVersion").await,
            "SetDefaultPolicyVersion" => {
                self.answer::<ChangePolicyVersion>("SetDefaultPolicyVersion")
                    .await
            }
            "ListEntitiesForPolicy" => {
                self.answer::<ListEntitiesForPolicy>("ListEntitiesForPolicy")
                    .await
            }
            "SimulateCustomPolicy" => self.answer::<Simulate>("SimulateCustomPolicy").await,
            "SimulatePrincipalPolicy" => self.answer::<Simulate>("SimulatePrincipalPolicy").await,
            _ => Err(self.unknown(action)),
        }
    }

    /// Calls of STS.
    async fn sessions(&self, action: &str) -> Result<String, IdentityError> {
        match action {
            "AssumeRole" => self.answer::<AssumeRole>("AssumeRole").await,
            "GetCallerIdentity" => self.answer::<GetCallerIdentity>("GetCallerIdentity").await,
            "GetSessionToken" => self.answer::<GetSessionToken>("GetSessionToken").await,
            _ => Err(self.unknown(action)),
        }
    }
}
