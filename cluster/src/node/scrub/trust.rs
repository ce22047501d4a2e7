//! The end of a suspicion.
//!
//! Invariant: a replica is believed again only when it has everything that the others have, also what a file held that was given up
//! meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::Node;
use super::super::message::scrub::ScrubOf;
use crate::group::replica::Refused;
use crate::group::scrub::{Progress, Scrub};

impl Node {
    /// A comparison has found that the replica has what the others have.
    pub(super) async fn trust(self: &Arc<Self>, of: ScrubOf) -> Result<(), Refused> {
        // Before it is asked whether the comparison counts: it does not when a file has gone since.
        let is_losing = |concerned: &BTreeSet<u32>| concerned.contains(&of.group);
        if self.scrubbing.given_up.lock().values().any(is_losing) {
            let cause = "a file that the replica needed is being written anew".to_owned();
            return Err(Refused::NotNow(cause));
        }
        let replica = self.compared(of)?;
        let is_done = |scrub: Arc<Scrub>| matches!(scrub.progress(), Progress::Done(_));
        if !replica.scrub().is_some_and(is_done) {
            let cause = "the comparison counts for nothing".to_owned();
            return Err(Refused::NotNow(cause));
        }
        replica.forget_scrub(of.id);
        if !replica.is_suspect() {
            return Ok(());
        }
        for file in self.engine.damaged() {
            let Some(lost) = file.lost else {
                let cause = "it is not known yet what a damaged file has lost".to_owned();
                return Err(Refused::NotNow(cause));
            };
            let concerns = |span: &stator_storage::LostSpan| {
                self.groups_between(file.keyspace, &span.first, &span.last)
                    .is_some_and(|groups| groups.contains(&of.group))
            };
            if lost.iter().any(concerns) {
                let cause = "a file that the replica needs is damaged and not given up yet".to_owned();
                return Err(Refused::NotNow(cause));
            }
        }
        replica.keep_healed().await.map_err(Refused::Finally)?;
        replica.know_marks().await?;
        replica.set_suspect(false).await;
        // Whoever gives up a file meanwhile has found it under suspicion still.
        if self.scrubbing.given_up.lock().values().any(is_losing) {
            self.suspect(&replica).await;
            let cause = "a file that the replica needed has been given up meanwhile".to_owned();
            return Err(Refused::NotNow(cause));
        }
        tracing::info!(
            group = of.group,
            "this replica has what the others have, and is read from again"
        );
        Ok(())
    }
}
