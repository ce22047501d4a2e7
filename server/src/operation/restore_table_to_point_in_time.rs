//! RestoreTableToPointInTime. The table is there when this is answered, and can be used when its items are
//! (`archivist/rewind.rs`).
//!
//! As in DynamoDB, the new table has the items of the moment, and keys, indexes and throughput as the old one has them now,
//! unless the request says otherwise; it has no stream, no time to live, no tags, no policy, no deletion protection and no
//! history.

use super::backup_description::check_is_there;
use super::restore_table_from_backup::{RestoreOverrides, begin, check_name, check_target, undo};
use super::table_description::TableDescription;
use super::{Context, Operation, table_name};
use crate::arn;
use crate::catalog::{BillingMode, Restore, TableDefinition};
use crate::constraint::Constraints;
use crate::message::{self, backup};
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct RestoreTableToPointInTime {
    pub(crate) source_table_name: Option<String>,
    pub(crate) source_table_arn: Option<String>,
    pub(crate) target_table_name: Option<String>,
    pub(crate) use_latest: Option<bool>,
    /// In milliseconds since the Unix epoch.
    pub(crate) at_ms: Option<i64>,
    pub(crate) overrides: RestoreOverrides,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct RestoreTableToPointInTimeOutput {
    pub(crate) table_description: TableDescription,
}

/// A request that is valid for some table.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    source: String,
    target: String,
    /// `None` for the last moment there is.
    at_ms: Option<i64>,
    billing_mode: Option<BillingMode>,
}

impl Operation for RestoreTableToPointInTime {
    type Output = RestoreTableToPointInTimeOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let plan = self.validate()?;
        let source = context.catalog.latest(&plan.source).await;
        let source = source.map_err(message::table::catalog)?;
        let source = source.ok_or_else(|| backup::no_table(&plan.source))?;
        let now_ms = context.clock.now_ms();
        let restore = restore(source.definition(), plan.at_ms, now_ms)?;
        check_target(context, &plan.target).await?;
        let new_id = &mut || context.new_id();
        let of = (source.definition(), restore);
        let overrides = &self.overrides;
        let definition = overrides.definition(plan.target, of, plan.billing_mode, (new_id, now_ms))?;
        let made = (definition.name.clone(), definition.id);
        let history = definition.restore.as_ref().and_then(|restore| restore.history);
        let table_description = Box::pin(begin(context, definition)).await?;
        // The history may have been ended, or the table deleted, since it was looked for.
        let begun = context.begin_reading(&plan.source, |there| {
            if there.history.as_ref().map(|kept| kept.id) != history {
                return Err(backup::no_history(&plan.source));
            }
            check_is_there(there, &there.name)
        });
        if let Err(refusal) = Box::pin(begun).await {
            Box::pin(undo(context, made)).await?;
            return Err(refusal);
        }
        Ok(RestoreTableToPointInTimeOutput { table_description })
    }
}

/// What is to be restored of a table.
fn restore(source: &TableDefinition, at_ms: Option<i64>, now_ms: i64) -> Result<Restore, ApiError> {
    check_is_there(source, &source.name)?;
    let history = source.history.as_ref();
    let history = history.ok_or_else(|| backup::no_history(&source.name))?;
    let moment = history.moment(at_ms, now_ms);
    let at_ms = moment.map_err(|restorable| match restorable {
        Some(restorable) => backup::wrong_moment(at_ms.unwrap_or_default(), restorable),
        None => backup::incomplete_history(&source.name),
    })?;
    Ok(Restore {
        table: source.name.clone(),
        backup: String::new(),
        at_ms,
        in_progress: true,
        is_sealed: false,
        history: Some(history.id),
        part: None,
    })
}

impl RestoreTableToPointInTime {
    fn validate(&self) -> Result<Plan, ApiError> {
        let mut constraints = Constraints::default();
        if let Some(arn) = &self.source_table_arn {
            constraints.length("sourceTableArn", arn, arn.chars().count(), 1, 1024);
        }
        check_name(
            &mut constraints,
            "sourceTableName",
            self.source_table_name.as_ref(),
        );
        constraints.required("targetTableName", self.target_table_name.as_ref());
        check_name(
            &mut constraints,
            "targetTableName",
            self.target_table_name.as_ref(),
        );
        let billing_mode = self.overrides.check(&mut constraints);
        constraints.finish()?;
        self.overrides.check_supported()?;
        let at_ms = match (self.use_latest.unwrap_or_default(), self.at_ms) {
            (true, None) => None,
            (false, Some(at_ms)) => Some(at_ms),
            (true, Some(_)) => return Err(ApiError::validation(backup::TWO_MOMENTS)),
            (false, None) => return Err(ApiError::validation(backup::NO_MOMENT)),
        };
        let source = self.source()?.to_owned();
        let target = table_name::resolve(self.target_table_name.as_deref().unwrap_or_default())?;
        Ok(Plan {
            source,
            target: target.to_owned(),
            at_ms,
            billing_mode,
        })
    }

    /// The name of the table that is to be restored.
    fn source(&self) -> Result<&str, ApiError> {
        match (
            self.source_table_name.as_deref(),
            self.source_table_arn.as_deref(),
        ) {
            (Some(name), None) => table_name::resolve(name),
            (None, Some(arn)) => {
                let name = arn::table_name(arn).filter(|name| arn::is_table_name(name));
                name.ok_or_else(|| message::table::invalid_arn(arn))
            }
            (Some(_), Some(_)) => Err(ApiError::validation(backup::TWO_SOURCES)),
            (None, None) => Err(ApiError::validation(backup::NO_SOURCE)),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::catalog::History;
    use crate::operation::create_table::tests::definition;

    fn request() -> RestoreTableToPointInTime {
        RestoreTableToPointInTime {
            source_table_name: Some("Music".into()),
            target_table_name: Some("Music2".into()),
            use_latest: Some(true),
            ..RestoreTableToPointInTime::default()
        }
    }

    fn refused(request: &RestoreTableToPointInTime) -> String {
        request.validate().unwrap_err().to_string()
    }

    #[test]
    fn one_source_and_one_moment_are_named() {
        let plan = request().validate().unwrap();
        assert_eq!(
            (plan.source.as_str(), plan.target.as_str(), plan.at_ms),
            ("Music", "Music2", None)
        );
        let arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/Music";
        let by_arn = RestoreTableToPointInTime {
            source_table_name: None,
            source_table_arn: Some(arn.into()),
            use_latest: None,
            at_ms: Some(5),
            ..request()
        };
        assert_eq!(
            by_arn.validate().map(|plan| (plan.source, plan.at_ms)),
            Ok(("Music".into(), Some(5)))
        );
        for name in ["Music", "Other"] {
            let both = RestoreTableToPointInTime {
                source_table_name: Some(name.into()),
                ..by_arn.clone()
            };
            assert!(refused(&both).contains(backup::TWO_SOURCES), "{name}");
        }
        let neither = RestoreTableToPointInTime {
            source_table_arn: None,
            ..by_arn.clone()
        };
        assert!(refused(&neither).contains(backup::NO_SOURCE));
        let two = RestoreTableToPointInTime {
            use_latest: Some(true),
            ..by_arn.clone()
        };
        assert!(refused(&two).contains(backup::TWO_MOMENTS));
        let two_of_nothing = RestoreTableToPointInTime {
            source_table_arn: None,
            ..two
        };
        assert!(
            refused(&two_of_nothing).contains(backup::TWO_MOMENTS),
            "moments come first"
        );
        let none = RestoreTableToPointInTime {
            at_ms: None,
            ..by_arn
        };
        assert!(refused(&none).contains(backup::NO_MOMENT));
        let unnamed = RestoreTableToPointInTime {
            source_table_name: Some("a b".into()),
            target_table_name: None,
            ..request()
        };
        let text = refused(&unnamed);
        assert!(
            text.contains("'sourceTableName'") && text.contains("'targetTableName'"),
            "{text}"
        );
    }

    #[test]
    fn a_moment_is_between_the_first_and_the_last_one() {
        let mut table = definition();
        let at = |table: &TableDefinition, at_ms| restore(table, at_ms, 100_000).map(|restore| restore.at_ms);
        assert_eq!(at(&table, None), Err(backup::no_history("Tab")));
        table.history = Some(History::new(Uuid::from_u128(1), 35));
        assert_eq!(at(&table, None), Err(backup::incomplete_history("Tab")));
        table.history.as_mut().unwrap().complete_from_ms = Some(50_000);
        let latest_ms = 95_000;
        assert_eq!(at(&table, None), Ok(latest_ms));
        for moment in [50_000, 60_001, latest_ms] {
            assert_eq!(at(&table, Some(moment)), Ok(moment));
        }
        for moment in [i64::MIN, 49_999, latest_ms + 1, i64::MAX] {
            let refused = at(&table, Some(moment)).unwrap_err();
            assert_eq!(refused.code(), "InvalidRestoreTimeException");
        }
        let sentence = "RestoreDateTime '1970-01-01T00:00:49Z' must be within EarliestRestorableDateTime \
                        '1970-01-01T00:00:50Z' and LatestRestorableDateTime '1970-01-01T00:01:35Z'";
        assert_eq!(
            at(&table, Some(49_999)),
            Err(ApiError::InvalidRestoreTime(sentence.into()))
        );
        table.restore = Some(restore(&table, None, 100_000).unwrap());
        assert_eq!(at(&table, None), Err(backup::no_table("Tab")));
    }
}
