//! Buckets as folders of a directory, objects as files in them; a `/` in a key is a folder.
//!
//! Invariant: nothing outside of a bucket's folder is read or written: keys with `.`, `..` or empty parts name nothing, and
//! links are not followed while listing. A file appears under its name when it is complete and durable.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use md5::{Digest as _, Md5};

use super::{Listed, Object, StoreError, is_bucket_name};

/// What names of files begin with that are not complete; no object is called so.
const DRAFT: &str = ".stator-draft-";

/// See the head of the file.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    path: PathBuf,
}

impl Directory {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    fn bucket(&self, bucket: &str) -> Result<PathBuf, StoreError> {
        let path = self.path.join(bucket);
        if is_bucket_name(bucket) && path.is_dir() {
            return Ok(path);
        }
        let bucket = bucket.to_owned();
        Err(StoreError::NoSuchBucket { bucket })
    }

    pub(super) async fn list(
        &self,
        (bucket, prefix): (&str, &str),
        most: usize,
        is_wanted: impl Fn(&Object) -> bool + Send + 'static,
    ) -> Result<Listed, StoreError> {
        let folder = self.bucket(bucket)?;
        let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
        blocking(bucket, move || {
            let mut listed = Listed::default();
            let mut take = |object| listed.take(object, most, &is_wanted);
            // That it was broken off is said there.
            let _is_whole = walk(&folder, "", &prefix, &mut take)?;
            Ok(listed)
        })
        .await
    }

    pub(super) async fn read(
        &self,
        bucket: &str,
        object: &Object,
        range: Range<u64>,
    ) -> Result<Bytes, StoreError> {
        let path = self.file(bucket, &object.key)?;
        let wanted = object.clone();
        let read = blocking(object.key.clone(), move || {
            let mut file = OpenOptions::new().read(true).open(&path)?;
            if tag(&file.metadata()?) != wanted.tag {
                return Ok(None);
            }
            file.seek(SeekFrom::Start(range.start))?;
            let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(usize::MAX)];
            file.read_exact(&mut bytes)?;
            Ok(Some(Bytes::from(bytes)))
        });
        read.await?.ok_or_else(|| no_key(&object.key))
    }

    pub(super) async fn put(&self, bucket: &str, key: &str, bytes: Bytes) -> Result<String, StoreError> {
        let path = self.file(bucket, key)?;
        blocking(key.to_owned(), move || {
            let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
            fs::create_dir_all(&folder)?;
            let mut draft = tempfile::Builder::new().prefix(DRAFT).tempfile_in(&folder)?;
            draft.write_all(&bytes)?;
            draft.as_file().sync_all()?;
            draft.persist(&path).map_err(|error| error.error)?;
            OpenOptions::new().read(true).open(&folder)?.sync_all()?;
            Ok(hex::encode(Md5::digest(&bytes)))
        })
        .await
    }

    pub(super) async fn remove(&self, bucket: &str, key: &str) -> Result<(), StoreError> {
        let path = self.file(bucket, key)?;
        blocking(key.to_owned(), move || {
            match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                removed => removed?,
            }
            let folder = path.parent().unwrap_or(Path::new("/"));
            OpenOptions::new().read(true).open(folder)?.sync_all()
        })
        .await
    }

    fn file(&self, bucket: &str, key: &str) -> Result<PathBuf, StoreError> {
        let folder = self.bucket(bucket)?;
        if is_key(key) {
            Ok(folder.join(key))
        } else {
            Err(StoreError::Denied {
                what: key.to_owned(),
                cause: "no file can have this name".to_owned(),
            })
        }
    }
}

fn no_key(key: &str) -> StoreError {
    let key = key.to_owned();
    StoreError::NoSuchKey { key }
}

/// Whether a key is the path of a file below its bucket's folder.
fn is_key(key: &str) -> bool {
    key.split('/')
        .all(|part| !part.is_empty() && part != "." && part != ".." && !part.starts_with(DRAFT))
        && !key.contains('\0')
}

/// Tells a file from what is at its path later.
fn tag(file: &fs::Metadata) -> String {
    format!(
        "{:x}-{:x}-{:x}.{:09}",
        file.ino(),
        file.len(),
        file.mtime(),
        file.mtime_nsec()
    )
}

/// Gives out the objects below a folder of a bucket whose keys begin with a prefix, until whoever takes them breaks off.
fn walk(
    bucket: &Path,
    folder: &str,
    prefix: &str,
    take: &mut impl FnMut(Object) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let entries = match fs::read_dir(bucket.join(folder)) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(ControlFlow::Continue(()));
        }
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        // A name that is no text is nothing that a request could name.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let key = if folder.is_empty() {
            name
        } else {
            format!("{folder}/{name}")
        };
        let kind = entry.file_type()?;
        let mut taken = ControlFlow::Continue(());
        if kind.is_dir() && (key.starts_with(prefix) || prefix.starts_with(&format!("{key}/"))) {
            taken = walk(bucket, &key, prefix, take)?;
        } else if kind.is_file() && key.starts_with(prefix) && is_key(&key) {
            let file = entry.metadata()?;
            taken = take(Object {
                key,
                size: file.len(),
                tag: tag(&file),
            });
        }
        if taken.is_break() {
            return Ok(taken);
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Does what may wait for the disk, on a thread that may.
async fn blocking<T: Send + 'static>(
    what: String,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => no_key(&what),
        io::ErrorKind::PermissionDenied => StoreError::Denied {
            what,
            cause: error.to_string(),
        },
        _ => StoreError::Failed {
            what,
            cause: error.to_string(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object_store::Buckets;

    async fn all(buckets: &Buckets, bucket: &str, prefix: &str) -> Result<Vec<Object>, StoreError> {
        let listed = buckets.list((bucket, prefix), usize::MAX, |_| true).await?;
        assert!(!listed.has_more);
        Ok(listed.objects)
    }

    async fn keys(buckets: &Buckets, prefix: &str) -> Vec<String> {
        let listed = all(buckets, "bucket", prefix).await.unwrap();
        listed.into_iter().map(|object| object.key).collect()
    }

    #[tokio::test]
    async fn no_more_objects_are_listed_than_wanted() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("bucket")).unwrap();
        let buckets = Buckets::in_directory(place.path().to_owned());
        for key in ["a/1", "a/b/2", "a/b/3", "empty"] {
            let bytes = if key == "empty" { "" } else { "x" };
            buckets.put("bucket", key, Bytes::from(bytes)).await.unwrap();
        }
        for (most, wanted) in [(0, (0, true)), (2, (2, true)), (3, (3, false))] {
            let listed = buckets.list(("bucket", ""), most, |object| object.size > 0);
            let listed = listed.await.unwrap();
            assert_eq!((listed.objects.len(), listed.has_more), wanted, "{most}");
        }
    }

    #[tokio::test]
    async fn objects_are_listed_by_the_beginning_of_their_keys_in_order() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("bucket")).unwrap();
        let buckets = Buckets::in_directory(place.path().to_owned());
        for key in ["b/2", "b/1", "b-c", "a", "b/d/3", "c"] {
            buckets
                .put("bucket", key, Bytes::from_static(b"x"))
                .await
                .unwrap();
        }
        std::os::unix::fs::symlink("/", place.path().join("bucket/b/link")).unwrap();
        assert_eq!(keys(&buckets, "").await.len(), 6);
        assert_eq!(keys(&buckets, "b").await, ["b-c", "b/1", "b/2", "b/d/3"]);
        assert_eq!(keys(&buckets, "b/").await, ["b/1", "b/2", "b/d/3"]);
        assert_eq!(keys(&buckets, "b/d").await, ["b/d/3"]);
        for prefix in ["../bucket/", "b/../a", "z/", "/", "b/link/", "b/link/e"] {
            assert_eq!(keys(&buckets, prefix).await, [""; 0], "{prefix}");
        }
    }

    #[tokio::test]
    async fn an_object_is_read_in_parts_until_it_is_replaced() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("bucket")).unwrap();
        let buckets = Buckets::in_directory(place.path().to_owned());
        let tag = buckets.put("bucket", "k", Bytes::from_static(b"hello")).await;
        assert_eq!(tag.unwrap(), "5d41402abc4b2a76b9719d911017c592");
        let object = all(&buckets, "bucket", "k").await.unwrap().remove(0);
        assert_eq!(buckets.read("bucket", &object, 1, 2).await.unwrap(), "el");
        assert_eq!(buckets.read("bucket", &object, 4, 99).await.unwrap(), "o");
        assert_eq!(buckets.read("bucket", &object, 5, 99).await.unwrap(), "");
        buckets
            .put("bucket", "k", Bytes::from_static(b"HELLO"))
            .await
            .unwrap();
        assert_eq!(
            buckets.read("bucket", &object, 0, 9).await,
            Err(StoreError::NoSuchKey { key: "k".to_owned() })
        );
        for _ in 0..2 {
            buckets.remove("bucket", "k").await.unwrap();
            assert_eq!(keys(&buckets, "").await, [""; 0]);
        }
    }

    #[tokio::test]
    async fn nothing_outside_of_a_bucket_is_reached() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("bucket")).unwrap();
        let buckets = Buckets::in_directory(place.path().to_owned());
        for key in ["../out", "a/../../out", "/out", "a//b", "", "."] {
            let refused = buckets.put("bucket", key, Bytes::new()).await;
            assert!(matches!(refused, Err(StoreError::Denied { .. })), "{key}");
        }
        for bucket in ["other", "..", "bucket/.."] {
            let refused = all(&buckets, bucket, "").await;
            assert!(
                matches!(refused, Err(StoreError::NoSuchBucket { .. })),
                "{bucket}"
            );
        }
    }
}
