//! DescribeBackup.

use super::backup_description::{self, BackupDescription};
use super::{Context, Operation};
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct DescribeBackup {
    pub(crate) backup_arn: Option<String>,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct DescribeBackupOutput {
    pub(crate) backup: BackupDescription,
}

impl Operation for DescribeBackup {
    type Output = DescribeBackupOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let arn = backup_description::only(self.backup_arn)?;
        let record = context.backup(&arn).await?;
        Ok(DescribeBackupOutput {
            backup: BackupDescription::new(context, record),
        })
    }
}
