//! What an S3 server answers, from its XML: a page of a listing of objects or of uploads in progress, an error.

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::Event;

use crate::object_store::Object;

/// A page of a listing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) objects: Vec<Object>,
    /// Where the next page begins; none behind the last one.
    pub(super) next: Option<String>,
}

/// An object that is being written in parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) id: String,
}

/// A page of a listing of uploads in progress.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Uploads {
    pub(super) uploads: Vec<Upload>,
    /// The key and the id behind which the next page begins; none behind the last one.
    pub(super) next: Option<(String, String)>,
}

/// The texts of a document in their order, each behind the names of the elements around it, separated by `/`.
fn texts(xml: &[u8]) -> Result<Vec<(String, String)>, String> {
    let mut reader = Reader::from_reader(xml);
    let (mut path, mut found): (Vec<String>, Vec<(String, String)>) = (Vec::new(), Vec::new());
    let mut text = String::new();
    let wrong = |error: &dyn std::fmt::Display| format!("its answer is no XML: {error}");
    loop {
        match reader.read_event().map_err(|error| wrong(&error))? {
            Event::Start(element) => {
                path.push(String::from_utf8_lossy(element.local_name().as_ref()).into_owned());
                text.clear();
            }
            Event::Empty(element) => {
                let name = String::from_utf8_lossy(element.local_name().as_ref()).into_owned();
                path.push(name);
                found.push((path.join("/"), String::new()));
                path.pop();
            }
            Event::Text(part) => text.push_str(&part.decode().map_err(|error| wrong(&error))?),
            Event::CData(part) => text.push_str(&part.decode().map_err(|error| wrong(&error))?),
            Event::GeneralRef(entity) => {
                if let Some(character) = entity.resolve_char_ref().map_err(|error| wrong(&error))? {
                    text.push(character);
                } else {
                    let name = entity.decode().map_err(|error| wrong(&error))?;
                    text.push_str(resolve_xml_entity(&name).ok_or_else(|| wrong(&"an unknown entity"))?);
                }
            }
            Event::End(_) => {
                found.push((path.join("/"), std::mem::take(&mut text)));
                path.pop();
            }
            Event::Eof => return Ok(found),
            _ => {}
        }
    }
}

/// Reads a page of a listing.
///
/// # Errors
/// A sentence when it is none.
pub(super) fn listing(xml: &[u8]) -> Result<Listing, String> {
    let mut listing = Listing::default();
    let (mut key, mut size, mut tag) = (None, None, None);
    let (mut is_listing, mut is_truncated) = (false, false);
    for (path, text) in texts(xml)? {
        match path.as_str() {
            "ListBucketResult/Contents/Key" => key = Some(text),
            "ListBucketResult/Contents/Size" => size = text.parse().ok(),
            "ListBucketResult/Contents/ETag" => tag = Some(text),
            "ListBucketResult/Contents" => {
                let (Some(key), Some(size), Some(tag)) = (key.take(), size.take(), tag.take()) else {
                    return Err("its listing has an object without key, size or tag".to_owned());
                };
                listing.objects.push(Object { key, size, tag });
            }
            "ListBucketResult/NextContinuationToken" => {
                listing.next = Some(text).filter(|text| !text.is_empty());
            }
            "ListBucketResult/IsTruncated" => is_truncated = text == "true",
            "ListBucketResult" => is_listing = true,
            _ => {}
        }
    }
    if is_truncated && listing.next.is_none() {
        return Err("its listing is cut short and does not say how it goes on".to_owned());
    }
    is_listing
        .then_some(listing)
        .ok_or_else(|| "its answer is no listing".to_owned())
}

/// Reads a page of a listing of uploads in progress.
///
/// # Errors
/// A sentence when it is none.
pub(super) fn uploads(xml: &[u8]) -> Result<Uploads, String> {
    let mut listing = Uploads::default();
    let (mut key, mut id) = (None, None);
    let (mut next_key, mut next_id) = (None, None);
    let (mut is_listing, mut is_truncated) = (false, false);
    for (path, text) in texts(xml)? {
        match path.as_str() {
            "ListMultipartUploadsResult/Upload/Key" => key = Some(text),
            "ListMultipartUploadsResult/Upload/UploadId" => id = Some(text),
            "ListMultipartUploadsResult/Upload" => {
                let (Some(key), Some(id)) = (key.take(), id.take()) else {
                    return Err("its listing has an upload without key or id".to_owned());
                };
                listing.uploads.push(Upload { key, id });
            }
            "ListMultipartUploadsResult/NextKeyMarker" => {
                next_key = Some(text).filter(|text| !text.is_empty());
            }
            "ListMultipartUploadsResult/NextUploadIdMarker" => next_id = Some(text),
            "ListMultipartUploadsResult/IsTruncated" => is_truncated = text == "true",
            "ListMultipartUploadsResult" => is_listing = true,
            _ => {}
        }
    }
    if is_truncated {
        let next_key = next_key.ok_or("its listing is cut short and does not say how it goes on")?;
        listing.next = Some((next_key, next_id.unwrap_or_default()));
    }
    is_listing
        .then_some(listing)
        .ok_or_else(|| "its answer is no listing of uploads".to_owned())
}

/// The text of an element below the outermost one of a name, if the document has it.
pub(super) fn text_of(xml: &[u8], outer: &str, name: &str) -> Option<String> {
    let wanted = format!("{outer}/{name}");
    let mut texts = texts(xml).unwrap_or_default().into_iter();
    texts.find(|(path, _)| *path == wanted).map(|(_, text)| text)
}

/// Code and sentence of an error, as far as there are any.
pub(super) fn error(xml: &[u8]) -> (String, String) {
    let (mut code, mut sentence) = (String::new(), String::new());
    for (path, text) in texts(xml).unwrap_or_default() {
        match path.as_str() {
            "Error/Code" => code = text,
            "Error/Message" => sentence = text,
            _ => {}
        }
    }
    (code, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_a_listing_is_read() {
        let xml = br#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix/>
  <Contents><Key>a&amp;b &#228;</Key><ETag>&quot;5d41&quot;</ETag><Size>7</Size></Contents>
  <Contents><Key>c</Key><ETag>"x-1"</ETag><Size>0</Size><Owner><ID>1</ID></Owner></Contents>
  <IsTruncated>true</IsTruncated><NextContinuationToken>t/1</NextContinuationToken></ListBucketResult>"#;
        let object = |key: &str, size, tag: &str| Object {
            key: key.into(),
            size,
            tag: tag.into(),
        };
        assert_eq!(
            listing(xml).unwrap(),
            Listing {
                objects: vec![object("a&b ä", 7, "\"5d41\""), object("c", 0, "\"x-1\"")],
                next: Some("t/1".into()),
            }
        );
        for wrong in [
            "",
            "<html></html>",
            "<ListBucketResult><Contents></Contents></ListBucketResult>",
            "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
            "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken/></ListBucketResult>",
        ] {
            assert!(listing(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_page_of_uploads_in_progress_is_read() {
        let xml = br#"<?xml version="1.0" encoding="UTF-8"?>
<ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Bucket>b</Bucket><KeyMarker/>
  <NextKeyMarker>c</NextKeyMarker><NextUploadIdMarker>2</NextUploadIdMarker><IsTruncated>true</IsTruncated>
  <Upload><Key>a&amp;b</Key><UploadId>1</UploadId><Initiator><ID>i</ID></Initiator></Upload>
  <Upload><Key>c</Key><UploadId>2</UploadId></Upload></ListMultipartUploadsResult>"#;
        let upload = |key: &str, id: &str| Upload {
            key: key.into(),
            id: id.into(),
        };
        assert_eq!(
            uploads(xml).unwrap(),
            Uploads {
                uploads: vec![upload("a&b", "1"), upload("c", "2")],
                next: Some(("c".into(), "2".into())),
            }
        );
        let last =
            b"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated><NextKeyMarker>c</NextKeyMarker>\
                     </ListMultipartUploadsResult>";
        assert_eq!(uploads(last), Ok(Uploads::default()));
        for wrong in [
            "",
            // A server that does not know the question lists objects.
            "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
            "<ListMultipartUploadsResult><Upload><Key>a</Key></Upload></ListMultipartUploadsResult>",
            "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated></ListMultipartUploadsResult>",
        ] {
            assert!(uploads(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_error_has_no_code() {
        assert_eq!(
            error(b"<Error><Code>NoSuchKey</Code><Message>The key.</Message></Error>"),
            ("NoSuchKey".to_owned(), "The key.".to_owned())
        );
        assert_eq!(error(b"Bad Gateway"), (String::new(), String::new()));
    }
}
