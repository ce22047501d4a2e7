//! A request that panics: a bug, which answers as a server fault, while the connection and the server go on.
//!
//! Invariant: it is answered and logged under its request id, in the form of the API that it was sent to, and says nothing of
//! the inside. What a request holds (its place, latches, locks) is let go as it is when a client goes away in the middle: by
//! dropping it. What it had proposed to the cluster is done.

use std::any::Any;
use std::convert::Infallible;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_http::catch_panic::{CatchPanicLayer, ResponseForPanic};

use super::{amz_json, plain};
use crate::identity::error::IdentityError;
use crate::request_id::RequestId;
use crate::wire::error::ApiError;
use crate::wire::query::{Api, error};

/// Answers in the place of a request.
#[derive(Debug, Clone, Copy)]
struct Answer {
    id: RequestId,
    /// Whether it was sent as a form, to IAM or STS.
    is_query: bool,
}

/// Lets a request be answered; when that panics, answers in its place.
pub(super) async fn guard<F>(
    request: Request,
    (id, is_query): (RequestId, bool),
    mut answer: impl FnMut(Request) -> F,
) -> Response
where
    F: Future<Output = Response>,
{
    let answering = service_fn(|request| {
        let answered = answer(request);
        async { Ok::<_, Infallible>(answered.await) }
    });
    let guarded = CatchPanicLayer::custom(Answer { id, is_query }).layer(answering);
    let Ok(response) = guarded.oneshot(request).await;
    response.map(Body::new)
}

impl ResponseForPanic for Answer {
    type ResponseBody = Body;

    fn response_for_panic(&mut self, panic: Box<dyn Any + Send>) -> Response {
        let request_id = self.id.as_str();
        let detail = said(panic.as_ref());
        tracing::error!(
            request_id,
            detail,
            "a request panicked; please report this as a bug"
        );
        if self.is_query {
            let error = IdentityError::Internal(detail.to_owned());
            let (status, xml): (StatusCode, String) = error::answer(Api::Iam, &error, request_id);
            return plain(status, "text/xml", xml);
        }
        let error = ApiError::Internal(detail.to_owned());
        amz_json(error.status(), error.body(), &HeaderMap::new())
    }
}

/// What a panic has said.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use axum::body::to_bytes;
    use http::header::CONTENT_TYPE;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::http::CRC32;
    use crate::request_id::RequestIds;

    /// What is logged.
    #[derive(Debug, Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Log {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    /// Answers a request by panicking, after a wait and with a place taken; gives status, headers and body, and the log.
    async fn panicking(is_query: bool, say: fn(), id: RequestId) -> (Response<String>, String) {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .finish();
        let _logging = tracing::subscriber::set_default(subscriber);
        let places = Semaphore::new(1);
        let response = guard(Request::new(Body::empty()), (id, is_query), |_| async {
            let _place = places.acquire().await.unwrap();
            tokio::task::yield_now().await;
            say();
            Response::new(Body::empty())
        })
        .await;
        assert_eq!(places.available_permits(), 1, "what it held is free again");
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 16).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        (Response::from_parts(parts, body), log.text())
    }

    #[tokio::test]
    async fn a_panic_answers_as_a_server_fault_and_is_logged_under_its_id() {
        let id = RequestIds::new([1, 2, 3, 4]).next();
        let says: [(fn(), &str); 2] = [
            (|| panic!("number {}", 7), "number 7"),
            (|| panic!("broken"), "broken"),
        ];
        for (say, detail) in says {
            let (response, log) = panicking(false, say, id).await;
            assert_eq!(response.status(), 500);
            assert_eq!(response.headers()[CONTENT_TYPE], "application/x-amz-json-1.0");
            assert_eq!(
                response.body(),
                r#"{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"Internal server error"}"#
            );
            let checksum = crc32fast::hash(response.body().as_bytes());
            assert_eq!(response.headers()[CRC32], checksum.to_string().as_str());
            assert!(log.contains(id.as_str()) && log.contains(detail), "{log}");
        }
    }

    #[tokio::test]
    async fn a_panic_of_a_query_answers_in_xml() {
        let id = RequestIds::new([1, 2, 3, 4]).next();
        let (response, _) = panicking(true, || panic!("secret"), id).await;
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()[CONTENT_TYPE], "text/xml");
        let body = response.body();
        assert!(
            body.contains("<Code>ServiceFailure</Code>") && body.contains(id.as_str()),
            "{body}"
        );
        assert!(!body.contains("secret"));
    }

    #[tokio::test]
    async fn what_does_not_panic_passes() {
        let id = RequestIds::new([1, 2, 3, 4]).next();
        let answer = |_| async { Response::new(Body::from("fine")) };
        let response = guard(Request::new(Body::empty()), (id, false), answer).await;
        assert_eq!(response.status(), 200);
        assert_eq!(to_bytes(response.into_body(), 10).await.unwrap(), "fine");
    }
}
