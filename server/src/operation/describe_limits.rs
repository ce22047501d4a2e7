//! DescribeLimits: the quotas of the account.

use super::table_settings::TABLE_UNITS_MAX;
use super::{Context, Operation};
use crate::wire::error::ApiError;

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

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        Ok(DescribeLimitsOutput {
            account_max_read_capacity_units: context.limits.account_units_max,
            account_max_write_capacity_units: context.limits.account_units_max,
            table_max_read_capacity_units: TABLE_UNITS_MAX,
            table_max_write_capacity_units: TABLE_UNITS_MAX,
        })
    }
}
