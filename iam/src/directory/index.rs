//! All rows of a moment, indexed: who has an access key, and which policies count for whom.
//!
//! Invariant: built from rows alone, so that any two nodes with the same rows show the same. What is being renamed is shown
//! once, under the name that its compare-and-sets have come to (`is_live`).

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use super::change::{no_inline, version_number};
use super::error::DirectoryError;
use super::last_used::LastUsed;
use super::record::{Group, Kind, ManagedPolicy, PolicyVersion, Record, Role, Row, User};
use super::sealing::{Purpose, SealingKeys};
use super::token;
use crate::policy::{DocumentKind, Policy, PrincipalPolicies};
use crate::principal::{Credential, Identity, Principal, SecretKey};

/// How many sessions have their policies at hand.
const SESSIONS_MAX: usize = 4096;

/// A row cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {} {name} cannot be read: {detail}", kind.word())]
pub struct MalformedRow {
    /// Of what.
    pub kind: Kind,
    /// The name of the row.
    pub name: String,
    /// What is wrong.
    pub detail: String,
}

/// An access key that is there.
#[derive(Debug, Clone)]
struct Key {
    /// The user's row.
    user: String,
    secret: SecretKey,
    active: bool,
    principal: Arc<Principal>,
    last_used: Arc<LastUsed>,
}

/// By how many users, groups and roles a managed policy is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// That it is attached to.
    pub attachments: usize,
    /// Whose boundary it is.
    pub boundaries: usize,
}

/// What all rows say at one moment.
pub struct Directory {
    account: String,
    root: Arc<PrincipalPolicies>,
    records: BTreeMap<Row, Arc<Record>>,
    /// By id.
    rows: HashMap<String, Row>,
    /// Old rows that were moved and are there still, by id.
    left: HashMap<String, Row>,
    /// By id of the managed policy.
    usage: HashMap<String, Usage>,
    keys: HashMap<String, Key>,
    sealing: Option<SealingKeys>,
    /// Of users and roles, by id.
    policies: HashMap<String, Arc<PrincipalPolicies>>,
    /// Of sessions, by access key.
    sessions: RwLock<HashMap<String, Arc<PrincipalPolicies>>>,
    /// What has been compiled, for the next directory.
    compiled: HashMap<String, Arc<Policy>>,
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory")
            .field("records", &self.records.len())
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

impl Directory {
    /// The directory of an account (12 digits) that has none but its root.
    pub fn empty(account: &str) -> Self {
        Self {
            account: account.to_owned(),
            root: Arc::new(PrincipalPolicies::root(account)),
            records: BTreeMap::new(),
            rows: HashMap::new(),
            left: HashMap::new(),
            usage: HashMap::new(),
            keys: HashMap::new(),
            sealing: None,
            policies: HashMap::new(),
            sessions: RwLock::default(),
            compiled: HashMap::new(),
        }
    }

    /// Indexes the rows of an account (12 digits). What `before` has compiled and noted is taken over.
    ///
    /// # Errors
    /// [`MalformedRow`]. A key whose secret does not open is left out; the others go on.
    pub fn build<'r>(
        account: &str,
        rows: impl IntoIterator<Item = (Row, &'r [u8])>,
        sealing: Option<SealingKeys>,
        before: &Self,
    ) -> Result<Self, MalformedRow> {
        let mut all = BTreeMap::new();
        for (row, bytes) in rows {
            let record = Record::from_bytes(row.kind, bytes).map_err(|detail| MalformedRow {
                kind: row.kind,
                name: row.name.clone(),
                detail,
            })?;
            all.insert(row, Arc::new(record));
        }
        let records: BTreeMap<_, _> = all
            .iter()
            .filter(|(row, record)| is_live(row, record, &all))
            .map(|(row, record)| (row.clone(), Arc::clone(record)))
            .collect();
        let left = all
            .iter()
            .filter(|(row, record)| !record.is_obstacle() && !records.contains_key(row));
        let mut directory = Self {
            left: left
                .map(|(row, record)| (record.id().to_owned(), row.clone()))
                .collect(),
            rows: records
                .iter()
                .map(|(row, record)| (record.id().to_owned(), row.clone()))
                .collect(),
            records,
            sealing,
            ..Self::empty(account)
        };
        directory.count_usage();
        directory.open_keys(before);
        directory.compile_all(before);
        Ok(directory)
    }

    fn count_usage(&mut self) {
        for record in self.records.values() {
            for id in record.attached() {
                self.usage.entry(id.clone()).or_default().attachments += 1;
            }
            if let Some(id) = record.boundary() {
                self.usage.entry(id.to_owned()).or_default().boundaries += 1;
            }
        }
    }

    fn open_keys(&mut self, before: &Self) {
        let Some(sealing) = &self.sealing else { return };
        let mut keys = HashMap::new();
        for user in self.users() {
            for key in &user.keys {
                let opened = sealing.unseal(Purpose::AccessKey, &key.id, &key.sealed_secret);
                let Some(Ok(secret)) = opened.map(|secret| String::from_utf8(secret.to_vec())) else {
                    continue;
                };
                let last_used = before.keys.get(&key.id).map(|key| Arc::clone(&key.last_used));
                let principal = Principal {
                    access_key_id: key.id.clone(),
                    arn: self.arn_of(Kind::User, &user.path, &user.name),
                    identity: Identity::User { id: user.id.clone() },
                    session: None,
                };
                let entry = Key {
                    user: user.name.to_ascii_lowercase(),
                    secret: SecretKey::new(secret),
                    active: !key.inactive,
                    principal: Arc::new(principal),
                    last_used: last_used.unwrap_or_default(),
                };
                keys.insert(key.id.clone(), entry);
            }
        }
        self.keys = keys;
    }

    /// The account's 12 digits.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// What secrets are sealed with, once there is something.
    pub fn sealing(&self) -> Option<&SealingKeys> {
        self.sealing.as_ref()
    }

    /// The ARN of a user, group, role or policy.
    pub fn arn_of(&self, kind: Kind, path: &str, name: &str) -> String {
        format!("arn:aws:iam::{}:{}{path}{name}", self.account, kind.word())
    }

    /// The ARN of a record.
    pub fn arn(&self, record: &Record) -> String {
        self.arn_of(record.kind(), record.path(), record.name())
    }

    /// The record of a name.
    pub fn find(&self, kind: Kind, name: &str) -> Option<&Arc<Record>> {
        self.records.get(&Row::new(kind, name))
    }

    /// The record of a name.
    ///
    /// # Errors
    /// NoSuchEntity.
    pub fn get(&self, kind: Kind, name: &str) -> Result<&Arc<Record>, DirectoryError> {
        self.find(kind, name).ok_or_else(|| {
            DirectoryError::missing(format!("The {} with name {name} cannot be found.", kind.word()))
        })
    }

    /// The row from which a record was moved, if it is there still.
    pub(super) fn left_behind(&self, id: &str) -> Option<&Row> {
        self.left.get(id)
    }

    /// The record of an id.
    pub fn by_id(&self, id: &str) -> Option<&Arc<Record>> {
        self.records.get(self.rows.get(id)?)
    }

    /// The managed policy of an ARN.
    ///
    /// # Errors
    /// NoSuchEntity; InvalidInput for what is no ARN of a policy.
    pub fn policy(&self, arn: &str) -> Result<&ManagedPolicy, DirectoryError> {
        let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
        if !arn.starts_with("arn:") || !resource.starts_with("policy/") {
            return Err(DirectoryError::invalid(format!("ARN {arn} is not valid.")));
        }
        let name = resource.rsplit('/').next().unwrap_or_default();
        match self.find(Kind::Policy, name).map(AsRef::as_ref) {
            Some(Record::Policy(policy)) if self.arn_of(Kind::Policy, &policy.path, &policy.name) == arn => {
                Ok(policy)
            }
            _ => Err(DirectoryError::missing(format!("Policy {arn} was not found."))),
        }
    }

    /// The document of an inline policy.
    ///
    /// # Errors
    /// NoSuchEntity.
    pub fn inline(&self, kind: Kind, name: &str, policy: &str) -> Result<&str, DirectoryError> {
        let document = self
            .get(kind, name)?
            .inline()
            .and_then(|inline| inline.get(policy));
        document
            .map(String::as_str)
            .ok_or_else(|| no_inline(kind, policy))
    }

    /// A version of a managed policy.
    ///
    /// # Errors
    /// NoSuchEntity, InvalidInput.
    pub fn version(&self, arn: &str, version: &str) -> Result<&PolicyVersion, DirectoryError> {
        let policy = self.policy(arn)?;
        let number = version_number(policy, arn, version)?;
        policy
            .version(number)
            .ok_or_else(|| no_inline(Kind::Policy, version))
    }

    /// The user of a name.
    ///
    /// # Errors
    /// NoSuchEntity.
    pub fn user(&self, name: &str) -> Result<&User, DirectoryError> {
        match self.get(Kind::User, name)?.as_ref() {
            Record::User(user) => Ok(user),
            _ => unreachable!("rows are of their kind"),
        }
    }

    /// The group of a name.
    ///
    /// # Errors
    /// NoSuchEntity.
    pub fn group(&self, name: &str) -> Result<&Group, DirectoryError> {
        match self.get(Kind::Group, name)?.as_ref() {
            Record::Group(group) => Ok(group),
            _ => unreachable!("rows are of their kind"),
        }
    }

    /// The role of a name.
    ///
    /// # Errors
    /// NoSuchEntity.
    pub fn role(&self, name: &str) -> Result<&Role, DirectoryError> {
        match self.get(Kind::Role, name)?.as_ref() {
            Record::Role(role) => Ok(role),
            _ => unreachable!("rows are of their kind"),
        }
    }

    /// All records of a kind, by name.
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = &Arc<Record>> {
        self.records
            .iter()
            .filter(move |(row, _)| row.kind == kind)
            .map(|(_, record)| record)
    }

    /// All users, by name.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.all(Kind::User).filter_map(|record| match record.as_ref() {
            Record::User(user) => Some(user),
            _ => None,
        })
    }

    /// The users of a group, by name.
    pub fn members<'d>(&'d self, group: &'d Group) -> impl Iterator<Item = &'d User> {
        self.users().filter(|user| user.groups.contains(&group.id))
    }

    /// The groups of a user, in the order in which it came to them.
    pub fn groups_of<'d>(&'d self, user: &'d User) -> impl Iterator<Item = &'d Group> {
        user.groups
            .iter()
            .filter_map(|id| match self.by_id(id)?.as_ref() {
                Record::Group(group) => Some(group),
                _ => None,
            })
    }

    /// The managed policies with these ids, as far as they are there.
    pub fn policies_of<'d>(&'d self, ids: &'d [String]) -> impl Iterator<Item = &'d ManagedPolicy> {
        ids.iter().filter_map(|id| match self.by_id(id)?.as_ref() {
            Record::Policy(policy) => Some(policy),
            _ => None,
        })
    }

    /// By how many a managed policy is used.
    pub fn usage(&self, policy: &ManagedPolicy) -> Usage {
        self.usage.get(&policy.id).copied().unwrap_or_default()
    }

    /// Who acts under an ARN without an access key, such as the owner of a client's certificate: root or a user.
    pub fn principal(&self, arn: &str) -> Option<Principal> {
        if arn == self.root.arn {
            return Some(Principal::root("", &self.account));
        }
        let user = self.user(arn.rsplit('/').next()?).ok()?;
        (self.arn_of(Kind::User, &user.path, &user.name) == arn).then(|| Principal {
            access_key_id: String::new(),
            arn: arn.to_owned(),
            identity: Identity::User { id: user.id.clone() },
            session: None,
        })
    }

    /// The name of the user whose access key it is, and when it was used last on this node.
    pub fn key(&self, access_key_id: &str) -> Option<(&User, &LastUsed)> {
        let key = self.keys.get(access_key_id)?;
        Some((self.user(&key.user).ok()?, &key.last_used))
    }

    /// All access keys with their last use on this node.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &LastUsed)> {
        self.keys.iter().map(|(id, key)| (id.as_str(), &*key.last_used))
    }

    /// The credential of an active access key of a user.
    pub fn credential(&self, access_key_id: &str) -> Option<Credential> {
        let key = self.keys.get(access_key_id).filter(|key| key.active)?;
        Some(Credential {
            secret: key.secret.clone(),
            principal: Arc::clone(&key.principal),
            expires_at: None,
        })
    }

    /// The credential of a session token.
    pub fn session(&self, access_key_id: &str, token: &str) -> Option<Credential> {
        token::read(self.sealing.as_ref()?, access_key_id, token)
    }

    /// Another one as soon as a session token might be read otherwise than before; `None` when none is read.
    pub fn session_epoch(&self) -> Option<u64> {
        self.sealing.as_ref().map(SealingKeys::epoch)
    }
}

/// Whether a row is shown: an old row is not when the new one is there, and an obstacle never is (`change/entity.rs`).
fn is_live(row: &Row, record: &Record, all: &BTreeMap<Row, Arc<Record>>) -> bool {
    let has_moved = record.moving_to().is_some_and(|to| {
        let new = all.get(&Row::new(row.kind, to));
        new.is_some_and(|new| new.id() == record.id() && !new.is_obstacle())
    });
    !has_moved && !record.is_obstacle()
}

impl Directory {
    fn compile_all(&mut self, before: &Self) {
        let mut compiled = HashMap::new();
        let mut policies = HashMap::new();
        let mut compile = |document: &str| {
            if let Some(known) = compiled.get(document).or_else(|| before.compiled.get(document)) {
                let known: Arc<Policy> = Arc::clone(known);
                compiled.insert(document.to_owned(), Arc::clone(&known));
                return Some(known);
            }
            // What was put was compiled before; another version's document that is not understood allows nothing.
            let policy = Arc::new(Policy::parse(document, DocumentKind::Identity).ok()?);
            compiled.insert(document.to_owned(), Arc::clone(&policy));
            Some(policy)
        };
        for record in self.records.values() {
            if let Some(own) = self.policies_of_record(record, &mut compile) {
                policies.insert(record.id().to_owned(), Arc::new(own));
            }
        }
        self.compiled = compiled;
        self.policies = policies;
    }

    /// What counts for a user or a role.
    fn policies_of_record(
        &self,
        record: &Record,
        compile: &mut impl FnMut(&str) -> Option<Arc<Policy>>,
    ) -> Option<PrincipalPolicies> {
        let mut documents: Vec<&str> = record.inline()?.values().map(String::as_str).collect();
        documents.extend(
            self.policies_of(record.attached())
                .filter_map(ManagedPolicy::document),
        );
        let mut own = match record {
            Record::User(user) => {
                for group in self.groups_of(user) {
                    documents.extend(group.inline.values().map(String::as_str));
                    documents.extend(
                        self.policies_of(&group.attached)
                            .filter_map(ManagedPolicy::document),
                    );
                }
                PrincipalPolicies::user(&self.account, &user.path, &user.name, &user.id)
            }
            Record::Role(role) => {
                PrincipalPolicies::role_session(&self.account, &self.arn(record), &role.id, "")
            }
            Record::Group(_) | Record::Policy(_) => return None,
        };
        own.identity = documents.into_iter().filter_map(&mut *compile).collect();
        own.tags = record
            .tags()
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        own.boundary = match record.boundary() {
            None => None,
            Some(id) => {
                let policy = self
                    .policies_of(std::slice::from_ref(&id.to_owned()))
                    .next()
                    .cloned();
                let document = policy.as_ref().and_then(ManagedPolicy::document);
                // A boundary that is gone allows nothing.
                document.and_then(compile).or_else(nothing)
            }
        };
        Some(own)
    }

    /// What counts for a session: what counts for its user or role, with what the session says.
    fn session_policies(&self, principal: &Principal) -> Option<PrincipalPolicies> {
        let session = principal.session.as_deref()?;
        let mut own = match &principal.identity {
            Identity::Root => self.root.as_ref().clone(),
            Identity::User { id } => self.policies.get(id)?.as_ref().clone(),
            Identity::Role { id, session_name } => {
                let mut own = self.policies.get(id)?.as_ref().clone();
                own.arn.clone_from(&principal.arn);
                own.user_id = format!("{id}:{session_name}");
                own
            }
        };
        own.issued_at_s = Some(session.issued_at_s);
        own.source_identity.clone_from(&session.source_identity);
        for (key, value) in &session.tags {
            own.tags.retain(|(other, _)| !other.eq_ignore_ascii_case(key));
            own.tags.push((key.clone(), value.clone()));
        }
        if let Some(documents) = &session.policies {
            let compile = |document: &String| {
                Policy::parse(document, DocumentKind::Identity)
                    .ok()
                    .map(Arc::new)
                    .or_else(nothing)
            };
            own.session = Some(documents.iter().filter_map(compile).collect());
        }
        Some(own)
    }

    /// What counts for a user or role of an id, without a session.
    pub fn policies_of_id(&self, id: &str) -> Option<&Arc<PrincipalPolicies>> {
        self.policies.get(id)
    }
}

/// A policy that allows nothing.
fn nothing() -> Option<Arc<Policy>> {
    const NOTHING: &str = r#"{"Version":"2012-10-17","Statement":[]}"#;
    const DENIAL: &str =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#;
    let parse = |document| Policy::parse(document, DocumentKind::Identity).ok().map(Arc::new);
    parse(NOTHING).or_else(|| parse(DENIAL))
}

impl Directory {
    /// The policies of a principal that was authenticated; `None` when it is gone since, which is refused like an unknown
    /// access key.
    pub fn policies(&self, principal: &Principal) -> Option<Arc<PrincipalPolicies>> {
        if principal.session.is_none() {
            return match &principal.identity {
                Identity::Root => Some(Arc::clone(&self.root)),
                Identity::User { id } => self.policies.get(id).map(Arc::clone),
                // A role acts through sessions alone.
                Identity::Role { .. } => None,
            };
        }
        let known = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(policies) = known.get(&principal.access_key_id) {
            return Some(Arc::clone(policies));
        }
        drop(known);
        let policies = Arc::new(self.session_policies(principal)?);
        let mut known = self.sessions.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= SESSIONS_MAX {
            known.clear();
        }
        known.insert(principal.access_key_id.clone(), Arc::clone(&policies));
        Some(policies)
    }
}
