//! ListTables.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::{Context, Operation};
use crate::arn;
use crate::constraint::Constraints;
use crate::message;
use crate::wire::error::ApiError;

/// Most names in one answer, and how many there are when the request does not say.
const PAGE_MAX: i32 = 100;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListTables {
    pub(crate) exclusive_start_table_name: Option<String>,
    pub(crate) limit: Option<i32>,
}

/// The answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ListTablesOutput {
    /// In the order of their bytes.
    pub(crate) table_names: Vec<String>,
    /// The last of them, when there are more.
    pub(crate) last_evaluated_table_name: Option<String>,
}

impl Operation for ListTables {
    type Output = ListTablesOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let limit = self.validate()?;
        let tables = context.catalog.all().await.map_err(message::table::catalog)?;
        Ok(page(&tables, self.exclusive_start_table_name.as_deref(), limit))
    }
}

impl ListTables {
    /// How many names the answer may have.
    fn validate(&self) -> Result<usize, ApiError> {
        let mut constraints = Constraints::default();
        if let Some(name) = &self.exclusive_start_table_name {
            let member = "exclusiveStartTableName";
            constraints.length(member, name, name.chars().count(), 3, 255);
            if !name.is_empty() && !name.bytes().all(arn::is_table_name_byte) {
                constraints.violated(
                    member,
                    name,
                    "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
                );
            }
        }
        constraints.at_least("limit", self.limit, 1);
        constraints.at_most("limit", self.limit, PAGE_MAX);
        constraints.finish()?;
        Ok(usize::try_from(self.limit.unwrap_or(PAGE_MAX)).unwrap_or_default())
    }
}

/// The names after `start`, `limit` at most.
fn page<T>(tables: &BTreeMap<String, T>, start: Option<&str>, limit: usize) -> ListTablesOutput {
    let after = start.map_or(Bound::Unbounded, Bound::Excluded);
    let mut names = tables
        .range::<str, _>((after, Bound::Unbounded))
        .map(|(name, _)| name.clone());
    let table_names: Vec<String> = names.by_ref().take(limit).collect();
    let last_evaluated_table_name = names.next().and_then(|_| table_names.last().cloned());
    ListTablesOutput {
        table_names,
        last_evaluated_table_name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_and_the_last_one_says_so() {
        let tables: BTreeMap<String, u8> = ["a.a", "B.B", "c.c"].map(|name| (name.to_owned(), 0)).into();
        let first = page(&tables, None, 2);
        assert_eq!(first.table_names, ["B.B", "a.a"]);
        assert_eq!(first.last_evaluated_table_name.as_deref(), Some("a.a"));
        let last = page(&tables, first.last_evaluated_table_name.as_deref(), 2);
        assert_eq!(last.table_names, ["c.c"]);
        assert_eq!(last.last_evaluated_table_name, None);
        assert_eq!(
            page(&tables, None, 3).last_evaluated_table_name,
            None,
            "nothing is left"
        );
        assert_eq!(page(&tables, Some("b"), 1).table_names, ["c.c"], "an absent name");
    }

    #[test]
    fn limits_are_checked() {
        let request = |limit, start: Option<&str>| ListTables {
            limit,
            exclusive_start_table_name: start.map(str::to_owned),
        };
        assert_eq!(request(None, None).validate(), Ok(100));
        assert_eq!(request(Some(1), Some("abc")).validate(), Ok(1));
        assert_eq!(
            request(Some(101), Some("a b")).validate(),
            Err(ApiError::validation(
                "2 validation errors detected: Value 'a b' at 'exclusiveStartTableName' failed to satisfy constraint: \
                 Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value '101' at 'limit' failed to \
                 satisfy constraint: Member must have value less than or equal to 100"
            ))
        );
    }
}
