//! ExpressionAttributeNames and ExpressionAttributeValues, and the members of item writes that go with them.

use super::reader::{Decoded, Reader};
use crate::consistency::{NamedLevel, named};
use crate::operation::expressions::{ExpressionInputs, ValueInput};
use crate::operation::item_command::WriteParameters;
use crate::wire::head::Head;

impl WriteParameters {
    /// Takes what the headers of a write say.
    pub(super) fn take_head(&mut self, head: Head<'_>) {
        self.levels.header = head.level();
        self.invocation = head.invocation();
    }
}

impl Reader<'_> {
    /// `ExpressionAttributeNames`: an object of text.
    pub(super) fn names(&mut self) -> Decoded<Option<Vec<(String, String)>>> {
        let mut names = Vec::new();
        let present = self.object(|reader, placeholder| {
            names.extend(reader.text()?.map(|name| (placeholder.to_owned(), name)));
            Ok(())
        })?;
        Ok(present.then_some(names))
    }

    /// `ExpressionAttributeValues`: an object of attribute values, written where the placeholders keep them.
    pub(super) fn values(&mut self, inputs: &mut ExpressionInputs) -> Decoded<()> {
        let mut values = Vec::new();
        let present = self.object(|reader, placeholder| {
            let start = inputs.placeholders.values_writer().len();
            reader.value(inputs.placeholders.values_writer())?;
            let problem = reader.take_problem();
            values.push(ValueInput {
                placeholder: placeholder.to_owned(),
                start,
                problem,
            });
            Ok(())
        })?;
        inputs.values = present.then_some(values);
        Ok(())
    }

    /// `ConsistencyLevel`, Stator's own member of item operations.
    pub(super) fn level(&mut self) -> Decoded<Option<NamedLevel>> {
        self.text_with(named)
    }

    /// The members that PutItem, UpdateItem and DeleteItem share; false when the member is none of them, and unread.
    pub(super) fn write_member(
        &mut self,
        name: &str,
        parameters: &mut WriteParameters,
        inputs: &mut ExpressionInputs,
    ) -> Decoded<bool> {
        match name {
            "TableName" => parameters.table_name = self.text()?,
            "ConditionExpression" => parameters.condition = self.text()?,
            "ExpressionAttributeNames" => inputs.names = self.names()?,
            "ExpressionAttributeValues" => self.values(inputs)?,
            "ConsistencyLevel" => parameters.levels.member = self.level()?,
            "ReturnValues" => parameters.return_values = self.text()?,
            "ReturnValuesOnConditionCheckFailure" => parameters.on_failure = self.text()?,
            "ReturnConsumedCapacity" => parameters.consumed_capacity = self.text()?,
            "ReturnItemCollectionMetrics" => parameters.collection_metrics = self.text()?,
            "Expected" => parameters.legacy.expected = self.expected(&mut inputs.placeholders)?,
            "ConditionalOperator" => parameters.legacy.conditional_operator = self.text()?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}
