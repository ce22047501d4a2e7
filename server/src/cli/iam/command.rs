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

/// What users, groups and roles have alike: policies that are theirs.
#[derive(Debug, Subcommand)]
pub(super) enum Permission {
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
    #[command(flatten)]
    Permission(Permission),
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
    #[command(flatten)]
    Permission(Permission),
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
    #[command(flatten)]
    Permission(Permission),
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
    pub(super) action: String,
    pub(super) parameters: Vec<(&'static str, String)>,
}

fn call<const N: usize>(action: impl Into<String>, parameters: [(&'static str, &str); N]) -> IamCall {
    IamCall {
        action: action.into(),
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

/// A kind of entity, as calls of the API spell it.
#[derive(Clone, Copy)]
struct Kind {
    word: &'static str,
    /// The parameter with its name.
    name: &'static str,
}

const USER: Kind = Kind {
    word: "User",
    name: "UserName",
};
const GROUP: Kind = Kind {
    word: "Group",
    name: "GroupName",
};
const ROLE: Kind = Kind {
    word: "Role",
    name: "RoleName",
};

impl Kind {
    /// `CreateUser`, `GetGroup`, `DeleteRole`, of one.
    fn one(self, verb: &str, name: &str) -> IamCall {
        call(format!("{verb}{}", self.word), [(self.name, name)])
    }

    fn list(self) -> IamCall {
        call(format!("List{}s", self.word), [("MaxItems", "1000")])
    }
}

impl Permission {
    fn call(&self, of: Kind) -> Result<IamCall, IamError> {
        let Kind { word, name: owner } = of;
        let managed = |verb: &str, attachment: &Attachment| {
            let arn = policy_arn(&attachment.policy);
            let parameters = [(owner, attachment.name.as_str()), ("PolicyArn", arn.as_str())];
            call(format!("{verb}{word}Policy"), parameters)
        };
        Ok(match self {
            Self::Attach(attachment) => managed("Attach", attachment),
            Self::Detach(attachment) => managed("Detach", attachment),
            Self::Attached { name } => call(format!("ListAttached{word}Policies"), [(owner, name)]),
            Self::PutPolicy(inline) => {
                let document = document(&inline.document)?;
                call(
                    format!("Put{word}Policy"),
                    [
                        (owner, &inline.name),
                        ("PolicyName", &inline.policy),
                        ("PolicyDocument", &document),
                    ],
                )
            }
            Self::DeletePolicy(inline) => call(
                format!("Delete{word}Policy"),
                [(owner, &inline.name), ("PolicyName", &inline.policy)],
            ),
            Self::Policies { name } => call(format!("List{word}Policies"), [(owner, name)]),
        })
    }
}

impl User {
    fn call(&self) -> Result<IamCall, IamError> {
        Ok(match self {
            Self::Create { name, boundary } => {
                let mut call = USER.one("Create", name);
                let boundary = boundary.as_deref().map(policy_arn);
                call.parameters
                    .extend(boundary.map(|arn| ("PermissionsBoundary", arn)));
                call
            }
            Self::List => USER.list(),
            Self::Show { name } => USER.one("Get", name),
            Self::Delete { name } => USER.one("Delete", name),
            Self::Permission(permission) => permission.call(USER)?,
        })
    }
}

impl Group {
    fn call(&self) -> Result<IamCall, IamError> {
        Ok(match self {
            Self::Create { name } => GROUP.one("Create", name),
            Self::List => GROUP.list(),
            Self::Show { name } => call("GetGroup", [(GROUP.name, name), ("MaxItems", "1000")]),
            Self::Delete { name } => GROUP.one("Delete", name),
            Self::Add { name, user } => call("AddUserToGroup", [(GROUP.name, name), (USER.name, user)]),
            Self::Remove { name, user } => {
                call("RemoveUserFromGroup", [(GROUP.name, name), (USER.name, user)])
            }
            Self::Permission(permission) => permission.call(GROUP)?,
        })
    }
}

impl Role {
    fn call(&self) -> Result<IamCall, IamError> {
        Ok(match self {
            Self::Create { name, trust } => {
                let trust = document(trust)?;
                call(
                    "CreateRole",
                    [(ROLE.name, name), ("AssumeRolePolicyDocument", &trust)],
                )
            }
            Self::List => ROLE.list(),
            Self::Show { name } => ROLE.one("Get", name),
            Self::Delete { name } => ROLE.one("Delete", name),
            Self::Permission(permission) => permission.call(ROLE)?,
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    /// The call that a command line is, as `action name=value ...`.
    fn called(line: &str) -> String {
        let words = std::iter::once("iam").chain(line.split(' '));
        let call = Line::try_parse_from(words).unwrap().command.call().unwrap();
        let parameters = call.parameters.iter();
        let parameters = parameters.map(|(name, value)| format!(" {name}={value}"));
        call.action + &parameters.collect::<String>()
    }

    #[test]
    fn a_command_is_a_call() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "{}").unwrap();
        let file = file.path().display();
        let policy = "arn:aws:iam::000000000000:policy/p";
        for (word, title) in [("user", "User"), ("group", "Group"), ("role", "Role")] {
            let name = format!("{title}Name=x");
            for (line, call) in [
                ("list".to_owned(), format!("List{title}s MaxItems=1000")),
                ("delete x".to_owned(), format!("Delete{title} {name}")),
                (
                    "attach x --policy p".to_owned(),
                    format!("Attach{title}Policy {name} PolicyArn={policy}"),
                ),
                (
                    format!("detach x --policy {policy}"),
                    format!("Detach{title}Policy {name} PolicyArn={policy}"),
                ),
                (
                    "attached x".to_owned(),
                    format!("ListAttached{title}Policies {name}"),
                ),
                (
                    format!("put-policy x --policy p --document {file}"),
                    format!("Put{title}Policy {name} PolicyName=p PolicyDocument={{}}"),
                ),
                (
                    "delete-policy x --policy p".to_owned(),
                    format!("Delete{title}Policy {name} PolicyName=p"),
                ),
                ("policies x".to_owned(), format!("List{title}Policies {name}")),
            ] {
                assert_eq!(called(&format!("{word} {line}")), call);
            }
        }
        assert_eq!(
            called("user create x --boundary p"),
            format!("CreateUser UserName=x PermissionsBoundary={policy}")
        );
        assert_eq!(called("group show x"), "GetGroup GroupName=x MaxItems=1000");
        assert_eq!(
            called("group add x ann"),
            "AddUserToGroup GroupName=x UserName=ann"
        );
        assert_eq!(
            called(&format!("role create x --trust {file}")),
            "CreateRole RoleName=x AssumeRolePolicyDocument={}"
        );
        assert_eq!(called("role show x"), "GetRole RoleName=x");
    }
}
