//! Completes the deletion of tables with streams: their shards are closed when no record can come any more, and nothing of
//! them is kept when all records are too old to be read.

use super::StepError;
use super::errands::Turn;
use super::plan::DeletedStep;
use crate::catalog::DeletedTable;
use crate::operation::shards::NamedStream;
use crate::upkeep::Upkeep;

impl Upkeep {
    /// Does a step for a deleted table.
    pub(super) async fn complete_deleted(
        &self,
        deleted: &DeletedTable,
        step: DeletedStep,
        turn: &mut Turn<'_>,
    ) -> Result<(), StepError> {
        match step {
            DeletedStep::CloseShards => self.close_deleted(deleted, turn).await,
            DeletedStep::Forget => Ok(self.catalog.forget_deleted(deleted).await?),
        }
    }

    async fn close_deleted(&self, deleted: &DeletedTable, turn: &mut Turn<'_>) -> Result<(), StepError> {
        // From here on nobody derives from the table any more, and what was derived has arrived.
        turn.wait_for(self.require_latest()).await?;
        turn.wait_for(self.cluster.settled()).await?;
        let mut endings = Vec::new();
        for stream in &deleted.streams {
            for shard in stream.shards.iter().filter(|shard| shard.closed.is_none()) {
                let end = NamedStream::last_index(&self.cluster, stream, shard.number).await?;
                endings.push((stream.id, shard.number, end));
            }
        }
        let now_ms = self.now_ms();
        self.catalog
            .change_deleted(deleted, |deleted| {
                for stream in &mut deleted.streams {
                    for shard in &mut stream.shards {
                        let place = (stream.id, shard.number);
                        let found = endings.iter().find(|(id, number, _)| (*id, *number) == place);
                        if let Some((_, _, end)) = found {
                            shard.closed.get_or_insert((now_ms, *end));
                        }
                    }
                }
            })
            .await?;
        Ok(())
    }
}
