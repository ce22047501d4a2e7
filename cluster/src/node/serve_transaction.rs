//! What a node answers when others ask about transactions.
//!
//! Invariant: as that of the other questions (`serve.rs`). Not here: the bytes (`message/transaction.rs`).

use std::sync::Arc;

use bytes::Bytes;

use super::Node;
use super::message::transaction::{End, Part, See, id_of};
use super::message::{Tell, Write, level_of};
use super::serve::{malformed, options_of};
use crate::command::Answer as _;
use crate::error::Error;
use crate::group::replica::Refused;
use crate::group::write::{Target, Unwatched};
use crate::ledger::LedgerCommand;

impl Node {
    pub(super) async fn serve_transact(self: &Arc<Self>, mut part: Part) -> Result<Tell, Refused> {
        let id = id_of(&part.transaction)?;
        let level = level_of(part.level).ok_or_else(|| malformed("its level is unknown"))?;
        let (commands, mark) = (part.take_commands(), part.take_mark());
        let replica = self.asked(part.group)?;
        let judged = replica.transact(id, &commands, mark.as_ref(), level).await?;
        Ok(Tell::Judged(judged.into()))
    }

    pub(super) async fn serve_prepare(self: &Arc<Self>, mut part: Part) -> Result<Tell, Refused> {
        let id = id_of(&part.transaction)?;
        let commands = part.take_commands();
        let replica = self.asked(part.group)?;
        let judged = replica.prepare_part(id, &part.ledger, &commands).await?;
        Ok(Tell::Judged(judged.into()))
    }

    pub(super) async fn serve_end(self: &Arc<Self>, end: End) -> Result<Tell, Refused> {
        let id = id_of(&end.transaction)?;
        let replica = self.asked(end.group)?;
        if end.prepared_at == 0 {
            replica.release_part(id).await?;
        } else {
            let level = level_of(end.level).ok_or_else(|| malformed("its level is unknown"))?;
            replica
                .commit_part(id, (end.prepared_at, end.at_ms), level)
                .await?;
        }
        Ok(Tell::Index(end.prepared_at))
    }

    pub(super) async fn serve_see(self: &Arc<Self>, mut see: See) -> Result<Tell, Refused> {
        let keys = see.take_keys();
        let replica = self.asked(see.group)?;
        let seen = replica.see(&keys, see.since, see.room()).await?;
        Ok(Tell::Seen(seen.into()))
    }

    pub(super) async fn serve_ledger(self: &Arc<Self>, write: Write) -> Result<Bytes, Refused> {
        let options = options_of(&write)?;
        let command = LedgerCommand::decode(&write.command).map_err(Error::from)?;
        let target = Target {
            keyspace: write.keyspace,
            key: &write.key,
        };
        let replica = self.asked(write.group)?;
        let answer = replica.write(target, &options, &Unwatched(&command)).await?;
        let mut bytes = Vec::new();
        answer.encode(&mut bytes);
        Ok(bytes.into())
    }
}
