//! PutItem: replaces an item as a whole, if a condition holds.

use super::expressions::ExpressionInputs;
use super::item_command::{WriteOutput, WriteParameters};
use super::replacement::{self, Subject};
use super::{Context, Operation, table_name};
use crate::wire::decode::attribute::Attributes;
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Default)]
pub(crate) struct PutItem {
    pub(crate) parameters: WriteParameters,
    pub(crate) item: Option<Attributes>,
    pub(crate) expressions: ExpressionInputs,
}

impl Operation for PutItem {
    type Output = WriteOutput;

    fn table(&self) -> Option<&str> {
        table_name::given(self.parameters.table_name.as_ref())
    }

    async fn run(self, context: &Context) -> Result<WriteOutput, ApiError> {
        replacement::run(
            context,
            self.parameters,
            self.expressions,
            Subject::Item,
            self.item,
        )
        .await
    }
}
