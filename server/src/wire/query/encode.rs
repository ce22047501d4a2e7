//! Answers as XML.

mod entity;
mod policy;
mod session;
mod simulate;

use super::Api;
use super::xml::Xml;
use crate::identity::page::Page;

/// An answer that is written into the result of a call.
pub(super) trait Encode {
    /// Writes what is in the result element. `action` is the name of the call, for what serves several.
    fn encode(&self, action: &str, xml: &mut Xml);

    /// Whether a call has a result at all.
    fn has_result(_action: &str) -> bool {
        true
    }
}

impl Encode for () {
    fn encode(&self, _: &str, _: &mut Xml) {}

    fn has_result(_: &str) -> bool {
        false
    }
}

/// The body of an answer.
pub(super) fn encode<A: Encode>(api: Api, action: &str, answer: &A, request_id: &str) -> String {
    let mut xml = Xml::default();
    xml.root(&format!("{action}Response"), api.namespace(), |xml| {
        if A::has_result(action) {
            xml.element(&format!("{action}Result"), |xml| answer.encode(action, xml));
        }
        xml.element("ResponseMetadata", |xml| xml.text("RequestId", request_id));
    });
    xml.into_string()
}

/// A list, `IsTruncated` and `Marker`.
fn page<T>(xml: &mut Xml, name: &str, page: &Page<T>, write: impl FnMut(&mut Xml, &T)) {
    xml.list(name, &page.items, write);
    truncated(xml, page);
}

fn truncated<T>(xml: &mut Xml, page: &Page<T>) {
    xml.boolean("IsTruncated", page.marker.is_some());
    xml.optional("Marker", page.marker.as_deref());
}
