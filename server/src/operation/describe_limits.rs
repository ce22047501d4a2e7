//! DescribeLimits: the quotas of the account.

use super::table_settings::TABLE_UNITS_MAX;
use super::{Context, Operation};
use crate::wire::error::ApiError;

/// Most units of all tables together. Source: Amazon DynamoDB Developer Guide, "Quotas: throughput default quotas".
const ACCOUNT_UNITS_MAX: i64 = 80_000;

/// The request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DescribeLimits;

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_field_names,
    reason = "the fields are the names of the API's members"
)]
pub(crate) struct DescribeLimitsOutput {
    pub(crate) account_max_read_capacity_units: i64,
    pub(crate) account_max_write_capacity_units: i64,
    pub(crate) table_max_read_capacity_units: i64,
    pub(crate) table_max_write_capacity_units: i64,
}

impl Operation for DescribeLimits {
    type Output = DescribeLimitsOutput;

    async fn run(self, _: &Context) -> Result<Self::Output, ApiError> {
        Ok(DescribeLimitsOutput {
            account_max_read_capacity_units: ACCOUNT_UNITS_MAX,
            account_max_write_capacity_units: ACCOUNT_UNITS_MAX,
            table_max_read_capacity_units: TABLE_UNITS_MAX,
            table_max_write_capacity_units: TABLE_UNITS_MAX,
        })
    }
}
