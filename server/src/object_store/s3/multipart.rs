//! Writing an object in several parts: nothing of it is there until all of them are, and nothing stays of one that fails. What
//! somebody has begun who is gone stays, and costs, until others end it.
//!
//! Source: Amazon S3 API Reference, CreateMultipartUpload, UploadPart, CompleteMultipartUpload (which may answer 200 and say in
//! the body that it has failed), AbortMultipartUpload and ListMultipartUploads.

use std::fmt::Write as _;

use bytes::Bytes;
use http::Method;

use super::{Asked, S3, answer, encoded, failed, tag};
use crate::object_store::StoreError;

/// Of so many bytes is each part but the last. S3 wants at least 5 MiB.
pub(super) const PART_BYTES: usize = 8 << 20;

impl S3 {
    /// Writes an object in parts; gives its tag.
    pub(super) async fn put_in_parts(
        &self,
        bucket: &str,
        key: &str,
        bytes: Bytes,
    ) -> Result<String, StoreError> {
        let mut begin = Asked::new(Method::POST, bucket, key);
        "uploads=".clone_into(&mut begin.query);
        let begun = self.ask(&begin).await?;
        let upload = answer::text_of(begun.body(), "InitiateMultipartUploadResult", "UploadId");
        let upload = upload.ok_or_else(|| failed(&begin, "its answer names no upload"))?;
        let upload = encoded(&upload, false);
        let put = self.put_parts((bucket, key), &upload, bytes).await;
        if put.is_err() {
            self.abort((bucket, key), &upload).await;
        }
        put
    }

    /// Ends an upload. `upload` is its id, encoded.
    async fn abort(&self, (bucket, key): (&str, &str), upload: &str) {
        let mut abort = Asked::new(Method::DELETE, bucket, key);
        abort.query = format!("uploadId={upload}");
        if let Err(error) = self.ask(&abort).await {
            tracing::warn!(bucket, key, %error, "parts of an object that was not written stay in the bucket");
        }
    }

    /// Ends those uploads in progress that are left by somebody and whose keys begin with a prefix.
    ///
    /// # Errors
    /// When the server does not list them. [`StoreError`].
    pub(in crate::object_store) async fn end_uploads(
        &self,
        (bucket, prefix): (&str, &str),
        is_left: impl Fn(&str) -> bool + Send,
    ) -> Result<(), StoreError> {
        let mut behind: Option<(String, String)> = None;
        loop {
            let mut asked = Asked::new(Method::GET, bucket, "");
            let prefix_encoded = encoded(prefix, false);
            // In the order of their names, as the signature wants them.
            asked.query = match &behind {
                Some((key, id)) => format!(
                    "key-marker={}&prefix={prefix_encoded}&upload-id-marker={}&uploads=",
                    encoded(key, false),
                    encoded(id, false)
                ),
                None => format!("prefix={prefix_encoded}&uploads="),
            };
            let answer = self.ask(&asked).await?;
            let page = answer::uploads(answer.body()).map_err(|cause| failed(&asked, &cause))?;
            for upload in page.uploads {
                // Some servers do not look at the prefix.
                if upload.key.starts_with(prefix) && is_left(&upload.key) {
                    let id = encoded(&upload.id, false);
                    self.abort((bucket, upload.key.as_str()), &id).await;
                }
            }
            if page.next.is_none() || page.next == behind {
                return Ok(());
            }
            behind = page.next;
        }
    }

    async fn put_parts(
        &self,
        (bucket, key): (&str, &str),
        upload: &str,
        mut bytes: Bytes,
    ) -> Result<String, StoreError> {
        let mut list = String::from("<CompleteMultipartUpload>");
        let mut number = 0;
        while !bytes.is_empty() {
            number += 1;
            let mut part = Asked::new(Method::PUT, bucket, key);
            part.query = format!("partNumber={number}&uploadId={upload}");
            part.body = bytes.split_to(bytes.len().min(PART_BYTES));
            let tag = tag(&self.ask(&part).await?);
            // Writing to a string does not fail, and no tag has a character that XML knows.
            let _infallible = write!(
                list,
                "<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"
            );
        }
        list.push_str("</CompleteMultipartUpload>");
        let mut complete = Asked::new(Method::POST, bucket, key);
        complete.query = format!("uploadId={upload}");
        complete.body = list.into();
        complete.fails_late = true;
        let done = self.ask(&complete).await?;
        let tag = answer::text_of(done.body(), "CompleteMultipartUploadResult", "ETag");
        let tag =
            tag.ok_or_else(|| failed(&complete, "its answer does not say that its parts were joined"))?;
        Ok(tag.trim_matches('"').to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stator_iam::SecretKey;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::super::S3Settings;
    use super::*;
    use crate::clock::SystemClock;

    /// Takes a request with a body of so many bytes, and answers it; gives its first line.
    async fn serve(listener: &TcpListener, length: usize, head: &str, body: &str) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut request, mut part) = (Vec::new(), vec![0; 1 << 20]);
        let end = |request: &[u8]| request.windows(4).position(|four| four == b"\r\n\r\n");
        while end(&request).is_none_or(|head| request.len() < head + 4 + length) {
            let read = stream.read(&mut part).await.unwrap();
            assert!(read > 0, "the request ends early");
            request.extend_from_slice(&part[..read]);
        }
        let bytes = body.len();
        let answer = format!("HTTP/1.1 {head}\r\nContent-Length: {bytes}\r\nConnection: close\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await.unwrap();
        let line = request.split(|byte| *byte == b'\r').next().unwrap();
        String::from_utf8(line.to_vec()).unwrap()
    }

    fn asking(listener: &TcpListener) -> S3 {
        S3::new(S3Settings {
            endpoint: format!("http://{}", listener.local_addr().unwrap()),
            region: "eu-west-1".to_owned(),
            access_key_id: "AKID".to_owned(),
            secret: SecretKey::new("secret".to_owned()),
            tls: None,
            clock: Arc::new(SystemClock),
        })
    }

    #[tokio::test]
    async fn uploads_that_somebody_has_left_are_ended_and_no_others() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let s3 = asking(&listener);
        let page = |keys: [&str; 2], more: &str| {
            let [one, two] =
                keys.map(|key| format!("<Upload><Key>{key}</Key><UploadId>a/1</UploadId></Upload>"));
            format!("<ListMultipartUploadsResult>{one}{two}{more}</ListMultipartUploadsResult>")
        };
        let more = "<IsTruncated>true</IsTruncated><NextKeyMarker>p/2</NextKeyMarker><NextUploadIdMarker>a/1\
                    </NextUploadIdMarker>";
        let pages = [page(["p/1", "p/own"], more), page(["p/2", "q/3"], "")];
        let serving = async {
            assert_eq!(
                serve(&listener, 0, "200 OK", &pages[0]).await,
                "GET /b?prefix=p%2F&uploads= HTTP/1.1"
            );
            // That somebody else has ended it is no matter.
            let gone = "<Error><Code>NoSuchUpload</Code></Error>";
            assert_eq!(
                serve(&listener, 0, "404 Not Found", gone).await,
                "DELETE /b/p/1?uploadId=a%2F1 HTTP/1.1"
            );
            assert_eq!(
                serve(&listener, 0, "200 OK", &pages[1]).await,
                "GET /b?key-marker=p%2F2&prefix=p%2F&upload-id-marker=a%2F1&uploads= HTTP/1.1"
            );
            assert_eq!(
                serve(&listener, 0, "204 No Content", "").await,
                "DELETE /b/p/2?uploadId=a%2F1 HTTP/1.1"
            );
            // A server that does not know them is not asked again.
            let unknown = "<Error><Code>NotImplemented</Code></Error>";
            serve(&listener, 0, "501 Not Implemented", unknown).await;
        };
        let asking = async {
            let is_left = |key: &str| key != "p/own";
            assert_eq!(s3.end_uploads(("b", "p/"), is_left).await, Ok(()));
            let refused = s3.end_uploads(("b", "p/"), is_left).await;
            assert!(matches!(refused, Err(StoreError::Failed { .. })), "{refused:?}");
        };
        tokio::join!(serving, asking);
    }

    #[tokio::test]
    async fn parts_are_joined_and_go_when_that_fails() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let s3 = asking(&listener);
        let begun = "<InitiateMultipartUploadResult><UploadId>a/1</UploadId></InitiateMultipartUploadResult>";
        let joined = "<CompleteMultipartUploadResult><ETag>\"t-2\"</ETag></CompleteMultipartUploadResult>";
        let passes = "<Error><Code>InternalError</Code><Message>Try again.</Message></Error>";
        let wrong = "<Error><Code>InvalidPart</Code></Error>";
        let list = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>one</ETag></Part>\
                    <Part><PartNumber>2</PartNumber><ETag>two</ETag></Part></CompleteMultipartUpload>";
        let serving = async {
            for (end, last) in [
                (joined, None),
                (passes, None),
                (wrong, Some("DELETE /b/k?uploadId=a%2F1 HTTP/1.1")),
            ] {
                let asked = [
                    serve(&listener, 0, "200 OK", begun).await,
                    serve(&listener, PART_BYTES, "200 OK\r\nETag: \"one\"", "").await,
                    serve(&listener, 5, "200 OK\r\nETag: \"two\"", "").await,
                    serve(&listener, list.len(), "200 OK", end).await,
                ];
                assert_eq!(
                    asked,
                    [
                        "POST /b/k?uploads= HTTP/1.1",
                        "PUT /b/k?partNumber=1&uploadId=a%2F1 HTTP/1.1",
                        "PUT /b/k?partNumber=2&uploadId=a%2F1 HTTP/1.1",
                        "POST /b/k?uploadId=a%2F1 HTTP/1.1",
                    ]
                );
                if end == passes {
                    // An error that passes passes, although it has come with 200.
                    let again = serve(&listener, list.len(), "200 OK", joined).await;
                    assert_eq!(again, "POST /b/k?uploadId=a%2F1 HTTP/1.1");
                }
                if let Some(last) = last {
                    assert_eq!(serve(&listener, 0, "204 No Content", "").await, last);
                }
            }
        };
        let asking = async {
            let bytes = || Bytes::from(vec![b'x'; PART_BYTES + 5]);
            for _ in 0..2 {
                assert_eq!(s3.put("b", "k", bytes()).await, Ok("t-2".to_owned()));
            }
            let failed = s3.put("b", "k", bytes()).await;
            let Err(StoreError::Failed { cause, .. }) = &failed else {
                unreachable!("{failed:?}");
            };
            assert!(cause.contains("InvalidPart"), "{cause}");
        };
        tokio::join!(serving, asking);
    }
}
