//! UpdateTimeToLive: which attribute says when items are due. `steward.rs` completes it.

use super::{Context, Operation, in_use, table_name};
use crate::catalog::{TableDefinition, TimeToLive, TimeToLiveStatus};
use crate::constraint::Constraints;
use crate::message::{table, time_to_live};
use crate::wire::error::ApiError;

/// Longest name of an attribute. Source: service model of DynamoDB, shape TimeToLiveAttributeName.
const NAME_LENGTH_MAX: usize = 255;

/// The request.
#[derive(Debug, Default)]
pub(crate) struct UpdateTimeToLive {
    pub(crate) table_name: Option<String>,
    pub(crate) specification: Option<TimeToLiveSpecification>,
}

/// `TimeToLiveSpecification`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct TimeToLiveSpecification {
    pub(crate) enabled: Option<bool>,
    pub(crate) attribute_name: Option<String>,
}

/// The answer: the specification as it was asked for.
#[derive(Debug)]
pub(crate) struct UpdateTimeToLiveOutput {
    pub(crate) enabled: bool,
    pub(crate) attribute_name: String,
}

impl Operation for UpdateTimeToLive {
    type Output = UpdateTimeToLiveOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let mut constraints = Constraints::default();
        table_name::check_of_table(&mut constraints, self.table_name.as_ref());
        constraints.required("timeToLiveSpecification", self.specification.as_ref());
        if let Some(specification) = &self.specification {
            let member = "timeToLiveSpecification.enabled";
            constraints.required(member, specification.enabled.as_ref());
            let member = "timeToLiveSpecification.attributeName";
            constraints.required(member, specification.attribute_name.as_ref());
            if let Some(name) = &specification.attribute_name {
                constraints.length(member, name, name.chars().count(), 1, NAME_LENGTH_MAX);
            }
        }
        constraints.finish()?;
        let name = table_name::resolve(self.table_name.as_deref().unwrap_or_default())?.to_owned();
        let specification = self.specification.unwrap_or_default();
        let output = UpdateTimeToLiveOutput {
            enabled: specification.enabled.unwrap_or_default(),
            attribute_name: specification.attribute_name.unwrap_or_default(),
        };
        let (id, now_ms) = (context.new_id()?, context.clock.now_ms());
        let changed = context
            .catalog
            .change(&name, |definition| {
                in_use::check_is_whole(definition)?;
                let wanted = TimeToLive {
                    id,
                    attribute: output.attribute_name.clone(),
                    status: TimeToLiveStatus::Enabling,
                    changed_at_ms: now_ms,
                };
                apply(definition, output.enabled, wanted)
            })
            .await
            .map_err(table::catalog)??;
        context
            .catalog
            .make_derived_keyspaces(&changed)
            .await
            .map_err(table::catalog)?;
        Ok(output)
    }
}

fn apply(definition: &mut TableDefinition, enabled: bool, wanted: TimeToLive) -> Result<(), ApiError> {
    let is_on = |known: &TimeToLive| known.status != TimeToLiveStatus::Disabling;
    match (&mut definition.time_to_live, enabled) {
        (Some(known), _) if known.status != TimeToLiveStatus::Enabled => {
            Err(ApiError::validation(time_to_live::CHANGED_LATELY))
        }
        (Some(known), _) if known.attribute != wanted.attribute => Err(ApiError::Validation(
            time_to_live::other_attribute(&known.attribute),
        )),
        (Some(known), true) if is_on(known) => Err(ApiError::validation(time_to_live::ALREADY_ENABLED)),
        (Some(known), false) => {
            known.status = TimeToLiveStatus::Disabling;
            known.changed_at_ms = wanted.changed_at_ms;
            Ok(())
        }
        (None, false) => Err(ApiError::validation(time_to_live::ALREADY_DISABLED)),
        (known, true) => {
            *known = Some(wanted);
            Ok(())
        }
    }
}
