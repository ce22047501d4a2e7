//! What a node answers when others ask.
//!
//! Invariant: a question is carried out by a task of its own, so that whoever reads messages never waits; a question for a
//! leader is answered by the leader only. Not here: the bytes (`message.rs`).

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use stator_storage::{KeyspaceId, RangeIterator};

use super::Node;
use super::exchange::{Reply, Serve};
use super::message::newcomer::{WhoAmI, You};
use super::message::{
    Ask, At, FilledPart, MaybeCell, Metadata, Page, Question, Read, Refusal, Repair, Rows, Sums, TallyOf,
    Tell, Write, level_of, reply,
};
use crate::command::{Commands, Invocation, InvocationId, MalformedCommand, WriteOptions};
use crate::coordinator::route::within;
use crate::coordinator::{Bounds, Cluster, Direction};
use crate::error::Error;
use crate::follow::{self, Request, Step};
use crate::gossip::Gossiper;
use crate::group::apply::METADATA_GROUP;
use crate::group::journal::Journal;
use crate::group::recover::has_logged_layout;
use crate::group::replica::{Refused, Replica};
use crate::group::write::{Encoded, Target, Typed};
use crate::level::ConsistencyLevel;
use crate::metadata::keyspaces::{Lookup, METADATA};
use crate::metadata::rows::{OwnCommand, OwnRow};
use crate::world::NodeId;

/// The most that an answer with rows has, in bytes.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// How long a node that starts is kept waiting for what the leader of group 0 says of it.
const AGREES_WITHIN: Duration = Duration::from_millis(500);

/// Answers for a node as long as it is there.
#[derive(Debug)]
pub(super) struct Server(pub(super) Weak<Node>);

impl Serve for Server {
    fn serve(&self, from: NodeId, body: Bytes, answer: Reply) {
        let Some(node) = self.0.upgrade() else { return };
        let Ok(question) = Question::decode(body) else {
            return;
        };
        let origin = question.origin();
        let Some(ask) = question.ask else { return };
        if let Ask::WhoAmI(asks) = &ask
            && asks.node == from.0
            && !asks.address.is_empty()
        {
            // Nobody has told yet where it is.
            node.exchange.introduce(from, &asks.address);
        }
        let world = Arc::clone(&node.surroundings.world);
        let request = Request::of_origin(&origin, node.surroundings.tracer.as_ref());
        let what = ask.name();
        world.spawn(Box::pin(follow::follow(request, async move {
            let span = follow::open(Step::Serve { node: from, what });
            let tell = follow::inside(span.as_ref(), node.carry_out(ask)).await;
            follow::end(span, &tell);
            answer.send(reply(
                tell.unwrap_or_else(|refused| Tell::Refused(Refusal::of(&refused))),
            ));
        })));
    }
}

pub(super) fn malformed(detail: &str) -> Refused {
    let detail = detail.to_owned();
    Refused::Finally(MalformedCommand { detail }.into())
}

/// The invocation of a question, if there is one.
fn invocation_of(bytes: &Bytes, is_repeated: bool) -> Result<Option<Invocation>, Refused> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let id = bytes[..].try_into();
    let id = id.map_err(|_| malformed("its invocation id has a wrong length"))?;
    let id = InvocationId::new(id);
    Ok(Some(Invocation { id, is_repeated }))
}

/// What a write is to be like, beside its command.
pub(super) fn options_of(write: &Write) -> Result<WriteOptions, Refused> {
    Ok(WriteOptions {
        level: level_of(write.level).ok_or_else(|| malformed("its level is unknown"))?,
        invocation: invocation_of(&write.invocation, write.is_repeated)?,
    })
}

impl Node {
    /// Does what another node asks, or this one asks of itself.
    pub(crate) async fn carry_out(self: &Arc<Self>, ask: Ask) -> Result<Tell, Refused> {
        match ask {
            Ask::Write(write) => self.serve_write(write).await.map(Tell::Written),
            Ask::Read(read) => self.serve_read(read).await,
            Ask::Page(page) => self.serve_page(page).await.map(Tell::Rows),
            Ask::ReadIndex(group) => Ok(Tell::Index(self.asked(group)?.read_index().await?)),
            Ask::WhoAmI(asks) => Ok(Tell::You(self.who_is(&asks).await?)),
            Ask::Tally(of) => Ok(Tell::Tally(self.sums(&of))),
            Ask::ReadAt(at) => self.serve_read_at(at).await,
            Ask::Repair(repair) => self.serve_repair(repair).await,
            Ask::Accept(rows) => {
                self.asked(rows.group)?.accept(rows.record).await?;
                Ok(Tell::Index(0))
            }
            Ask::Require(require) => {
                self.asked(require.group)?.require(require.known).await?;
                Ok(Tell::Index(require.known))
            }
            Ask::Fill(fill) => {
                let replica = self.asked(fill.group)?;
                let filled = replica.fill(&fill.filling()).await?;
                Ok(Tell::Filled(FilledPart {
                    cells: filled.cells,
                    last: filled.last,
                }))
            }
            Ask::Close(close) => Ok(Tell::Index(
                self.asked(close.group)?.close_time(close.at_ms).await?,
            )),
            Ask::Clock(_) => Ok(Tell::Index(self.surroundings.world.unix_ms())),
            Ask::Taken(group) => Ok(Tell::Index(self.asked(group)?.taken()?)),
            Ask::Metadata(_) => self.serve_metadata().await.map(Tell::Metadata),
            Ask::Transact(part) => self.serve_transact(part).await,
            Ask::Prepare(part) => self.serve_prepare(part).await,
            Ask::EndPart(end) => self.serve_end(end).await,
            Ask::See(see) => self.serve_see(see).await,
            Ask::Ledger(write) => self.serve_ledger(write).await.map(Tell::Written),
            Ask::Hold(_)
            | Ask::Cut(_)
            | Ask::Lift(_)
            | Ask::CutPage(_)
            | Ask::KeepCut(_)
            | Ask::EndCut(_) => self.carry_out_cut(ask).await,
            ask => self.carry_out_move(ask).await,
        }
    }

    pub(super) fn asked(&self, group: u32) -> Result<Arc<Replica>, Refused> {
        self.replica(group).ok_or(Refused::NotLeader(None))
    }

    fn asked_to_read(&self, group: u32) -> Result<Arc<Replica>, Refused> {
        let replica = self.asked(group)?;
        replica.require_readable()?;
        Ok(replica)
    }

    async fn serve_write(self: &Arc<Self>, write: Write) -> Result<Bytes, Refused> {
        let options = options_of(&write)?;
        let replica = self.asked(write.group)?;
        let target = Target {
            keyspace: write.keyspace,
            key: &write.key,
        };
        if write.keyspace == METADATA && OwnRow::of_key(&write.key).is_some() {
            let command = OwnCommand::decode(&write.command).map_err(Error::from)?;
            let answer = replica.write(target, &options, &Typed(&command)).await?;
            let mut bytes = Vec::new();
            crate::command::Answer::encode(&answer, &mut bytes);
            return Ok(bytes.into());
        }
        let commands: &dyn Commands = &*self.surroundings.commands;
        let decision = Encoded {
            commands,
            command: &write.command,
            asked_ms: write.asked_ms(),
        };
        replica.write(target, &options, &decision).await
    }

    fn keyspace_here(&self, number: u32) -> Result<KeyspaceId, Refused> {
        match self.host.keyspaces.find(number) {
            Lookup::Here(id) => Ok(id),
            Lookup::Gone => Err(Refused::Finally(Error::NoSuchKeyspace)),
            Lookup::NotYet => Err(Refused::NotNow(
                "the node has not heard of the keyspace yet".to_owned(),
            )),
        }
    }

    async fn serve_read(self: &Arc<Self>, read: Read) -> Result<Tell, Refused> {
        let replica = self.asked_to_read(read.group)?;
        let id = self.keyspace_here(read.keyspace)?;
        if read.leader {
            replica.read_barrier().await?;
        }
        let span = follow::open(Step::Read);
        let value = self.engine.get(id, &read.key);
        follow::end(span, &value);
        let cell = value?.map(stator_storage::Value::into_bytes);
        // Its cells may be given up since the barrier.
        replica.require_readable()?;
        Ok(Tell::Cell(MaybeCell { cell }))
    }

    async fn serve_read_at(self: &Arc<Self>, at: At) -> Result<Tell, Refused> {
        let replica = self.asked_to_read(at.group)?;
        replica.wait_applied(at.index).await?;
        let id = self.keyspace_here(at.keyspace)?;
        let span = follow::open(Step::Read);
        let value = self.engine.get(id, &at.key);
        follow::end(span, &value);
        let cell = value?.map(stator_storage::Value::into_bytes);
        // It may have come under suspicion meanwhile, before what it had lost was gone.
        replica.require_readable()?;
        Ok(Tell::Cell(MaybeCell { cell }))
    }

    async fn serve_repair(self: &Arc<Self>, mut repair: Repair) -> Result<Tell, Refused> {
        let restore = repair.restore();
        let options = WriteOptions {
            level: ConsistencyLevel::Quorum,
            // One that comes late finds the cell written, and does nothing.
            invocation: invocation_of(&repair.invocation, false)?,
        };
        let target = Target {
            keyspace: repair.keyspace,
            key: &repair.key,
        };
        let replica = self.asked(repair.group)?;
        let is_done = replica.restore(target, &options, &restore).await?;
        Ok(Tell::Written(if is_done {
            Bytes::from_static(&[1])
        } else {
            Bytes::new()
        }))
    }

    async fn serve_metadata(self: &Arc<Self>) -> Result<Metadata, Refused> {
        let index = self.asked(METADATA_GROUP)?.read_index().await?;
        let mut metadata = Metadata {
            index,
            ..Metadata::default()
        };
        for (number, _, name) in self.host.keyspaces.all() {
            metadata.keyspaces.push(number);
            metadata.names.push(name.to_string());
        }
        if let Some(plan) = self.read_plan()? {
            metadata.plan = plan.to_bytes();
        }
        Ok(metadata)
    }

    async fn serve_page(self: &Arc<Self>, mut page: Page) -> Result<Rows, Refused> {
        let replica = self.asked_to_read(page.group)?;
        let id = self.keyspace_here(page.keyspace)?;
        if page.leader {
            replica.read_barrier().await?;
        }
        let bounds = page.bounds();
        let span = follow::open(Step::Scan);
        let mut rows = self.open_rows(id, &bounds, page.direction())?;
        // Its cells may be given up since the barrier; what is shown is as it was now.
        replica.require_readable()?;
        let bytes_max = usize::try_from(page.bytes_max)
            .unwrap_or(usize::MAX)
            .min(PAGE_BYTES_MAX);
        let (mut found, mut bytes) = (Rows::default(), 0);
        while bytes < bytes_max {
            if !rows.advance()? {
                found.is_last = true;
                break;
            }
            bytes += rows.key().len() + rows.value().len();
            found.keys.push(Bytes::copy_from_slice(rows.key()));
            found.cells.push(rows.value_shared().into_bytes());
        }
        let found = Ok(found);
        follow::end(span, &found);
        found
    }

    /// The rows of a span on this node, as of now.
    pub(crate) fn open_rows(
        &self,
        keyspace: KeyspaceId,
        bounds: &Bounds,
        direction: Direction,
    ) -> Result<RangeIterator, Error> {
        let direction = match direction {
            Direction::Forward => stator_storage::Direction::Forward,
            Direction::Backward => stator_storage::Direction::Backward,
        };
        let bounds = (
            bounds.start.as_ref().map(Vec::as_slice),
            bounds.end.as_ref().map(Vec::as_slice),
        );
        match self.engine.snapshot().range(keyspace, bounds, direction) {
            Err(stator_storage::Error::NoSuchKeyspace { .. }) => Err(Error::NoSuchKeyspace),
            rows => Ok(rows?),
        }
    }

    /// What this node knows of one that has just started; what all know of it, if group 0 has a leader to say so.
    async fn who_is(self: &Arc<Self>, asks: &WhoAmI) -> Result<You, Refused> {
        let node = NodeId(asks.node);
        // Founders ask before there is a cluster that could agree on anything.
        let is_agreed = asks.founders == 0
            && self.readable(METADATA_GROUP).is_some()
            && within(
                &self.surroundings.world,
                AGREES_WITHIN,
                Cluster::of(Arc::clone(self)).catch_up_metadata(),
            )
            .await
            .is_some_and(|outcome| outcome.is_ok());
        let heard = self.layout();
        let plan = if is_agreed || heard.is_none() {
            self.read_plan()?
        } else {
            None
        };
        let layout = plan.as_ref().map(|plan| &plan.layout).or(heard.as_deref());
        let has_left = |node: NodeId| {
            self.has_left(node) || plan.as_ref().is_some_and(|plan| plan.departed.contains(&node))
        };
        // One that makes the cluster has nothing yet.
        let is_fresh = self.settings.is_founder() && Journal::groups(&self.engine).is_empty();
        if layout.is_none()
            && !is_fresh
            && (self.readable(METADATA_GROUP).is_none() || has_logged_layout(&self.engine)?)
        {
            // It is starting, or goes by what others say and they have not said anything yet, or has a layout in its log of which
            // it does not know yet whether it was agreed on: after all nodes have lost power, that is all that is left of it.
            let cause = "the node knows no layout yet".to_owned();
            return Err(Refused::NotNow(cause));
        }
        let in_layout = layout.and_then(|layout| {
            let description = layout.node(node)?;
            Some(description.incarnation)
        });
        let members = self.gossip.get().map(Gossiper::members).unwrap_or_default();
        let met = members.iter().find(|member| member.node == node);
        let met = met.map(|member| member.incarnation);
        // Before there is a layout nobody has anything to lose: a node that was met only then is still new.
        let known = in_layout.map(|incarnation| incarnation.max(met.unwrap_or_default()));
        Ok(You {
            is_known: known.is_some(),
            incarnation: known.unwrap_or_default(),
            has_left: has_left(node),
            gone: asks
                .asked
                .iter()
                .copied()
                .filter(|asked| has_left(NodeId(*asked)))
                .collect(),
            other_founders: asks.founders != 0 && asks.founders != self.settings.founders_hash(),
            is_agreed,
        })
    }

    fn sums(&self, of: &TallyOf) -> Sums {
        let mut sums = Sums::default();
        for replica in of.groups.iter().filter_map(|group| self.replica(*group)) {
            let (items, bytes) = replica.tally(of.keyspace);
            sums.items = sums.items.saturating_add(items);
            sums.bytes = sums.bytes.saturating_add(bytes);
        }
        sums
    }
}
