//! Operations on tables as such, and on the account.

use super::facts::Facts;
use super::resource::Resource;
use super::{Authorize, Judge};
use crate::operation::create_table::CreateTable;
use crate::operation::delete_table::DeleteTable;
use crate::operation::describe_endpoints::DescribeEndpoints;
use crate::operation::describe_limits::DescribeLimits;
use crate::operation::describe_table::DescribeTable;
use crate::operation::describe_time_to_live::DescribeTimeToLive;
use crate::operation::list_tables::ListTables;
use crate::operation::update_table::UpdateTable;
use crate::operation::update_time_to_live::UpdateTimeToLive;
use crate::wire::error::ApiError;

/// Operations that are an action of their own name on the table that they name.
macro_rules! on_table {
    ($($operation:ident),*) => {$(
        impl Authorize for $operation {
            async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
                let table = Resource::of(self.table_name.as_deref(), None);
                let action = concat!("dynamodb:", stringify!($operation));
                judge.require(action, table, &Facts::default()).await
            }
        }
    )*};
}

/// The same for operations on no table in particular.
macro_rules! on_account {
    ($($operation:ident),*) => {$(
        impl Authorize for $operation {
            async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
                let action = concat!("dynamodb:", stringify!($operation));
                judge.require(action, Resource::Any, &Facts::default()).await
            }
        }
    )*};
}

on_table!(
    DeleteTable,
    DescribeTable,
    DescribeTimeToLive,
    UpdateTable,
    UpdateTimeToLive
);
on_account!(DescribeEndpoints, DescribeLimits);

impl Authorize for ListTables {
    /// On all tables. Source: what the live service says of those who may not ("... is not authorized to perform:
    /// dynamodb:ListTables on resource: arn:aws:dynamodb:us-east-1:123456789012:table/*").
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        judge
            .require("dynamodb:ListTables", Resource::Tables, &Facts::default())
            .await
    }
}

impl Authorize for CreateTable {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let facts = Facts {
            tags: self.tags.as_deref(),
            ..Facts::default()
        };
        let table = Resource::of(self.table_name.as_deref(), None);
        judge.require("dynamodb:CreateTable", table, &facts).await?;
        if self.resource_policy.is_some() {
            judge.require("dynamodb:PutResourcePolicy", table, &facts).await?;
        }
        if self.tags.as_ref().is_some_and(|tags| !tags.is_empty()) {
            judge.require("dynamodb:TagResource", table, &facts).await?;
        }
        Ok(())
    }
}
