//! Rows in a map, with changes installed as a node installs them.

use std::collections::BTreeMap;

use stator_iam::SecretKey;
use stator_iam::directory::sealing::{KEY_BYTES, NONCE_BYTES, Purpose, SealingKeys, WrappingKey};
use stator_iam::directory::{
    Changes, Directory, DirectoryError, ENTITY_RANDOM_BYTES, Edit, ErrorCode, KEY_RANDOM_BYTES, Kind,
    NewGroup, NewPolicy, NewRole, NewUser, Row, USER_KEY, access_key,
};
use zeroize::Zeroizing;

pub(crate) const ACCOUNT: &str = "000000000000";
pub(crate) const ALLOW_GET: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:GetItem","Resource":"*"}}"#;
pub(crate) const ALLOW_ALL: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
pub(crate) const TRUST: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}}"#;

/// Rows and the directory that they make.
pub(crate) struct World {
    pub(crate) rows: BTreeMap<Row, Vec<u8>>,
    pub(crate) directory: Directory,
    next: u8,
}

pub(crate) type Changed = Result<Vec<Edit>, DirectoryError>;

impl World {
    pub(crate) fn new() -> Self {
        Self {
            rows: BTreeMap::new(),
            directory: Directory::empty(ACCOUNT),
            next: 0,
        }
    }

    pub(crate) fn sealing() -> SealingKeys {
        let wrapping = WrappingKey::derive("m".to_owned(), b"master");
        let row = SealingKeys::make(&wrapping, &Zeroizing::new([7; KEY_BYTES]), [3; NONCE_BYTES]);
        SealingKeys::open(&row, &[wrapping]).unwrap()
    }

    /// Builds the directory anew from the rows.
    pub(crate) fn show(&mut self) {
        let rows = self.rows.iter().map(|(row, cell)| (row.clone(), &cell[..]));
        self.directory = Directory::build(ACCOUNT, rows, Some(Self::sealing()), &self.directory).unwrap();
    }

    pub(crate) fn install(&mut self, edits: impl IntoIterator<Item = Edit>) {
        for edit in edits {
            match edit.record {
                Some(record) => self.rows.insert(edit.row, record.to_bytes()),
                None => self.rows.remove(&edit.row),
            };
        }
        self.show();
    }

    pub(crate) fn plan(&self, change: impl FnOnce(Changes<'_>) -> Changed) -> Changed {
        change(Changes::new(&self.directory, 1_000))
    }

    pub(crate) fn change(&mut self, change: impl FnOnce(Changes<'_>) -> Changed) {
        let edits = self.plan(change).unwrap();
        self.install(edits);
    }

    pub(crate) fn refused(&self, change: impl FnOnce(Changes<'_>) -> Changed) -> (ErrorCode, String) {
        let error = self.plan(change).unwrap_err();
        (error.code, error.message)
    }

    pub(crate) fn random(&mut self) -> [u8; ENTITY_RANDOM_BYTES] {
        self.next += 1;
        [self.next; ENTITY_RANDOM_BYTES]
    }

    pub(crate) fn user(&mut self, name: &str) {
        let (random, new) = (
            self.random(),
            NewUser {
                name: name.to_owned(),
                path: "/".to_owned(),
                ..NewUser::default()
            },
        );
        self.change(|changes| changes.create_user(&new, &random));
    }

    pub(crate) fn group(&mut self, name: &str) {
        let (random, new) = (
            self.random(),
            NewGroup {
                name: name.to_owned(),
                path: "/".to_owned(),
            },
        );
        self.change(|changes| changes.create_group(&new, &random));
    }

    pub(crate) fn role(&mut self, name: &str) {
        let (random, new) = (
            self.random(),
            NewRole {
                name: name.to_owned(),
                path: "/".to_owned(),
                trust_policy: TRUST.to_owned(),
                ..NewRole::default()
            },
        );
        self.change(|changes| changes.create_role(&new, &random));
    }

    /// Makes a managed policy and returns its ARN.
    pub(crate) fn policy(&mut self, name: &str, document: &str) -> String {
        let (random, new) = (
            self.random(),
            NewPolicy {
                name: name.to_owned(),
                path: "/".to_owned(),
                document: document.to_owned(),
                ..NewPolicy::default()
            },
        );
        self.change(|changes| changes.create_policy(&new, &random));
        self.directory.arn_of(Kind::Policy, "/", name)
    }

    /// Makes an access key and returns it.
    pub(crate) fn key(&mut self, user: &str) -> (String, SecretKey) {
        self.next += 1;
        let (id, secret) = access_key(USER_KEY, &Zeroizing::new([self.next; KEY_RANDOM_BYTES]));
        let sealed = Self::sealing().seal(
            Purpose::AccessKey,
            &id,
            [self.next; NONCE_BYTES],
            secret.expose().as_bytes(),
        );
        self.change(|changes| changes.create_key(user, &id, &sealed));
        (id, secret)
    }
}
