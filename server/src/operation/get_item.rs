//! GetItem: reads one item by its key.

use stator_cluster::ConsistencyLevel;
use stator_model::item::Item;

use super::capacity::{CapacityDetail, ConsumedCapacity, read_units};
use super::expressions::{ExpressionInputs, check_all_used};
use super::item_command::open;
use super::legacy::read;
use super::replacement::checked;
use super::{Context, Operation, table_name};
use crate::consistency::{self, NamedLevels};
use crate::constraint::Constraints;
use crate::message;
use crate::wire::decode::attribute::Attributes;
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Default)]
pub(crate) struct GetItem {
    pub(crate) table_name: Option<String>,
    pub(crate) key: Option<Attributes>,
    pub(crate) consistent_read: Option<bool>,
    pub(crate) levels: NamedLevels,
    pub(crate) projection: Option<String>,
    pub(crate) attributes_to_get: Option<Vec<String>>,
    pub(crate) consumed_capacity: Option<String>,
    pub(crate) expressions: ExpressionInputs,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct GetItemOutput {
    pub(crate) item: Option<Item>,
    pub(crate) consumed_capacity: Option<ConsumedCapacity>,
}

impl Operation for GetItem {
    type Output = GetItemOutput;

    fn table(&self) -> Option<&str> {
        table_name::given(self.table_name.as_ref())
    }

    async fn run(self, context: &Context) -> Result<GetItemOutput, ApiError> {
        let (capacity, level) = self.constraints()?;
        let projection = ("ProjectionExpression", self.projection.as_deref());
        let named = self.table_name.as_deref().unwrap_or_default();
        let name = table_name::resolve(named)?;
        let attributes = self.attributes_to_get.as_deref();
        read::check_attributes_unmixed(attributes, projection)?;
        let mut placeholders = self.expressions.check(&[projection])?;
        let projection = read::projection(projection, attributes, &mut placeholders, read::same_name)?;
        check_all_used(&placeholders)?;
        let key = checked(self.key)?;

        let table = context.table(name).await?;
        let key = table
            .key_of_key(key.as_ref())
            .map_err(|error| message::key(&error))?;
        let level = consistency::of_read(level, table.level(), self.consistent_read.unwrap_or_default());
        let permit = context.admit_read(&table, None, read_units(0, level))?;
        let cell = context
            .cluster
            .read(table.keyspace(), key.as_bytes(), level)
            .await?;
        let item = cell.as_ref().map(open).transpose()?;
        // Sized only for who wants to know.
        let units = || read_units(item.as_ref().map_or(0, |item| item.as_ref().size()), level);
        context.settle(&table, permit, || units().into());
        let consumed_capacity = match capacity {
            CapacityDetail::None => None,
            capacity => capacity.report(named, units()),
        };
        Ok(GetItemOutput {
            consumed_capacity,
            item: match projection {
                Some(projection) => item.map(|item| projection.apply(item.as_ref())),
                None => item,
            },
        })
    }
}

impl GetItem {
    fn constraints(&self) -> Result<(CapacityDetail, Option<ConsistencyLevel>), ApiError> {
        let mut constraints = Constraints::default();
        table_name::check(&mut constraints, self.table_name.as_ref());
        constraints.required("key", self.key.as_ref());
        read::check_attributes(
            "attributesToGet",
            self.attributes_to_get.as_deref(),
            &mut constraints,
        );
        let capacity = constraints.one_of("returnConsumedCapacity", self.consumed_capacity.as_deref());
        let level = self.levels.check(&mut constraints);
        constraints.finish()?;
        Ok((capacity.unwrap_or_default(), level))
    }
}
