//! `AttributeUpdates`: what becomes of single attributes.

use std::fmt::Write as _;

use stator_model::attribute::Kind;

use super::{AttributeUpdate, LegacyWrite, Maker, invalid};
use crate::constraint::ModelEnum;
use crate::wire::error::ApiError;

/// `AttributeAction`. Without one the value is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum UpdateAction {
    Add,
    Delete,
    #[default]
    Put,
}

impl ModelEnum for UpdateAction {
    const NAMES: &'static [&'static str] = &["ADD", "DELETE", "PUT"];

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "ADD" => Self::Add,
            "DELETE" => Self::Delete,
            "PUT" => Self::Put,
            _ => return None,
        })
    }
}

/// The actions of each clause, in the order of the attributes' names.
#[derive(Debug, Default)]
struct Clauses {
    set: Vec<String>,
    remove: Vec<String>,
    add: Vec<String>,
    delete: Vec<String>,
}

/// The text of the update; `None` when nothing is asked for.
pub(super) fn text(legacy: &LegacyWrite, maker: &mut Maker<'_>) -> Result<Option<String>, ApiError> {
    let mut clauses = Clauses::default();
    for entry in &legacy.updates {
        clauses.take(entry, maker)?;
    }
    let mut text = String::new();
    for (clause, actions) in [
        ("SET", &clauses.set),
        ("REMOVE", &clauses.remove),
        ("ADD", &clauses.add),
        ("DELETE", &clauses.delete),
    ] {
        if !actions.is_empty() {
            let gap = if text.is_empty() { "" } else { " " };
            // Writing to a string does not fail.
            let _infallible = write!(text, "{gap}{clause} {}", actions.join(", "));
        }
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

impl Clauses {
    fn take(&mut self, entry: &AttributeUpdate, maker: &mut Maker<'_>) -> Result<(), ApiError> {
        // An unknown name has been refused with the other constraints of the service model.
        let named = entry.action.as_deref().and_then(UpdateAction::from_name);
        let action = named.unwrap_or_default();
        let Some(value) = &entry.value else {
            if action != UpdateAction::Delete {
                return Err(invalid(
                    "Only DELETE action is allowed when no attribute value is specified",
                ));
            }
            self.remove.push(maker.name(&entry.attribute)?);
            return Ok(());
        };
        value.check()?;
        let kind = maker.written(value).kind();
        let refuse = |what: &str| {
            Err(invalid(format_args!(
                "{what} is not supported for the type {}",
                kind.long_name()
            )))
        };
        match action {
            UpdateAction::Put => {
                let (name, value) = (maker.name(&entry.attribute)?, maker.value(value)?);
                self.set.push(format!("{name} = {value}"));
            }
            UpdateAction::Add if kind == Kind::List => {
                let (name, value) = (maker.name(&entry.attribute)?, maker.value(value)?);
                let empty = maker.empty_list()?;
                let present = format!("if_not_exists({name}, {empty})");
                self.set.push(format!("{name} = list_append({present}, {value})"));
            }
            UpdateAction::Add if kind == Kind::Number || kind.element().is_some() => {
                let (name, value) = (maker.name(&entry.attribute)?, maker.value(value)?);
                self.add.push(format!("{name} {value}"));
            }
            UpdateAction::Delete if kind.element().is_some() => {
                let (name, value) = (maker.name(&entry.attribute)?, maker.value(value)?);
                self.delete.push(format!("{name} {value}"));
            }
            UpdateAction::Add => return refuse("ADD action"),
            UpdateAction::Delete => return refuse("DELETE action with value"),
        }
        Ok(())
    }
}
