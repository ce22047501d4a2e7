//! A node of the cluster on a simulated machine: the only file of the simulation that knows how one is opened and asked.
//!
//! Invariant: the node is the one that is served, with nothing of its own left out: its engine on the simulated disk,
//! driven by the kernel, its network, clocks and randomness those of the simulated world. Only sizes are small, so that
//! flushes, compactions and new log segments happen all the time.

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU8, NonZeroU32};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::FutureExt as _;
use stator_cluster::gossip::GossipSettings;
use stator_cluster::ring::{RangeBits, RangeId};
use stator_cluster::{
    Answer as _, Applier as _, Cluster, Commands, ConsistencyLevel, Direction, EngineSettings, Error, Fill,
    Founder, Invocation, InvocationId, Keyspace, MoveSettings, NodeId, NodeSettings, RepairProgress,
    ScrubSettings, Settings, Timing, Together, Token, TransactionAction, TransactionOutcome, WriteOptions,
};
use stator_storage::Compression;
use uuid::Uuid;

use super::bank::{Order, Transacted, bank};
use super::command::{Answered, Command, SimulatedCommands, decode_cell};
use super::deriving::{LATE, SOURCE};
use super::invariant::Invariant;
use super::list::{Item, List, ListAnswer, ListCommand, decode_list};
use super::node::{Answering, GroupView, Node, PlanView, Rows, Trouble, Visited};
use super::place::{KeyspaceName, Place, Span};
use super::rewind::{HISTORY, rewind};
use super::setup::{Builder, CannotOpen, Opened, Shape};
use crate::check::cell::Stored;
use crate::kernel::{Boot, Control};
use crate::scenario::surroundings::surroundings;

/// So small that a cut of few accounts has several pages, in bytes.
const CUT_BYTES: u32 = 64;

/// The cluster of every run.
const CLUSTER: Uuid = Uuid::from_u128(0x5741_544f_5253_494d);

/// Opens nodes of the cluster.
pub(super) fn builder() -> Builder {
    Arc::new(open)
}

fn open(boot: &Boot, shape: &Shape, control: &Control) -> Result<Opened, CannotOpen> {
    let commands = Arc::new(SimulatedCommands {
        deriving: shape.deriving.clone(),
        ..SimulatedCommands::default()
    });
    let (network, watched) = (Arc::clone(&boot.network), control.clone());
    let cluster = Cluster::open(
        node_settings(boot, shape, control),
        surroundings(boot, Arc::clone(&commands) as Arc<dyn Commands>),
        |_, _| Ok(network),
    );
    let cluster = cluster.map_err(|error| CannotOpen {
        cause: error.to_string(),
        is_damage: error.is_damage(),
    })?;
    let (own, id) = (cluster.clone(), boot.node);
    boot.world.spawn(Box::pin(async move {
        let cause = own.failed().await;
        watched.fail(Invariant::Sound.broken(format_args!("node {id} gives up: {cause}")));
    }));
    Ok(Opened {
        inbox: cluster.inbox(),
        node: Arc::new(Member { cluster, commands }),
    })
}

fn node_settings(boot: &Boot, shape: &Shape, control: &Control) -> NodeSettings {
    let founders = shape.founders().map(|node| Founder {
        node,
        address: control.address(node),
    });
    NodeSettings {
        node: boot.node,
        cluster: CLUSTER,
        address: boot.address.clone(),
        zone: "zone".to_owned(),
        rack: format!("rack {}", boot.node),
        capacity: NonZeroU32::MIN,
        founders: founders.collect(),
        replication: NonZeroU8::new(shape.replication).unwrap_or(NonZeroU8::MIN),
        range_bits: shape.range_bits,
        rejoin: false,
        software: "simulation".to_owned(),
        storage: Settings {
            durability: shape.durability,
            storage: engine_settings(shape.syncs_seldom),
        },
        timing: Timing::default(),
        gossip: GossipSettings::default(),
        moves: MoveSettings {
            replace_after_s: 8,
            away_log_bytes: 96 << 10,
            ..MoveSettings::default()
        },
        scrub: ScrubSettings::default(),
    }
}

fn engine_settings(syncs_seldom: bool) -> EngineSettings {
    let settings = EngineSettings {
        memtable_bytes_max: 16 << 10,
        log_segment_bytes: 16 << 10,
        log_segments_max: 4,
        block_bytes: 512,
        block_cache_bytes: 64 << 10,
        compression: Compression::Lz4,
        compression_bottom: Compression::Lz4,
        sstable_bytes: 8 << 10,
        level0_sstables_trigger: 2,
        level0_sstables_slowdown: 6,
        level0_sstables_stop: 10,
        level1_bytes: 32 << 10,
        level_size_ratio: 4,
        compaction_threads: 1,
        ..EngineSettings::default()
    };
    if !syncs_seldom {
        return settings;
    }
    // Neither a full segment nor a full memtable has the log synced before its time has come.
    EngineSettings {
        memtable_bytes_max: 4 << 20,
        log_segment_bytes: 4 << 20,
        sync_interval_ms: 1_000,
        ..settings
    }
}

fn trouble(error: Error) -> Trouble {
    match error {
        Error::OutcomeUnknown { cause } => Trouble::Unknown(cause),
        Error::Unavailable { cause } => Trouble::Unavailable(cause),
        Error::NoSuchKeyspace => Trouble::NoSuchKeyspace,
        other => Trouble::Broken(other.to_string()),
    }
}

fn lists_of(cells: impl Iterator<Item = Option<Bytes>>) -> Result<Vec<List>, Trouble> {
    let lists: Option<Vec<_>> = cells.map(|cell| decode_list(&cell.unwrap_or_default())).collect();
    lists.ok_or_else(|| Trouble::Broken("an account is no list".to_owned()))
}

fn account_key(account: u64) -> Bytes {
    let place = Place {
        keyspace: bank(),
        key: account,
    };
    place.key_bytes().into()
}

struct Member {
    cluster: Cluster,
    commands: Arc<SimulatedCommands>,
}

impl Drop for Member {
    /// What waits for the engine of a node that has crashed keeps the node in memory otherwise: a process that ends leaves
    /// nothing. The disk is out of reach by then.
    fn drop(&mut self) {
        drop(self.cluster.close());
    }
}

impl Member {
    /// The keyspace of a name. Who asks under a name that has been used before knows more than the node may; so does who
    /// asks for one that the node does not know.
    async fn keyspace(&self, name: &KeyspaceName) -> Result<Keyspace, Trouble> {
        if name.is_metadata() {
            return Ok(self.cluster.metadata());
        }
        if name.generation == 0
            && let Some(keyspace) = self.cluster.keyspace(&name.name)
        {
            return Ok(keyspace);
        }
        self.cluster.catch_up_metadata().await.map_err(trouble)?;
        self.cluster.keyspace(&name.name).ok_or(Trouble::NoSuchKeyspace)
    }
}

impl Node for Member {
    fn turn(&self) -> bool {
        self.cluster.turn()
    }

    fn ready(&self) -> Answering<'_, ()> {
        Box::pin(async { self.cluster.ready().await.map_err(trouble) })
    }

    fn hand_over(&self) -> Answering<'_, ()> {
        Box::pin(async {
            self.cluster.hand_over().await;
            Ok(())
        })
    }

    fn read<'a>(&'a self, place: &'a Place, level: ConsistencyLevel) -> Answering<'a, Option<Stored>> {
        Box::pin(async move {
            let keyspace = self.keyspace(&place.keyspace).await?;
            let cell = self.cluster.read(keyspace, &place.key_bytes(), level).await;
            match cell.map_err(trouble)? {
                None => Ok(None),
                Some(cell) => match decode_cell(&cell) {
                    Some(stored) => Ok(Some(stored)),
                    None => Err(Trouble::Broken(format!("{place} holds {cell:02x?}"))),
                },
            }
        })
    }

    fn write<'a>(
        &'a self,
        place: &'a Place,
        options: WriteOptions,
        command: &'a Command,
    ) -> Answering<'a, Answered> {
        Box::pin(async move {
            let keyspace = self.keyspace(&place.keyspace).await?;
            let key = place.key_bytes();
            let answer = self.cluster.write(keyspace, &key, options, command).await;
            answer.map_err(trouble)
        })
    }

    fn range<'a>(
        &'a self,
        span: &'a Span,
        direction: Direction,
        level: ConsistencyLevel,
        rows_max: usize,
    ) -> Answering<'a, Vec<Visited>> {
        Box::pin(async move {
            let keyspace = self.keyspace(&span.keyspace).await?;
            let mut rows: Vec<Visited> = Vec::new();
            let bounds = span.bounds();
            let visited = self.cluster.range(keyspace, &bounds, direction, level, |row| {
                rows.push(Visited {
                    key: row.key().to_vec(),
                    cell: decode_cell(row.cell()),
                });
                if rows.len() < rows_max {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            });
            visited.await.map_err(trouble)?;
            Ok(rows)
        })
    }

    fn create_keyspace<'a>(&'a self, name: &'a KeyspaceName) -> Answering<'a, ()> {
        Box::pin(async move {
            let created = self.cluster.create_keyspace(&name.name).await;
            created.map(|_| ()).map_err(trouble)
        })
    }

    fn drop_keyspace<'a>(&'a self, name: &'a KeyspaceName) -> Answering<'a, ()> {
        Box::pin(async move {
            match self.keyspace(name).await {
                Ok(keyspace) => self.cluster.drop_keyspace(keyspace).await.map_err(trouble),
                Err(Trouble::NoSuchKeyspace) => Ok(()),
                Err(other) => Err(other),
            }
        })
    }

    fn has_keyspace<'a>(&'a self, name: &'a KeyspaceName) -> Answering<'a, bool> {
        Box::pin(async move {
            self.cluster.catch_up_metadata().await.map_err(trouble)?;
            Ok(self.cluster.keyspace(&name.name).is_some())
        })
    }

    fn keyspaces(&self) -> Vec<KeyspaceName> {
        let keyspaces = self.cluster.keyspaces().into_iter();
        keyspaces.map(|(_, name)| KeyspaceName::new(name)).collect()
    }

    fn local_rows(&self, name: &KeyspaceName) -> Result<Rows, Trouble> {
        let keyspace = if name.is_metadata() {
            self.cluster.metadata()
        } else {
            let found = self.cluster.keyspace(&name.name);
            found.ok_or(Trouble::NoSuchKeyspace)?
        };
        self.cluster.local_rows(keyspace).map_err(trouble)
    }

    fn groups(&self) -> Vec<GroupView> {
        let groups = self.cluster.status().groups.into_iter();
        groups
            .map(|group| GroupView {
                group: group.group.into(),
                range: group.range,
                replica: group.replica,
                replicas: group.replicas,
                leader: group.leader,
                term: group.term,
                committed: group.committed,
                applied: group.applied,
                prepared: group.prepared,
                is_diverged: group.diverged_at.is_some(),
                is_filled: group.is_filled,
            })
            .collect()
    }

    fn drain(&self, leaving: NodeId) -> Answering<'_, ()> {
        Box::pin(async move {
            match self.cluster.drain(leaving).await {
                // Too few would be left, or it has left.
                Err(Error::Plan(_)) => Ok(()),
                outcome => outcome.map_err(trouble),
            }
        })
    }

    fn undrain(&self, staying: NodeId) -> Answering<'_, ()> {
        Box::pin(async move {
            match self.cluster.undrain(staying).await {
                Err(Error::Plan(_)) => Ok(()),
                outcome => outcome.map_err(trouble),
            }
        })
    }

    fn plan(&self) -> Result<Option<PlanView>, Trouble> {
        let Some(plan) = self.cluster.plan().map_err(trouble)? else {
            return Ok(None);
        };
        let ranges = plan.layout.bits().ranges();
        let held = ranges.flat_map(|range| {
            let replicas = plan.layout.replicas(range).to_vec();
            replicas
                .into_iter()
                .map(move |replica| (replica.node, u64::from(range.0) + 1, replica.id))
        });
        let metadata = plan.metadata.iter().map(|replica| (replica.node, 0, replica.id));
        Ok(Some(PlanView {
            epoch: plan.epoch(),
            moves: plan.pending().len(),
            leaving: plan.standings.keys().copied().collect(),
            nodes: plan.layout.nodes().keys().copied().collect(),
            replicas: held.chain(metadata).collect(),
        }))
    }

    fn range_bits(&self) -> RangeBits {
        RangeBits::new(self.cluster.status().range_bits).unwrap_or_default()
    }

    fn learn(&self) {
        // A definition is where a node has it in its own metadata.
        let knows_late = self.cluster.keyspace(LATE).is_some();
        let index = self.cluster.metadata_index();
        if knows_late && !self.commands.knows_late.load(Ordering::SeqCst) {
            self.commands.late_since.store(index, Ordering::SeqCst);
        }
        self.commands.knows_late.store(knows_late, Ordering::SeqCst);
        self.commands.learnt.store(index, Ordering::SeqCst);
    }

    fn metadata_index(&self) -> u64 {
        self.cluster.metadata_index()
    }

    fn ranges(&self) -> Result<Vec<u32>, Trouble> {
        let ranges = self.cluster.ranges().map_err(trouble)?;
        Ok(ranges.into_iter().map(|range| range.0).collect())
    }

    fn require(&self, known: u64) -> Answering<'_, ()> {
        Box::pin(async move { self.cluster.require(known).await.map_err(trouble) })
    }

    fn fill(
        &self,
        range: u32,
        behind: Option<Bytes>,
        required: u64,
        count: u32,
    ) -> Answering<'_, Option<Bytes>> {
        Box::pin(async move {
            let keyspace = self.keyspace(&KeyspaceName::new(SOURCE)).await?;
            let fill = Fill {
                keyspace,
                filling: Bytes::from_static(b"late"),
                range: RangeId(range),
                behind,
                required,
                count,
            };
            let filled = self.cluster.fill(&fill).await.map_err(trouble)?;
            Ok(filled.last)
        })
    }

    fn begin_repair(&self) -> Answering<'_, bool> {
        Box::pin(async {
            let silent = self.cluster.begin_repair().await.map_err(trouble)?;
            Ok(silent.is_empty())
        })
    }

    fn is_whole(&self) -> Answering<'_, bool> {
        Box::pin(async {
            let progress = self.cluster.repair_progress().await.map_err(trouble)?;
            let is_whole = |it: &RepairProgress| {
                it.ranges_waiting + it.suspects + it.files_waiting + it.files_damaged == 0
            };
            Ok(progress.values().all(|it| it.as_ref().is_some_and(is_whole)))
        })
    }

    fn is_damaged_for_start(&self) -> bool {
        let ready = self.cluster.ready().now_or_never();
        matches!(ready, Some(Err(error)) if error.is_damage())
    }

    fn settled(&self) -> Answering<'_, ()> {
        Box::pin(async { self.cluster.settled().await.map_err(trouble) })
    }

    fn keys<'a>(&'a self, keyspace: &'a str) -> Answering<'a, BTreeSet<Vec<u8>>> {
        Box::pin(async move {
            let name = KeyspaceName::new(keyspace);
            let keyspace = self.keyspace(&name).await?;
            let (bounds, level) = (Span::all(name).bounds(), ConsistencyLevel::Quorum);
            let mut keys = BTreeSet::new();
            let visited = self
                .cluster
                .range(keyspace, &bounds, Direction::Forward, level, |row| {
                    keys.insert(row.key().to_vec());
                    ControlFlow::Continue(())
                });
            visited.await.map_err(trouble)?;
            Ok(keys)
        })
    }

    fn transact<'a>(&'a self, order: &'a Order) -> Answering<'a, Transacted> {
        Box::pin(async move {
            let keyspace = self.keyspace(&bank()).await?;
            let action = |(account, command): (&u64, &ListCommand)| {
                let mut bytes = Vec::new();
                command.encode(&mut bytes);
                TransactionAction {
                    keyspace,
                    key: account_key(*account),
                    command: bytes.into(),
                }
            };
            let actions: Vec<_> = order.commands.iter().map(action).collect();
            let token = order.sending.map(|sending| Token {
                id: InvocationId::hashed(&sending.token.to_le_bytes()),
                payload: [1; 16],
                call: Some(Invocation {
                    id: InvocationId::hashed(&[sending.token, sending.call].map(u64::to_le_bytes).concat()),
                    is_repeated: sending.is_repeated,
                }),
            });
            let level = ConsistencyLevel::Quorum;
            let outcome = self.cluster.transact(&actions, token, level).await;
            match outcome.map_err(trouble)? {
                TransactionOutcome::Done { answers, .. } => {
                    let lists = answers.iter().map(ListAnswer::decode);
                    let lists: Result<Vec<_>, _> = lists.collect();
                    let lists = lists.map_err(|error| Trouble::Broken(error.to_string()))?;
                    Ok(Transacted::Done(
                        lists.into_iter().map(|answer| answer.before).collect(),
                    ))
                }
                TransactionOutcome::Cancelled { .. } => Ok(Transacted::Cancelled),
                TransactionOutcome::InProgress => Ok(Transacted::InProgress),
                TransactionOutcome::OtherPayload => Err(Trouble::Broken(
                    "an id that was used once was used for something else".to_owned(),
                )),
            }
        })
    }

    fn append(&self, account: u64, item: Item) -> Answering<'_, Option<List>> {
        Box::pin(async move {
            let keyspace = self.keyspace(&bank()).await?;
            let (key, command) = (account_key(account), ListCommand::Append(item));
            let written = self
                .cluster
                .write(keyspace, &key, WriteOptions::default(), &command);
            match written.await {
                Ok(answer) => Ok(Some(answer.before)),
                Err(Error::TransactionConflict) => Ok(None),
                Err(error) => Err(trouble(error)),
            }
        })
    }

    fn read_together<'a>(&'a self, accounts: &'a [u64]) -> Answering<'a, Option<Vec<List>>> {
        Box::pin(async move {
            let keyspace = self.keyspace(&bank()).await?;
            let keys = accounts.iter().map(|account| (keyspace, account_key(*account)));
            let keys: Vec<_> = keys.collect();
            match self.cluster.read_together(&keys).await.map_err(trouble)? {
                Together::Conflict(_) => Ok(None),
                Together::Cells(cells) => Ok(Some(lists_of(cells.into_iter())?)),
            }
        })
    }

    fn cut<'a>(&'a self, accounts: &'a [u64]) -> Answering<'a, Vec<List>> {
        Box::pin(async move {
            let keyspace = self.keyspace(&bank()).await?;
            let cut = self.cluster.cut(&[keyspace]).await.map_err(trouble)?;
            let mut cells = BTreeMap::new();
            for range in cut.ranges() {
                let mut behind = None;
                loop {
                    let page = self.cluster.read_cut(&cut, keyspace, range, behind, CUT_BYTES);
                    let page = page.await.map_err(trouble)?;
                    cells.extend(page.rows);
                    match page.next {
                        Some(next) => behind = Some(next),
                        None => break,
                    }
                }
            }
            self.cluster.end_cut(cut).await;
            let cell = |account: &u64| cells.remove(&account_key(*account));
            lists_of(accounts.iter().map(cell))
        })
    }

    fn rewind<'a>(&'a self, accounts: &'a [u64], back_ms: u64) -> Answering<'a, Vec<List>> {
        Box::pin(async move {
            let history = self.keyspace(&KeyspaceName::new(HISTORY)).await?;
            let rewound = rewind(&self.cluster, history, back_ms).await;
            let mut cells = rewound.map_err(trouble)?;
            let cell = |account: &u64| cells.remove(&account_key(*account)[..]);
            lists_of(accounts.iter().map(cell))
        })
    }

    fn hints_waiting(&self) -> u64 {
        self.cluster.status().hints.waiting
    }
}
