//! ListTagsOfResource: the tags of a table, in the order of their keys. A page has room for all that a table may have.

use std::collections::BTreeMap;
use std::ops::Bound;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Context, Operation, tags};
use crate::constraint::Constraints;
use crate::message::table;
use crate::wire::error::ApiError;

/// Most tags in one answer. Source: the service's answers in aws-controllers-k8s/dynamodb-controller, docs/api-quirks/service.md,
/// DDB-TABLE-108: 50 tags come at once, without a token.
const PAGE_MAX: usize = tags::TAGS_MAX;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListTagsOfResource {
    pub(crate) resource_arn: Option<String>,
    pub(crate) next_token: Option<String>,
}

/// The answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ListTagsOfResourceOutput {
    /// Keys and values.
    pub(crate) tags: Vec<(String, String)>,
    /// Where the next page begins, when there is one: the last key of this page, in base64.
    pub(crate) next_token: Option<String>,
}

impl Operation for ListTagsOfResource {
    type Output = ListTagsOfResourceOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let mut constraints = Constraints::default();
        tags::check_arn(&mut constraints, self.resource_arn.as_ref());
        constraints.finish()?;
        let resource_arn = self.resource_arn.unwrap_or_default();
        let name = tags::table_of(&resource_arn)?;
        let table = context
            .catalog
            .latest(name)
            .await
            .map_err(table::catalog)?
            .ok_or_else(|| table::no_resource(&resource_arn))?;
        page(&table.definition().tags, self.next_token.as_deref())
    }
}

/// The tags after the key that a token stands for.
fn page(tags: &BTreeMap<String, String>, token: Option<&str>) -> Result<ListTagsOfResourceOutput, ApiError> {
    let last_key = token
        .map(|token| {
            URL_SAFE_NO_PAD
                .decode(token)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| ApiError::validation(table::INVALID_NEXT_TOKEN))
        })
        .transpose()?;
    let after = last_key.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let mut rest = tags.range::<str, _>((after, Bound::Unbounded));
    let page: Vec<(String, String)> = rest
        .by_ref()
        .take(PAGE_MAX)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let next_token = rest
        .next()
        .and_then(|_| page.last().map(|(key, _)| URL_SAFE_NO_PAD.encode(key)));
    Ok(ListTagsOfResourceOutput {
        tags: page,
        next_token,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hold_as_many_tags_as_a_table_has_and_all_tags_come_once() {
        let tags: BTreeMap<String, String> = (0..120)
            .map(|number| (format!("ä{number:03}"), number.to_string()))
            .collect();
        let (mut seen, mut token, mut sizes) = (Vec::new(), None::<String>, Vec::new());
        loop {
            let answer = page(&tags, token.as_deref()).unwrap();
            sizes.push(answer.tags.len());
            seen.extend(answer.tags);
            token = answer.next_token;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(sizes, [50, 50, 20]);
        assert_eq!(seen, tags.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_full_last_page_has_no_token() {
        let tags: BTreeMap<String, String> = (0..50).map(|n| (n.to_string(), String::new())).collect();
        assert_eq!(page(&tags, None).unwrap().next_token, None);
        assert_eq!(
            page(&tags, Some("!")),
            Err(ApiError::validation(table::INVALID_NEXT_TOKEN))
        );
    }
}
