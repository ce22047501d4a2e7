//! One action of a TransactWriteItems: as it came, validated without its table, and with it.

use bytes::Bytes;
use stator_cluster::Applier;
use stator_model::expression::Placeholders;
use stator_model::item::{Item, ItemRef};
use stator_model::key::{KeyBytes, KeyError};

use crate::catalog::Table;
use crate::command::{OnFailure, ReturnValues};
use crate::constraint::{Constraints, ModelEnum as _};
use crate::message;
use crate::operation::cancellation::CancellationReason;
use crate::operation::condition_check::ConditionCheck;
use crate::operation::expressions::ExpressionInputs;
use crate::operation::legacy::LegacyWrite;
use crate::operation::modification::Modification;
use crate::operation::replacement::{Replacement, Subject};
use crate::operation::table_name;
use crate::wire::decode::attribute::Attributes;
use crate::wire::error::ApiError;

/// An element of `TransactItems`: exactly one action has to be there.
#[derive(Debug, Default)]
pub(crate) struct TransactWriteItem {
    pub(crate) actions: Vec<(ActionKind, ActionInput)>,
}

/// Which member of an element an action is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ActionKind {
    ConditionCheck,
    Put,
    Update,
    Delete,
}

impl ActionKind {
    /// The member, as constraints spell it.
    fn member(self) -> &'static str {
        match self {
            Self::ConditionCheck => "conditionCheck",
            Self::Put => "put",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// An action as it came.
#[derive(Debug, Default)]
pub(crate) struct ActionInput {
    pub(crate) table_name: Option<String>,
    /// The item of a put, the key of others.
    pub(crate) subject: Option<Attributes>,
    pub(crate) update: Option<String>,
    pub(crate) condition: Option<String>,
    pub(crate) on_failure: Option<String>,
    pub(crate) expressions: ExpressionInputs,
}

impl TransactWriteItem {
    /// Notes what the service model has against the actions of the element at a place, counted from 1.
    pub(super) fn check(&self, constraints: &mut Constraints, place: usize) {
        for (kind, action) in &self.actions {
            let path = format!("transactItems.{place}.member.{}", kind.member());
            table_name::check_at(
                constraints,
                &format!("{path}.tableName"),
                action.table_name.as_ref(),
            );
            let subject = if *kind == ActionKind::Put { "item" } else { "key" };
            constraints.required(&format!("{path}.{subject}"), action.subject.as_ref());
            match kind {
                ActionKind::Update => {
                    constraints.required(&format!("{path}.updateExpression"), action.update.as_ref());
                }
                ActionKind::ConditionCheck => {
                    constraints.required(&format!("{path}.conditionExpression"), action.condition.as_ref());
                }
                ActionKind::Put | ActionKind::Delete => {}
            }
            constraints.one_of::<OnFailure>(
                &format!("{path}.returnValuesOnConditionCheckFailure"),
                action.on_failure.as_deref(),
            );
        }
    }

    /// The one action.
    ///
    /// # Errors
    /// ValidationException when there is none or more than one.
    pub(super) fn only(self) -> Result<(ActionKind, ActionInput), ApiError> {
        let mut actions = self.actions.into_iter();
        match (actions.next(), actions.next()) {
            (Some(action), None) => Ok(action),
            (None, _) => Err(ApiError::validation(message::TRANSACTION_NO_ACTION)),
            (Some(_), Some(_)) => Err(ApiError::validation(message::TRANSACTION_MANY_ACTIONS)),
        }
    }
}

/// What is to be done.
#[derive(Debug)]
enum Deed {
    Check(ConditionCheck),
    Replace(Replacement),
    Change(Modification),
}

/// An action, validated as far as it can be without its table.
#[derive(Debug)]
pub(super) struct Action {
    /// The table's name, whichever way the request has it.
    pub(super) table: String,
    /// The table, as the request names it.
    pub(super) named: String,
    /// What it counts with in the size of the transaction.
    pub(super) bytes: usize,
    on_failure: OnFailure,
    deed: Deed,
}

/// Why an action does not fit its table.
pub(super) enum Misfit {
    /// The request as a whole is refused.
    Request(ApiError),
    /// The transaction is cancelled because of this action.
    Action(CancellationReason),
}

impl Misfit {
    /// An empty value is refused as in any request, another mistake cancels the transaction, as in DynamoDB.
    fn new(error: &KeyError, refusal: ApiError) -> Self {
        match error {
            KeyError::Empty { .. } => Self::Request(refusal),
            _ => Self::of_action(refusal),
        }
    }

    fn of_action(refusal: ApiError) -> Self {
        match refusal {
            ApiError::Validation(sentence) => Self::Action(CancellationReason::validation(sentence)),
            refusal => Self::Request(refusal),
        }
    }
}

impl Action {
    /// The item that is written, with at least its key attributes; `None` for a check.
    pub(super) fn written(&self) -> Option<ItemRef<'_>> {
        match &self.deed {
            Deed::Check(_) => None,
            Deed::Replace(replacement) => Some(replacement.attributes.as_ref()),
            Deed::Change(modification) => Some(modification.key.as_ref()),
        }
    }

    /// Validates an action that the service model has nothing against.
    ///
    /// # Errors
    /// ValidationException.
    pub(super) fn check((kind, input): (ActionKind, ActionInput)) -> Result<Self, ApiError> {
        let named = input.table_name.unwrap_or_default();
        let table = table_name::resolve(&named)?.to_owned();
        let on_failure = input.on_failure.as_deref().and_then(OnFailure::from_name);
        let (condition, update) = (input.condition.as_deref(), input.update.as_deref());
        let texts = [condition, update];
        let texts: usize = texts.into_iter().flatten().map(str::len).sum();
        let (subject, expressions) = (input.subject, input.expressions);
        let legacy = LegacyWrite::default();
        let replace = |of, subject, expressions| {
            Replacement::check(of, subject, condition, &legacy, expressions, ReturnValues::None)
        };
        let deed = match kind {
            ActionKind::ConditionCheck => Deed::Check(ConditionCheck::check(
                subject,
                condition.unwrap_or_default(),
                expressions,
            )?),
            ActionKind::Put => Deed::Replace(replace(Subject::Item, subject, expressions)?),
            ActionKind::Delete => Deed::Replace(replace(Subject::Key, subject, expressions)?),
            ActionKind::Update => Deed::Change(Modification::check(
                subject,
                update,
                condition,
                &legacy,
                expressions,
            )?),
        };
        Ok(Self {
            table,
            named,
            bytes: texts + deed.bytes(),
            on_failure: on_failure.unwrap_or_default(),
            deed,
        })
    }

    /// Key bytes of the action's item.
    ///
    /// # Errors
    /// [`Misfit`] when it is none of the table's, or the action is not one for the table.
    pub(super) fn key(&self, table: &Table) -> Result<KeyBytes, Misfit> {
        let of_key = |key: &Item| {
            let bytes = table.key_of_key(key.as_ref());
            bytes.map_err(|error| Misfit::new(&error, message::key(&error)))
        };
        match &self.deed {
            Deed::Check(check) => of_key(&check.key),
            Deed::Change(modification) => {
                let key = of_key(&modification.key)?;
                modification.check_key_stays(table).map_err(Misfit::of_action)?;
                Ok(key)
            }
            Deed::Replace(replacement) => {
                let key = replacement.key(table);
                let key = key.map_err(|error| Misfit::new(&error, replacement.refusal(&error)))?;
                let Some(new) = replacement.new_item() else {
                    return Ok(key);
                };
                if let Some((misfit, index)) = table.index_misfit(new.as_ref()) {
                    let refusal = message::index::misfit(&misfit, index);
                    return Err(Misfit::new(&misfit.error, refusal));
                }
                let fits = table.check_local_rows(new.as_ref());
                fits.map_err(Misfit::of_action)?;
                Ok(key)
            }
        }
    }

    /// The command in bytes.
    pub(super) fn command(&self) -> Bytes {
        let mut bytes = Vec::new();
        match &self.deed {
            Deed::Check(check) => check.command(self.on_failure).encode(&mut bytes),
            Deed::Replace(replacement) => replacement.command(self.on_failure, false).encode(&mut bytes),
            Deed::Change(modification) => modification
                .command(self.on_failure, ReturnValues::None)
                .encode(&mut bytes),
        }
        bytes.into()
    }
}

impl Deed {
    /// The size of the item or key, and of the values that come with it.
    fn bytes(&self) -> usize {
        let (subject, placeholders) = match self {
            Self::Check(check) => (&check.key, &check.placeholders),
            Self::Replace(replacement) => (&replacement.attributes, &replacement.placeholders),
            Self::Change(modification) => (&modification.key, &modification.placeholders),
        };
        subject.as_ref().size() + size_of(placeholders)
    }
}

fn size_of(placeholders: &Placeholders) -> usize {
    placeholders.values().map(|(_, value)| value.size()).sum()
}
