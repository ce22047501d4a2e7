//! What whoever has carried out an export before has left in a bucket: of a directory, and at a server with S3's API, which is played
//! here.

use std::pin::pin;

use stator_iam::SecretKey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::transfers::{Place, member, start};
use super::*;
use crate::object_store::{Buckets, S3, S3Settings};
use crate::transfer::porter::Porter;
use crate::transfer::{ExportRecord, Transfers};
use crate::upkeep::{Upkeep, UpkeepSettings};

const EXPORT: &str =
    r#"{"TableArn":"arn:aws:dynamodb:us-east-1:000000000000:table/Tab","S3Bucket":"bucket"}"#;

/// A node whose buckets are at a server.
async fn start_with_server() -> (Place, TcpListener) {
    let mut place = Box::pin(start()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let s3 = S3::new(S3Settings {
        endpoint: format!("http://{}", listener.local_addr().unwrap()),
        region: "us-east-1".to_owned(),
        access_key_id: "AKID".to_owned(),
        secret: SecretKey::new("secret".to_owned()),
        tls: None,
        clock: Arc::new(SystemClock),
    });
    let cluster = place.node.context.cluster.clone();
    let transfers = Transfers::new(cluster.clone(), Buckets::S3(s3), 1 << 30);
    place.node.context.transfers = Some(Arc::clone(&transfers));
    let upkeep = Upkeep {
        cluster,
        catalog: Arc::clone(&place.node.context.catalog),
        clock: Arc::new(SystemClock),
        settings: UpkeepSettings::default(),
    };
    place.porter = Porter::new(upkeep, transfers, "us-east-1", random::fill);
    (place, listener)
}

/// Asks for an export; gives where its row is and what it is.
async fn ask(place: &Place) -> (Arc<Transfers>, ExportRecord, String) {
    let asked = place.ask(Target::ExportTableToPointInTime, EXPORT).await.unwrap();
    let transfers = Arc::clone(place.node.context.transfers.as_ref().unwrap());
    let record = transfers.all::<ExportRecord>().await.unwrap().remove(0);
    (transfers, record, member(&asked, "ExportArn"))
}

async fn status(place: &Place, arn: &str) -> String {
    let body = format!(r#"{{"ExportArn":"{arn}"}}"#);
    let described = place.ask(Target::DescribeExport, &body).await.unwrap();
    member(&described, "ExportStatus")
}

/// Takes a request; gives its method and what it is about, and where it is answered.
async fn take(listener: &TcpListener) -> (String, TcpStream) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request: Vec<u8> = Vec::new();
    let mut part = vec![0; 1 << 16];
    let is_whole = |request: &[u8]| {
        let Some(head) = request.windows(4).position(|four| four == b"\r\n\r\n") else {
            return false;
        };
        let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
        let mut lengths = text
            .lines()
            .filter_map(|line| line.strip_prefix("content-length: "));
        let length: usize = lengths.next().map_or(0, |length| length.parse().unwrap());
        request.len() >= head + 4 + length
    };
    while !is_whole(&request) {
        let read = stream.read(&mut part).await.unwrap();
        assert!(read > 0, "the request ends early");
        request.extend_from_slice(&part[..read]);
    }
    let text = String::from_utf8_lossy(&request).into_owned();
    let asked = text.split(" HTTP/1.1").next().unwrap().to_owned();
    (asked, stream)
}

/// Plays a server while something is done that asks it; gives what has become of that, and what was asked.
async fn serve<T>(
    listener: &TcpListener,
    work: impl Future<Output = T>,
    mut answer: impl AsyncFnMut(&str) -> (&'static str, String),
) -> (T, Vec<String>) {
    let mut work = pin!(work);
    let mut asked = Vec::new();
    loop {
        let (request, mut stream) = tokio::select! {
            done = &mut work => return (done, asked),
            taken = take(listener) => taken,
        };
        let (head, body) = answer(&request).await;
        asked.push(request);
        let length = body.len();
        let text = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        stream.write_all(text.as_bytes()).await.unwrap();
    }
}

fn writes_data(request: &str) -> bool {
    request.starts_with("PUT ") && request.contains("/data/")
}

#[tokio::test]
async fn files_of_all_tries_go_when_an_export_is_begun_anew() {
    let place = Box::pin(start()).await;
    let (transfers, was, arn) = ask(&place).await;
    let mut now = was.clone();
    for random in 0..3 {
        let attempt = now.next_attempt(random);
        place.write(&now.data_key(&format!("{attempt}000000.json.gz")), b"late");
        now.attempt = Some(attempt);
    }
    assert!(transfers.put(Some(&was), &now).await.unwrap());
    place.porter.look_after_all().await.unwrap();
    assert_eq!(status(&place, &arn).await, "COMPLETED");
    let folder = place.bucket.join(now.data_key(""));
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
}

#[tokio::test]
async fn a_file_goes_that_was_on_its_way_when_another_node_began_anew() {
    let (place, listener) = Box::pin(start_with_server()).await;
    let (transfers, ..) = ask(&place).await;
    let answer = async |request: &str| {
        if writes_data(request) {
            let was = transfers.all::<ExportRecord>().await.unwrap().remove(0);
            let mut now = was.clone();
            now.attempt = Some(was.next_attempt(1));
            assert!(transfers.put(Some(&was), &now).await.unwrap());
        }
        ("200 OK", String::new())
    };
    let (done, asked) = serve(&listener, Box::pin(place.porter.look_after_all()), answer).await;
    assert_eq!(done, Err("another node does it now".to_owned()));
    let written = asked.iter().find(|request| writes_data(request)).unwrap();
    assert_eq!(asked.last(), Some(&written.replace("PUT ", "DELETE ")));
}

#[tokio::test]
async fn what_nobody_completes_is_ended_when_an_export_is_begun_anew() {
    for knows_uploads in [true, false] {
        let (place, listener) = Box::pin(start_with_server()).await;
        let (transfers, was, arn) = ask(&place).await;
        let mut now = was.clone();
        let attempt = was.next_attempt(1);
        let left = now.data_key(&format!("{attempt}000007.json.gz"));
        now.attempt = Some(attempt);
        assert!(transfers.put(Some(&was), &now).await.unwrap());
        let uploads = format!(
            "<ListMultipartUploadsResult><Upload><Key>{left}</Key><UploadId>old</UploadId></Upload>\
             <Upload><Key>elsewhere</Key><UploadId>other</UploadId></Upload></ListMultipartUploadsResult>"
        );
        let answer = async |request: &str| {
            if request.contains("uploads=") && knows_uploads {
                ("200 OK", uploads.clone())
            } else if request.contains("uploads=") {
                let body = "<Error><Code>NotImplemented</Code></Error>";
                ("501 Not Implemented", body.to_owned())
            } else if request.starts_with("GET ") {
                ("200 OK", "<ListBucketResult></ListBucketResult>".to_owned())
            } else {
                ("200 OK", String::new())
            }
        };
        let (done, asked) = serve(&listener, Box::pin(place.porter.look_after_all()), answer).await;
        done.unwrap();
        assert_eq!(status(&place, &arn).await, "COMPLETED");
        let ended = asked.iter().filter(|request| request.contains("uploadId="));
        let mut ended: Vec<_> = ended.map(String::as_str).collect();
        ended.dedup();
        let wanted = format!("DELETE /bucket/{left}?uploadId=old");
        let wanted = if knows_uploads {
            vec![wanted.as_str()]
        } else {
            Vec::new()
        };
        assert_eq!(ended, wanted);
    }
}
