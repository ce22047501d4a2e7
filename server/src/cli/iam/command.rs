//! The commands of `stator iam`, and the call of the API that each is.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::IamError;
use crate::arn;

/// What is managed.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Users
    #[command(subcommand)]
    User(User),
    /// Groups of users
    #[command(subcommand)]
    Group(Group),
    /// Roles, which sessions act as
    #[command(subcommand)]
    Role(Role),
    /// Managed policies
    #[command(subcommand)]
    Policy(Policy),
    /// Access keys of users
    #[command(subcommand)]
    Key(Key),
}

/// A name and a policy.
#[derive(Debug, Args)]
pub(super) struct Attachment {
    /// Whom it is attached to
    name: String,
    /// Name or ARN of the managed policy
    #[arg(long)]
    policy: String,
}

/// An inline policy.
#[derive(Debug, Args)]
pub(super) struct Inline {
    /// Whose policy it is
    name: String,
    /// Name of the policy
    #[arg(long)]
    policy: String,
    /// File with the document
    #[arg(long, value_name = "FILE")]
    document: PathBuf,
}

/// `stator iam user`
#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Make a user
    Create {
        name: String,
        /// Name or ARN of the managed policy that is the permissions boundary
        #[arg(long)]
        boundary: Option<String>,
    },
    /// List all users
    List,
    /// Show a user
    Show { name: String },
    /// Delete a user, who must have no keys, policies and groups any more
    Delete { name: String },
    /// Attach a managed policy
    Attach(Attachment),
    /// Detach a managed policy
    Detach(Attachment),
    /// List attached policies
    Attached { name: String },
    /// Put an inline policy
    PutPolicy(Inline),
    /// Delete an inline policy
    DeletePolicy(Attachment),
    /// List inline policies
    Policies { name: String },
}

/// `stator iam group`
#[derive(Debug, Subcommand)]
pub(super) enum Group {
    /// Make a group
    Create { name: String },
    /// List all groups
    List,
    /// Show a group and its users
    Show { name: String },
    /// Delete a group, which must have no users and policies any more
    Delete { name: String },
    /// Add a user
    Add { name: String, user: String },
    /// Remove a user
    Remove { name: String, user: String },
    /// Attach a managed policy
    Attach(Attachment),
    /// Detach a managed policy
    Detach(Attachment),
    /// List attached policies
    Attached { name: String },
    /// Put an inline policy
    PutPolicy(Inline),
    /// Delete an inline policy
    DeletePolicy(Attachment),
    /// List inline policies
    Policies { name: String },
}

/// `stator iam role`
#[derive(Debug, Subcommand)]
pub(super) enum Role {
    /// Make a role
    Create {
        name: String,
        /// File with the trust policy, which says who may assume the role
        #[arg(long, value_name = "FILE")]
        trust: PathBuf,
    },
    /// List all roles
    List,
    /// Show a role
    Show { name: String },
    /// Delete a role, which must have no policies any more
    Delete { name: String },
    /// Attach a managed policy
    Attach(Attachment),
    /// Detach a managed policy
    Detach(Attachment),
    /// List attached policies
    Attached { name: String },
    /// Put an inline policy
    PutPolicy(Inline),
    /// Delete an inline policy
    DeletePolicy(Attachment),
    /// List inline policies
    Policies { name: String },
}

/// `stator iam policy`
#[derive(Debug, Subcommand)]
pub(super) enum Policy {
    /// Make a managed policy
    Create {
        name: String,
        /// File with the document
        #[arg(long, value_name = "FILE")]
        document: PathBuf,
    },
    /// List all managed policies
    List,
    /// Show a managed policy
    Show { name: String },
    /// Delete a managed policy, which must be attached to nothing
    Delete { name: String },
    /// Make another version, which comes into force at once
    Update {
        name: String,
        /// File with the document
        #[arg(long, value_name = "FILE")]
        document: PathBuf,
    },
}

/// `stator iam key`
#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Make an access key and print it with its secret, which is never shown again
    Create { user: String },
    /// List a user's access keys
    List { user: String },
    /// Accept an access key again
    Activate { user: String, id: String },
    /// Refuse an access key until it is activated
    Deactivate { user: String, id: String },
    /// Delete an access key
    Delete { user: String, id: String },
}

/// One call of the API.
#[derive(Debug)]
pub(super) struct IamCall {
    pub(super) action: &'static str,
    pub(super) parameters: Vec<(&'static str, String)>,
}

fn call<const N: usize>(action: &'static str, parameters: [(&'static str, &str); N]) -> IamCall {
    IamCall {
        action,
        parameters: parameters
            .map(|(name, value)| (name, value.to_owned()))
            .into_iter()
            .collect(),
    }
}

/// The ARN of a policy that is named by its name or its ARN.
fn policy_arn(policy: &str) -> String {
    if policy.starts_with("arn:") {
        policy.to_owned()
    } else {
        format!("arn:aws:iam::{}:policy/{policy}", arn::ACCOUNT)
    }
}

fn document(path: &Path) -> Result<String, IamError> {
    std::fs::read_to_string(path).map_err(|source| IamError::Document {
        path: path.to_owned(),
        source,
    })
}

impl Command {
    /// The call that the command is.
    ///
    /// # Errors
    /// When a document cannot be read.
    pub(super) fn call(&self) -> Result<IamCall, IamError> {
        match self {
            Self::User(user) => user.call(),
            Self::Group(group) => group.call(),
            Self::Role(role) => role.call(),
            Self::Policy(policy) => policy.call(),
            Self::Key(key) => Ok(key.call()),
        }
    }
}

impl Attachment {
    fn call(&self, action: &'static str, owner: &'static str) -> IamCall {
        call(
            action,
            [(owner, &self.name), ("PolicyArn", &policy_arn(&self.policy))],
        )
    }

    fn delete_inline(&self, action: &'static str, owner: &'static str) -> IamCall {
        call(action, [(owner, &self.name), ("PolicyName", &self.policy)])
    }
}

impl Inline {
    fn call(&self, action: &'static str, owner: &'static str) -> Result<IamCall, IamError> {
        let document = document(&self.document)?;
        Ok(call(
            action,
            [
                (owner, &self.name),
                ("PolicyName", &self.policy),
                ("PolicyDocument", &document),
            ],
        ))
    }
}

impl User {
    fn call(&self) -> Result<IamCall, IamError> {
        const NAME: &str = "UserName";
        Ok(match self {
            Self::Create { name, boundary } => {
                let mut call = call("CreateUser", [(NAME, name)]);
                let boundary = boundary.as_deref().map(policy_arn);
                call.parameters
                    .extend(boundary.map(|arn| ("PermissionsBoundary", arn)));
                call
            }
            Self::List => call("ListUsers", [("MaxItems", "1000")]),
            Self::Show { name } => call("GetUser", [(NAME, name)]),
            Self::Delete { name } => call("DeleteUser", [(NAME, name)]),
            Self::Attach(attachment) => attachment.call("AttachUserPolicy", NAME),
            Self::Detach(attachment) => attachment.call("DetachUserPolicy", NAME),
            Self::Attached { name } => call("ListAttachedUserPolicies", [(NAME, name)]),
            Self::PutPolicy(inline) => inline.call("PutUserPolicy", NAME)?,
            Self::DeletePolicy(inline) => inline.delete_inline("DeleteUserPolicy", NAME),
            Self::Policies { name } => call("ListUserPolicies", [(NAME, name)]),
        })
    }
}

impl Group {
    fn call(&self) -> Result<IamCall, IamError> {
        const NAME: &str = "GroupName";
        Ok(match self {
            Self::Create { name } => call("CreateGroup", [(NAME, name)]),
            Self::List => call("ListGroups", [("MaxItems", "1000")]),
            Self::Show { name } => call("GetGroup", [(NAME, name), ("MaxItems", "1000")]),
            Self::Delete { name } => call("DeleteGroup", [(NAME, name)]),
            Self::Add { name, user } => call("AddUserToGroup", [(NAME, name), ("UserName", user)]),
            Self::Remove { name, user } => call("RemoveUserFromGroup", [(NAME, name), ("UserName", user)]),
            Self::Attach(attachment) => attachment.call("AttachGroupPolicy", NAME),
            Self::Detach(attachment) => attachment.call("DetachGroupPolicy", NAME),
            Self::Attached { name } => call("ListAttachedGroupPolicies", [(NAME, name)]),
            Self::PutPolicy(inline) => inline.call("PutGroupPolicy", NAME)?,
            Self::DeletePolicy(inline) => inline.delete_inline("DeleteGroupPolicy", NAME),
            Self::Policies { name } => call("ListGroupPolicies", [(NAME, name)]),
        })
    }
}

impl Role {
    fn call(&self) -> Result<IamCall, IamError> {
        const NAME: &str = "RoleName";
        Ok(match self {
            Self::Create { name, trust } => {
                let trust = document(trust)?;
                call("CreateRole", [(NAME, name), ("AssumeRolePolicyDocument", &trust)])
            }
            Self::List => call("ListRoles", [("MaxItems", "1000")]),
            Self::Show { name } => call("GetRole", [(NAME, name)]),
            Self::Delete { name } => call("DeleteRole", [(NAME, name)]),
            Self::Attach(attachment) => attachment.call("AttachRolePolicy", NAME),
            Self::Detach(attachment) => attachment.call("DetachRolePolicy", NAME),
            Self::Attached { name } => call("ListAttachedRolePolicies", [(NAME, name)]),
            Self::PutPolicy(inline) => inline.call("PutRolePolicy", NAME)?,
            Self::DeletePolicy(inline) => inline.delete_inline("DeleteRolePolicy", NAME),
            Self::Policies { name } => call("ListRolePolicies", [(NAME, name)]),
        })
    }
}

impl Policy {
    fn call(&self) -> Result<IamCall, IamError> {
        Ok(match self {
            Self::Create { name, document: file } => {
                let text = document(file)?;
                call("CreatePolicy", [("PolicyName", name), ("PolicyDocument", &text)])
            }
            Self::List => call("ListPolicies", [("MaxItems", "1000")]),
            Self::Show { name } => call("GetPolicy", [("PolicyArn", &policy_arn(name))]),
            Self::Delete { name } => call("DeletePolicy", [("PolicyArn", &policy_arn(name))]),
            Self::Update { name, document: file } => {
                let text = document(file)?;
                call(
                    "CreatePolicyVersion",
                    [
                        ("PolicyArn", &policy_arn(name)),
                        ("PolicyDocument", &text),
                        ("SetAsDefault", "true"),
                    ],
                )
            }
        })
    }
}

impl Key {
    fn call(&self) -> IamCall {
        let status = |user: &str, id: &str, status: &str| {
            call(
                "UpdateAccessKey",
                [("UserName", user), ("AccessKeyId", id), ("Status", status)],
            )
        };
        match self {
            Self::Create { user } => call("CreateAccessKey", [("UserName", user)]),
            Self::List { user } => call("ListAccessKeys", [("UserName", user)]),
            Self::Activate { user, id } => status(user, id, "Active"),
            Self::Deactivate { user, id } => status(user, id, "Inactive"),
            Self::Delete { user, id } => call("DeleteAccessKey", [("UserName", user), ("AccessKeyId", id)]),
        }
    }
}
