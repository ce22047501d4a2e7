//! The peer of `cargo xtask bench api`: an HTTP server that verifies the signature of each request and answers fixed
//! bytes, with nothing in between.
//!
//! It uses what Stator uses (axum, a multi-thread runtime of two workers, mimalloc, the same verifier), sends the headers
//! that Stator sends, and says that it is ready by the same JSON line. It knows no tables: GetItem and Query are answered
//! with the bodies in two files, PutItem with `{}`.
#![expect(clippy::print_stdout, reason = "the line that says that it is ready")]
#![expect(clippy::disallowed_methods, reason = "an example has no clock to be given")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::serve::ListenerExt;
use bytes::Bytes;
use clap::Parser;
use http::{HeaderMap, Method, StatusCode, Uri};
use stator_iam::{
    Expected, Principal, RequestView, SecretKey, Service, StaticCredentials, Timestamp, Transport, Verifier,
    parse_authorization,
};

const REGION: &str = "us-east-1";
const ACCESS_KEY_ID: &str = "AKIDEXAMPLE";
const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const REQUEST_ID: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEF";

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Arguments {
    /// The file with the body of the answer to GetItem.
    #[arg(long)]
    get_item_body: PathBuf,
    /// The file with the body of the answer to Query.
    #[arg(long)]
    query_body: PathBuf,
}

struct Shared {
    get_item_body: Bytes,
    query_body: Bytes,
    verifier: Verifier,
    credentials: StaticCredentials,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let principal = Principal::root(ACCESS_KEY_ID, "000000000000");
    let shared = Shared {
        get_item_body: std::fs::read(arguments.get_item_body)?.into(),
        query_body: std::fs::read(arguments.query_body)?.into(),
        verifier: Verifier::new(),
        credentials: StaticCredentials::new(principal, SecretKey::new(SECRET_ACCESS_KEY.to_owned())),
    };
    let router = Router::new().fallback(answer).with_state(Arc::new(shared));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!(
        r#"{{"endpoint":"http://{}","region":"{REGION}","access_key_id":"{ACCESS_KEY_ID}","secret_access_key":"{SECRET_ACCESS_KEY}"}}"#,
        listener.local_addr()?
    );
    // Small answers leave at once, as Stator's do. A socket that refuses the option is merely slower.
    let listener = listener.tap_io(|stream| {
        stream.set_nodelay(true).ok();
    });
    axum::serve(listener, router).await?;
    Ok(())
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, StatusCode> {
    verify(&shared, &method, &uri, &headers, &body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let target = headers.get("x-amz-target").map(http::HeaderValue::as_bytes);
    let body = match target {
        Some(b"DynamoDB_20120810.GetItem") => shared.get_item_body.clone(),
        Some(b"DynamoDB_20120810.Query") => shared.query_body.clone(),
        Some(b"DynamoDB_20120810.PutItem") => Bytes::from_static(b"{}"),
        _ => return Err(StatusCode::NOT_FOUND),
    };
    Response::builder()
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amzn-requestid", REQUEST_ID)
        .header("x-amz-crc32", crc32fast::hash(&body))
        .body(Body::from(body))
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

fn verify(
    shared: &Shared,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Arc<Principal>, stator_iam::Error> {
    let headers: Vec<(&str, &[u8])> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    let request = RequestView {
        method: method.as_str(),
        path: uri.path(),
        query: uri.query().unwrap_or_default(),
        headers: &headers,
        body,
    };
    let now_s = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let service = Service {
        name: "dynamodb",
        regions: &[REGION],
    };
    let expected = Expected {
        services: &[service],
        now: Some(Timestamp::from_unix_s(now_s)),
    };
    let authorization = parse_authorization(&request, &expected)?;
    shared
        .verifier
        .verify(&request, &authorization, Transport::Plain, &shared.credentials)
}
