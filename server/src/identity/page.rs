//! Lists a page at a time: `Marker`, `MaxItems`, `IsTruncated`.
//!
//! A marker names the last item of the page before, so that items that come and go meanwhile shift nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Items on a page when nothing is said. Source: IAM API reference, MaxItems.
pub(crate) const ITEMS_DEFAULT: usize = 100;

/// Which page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PageRequest {
    /// The key of the last item of the page before.
    pub(crate) after: Option<String>,
    /// Most items.
    pub(crate) items_max: usize,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// What to ask for the next one with; `None` on the last.
    pub(crate) marker: Option<String>,
}

impl<T> Page<T> {
    /// The page of a list of items with keys that are unique and ascend.
    pub(crate) fn of(items: impl IntoIterator<Item = (String, T)>, request: &PageRequest) -> Self {
        let mut rest = items
            .into_iter()
            .filter(|(key, _)| request.after.as_ref().is_none_or(|after| key > after));
        let (mut page, mut last) = (Vec::new(), None);
        for (key, item) in rest.by_ref().take(request.items_max) {
            page.push(item);
            last = Some(key);
        }
        let more = rest.next().is_some();
        Self {
            items: page,
            marker: last.filter(|_| more).map(|key| URL_SAFE_NO_PAD.encode(key)),
        }
    }
}

/// The key that a marker names; `None` when it is none of ours.
pub(crate) fn read_marker(marker: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(marker).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_gaps() {
        let all: Vec<_> = (0..7).map(|number| (format!("k{number}"), number)).collect();
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = Page::of(all.clone(), &PageRequest { after, items_max: 3 });
            seen.extend(page.items);
            match page.marker {
                Some(marker) => after = read_marker(&marker),
                None => break,
            }
        }
        assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
        let whole = Page::of(
            all,
            &PageRequest {
                after: None,
                items_max: 7,
            },
        );
        assert_eq!((whole.items.len(), whole.marker), (7, None));
        assert_eq!(read_marker("not ours!"), None);
    }
}
