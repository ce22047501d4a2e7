//! What the directory keeps: users with their access keys, groups, roles and managed policies, and their bytes.
//!
//! Each is a row of its own, so that a change is one compare-and-set. The bytes are a protobuf message behind a version byte
//! (`docs/format/identity.md`): fields that an older program does not know are skipped, and numbers are never given to
//! another meaning. Invariants: an id is never used again, and what refers to another row does so by its id, so that a
//! row that is gone leaves nothing that a new one of the same name could come by. Secrets are in here sealed only.

use std::collections::BTreeMap;

use prost::Message;

/// First byte of a row.
const FORMAT_VERSION: u8 = 1;

/// The kinds of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// [`User`].
    User,
    /// [`Group`].
    Group,
    /// [`Role`].
    Role,
    /// [`ManagedPolicy`].
    Policy,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::User, Self::Group, Self::Role, Self::Policy];

    /// As sentences write it: `user`, `group`, `role`, `policy`.
    pub fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Role => "role",
            Self::Policy => "policy",
        }
    }

    /// The same at the beginning of a sentence.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
            Self::Role => "Role",
            Self::Policy => "Policy",
        }
    }

    /// What the ids of its rows begin with. Source: AWS IAM User Guide, "Understanding unique ID prefixes".
    pub(super) fn id_prefix(self) -> &'static str {
        match self {
            Self::User => "AIDA",
            Self::Group => "AGPA",
            Self::Role => "AROA",
            Self::Policy => "ANPA",
        }
    }
}

/// Which row. Names are told apart without regard to case, as IAM does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    /// Of what.
    pub kind: Kind,
    /// The name in lower case.
    pub name: String,
}

impl Row {
    /// The row of a name.
    pub fn new(kind: Kind, name: &str) -> Self {
        Self {
            kind,
            name: name.to_ascii_lowercase(),
        }
    }
}

/// A user with its access keys.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct User {
    /// As it was given, unique without regard to case.
    #[prost(string, tag = "1")]
    pub name: String,
    /// `/`, or a path that begins and ends with one.
    #[prost(string, tag = "2")]
    pub path: String,
    /// `AIDA...`
    #[prost(string, tag = "3")]
    pub id: String,
    /// Milliseconds since the Unix epoch.
    #[prost(sint64, tag = "4")]
    pub created_at_ms: i64,
    /// Tags.
    #[prost(btree_map = "string, string", tag = "5")]
    pub tags: BTreeMap<String, String>,
    /// Documents of inline policies by name.
    #[prost(btree_map = "string, string", tag = "6")]
    pub inline: BTreeMap<String, String>,
    /// Ids of managed policies.
    #[prost(string, repeated, tag = "7")]
    pub attached: Vec<String>,
    /// Id of the managed policy that is the permissions boundary.
    #[prost(string, optional, tag = "8")]
    pub boundary: Option<String>,
    /// The name in lower case of the row that this one is being moved to; empty when it is not.
    #[prost(string, tag = "9")]
    pub moving_to: String,
    /// How often it was changed, so that no two rows of its life are equal.
    #[prost(uint64, tag = "10")]
    pub revision: u64,
    /// Ids of its groups.
    #[prost(string, repeated, tag = "11")]
    pub groups: Vec<String>,
    /// Its access keys, the oldest first.
    #[prost(message, repeated, tag = "12")]
    pub keys: Vec<AccessKey>,
    /// Whether this is no user, but keeps a user from being moved to this row.
    #[prost(bool, tag = "13")]
    pub blocks: bool,
}

/// An access key of a user.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AccessKey {
    /// `AKIA...`
    #[prost(string, tag = "1")]
    pub id: String,
    /// The secret, sealed for this id (`sealing.rs`).
    #[prost(bytes = "vec", tag = "2")]
    pub sealed_secret: Vec<u8>,
    /// Milliseconds since the Unix epoch.
    #[prost(sint64, tag = "3")]
    pub created_at_ms: i64,
    /// Whether requests signed with it are refused.
    #[prost(bool, tag = "4")]
    pub inactive: bool,
}

/// A group of users. Who is in it stands with the users.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Group {
    /// As [`User::name`].
    #[prost(string, tag = "1")]
    pub name: String,
    /// As [`User::path`].
    #[prost(string, tag = "2")]
    pub path: String,
    /// `AGPA...`
    #[prost(string, tag = "3")]
    pub id: String,
    /// Milliseconds since the Unix epoch.
    #[prost(sint64, tag = "4")]
    pub created_at_ms: i64,
    /// As [`User::inline`].
    #[prost(btree_map = "string, string", tag = "6")]
    pub inline: BTreeMap<String, String>,
    /// As [`User::attached`].
    #[prost(string, repeated, tag = "7")]
    pub attached: Vec<String>,
    /// As [`User::moving_to`].
    #[prost(string, tag = "9")]
    pub moving_to: String,
    /// As [`User::revision`].
    #[prost(uint64, tag = "10")]
    pub revision: u64,
    /// As [`User::blocks`].
    #[prost(bool, tag = "13")]
    pub blocks: bool,
}

/// A role, which sessions act as.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Role {
    /// As [`User::name`].
    #[prost(string, tag = "1")]
    pub name: String,
    /// As [`User::path`].
    #[prost(string, tag = "2")]
    pub path: String,
    /// `AROA...`
    #[prost(string, tag = "3")]
    pub id: String,
    /// Milliseconds since the Unix epoch.
    #[prost(sint64, tag = "4")]
    pub created_at_ms: i64,
    /// As [`User::tags`].
    #[prost(btree_map = "string, string", tag = "5")]
    pub tags: BTreeMap<String, String>,
    /// As [`User::inline`].
    #[prost(btree_map = "string, string", tag = "6")]
    pub inline: BTreeMap<String, String>,
    /// As [`User::attached`].
    #[prost(string, repeated, tag = "7")]
    pub attached: Vec<String>,
    /// As [`User::boundary`].
    #[prost(string, optional, tag = "8")]
    pub boundary: Option<String>,
    /// Who may assume it; users and roles by their ids (`trust.rs`).
    #[prost(string, tag = "11")]
    pub trust_policy: String,
    /// Free text.
    #[prost(string, optional, tag = "12")]
    pub description: Option<String>,
    /// The longest that a session may last, in seconds.
    #[prost(uint32, tag = "13")]
    pub session_s_max: u32,
}

/// A managed policy with its versions.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ManagedPolicy {
    /// As [`User::name`].
    #[prost(string, tag = "1")]
    pub name: String,
    /// As [`User::path`].
    #[prost(string, tag = "2")]
    pub path: String,
    /// `ANPA...`
    #[prost(string, tag = "3")]
    pub id: String,
    /// Milliseconds since the Unix epoch.
    #[prost(sint64, tag = "4")]
    pub created_at_ms: i64,
    /// As [`User::tags`].
    #[prost(btree_map = "string, string", tag = "5")]
    pub tags: BTreeMap<String, String>,
    /// Free text.
    #[prost(string, optional, tag = "12")]
    pub description: Option<String>,
    /// When a version was made or became the default last, in milliseconds since the Unix epoch.
    #[prost(sint64, tag = "13")]
    pub updated_at_ms: i64,
    /// Its versions, the oldest first.
    #[prost(message, repeated, tag = "14")]
    pub versions: Vec<PolicyVersion>,
    /// The number of the version that is in force.
    #[prost(uint32, tag = "15")]
    pub default_version: u32,
    /// The greatest number that a version has had.
    #[prost(uint32, tag = "16")]
    pub last_version: u32,
}

/// A version of a managed policy.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PolicyVersion {
    /// `v1` is 1; never used again within the policy.
    #[prost(uint32, tag = "1")]
    pub number: u32,
    /// The document.
    #[prost(string, tag = "2")]
    pub document: String,
    /// Milliseconds since the Unix epoch.
    #[prost(sint64, tag = "3")]
    pub created_at_ms: i64,
}

impl ManagedPolicy {
    /// The version of a number.
    pub fn version(&self, number: u32) -> Option<&PolicyVersion> {
        self.versions.iter().find(|version| version.number == number)
    }

    /// The document that is in force.
    pub fn document(&self) -> Option<&str> {
        self.version(self.default_version)
            .map(|version| version.document.as_str())
    }
}

/// A row of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A user.
    User(User),
    /// A group.
    Group(Group),
    /// A role.
    Role(Role),
    /// A managed policy.
    Policy(ManagedPolicy),
}

impl Record {
    /// What it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::User(_) => Kind::User,
            Self::Group(_) => Kind::Group,
            Self::Role(_) => Kind::Role,
            Self::Policy(_) => Kind::Policy,
        }
    }

    /// Its name as it was given.
    pub fn name(&self) -> &str {
        match self {
            Self::User(user) => &user.name,
            Self::Group(group) => &group.name,
            Self::Role(role) => &role.name,
            Self::Policy(policy) => &policy.name,
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        match self {
            Self::User(user) => &user.id,
            Self::Group(group) => &group.id,
            Self::Role(role) => &role.id,
            Self::Policy(policy) => &policy.id,
        }
    }

    /// Its path.
    pub fn path(&self) -> &str {
        match self {
            Self::User(user) => &user.path,
            Self::Group(group) => &group.path,
            Self::Role(role) => &role.path,
            Self::Policy(policy) => &policy.path,
        }
    }

    /// Documents of inline policies by name; a managed policy has none.
    pub fn inline(&self) -> Option<&BTreeMap<String, String>> {
        match self {
            Self::User(user) => Some(&user.inline),
            Self::Group(group) => Some(&group.inline),
            Self::Role(role) => Some(&role.inline),
            Self::Policy(_) => None,
        }
    }

    pub(super) fn inline_mut(&mut self) -> Option<&mut BTreeMap<String, String>> {
        match self {
            Self::User(user) => Some(&mut user.inline),
            Self::Group(group) => Some(&mut group.inline),
            Self::Role(role) => Some(&mut role.inline),
            Self::Policy(_) => None,
        }
    }

    /// Ids of attached policies; a managed policy has none.
    pub fn attached(&self) -> &[String] {
        match self {
            Self::User(user) => &user.attached,
            Self::Group(group) => &group.attached,
            Self::Role(role) => &role.attached,
            Self::Policy(_) => &[],
        }
    }

    pub(super) fn attached_mut(&mut self) -> Option<&mut Vec<String>> {
        match self {
            Self::User(user) => Some(&mut user.attached),
            Self::Group(group) => Some(&mut group.attached),
            Self::Role(role) => Some(&mut role.attached),
            Self::Policy(_) => None,
        }
    }

    /// Id of the policy that is the permissions boundary.
    pub fn boundary(&self) -> Option<&str> {
        match self {
            Self::User(user) => user.boundary.as_deref(),
            Self::Role(role) => role.boundary.as_deref(),
            Self::Group(_) | Self::Policy(_) => None,
        }
    }

    pub(super) fn boundary_mut(&mut self) -> Option<&mut Option<String>> {
        match self {
            Self::User(user) => Some(&mut user.boundary),
            Self::Role(role) => Some(&mut role.boundary),
            Self::Group(_) | Self::Policy(_) => None,
        }
    }

    /// Tags; groups have none.
    pub fn tags(&self) -> Option<&BTreeMap<String, String>> {
        match self {
            Self::User(user) => Some(&user.tags),
            Self::Role(role) => Some(&role.tags),
            Self::Policy(policy) => Some(&policy.tags),
            Self::Group(_) => None,
        }
    }

    pub(super) fn tags_mut(&mut self) -> Option<&mut BTreeMap<String, String>> {
        match self {
            Self::User(user) => Some(&mut user.tags),
            Self::Role(role) => Some(&mut role.tags),
            Self::Policy(policy) => Some(&mut policy.tags),
            Self::Group(_) => None,
        }
    }

    /// The name of the row that it is being moved to; users and groups alone are renamed.
    pub(super) fn moving_to(&self) -> Option<&str> {
        let to = match self {
            Self::User(user) => &user.moving_to,
            Self::Group(group) => &group.moving_to,
            Self::Role(_) | Self::Policy(_) => return None,
        };
        (!to.is_empty()).then_some(to)
    }

    /// Whether it is nothing but an obstacle (`change/entity.rs`).
    pub(super) fn is_obstacle(&self) -> bool {
        match self {
            Self::User(user) => user.blocks,
            Self::Group(group) => group.blocks,
            Self::Role(_) | Self::Policy(_) => false,
        }
    }

    /// The next one in its life, which is being moved to a row, or to none.
    pub(super) fn revise(&mut self, moving_to: &str) {
        let (to, revision) = match self {
            Self::User(user) => (&mut user.moving_to, &mut user.revision),
            Self::Group(group) => (&mut group.moving_to, &mut group.revision),
            Self::Role(_) | Self::Policy(_) => return,
        };
        moving_to.clone_into(to);
        *revision += 1;
    }

    /// What keeps it, as it is now, from being moved to the row of a name.
    pub(super) fn obstacle(&self, name: &str) -> Option<Self> {
        Some(match self {
            Self::User(user) => Self::User(User {
                name: name.to_owned(),
                id: user.id.clone(),
                revision: user.revision,
                blocks: true,
                ..User::default()
            }),
            Self::Group(group) => Self::Group(Group {
                name: name.to_owned(),
                id: group.id.clone(),
                revision: group.revision,
                blocks: true,
                ..Group::default()
            }),
            Self::Role(_) | Self::Policy(_) => return None,
        })
    }

    /// The bytes of its row.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT_VERSION];
        match self {
            Self::User(user) => bytes.extend(user.encode_to_vec()),
            Self::Group(group) => bytes.extend(group.encode_to_vec()),
            Self::Role(role) => bytes.extend(role.encode_to_vec()),
            Self::Policy(policy) => bytes.extend(policy.encode_to_vec()),
        }
        bytes
    }

    /// Reads the bytes of a row.
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub fn from_bytes(kind: Kind, bytes: &[u8]) -> Result<Self, String> {
        let (version, message) = bytes.split_first().ok_or("it is empty")?;
        if *version != FORMAT_VERSION {
            return Err(format!(
                "its version is {version}, this program knows {FORMAT_VERSION}"
            ));
        }
        let record = match kind {
            Kind::User => User::decode(message).map(Self::User),
            Kind::Group => Group::decode(message).map(Self::Group),
            Kind::Role => Role::decode(message).map(Self::Role),
            Kind::Policy => ManagedPolicy::decode(message).map(Self::Policy),
        };
        let record = record.map_err(|error| error.to_string())?;
        if record.name().is_empty() || record.id().is_empty() {
            return Err("it has no name or no id".to_owned());
        }
        Ok(record)
    }
}
