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
                check_is_whole(definition)?;
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

/// Refuses any change of a table that is not whole, in the words of this operation.
fn check_is_whole(definition: &TableDefinition) -> Result<(), ApiError> {
    if definition.deletion.is_none() && definition.is_being_filled() {
        return Err(time_to_live::being_created(&definition.name));
    }
    in_use::check_is_whole(definition)
}

/// Changes the time to live. What is wrong with what is asked for is told also while a change is under way.
///
/// Source: the service's answers in aws-controllers-k8s/dynamodb-controller, docs/api-quirks/table-subresources.md, DDB-TABLE-143 and
/// DDB-TABLE-147.
fn apply(definition: &mut TableDefinition, enabled: bool, wanted: TimeToLive) -> Result<(), ApiError> {
    let Some(known) = &mut definition.time_to_live else {
        if !enabled {
            return Err(ApiError::validation(time_to_live::ALREADY_DISABLED));
        }
        definition.time_to_live = Some(wanted);
        return Ok(());
    };
    let refusal = match (known.status, enabled) {
        (TimeToLiveStatus::Disabling, false) => time_to_live::ALREADY_DISABLED.to_owned(),
        (TimeToLiveStatus::Enabling | TimeToLiveStatus::Enabled, _)
            if known.attribute != wanted.attribute =>
        {
            time_to_live::other_attribute(&known.attribute)
        }
        (TimeToLiveStatus::Enabling | TimeToLiveStatus::Enabled, true) => {
            time_to_live::ALREADY_ENABLED.to_owned()
        }
        (TimeToLiveStatus::Disabling, true) | (TimeToLiveStatus::Enabling, false) => {
            time_to_live::CHANGED_LATELY.to_owned()
        }
        (TimeToLiveStatus::Enabled, false) => {
            known.status = TimeToLiveStatus::Disabling;
            known.changed_at_ms = wanted.changed_at_ms;
            return Ok(());
        }
    };
    Err(ApiError::Validation(refusal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::create_table::tests::definition;

    /// What a table with a time to live of `due` in this status says to another one of this attribute.
    fn told(status: Option<TimeToLiveStatus>, attribute: &str, enabled: bool) -> Result<(), String> {
        let of = |attribute: &str, status| TimeToLive {
            id: uuid::Uuid::nil(),
            attribute: attribute.to_owned(),
            status,
            changed_at_ms: 0,
        };
        let mut table = definition();
        table.time_to_live = status.map(|status| of("due", status));
        let wanted = of(attribute, TimeToLiveStatus::Enabling);
        let applied = apply(&mut table, enabled, wanted);
        applied.map_err(|refusal| refusal.sentence().unwrap_or_default())
    }

    #[test]
    fn what_is_wrong_with_a_change_is_told_before_that_another_one_is_under_way() {
        use TimeToLiveStatus::{Disabling, Enabled, Enabling};
        let other = "TimeToLive is active on a different AttributeName: current AttributeName is due";
        let (on, off) = ("TimeToLive is already enabled", "TimeToLive is already disabled");
        let lately = "Time to live has been modified multiple times within a fixed interval";
        for (status, attribute, enabled, sentence) in [
            (None, "due", true, None),
            (None, "due", false, Some(off)),
            (Some(Enabling), "due", true, Some(on)),
            (Some(Enabling), "other", true, Some(other)),
            (Some(Enabling), "other", false, Some(other)),
            (Some(Enabling), "due", false, Some(lately)),
            (Some(Enabled), "due", true, Some(on)),
            (Some(Enabled), "other", true, Some(other)),
            (Some(Enabled), "other", false, Some(other)),
            (Some(Enabled), "due", false, None),
            (Some(Disabling), "due", false, Some(off)),
            (Some(Disabling), "due", true, Some(lately)),
            (Some(Disabling), "other", true, Some(lately)),
        ] {
            let wanted = sentence.map_or(Ok(()), |sentence: &str| Err(sentence.to_owned()));
            let found = told(status, attribute, enabled);
            assert_eq!(found, wanted, "{status:?} {attribute} {enabled}");
        }
    }
}
