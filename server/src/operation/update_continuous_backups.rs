//! UpdateContinuousBackups: whether a table can be restored to any moment of the last days. `steward.rs` completes it.

use std::sync::Arc;

use stator_cluster::FORMATS_OF_VERSIONS;
use uuid::Uuid;

use super::backup_description::check_backed_up;
use super::describe_continuous_backups::PointInTimeRecovery;
use super::readers::Look;
use super::{Context, Operation, table_name};
use crate::catalog::{CatalogError, History, PERIOD_DAYS_MAX, Table, TableDefinition};
use crate::compare_and_set::TRIES;
use crate::constraint::Constraints;
use crate::message::{backup, table};
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct UpdateContinuousBackups {
    pub(crate) table_name: Option<String>,
    pub(crate) specification: Option<PointInTimeRecoverySpecification>,
}

/// `PointInTimeRecoverySpecification`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PointInTimeRecoverySpecification {
    pub(crate) enabled: Option<bool>,
    pub(crate) period_days: Option<i32>,
}

/// The answer: what is so from now on.
#[derive(Debug)]
pub(crate) struct UpdateContinuousBackupsOutput {
    pub(crate) recovery: Option<PointInTimeRecovery>,
}

impl Operation for UpdateContinuousBackups {
    type Output = UpdateContinuousBackupsOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let (name, wanted_days) = self.validate()?;
        if wanted_days.is_some() {
            let earlier = context.cluster.nodes_before(FORMATS_OF_VERSIONS);
            if !earlier.is_empty() {
                return Err(backup::history_before_upgrade(&earlier));
            }
        }
        let (id, now_ms) = (context.new_id()?, context.clock.now_ms());
        let changed = Box::pin(change(context, &name, wanted_days, (id, now_ms))).await?;
        let completed = match wanted_days {
            Some(_) => context.catalog.make_derived_keyspaces(&changed).await,
            None => context.catalog.clean_up().await,
        };
        if let Err(error) = completed {
            // Its keyspace is made by whoever completes it, and dropped by the next look for what is left over.
            tracing::warn!(table = name, %error, "a change of a history is completed later");
        }
        Ok(UpdateContinuousBackupsOutput {
            recovery: PointInTimeRecovery::of(changed.definition(), now_ms),
        })
    }
}

impl UpdateContinuousBackups {
    /// The table's name, and for how many days its history is to be kept; `None` for not at all.
    fn validate(&self) -> Result<(String, Option<u32>), ApiError> {
        let mut constraints = Constraints::default();
        table_name::check_of_table(&mut constraints, self.table_name.as_ref());
        let member = "pointInTimeRecoverySpecification";
        constraints.required(member, self.specification.as_ref());
        let wanted = self.specification.unwrap_or_default();
        if self.specification.is_some() {
            let enabled = format!("{member}.pointInTimeRecoveryEnabled");
            constraints.required(&enabled, wanted.enabled.as_ref());
            let days = format!("{member}.recoveryPeriodInDays");
            constraints.at_least(&days, wanted.period_days, 1);
            constraints.at_most(
                &days,
                wanted.period_days,
                i32::try_from(PERIOD_DAYS_MAX).unwrap_or(i32::MAX),
            );
        }
        constraints.finish()?;
        let name = table_name::resolve(self.table_name.as_deref().unwrap_or_default())?;
        let days = wanted.period_days.and_then(|days| u32::try_from(days).ok());
        let is_enabled = wanted.enabled.unwrap_or_default();
        if !is_enabled && days.is_some() {
            return Err(ApiError::validation(backup::PERIOD_OF_NOTHING));
        }
        Ok((
            name.to_owned(),
            is_enabled.then_some(days.unwrap_or(PERIOD_DAYS_MAX)),
        ))
    }
}

/// Changes whether, and for how long, the history of a table is kept.
async fn change(
    context: &Context,
    name: &str,
    wanted_days: Option<u32>,
    new: (Uuid, i64),
) -> Result<Arc<Table>, ApiError> {
    for _ in 0..TRIES {
        let there = context.catalog.latest(name).await.map_err(table::catalog)?;
        let there = there.ok_or_else(|| backup::no_table(name))?;
        let look = Look::at(there.definition());
        let is_read = wanted_days.is_none() && context.is_being_read_back(name).await?;
        let changed = context.catalog.change(name, |definition| {
            if wanted_days.is_none() && !look.holds(definition) {
                // Somebody may read it who was not there.
                return Err(None);
            }
            if is_read && definition.history.is_some() {
                return Err(Some(backup::history_in_use(&definition.name)));
            }
            apply(definition, wanted_days, new).map_err(Some)
        });
        match changed.await {
            Ok(Ok(changed)) => return Ok(changed),
            Ok(Err(Some(refusal))) => return Err(refusal),
            Ok(Err(None)) => {}
            Err(CatalogError::Missing { name }) => return Err(backup::no_table(&name)),
            Err(error) => return Err(table::catalog(error)),
        }
    }
    let name = name.to_owned();
    Err(table::catalog(CatalogError::Contended { name }))
}

fn apply(
    definition: &mut TableDefinition,
    wanted_days: Option<u32>,
    (id, now_ms): (Uuid, i64),
) -> Result<(), ApiError> {
    check_backed_up(definition)?;
    match (&mut definition.history, wanted_days) {
        (history, None) => *history = None,
        (Some(history), Some(days)) => history.keep_for(days, now_ms),
        (history @ None, Some(days)) => *history = Some(History::new(id, days)),
    }
    Ok(())
}

impl Context {
    /// Whether another table is being restored from the history of a table.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub(super) async fn is_being_read_back(&self, name: &str) -> Result<bool, ApiError> {
        let tables = self.catalog.all().await.map_err(table::catalog)?;
        let history = tables
            .get(name)
            .and_then(|table| table.definition().history.as_ref());
        let Some(id) = history.map(|history| history.id) else {
            return Ok(false);
        };
        let reads = |table: &Arc<Table>| {
            let restore = table.definition().restore.as_ref();
            restore.is_some_and(|restore| restore.in_progress && restore.history == Some(id))
        };
        Ok(tables.values().any(reads))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::create_table::tests::definition;

    fn request(enabled: Option<bool>, period_days: Option<i32>) -> UpdateContinuousBackups {
        UpdateContinuousBackups {
            table_name: Some("Tab".into()),
            specification: Some(PointInTimeRecoverySpecification { enabled, period_days }),
        }
    }

    #[test]
    fn periods_have_limits_and_a_default() {
        let valid = |enabled, days| request(Some(enabled), days).validate().map(|(_, days)| days);
        assert_eq!(valid(true, None), Ok(Some(35)));
        assert_eq!(valid(true, Some(1)), Ok(Some(1)));
        assert_eq!(valid(false, None), Ok(None));
        assert_eq!(
            valid(false, Some(35)),
            Err(ApiError::validation(backup::PERIOD_OF_NOTHING))
        );
        for (days, rule) in [
            (0, "greater than or equal to 1"),
            (36, "less than or equal to 35"),
        ] {
            let refused = valid(true, Some(days)).unwrap_err().to_string();
            let wanted = format!(
                "Value '{days}' at 'pointInTimeRecoverySpecification.recoveryPeriodInDays' failed to satisfy constraint: \
                 Member must have value {rule}"
            );
            assert!(refused.contains(&wanted), "{refused}");
        }
        let refused = request(None, None).validate().unwrap_err().to_string();
        assert!(
            refused.contains("Value null at 'pointInTimeRecoverySpecification.pointInTimeRecoveryEnabled'"),
            "{refused}"
        );
        let none = UpdateContinuousBackups::default()
            .validate()
            .unwrap_err()
            .to_string();
        assert!(none.contains("2 validation errors detected"), "{none}");
    }

    #[test]
    fn what_is_given_up_begins_anew_and_another_period_does_not() {
        let mut table = definition();
        let at = |number, now_ms| (Uuid::from_u128(number), now_ms);
        apply(&mut table, Some(5), at(1, 10)).unwrap();
        apply(&mut table, Some(7), at(2, 20)).unwrap();
        let history = table.history.clone().unwrap();
        assert_eq!((history.id, history.period_days), (Uuid::from_u128(1), 7));
        apply(&mut table, None, at(3, 30)).unwrap();
        apply(&mut table, None, at(4, 40)).unwrap();
        assert_eq!(table.history, None);
        apply(&mut table, Some(35), at(5, 50)).unwrap();
        let history = table.history.unwrap();
        assert_eq!((history.id, history.complete_from_ms), (Uuid::from_u128(5), None));
    }
}
