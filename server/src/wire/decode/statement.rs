//! ExecuteStatement, BatchExecuteStatement and ExecuteTransaction.

use super::Decode;
use super::reader::{Decoded, Reader};
use crate::operation::batch_execute_statement::BatchExecuteStatement;
use crate::operation::execute_statement::ExecuteStatement;
use crate::operation::execute_transaction::ExecuteTransaction;
use crate::operation::statement::{ParameterInput, StatementInput};
use crate::wire::head::Head;

impl Reader<'_> {
    /// The members that belong to a statement; false when the member is none of them, and unread.
    pub(super) fn statement_member(&mut self, name: &str, statement: &mut StatementInput) -> Decoded<bool> {
        match name {
            "Statement" => statement.statement = self.text()?,
            "Parameters" => {
                let writer = statement.placeholders.values_writer();
                statement.parameters = self.list_of(|reader| {
                    let start = writer.len();
                    reader.value(writer)?;
                    let problem = reader.take_problem();
                    Ok(Some(ParameterInput { start, problem }))
                })?;
            }
            "ConsistentRead" => statement.consistent_read = self.boolean()?,
            "ReturnValuesOnConditionCheckFailure" => statement.on_failure = self.text()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// An element of `Statements` or `TransactStatements`.
    fn batched_statement(&mut self) -> Decoded<Option<StatementInput>> {
        let mut statement = StatementInput::default();
        let present = self.object(|reader, name| {
            if !reader.statement_member(name, &mut statement)? {
                reader.skip()?;
            }
            Ok(())
        })?;
        Ok(present.then_some(statement))
    }
}

impl Decode for ExecuteStatement {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let mut request = Self::default();
        reader.object(|reader, name| {
            match name {
                "Limit" => request.limit = reader.integer()?,
                "NextToken" => request.next_token = reader.text()?,
                "ReturnConsumedCapacity" => request.consumed_capacity = reader.text()?,
                "ConsistencyLevel" => request.levels.member = reader.level()?,
                _ if reader.statement_member(name, &mut request.statement)? => {}
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request)
    }

    fn take_head(&mut self, head: Head<'_>) {
        self.levels.header = head.level();
        self.invocation = head.invocation();
    }
}

impl Decode for BatchExecuteStatement {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let mut request = Self::default();
        reader.object(|reader, name| {
            match name {
                "Statements" => request.statements = reader.list_of(Reader::batched_statement)?,
                "ReturnConsumedCapacity" => request.consumed_capacity = reader.text()?,
                "ConsistencyLevel" => request.levels.member = reader.level()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request)
    }

    fn take_head(&mut self, head: Head<'_>) {
        self.levels.header = head.level();
        self.invocation = head.invocation();
    }
}

impl Decode for ExecuteTransaction {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let mut request = Self::default();
        reader.object(|reader, name| {
            match name {
                "TransactStatements" => request.statements = reader.list_of(Reader::batched_statement)?,
                "ClientRequestToken" => request.token = reader.text()?,
                "ReturnConsumedCapacity" => request.consumed_capacity = reader.text()?,
                "ConsistencyLevel" => request.levels.member = reader.level()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request)
    }

    fn take_head(&mut self, head: Head<'_>) {
        self.levels.header = head.level();
        self.invocation = head.invocation();
    }
}
