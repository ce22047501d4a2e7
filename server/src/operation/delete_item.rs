//! DeleteItem: removes an item, if a condition holds. Removing what is not there succeeds.

use super::expressions::ExpressionInputs;
use super::item_command::{WriteOutput, WriteParameters};
use super::replacement::{self, Subject};
use super::{Context, Operation, table_name};
use crate::wire::decode::attribute::Attributes;
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Default)]
pub(crate) struct DeleteItem {
    pub(crate) parameters: WriteParameters,
    pub(crate) key: Option<Attributes>,
    pub(crate) expressions: ExpressionInputs,
}

impl Operation for DeleteItem {
    type Output = WriteOutput;

    fn table(&self) -> Option<&str> {
        table_name::given(self.parameters.table_name.as_ref())
    }

    async fn run(self, context: &Context) -> Result<WriteOutput, ApiError> {
        replacement::run(context, self.parameters, self.expressions, Subject::Key, self.key).await
    }
}
