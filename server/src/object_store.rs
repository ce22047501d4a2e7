//! Where buckets are: folders of a directory, or a server that speaks S3's API. Exports go there and imports come from there.
//!
//! Invariant: a key is any text; a bucket never leads out of its place. An object is written as a whole or not at all.
//! Not here: what is in objects (`transfer/`).

mod directory;
mod s3;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use self::directory::Directory;
pub(crate) use self::s3::{S3, S3Settings};

/// `[object_store]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectStoreSettings {
    /// A directory that all nodes reach by this path; each folder in it is a bucket.
    pub(crate) directory: Option<PathBuf>,
    /// A server with S3's API, like `https://s3.eu-west-1.amazonaws.com`; buckets are asked for in the path.
    pub(crate) endpoint: Option<String>,
    /// The region that requests are signed for.
    #[serde(default = "region")]
    pub(crate) region: String,
    /// The file with the key pair that requests are signed with, in the form of the AWS command line's shared credentials.
    pub(crate) credentials: Option<PathBuf>,
    /// The authorities that may vouch for an `https` endpoint, PEM.
    pub(crate) certificate_authority: Option<PathBuf>,
    /// How many bytes of items an export or an import moves in a second at most.
    #[serde(default = "bytes_per_second")]
    pub(crate) bytes_per_second: u64,
}

fn region() -> String {
    "us-east-1".to_owned()
}

fn bytes_per_second() -> u64 {
    128 << 20
}

impl ObjectStoreSettings {
    /// Buckets in a directory, at the usual rate.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            directory: Some(directory),
            endpoint: None,
            region: region(),
            credentials: None,
            certificate_authority: None,
            bytes_per_second: bytes_per_second(),
        }
    }

    /// What names files and directories.
    pub(crate) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let files = self.credentials.iter_mut().chain(&mut self.certificate_authority);
        self.directory.iter_mut().chain(files)
    }

    /// What is out of range or does not fit together, in words.
    pub(crate) fn problem(&self) -> Option<String> {
        const LEAST: u64 = 1 << 10;
        if self.bytes_per_second < LEAST {
            return Some(format!(
                "bytes_per_second is {}, must be at least {LEAST}",
                self.bytes_per_second
            ));
        }
        match (&self.directory, &self.endpoint) {
            (None, None) => Some("name a directory or an endpoint".to_owned()),
            (Some(_), Some(_)) => Some("name a directory or an endpoint, not both".to_owned()),
            (Some(_), None) if self.credentials.is_some() || self.certificate_authority.is_some() => {
                Some("a directory needs no credentials and no certificate_authority".to_owned())
            }
            (None, Some(_)) if self.credentials.is_none() => {
                Some("an endpoint needs the file of its credentials".to_owned())
            }
            (None, Some(endpoint)) => match endpoint.split_once("://") {
                Some(("http", _)) => None,
                Some(("https", _)) if self.certificate_authority.is_some() => None,
                Some(("https", _)) => Some(
                    "an https endpoint needs a certificate_authority, such as \
                     /etc/ssl/certs/ca-certificates.crt"
                        .to_owned(),
                ),
                _ => Some(format!("`{endpoint}` is no endpoint: write https://host:port")),
            },
            (Some(_), None) => None,
        }
    }
}

/// Why objects cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StoreError {
    /// There is no such bucket.
    #[error("the bucket {bucket} does not exist")]
    NoSuchBucket {
        /// Its name.
        bucket: String,
    },
    /// There is no such object, or it is another one by now.
    #[error("the object {key} does not exist any more, or was replaced")]
    NoSuchKey {
        /// Its key.
        key: String,
    },
    /// The store does not let us.
    #[error("access to {what} is denied: {cause}")]
    Denied {
        /// A bucket or an object.
        what: String,
        /// What the store says.
        cause: String,
    },
    /// It may work at another time.
    #[error("{what}: {cause}")]
    Failed {
        /// A bucket or an object.
        what: String,
        /// What has failed.
        cause: String,
    },
}

/// An object that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) key: String,
    /// In bytes.
    pub(crate) size: u64,
    /// Tells it from what is there under its key later.
    pub(crate) tag: String,
}

/// Some of the objects of a bucket.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) objects: Vec<Object>,
    /// Whether there are more than were asked for.
    pub(crate) has_more: bool,
}

impl Listed {
    /// Takes an object, if it is wanted; breaks off when there is one more than `most`.
    fn take(&mut self, object: Object, most: usize, is_wanted: impl Fn(&Object) -> bool) -> ControlFlow<()> {
        if !is_wanted(&object) {
            return ControlFlow::Continue(());
        }
        if self.objects.len() >= most {
            self.has_more = true;
            return ControlFlow::Break(());
        }
        self.objects.push(object);
        ControlFlow::Continue(())
    }
}

/// All buckets that there are. Clones share them.
#[derive(Debug, Clone)]
pub(crate) enum Buckets {
    /// In a directory.
    Directory(Directory),
    /// At a server.
    S3(S3),
}

impl Buckets {
    /// In a directory, which need not be there yet.
    pub(crate) fn in_directory(path: PathBuf) -> Self {
        Self::Directory(Directory::new(path))
    }

    /// Those objects of a bucket that are wanted and whose keys begin with a prefix, in the order of the bytes of their keys. If
    /// there are more than `most`, some of them, so that a listing has bounds that a bucket has not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn list(
        &self,
        (bucket, prefix): (&str, &str),
        most: usize,
        is_wanted: impl Fn(&Object) -> bool + Send + 'static,
    ) -> Result<Listed, StoreError> {
        let mut listed = match self {
            Self::Directory(directory) => directory.list((bucket, prefix), most, is_wanted).await?,
            Self::S3(s3) => s3.list((bucket, prefix), most, is_wanted).await?,
        };
        listed.objects.sort_by(|one, two| one.key.cmp(&two.key));
        Ok(listed)
    }

    /// Bytes of an object from a place on: as many as are asked for, or as there are.
    ///
    /// # Errors
    /// [`StoreError::NoSuchKey`] when it is not the object that was listed any more.
    pub(crate) async fn read(
        &self,
        bucket: &str,
        object: &Object,
        from: u64,
        most: u64,
    ) -> Result<Bytes, StoreError> {
        let end = from.saturating_add(most).min(object.size);
        if from >= end {
            return Ok(Bytes::new());
        }
        match self {
            Self::Directory(directory) => directory.read(bucket, object, from..end).await,
            Self::S3(s3) => s3.read(bucket, object, from..end).await,
        }
    }

    /// Writes an object, durably; gives its tag.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn put(&self, bucket: &str, key: &str, bytes: Bytes) -> Result<String, StoreError> {
        match self {
            Self::Directory(directory) => directory.put(bucket, key, bytes).await,
            Self::S3(s3) => s3.put(bucket, key, bytes).await,
        }
    }

    /// Removes an object, durably. One that is not there is no error.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn remove(&self, bucket: &str, key: &str) -> Result<(), StoreError> {
        match self {
            Self::Directory(directory) => directory.remove(bucket, key).await,
            Self::S3(s3) => s3.remove(bucket, key).await,
        }
    }

    /// Ends what somebody has begun to write in parts and has left, of objects whose keys begin with a prefix: it costs as much
    /// as if it were there. A store that does not tell of such, or not everybody, keeps it.
    pub(crate) async fn end_uploads(
        &self,
        (bucket, prefix): (&str, &str),
        is_left: impl Fn(&str) -> bool + Send,
    ) {
        let Self::S3(s3) = self else { return };
        if let Err(error) = s3.end_uploads((bucket, prefix), is_left).await {
            tracing::warn!(bucket, prefix, %error, "parts of objects that nobody completes may stay in the bucket");
        }
    }
}

/// How long to wait before the next try of a request.
fn pause(tries: u32) -> Duration {
    Duration::from_millis(100 << tries.min(6))
}

/// True for a name that a bucket can have. Source: service model of DynamoDB, shape S3Bucket.
pub(crate) fn is_bucket_name(name: &str) -> bool {
    let is_end = |byte: u8| byte.is_ascii_alphanumeric();
    let is_inner = |byte: u8| is_end(byte) || matches!(byte, b'.' | b'-' | b'_');
    let bytes = name.as_bytes();
    match bytes {
        [first, .., last] => {
            bytes.len() <= 255 && is_end(*first) && is_end(*last) && bytes.iter().all(|byte| is_inner(*byte))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_a_plain_name() {
        for name in ["ab", "a.b-c_D9"] {
            assert!(is_bucket_name(name), "{name}");
        }
        for name in ["", "a", "..", "a/b", "-a", "a.", ".a", &"a".repeat(256)] {
            assert!(!is_bucket_name(name), "{name}");
        }
    }

    #[test]
    fn settings_name_one_place_and_what_it_needs() {
        let parse = |text: &str| toml::from_str::<ObjectStoreSettings>(text).unwrap().problem();
        for text in [
            "directory = \"d\"",
            "endpoint = \"http://localhost:1\"\ncredentials = \"c\"",
            "endpoint = \"https://s3\"\ncredentials = \"c\"\ncertificate_authority = \"ca\"",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        for text in [
            "",
            "directory = \"d\"\nendpoint = \"http://a\"\ncredentials = \"c\"",
            "directory = \"d\"\ncredentials = \"c\"",
            "endpoint = \"http://a\"",
            "endpoint = \"https://a\"\ncredentials = \"c\"",
            "endpoint = \"a\"\ncredentials = \"c\"",
            "directory = \"d\"\nbytes_per_second = 1",
        ] {
            assert!(parse(text).is_some(), "{text}");
        }
        assert!(toml::from_str::<ObjectStoreSettings>("folder = \"d\"").is_err());
    }
}
