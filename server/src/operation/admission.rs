//! Asking the node's throttle before something is read or written, and paying when its cost is known.
//!
//! A write whose condition is false pays for the item that is there, as in DynamoDB; what fails otherwise has paid what it was let
//! in for.

use stator_model::item::ItemRef;

use super::Context;
use super::capacity::{Cost, UnitKind, write_units};
use crate::catalog::{Table, TableIndex};
use crate::throttle::Permit;
use crate::wire::error::ApiError;

impl Context {
    /// Lets a read of a table or one of its indexes through, which costs at least `units`.
    ///
    /// # Errors
    /// [`ApiError::Throttled`].
    pub(super) fn admit_read(
        &self,
        table: &Table,
        index: Option<&TableIndex>,
        units: f64,
    ) -> Result<Permit, ApiError> {
        match &self.throttle {
            Some(throttle) => throttle.read(table, index, units).map_err(ApiError::Throttled),
            None => Ok(Permit::free(UnitKind::Read)),
        }
    }

    /// Lets a write of an item through, of which at least the key is known, or of one of which nothing is.
    ///
    /// # Errors
    /// [`ApiError::Throttled`].
    pub(super) fn admit_write(&self, table: &Table, item: Option<ItemRef<'_>>) -> Result<Permit, ApiError> {
        match &self.throttle {
            Some(throttle) => {
                let units = write_units(0, item.map_or(0, ItemRef::size));
                let permit = throttle.write(table, item, units);
                permit.map_err(ApiError::Throttled)
            }
            None => Ok(Permit::free(UnitKind::Write)),
        }
    }

    /// Pays for what was let through.
    pub(super) fn settle(&self, table: &Table, permit: Permit, cost: impl FnOnce() -> Cost) {
        if let Some(throttle) = &self.throttle {
            throttle.settle(table, permit, &cost());
        }
    }
}
