//! How a node starts: its directory, its identity, its groups, and the first layout of a cluster.
//!
//! Invariant: nothing is sent under an identity that is not durable; a node whose directory was lost has no group. Group 0
//! begins with the founders, and its leader makes the first layout when all of them are there. Not here: the rules of
//! identities (`identity.rs`), of placement (`ring/`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use stator_storage::{Durability, Engine, Environment, WriteBatch};

use super::exchange::Exchange;
use super::message::newcomer::{WhoAmI, You};
use super::message::{Ask, Reply, Tell, question};
use super::settings::{NodeSettings, Surroundings};
use super::{Node, Receiver, Stage};
use crate::command::WriteOptions;
use crate::coordinator::Cluster;
use crate::error::Error;
use crate::gossip::{Gossiper, Liveness, Me, NodeState, Peer};
use crate::group::apply::METADATA_GROUP;
use crate::group::host::{Given, Host};
use crate::group::journal::Journal;
use crate::group::recover::{found, recover};
use crate::group::replica::Birth;
use crate::group::settings::GroupSettings;
use crate::group::write::{Target, Typed};
use crate::hints::{HINT_BYTES_MAX_DEFAULT, HintError, Hints};
use crate::identity::{self, Answer, Expected, Known, Standing};
use crate::metadata::keyspaces::{Keyspaces, METADATA};
use crate::metadata::rows::{OwnCommand, OwnRow};
use crate::raft::{Members, ReplicaId};
use crate::ring::{Layout, NodeDescription, Plan, place};
use crate::world::{NodeId, Priority};

/// How long another founder is waited for at a time.
const ASK_PATIENCE: Duration = Duration::from_secs(1);

/// How long a node with a directory waits to hear whether it is an old copy.
const OLD_COPY_ASKS: u32 = 1;

/// How often what a start waits for is looked at again.
const LOOK: Duration = Duration::from_millis(50);

/// Founders that vote in group 0; the others follow.
const METADATA_VOTERS: usize = 5;

pub(super) fn open_engine(settings: &NodeSettings, around: &Surroundings) -> Result<Engine, Error> {
    let mut environment = Environment::new(
        Arc::clone(&around.disk),
        around.random.clone(),
        around.master_keys.clone(),
        around.world.unix_ms(),
    );
    if let Some(clock) = &around.clock {
        environment.clock = Arc::clone(clock);
    }
    let storage = settings.storage.storage.clone();
    Ok(if around.driven {
        Engine::open_driven(environment, &around.directory, storage)?
    } else {
        Engine::open(environment, &around.directory, storage)?
    })
}

/// What the replicas of the node will share.
pub(super) fn host(
    settings: &NodeSettings,
    around: &Surroundings,
    engine: &Engine,
    exchange: &Exchange,
) -> Result<Arc<Host>, Error> {
    let applied = engine.flushed_index(Journal::stream_of(METADATA_GROUP));
    Ok(Arc::new(Host::new(Given {
        node: settings.node,
        engine: engine.clone(),
        world: Arc::clone(&around.world),
        outbox: Arc::new(exchange.clone()),
        commands: Arc::clone(&around.commands),
        keyspaces: Keyspaces::open(engine.clone(), applied)?,
        durability: match settings.storage.durability {
            crate::coordinator::Durability::Sync => Durability::Sync,
            crate::coordinator::Durability::Interval => Durability::Interval,
        },
        settings: GroupSettings::new(settings.timing, settings.moves.away_log_bytes),
    })))
}

/// The hints of the node.
pub(super) fn hints(engine: &Engine) -> Result<Hints, Error> {
    Hints::open(engine.clone(), HINT_BYTES_MAX_DEFAULT).map_err(|error| match error {
        HintError::Storage(error) => error.into(),
        error => Error::Start {
            cause: error.to_string(),
        },
    })
}

/// As which incarnation the directory was started last.
pub(super) fn last_incarnation(around: &Surroundings) -> Result<u64, Error> {
    let found = identity::read(&*around.disk, &around.directory)?;
    Ok(found.map_or(0, |identity| identity.incarnation))
}

impl NodeSettings {
    /// The founders as a number, so that nodes notice when they were told other ones.
    pub(super) fn founders_hash(&self) -> u64 {
        let mut nodes: Vec<_> = self.founders.iter().map(|founder| founder.node.0).collect();
        nodes.sort_unstable();
        let bytes: Vec<u8> = nodes.iter().flat_map(|node| node.to_le_bytes()).collect();
        xxhash_rust::xxh3::xxh3_64(&bytes)
    }

    fn other_founders(&self) -> impl Iterator<Item = NodeId> {
        let me = self.node;
        self.founders
            .iter()
            .map(|founder| founder.node)
            .filter(move |node| *node != me)
    }

    /// The members of group 0 when the cluster is made. A founder's replica has the number of its node.
    fn metadata_members(&self) -> Members {
        let nodes: BTreeMap<_, _> = self
            .founders
            .iter()
            .map(|founder| (ReplicaId(founder.node.0), founder.node))
            .collect();
        let mut members = Members::default();
        for replica in nodes.keys() {
            if members.voters.len() < METADATA_VOTERS {
                members.voters.push(*replica);
            } else {
                members.learners.push(*replica);
            }
        }
        members.nodes = Arc::new(nodes.into_iter().collect());
        members
    }

    /// Whether this node is one of those that make the cluster.
    pub(super) fn is_founder(&self) -> bool {
        self.founders.iter().any(|founder| founder.node == self.node)
    }
}

impl Node {
    pub(super) async fn start(self: &Arc<Self>) -> Result<(), Error> {
        let standing = self.identify().await?;
        self.is_rejoining.store(
            standing == Standing::Rejoining,
            std::sync::atomic::Ordering::Release,
        );
        self.begin_gossip()?;
        let world = &self.surroundings.world;
        world.spawn(Box::pin(Self::follow_gossip(Arc::downgrade(self))));
        self.begin_metadata(standing)?;
        self.recover_groups()?;
        self.has_begun.store(true, std::sync::atomic::Ordering::Release);
        world.spawn(Box::pin(Self::follow_metadata(Arc::downgrade(self))));
        self.dispatch.set_raft(Arc::new(Receiver(Arc::downgrade(self))));
        world.spawn(Box::pin(Self::tick(Arc::downgrade(self))));
        self.begin_scrubbing();
        if self.settings.founders.len() == 1 && self.settings.is_founder() {
            // Nobody else would, and nobody needs to be waited for.
            for replica in self.replicas().iter().flatten() {
                replica.campaign();
            }
        }
        if self.readable(METADATA_GROUP).is_some() {
            self.wait_for_layout().await?;
        } else {
            self.wait_for_others(standing).await?;
        }
        let world = &self.surroundings.world;
        world.spawn(Box::pin(Cluster::deliver_hints(Arc::downgrade(self))));
        world.spawn(Box::pin(Cluster::tend_ledger(Arc::downgrade(self))));
        world.spawn(Box::pin(Cluster::steward(Arc::downgrade(self))));
        self.stage.send_replace(Stage::Ready);
        Ok(())
    }

    /// A node that has no replica of group 0, because it is new or has lost its directory, goes by what others say, and asks to be
    /// one of theirs. It serves from the replicas of other nodes until it has some.
    async fn wait_for_others(self: &Arc<Self>, standing: Standing) -> Result<(), Error> {
        self.waits_for(if standing == Standing::Rejoining {
            "other nodes: this one has lost its directory, and has no vote until it gets new replicas"
        } else {
            "other nodes, to be taken into the cluster"
        });
        self.begin_mirroring();
        let cluster = Cluster::of(Arc::clone(self));
        let world = &self.surroundings.world;
        loop {
            let outcome = match cluster.catch_up_metadata().await {
                Ok(()) if self.layout().is_some() => Cluster::join(self).await,
                outcome => outcome,
            };
            match outcome {
                Ok(())
                    if self
                        .layout()
                        .is_some_and(|layout| layout.node(self.settings.node).is_some()) =>
                {
                    return Ok(());
                }
                Ok(()) => {}
                Err(error @ Error::OtherNode { .. }) => return Err(error),
                Err(error) => tracing::debug!(%error, "other nodes do not take this one in yet"),
            }
            world.sleep(LOOK).await;
        }
    }

    /// Finds out, and makes durable, which start of which node this is.
    async fn identify(&self) -> Result<Standing, Error> {
        let around = &self.surroundings;
        let found = identity::read(&*around.disk, &around.directory)?;
        let answer = self.ask_who_i_am(found.is_some()).await?;
        let expected = Expected {
            cluster: self.settings.cluster,
            node: self.settings.node,
            rejoin: self.settings.rejoin,
        };
        let was_member = found.is_some_and(|found| found.standing == Standing::Member);
        let decided = identity::decide(found.as_ref(), &expected, &answer);
        if was_member && decided.is_ok_and(|next| next.standing == Standing::Rejoining) {
            // The directory is an old copy. Before anything is known of it, so that it is tried again after a crash.
            self.give_up_all()?;
        }
        let identity = identity::start(&*around.disk, &around.directory, &expected, &answer)?;
        self.incarnation
            .store(identity.incarnation, std::sync::atomic::Ordering::Release);
        Ok(identity.standing)
    }

    /// A node without a directory waits until it is certain whether it is new; another one listens for a moment.
    ///
    /// A founder makes replicas by itself, and waits for all others: before there is a cluster, any of them may be the only one
    /// that has met it. Founders that have left since are not waited for: what they knew is known to the members. A node that is
    /// none gets its replicas from group 0, which knows of all that it has given: one answer that is read from there will do.
    async fn ask_who_i_am(&self, has_directory: bool) -> Result<Answer, Error> {
        let me = self.settings.node;
        let mut missing: Vec<NodeId> = self.settings.other_founders().collect();
        if missing.is_empty() {
            return Ok(if has_directory {
                Answer::Nobody
            } else {
                Answer::Unknown
            });
        }
        let mut known: Option<Known> = None;
        let mut asks = 0;
        loop {
            let mut silent = Vec::new();
            let mut gone = BTreeSet::new();
            let mut is_agreed = false;
            for peer in &missing {
                let Some(you) = self.ask_one(*peer, &missing).await? else {
                    silent.push(*peer);
                    continue;
                };
                gone.extend(you.gone.into_iter().map(NodeId));
                is_agreed |= you.is_agreed && !self.settings.is_founder();
                if you.is_known {
                    let highest = known.map_or(0, |known| known.incarnation);
                    known = Some(Known {
                        node: me,
                        incarnation: highest.max(you.incarnation),
                        wiped: false,
                    });
                }
                if is_agreed && known.is_none() {
                    break;
                }
            }
            silent.retain(|peer| !gone.contains(peer));
            asks += 1;
            if let Some(known) = known {
                return Ok(Answer::Known(known));
            }
            if is_agreed || silent.is_empty() {
                return Ok(Answer::Unknown);
            }
            if has_directory && asks >= OLD_COPY_ASKS {
                return Ok(Answer::Nobody);
            }
            let names: Vec<_> = silent.iter().map(ToString::to_string).collect();
            self.waits_for(&format!(
                "node {}, to be asked whether this node is a new one",
                names.join(" and node ")
            ));
            if self.settings.is_founder() {
                missing = silent;
            }
            self.surroundings.world.sleep(LOOK).await;
        }
    }

    /// What one of the nodes that are asked knows of this one, if it answers.
    async fn ask_one(&self, peer: NodeId, asked: &[NodeId]) -> Result<Option<You>, Error> {
        let ask = Ask::WhoAmI(WhoAmI {
            node: self.settings.node.0,
            // Whoever joins has made no cluster, and is told of some nodes only.
            founders: if self.settings.is_founder() {
                self.settings.founders_hash()
            } else {
                0
            },
            address: self.settings.address.clone(),
            asked: asked.iter().map(|node| node.0).collect(),
        });
        let ask = question(ask, None);
        let answer = self
            .exchange
            .request(peer, Priority::Urgent, ask, ASK_PATIENCE)
            .await;
        let Ok(answer) = answer else { return Ok(None) };
        let Ok(Reply {
            tell: Some(Tell::You(you)),
        }) = Reply::decode(answer)
        else {
            return Ok(None);
        };
        if you.other_founders {
            return Err(Error::Start {
                cause: format!(
                    "node {peer} was told of other nodes that make the cluster; give all nodes the same list"
                ),
            });
        }
        if you.has_left {
            return Err(Error::HasLeft {
                node: self.settings.node,
                peer,
            });
        }
        Ok(Some(you))
    }

    fn begin_gossip(&self) -> Result<(), Error> {
        let me = Me {
            node: self.settings.node,
            incarnation: self.incarnation(),
            address: self.settings.address.clone(),
        };
        let world = Arc::clone(&self.surroundings.world);
        let network = self.exchange.gossip_network();
        let gossip = Gossiper::start(&me, self.settings.gossip.clone(), world, network).map_err(|error| {
            Error::Start {
                cause: error.to_string(),
            }
        })?;
        gossip.update_state(self.state());
        let founders = self.settings.founders.iter();
        let peers = founders
            .filter(|founder| founder.node != me.node)
            .map(|founder| Peer {
                node: founder.node,
                address: founder.address.clone(),
            });
        gossip.join(peers.collect());
        self.dispatch.set_gossip(Arc::new(gossip.clone()));
        drop(self.gossip.set(gossip));
        Ok(())
    }

    /// What this node says of itself.
    pub(crate) fn state(&self) -> NodeState {
        let (replicas, load) = (self.replicas(), self.load.seen());
        let held = replicas
            .iter()
            .flatten()
            .filter(|replica| replica.group() != METADATA_GROUP);
        NodeState {
            leaders: held.clone().filter(|replica| replica.is_leader()).count() as u64,
            replicas: held.count() as u64,
            started_at_ms: self.started_at_ms,
            requests_per_second: load.requests_per_second,
            data_bytes: load.data_bytes,
            free_bytes: load.free_bytes,
            software: self.settings.software.clone(),
            layout_epoch: self.layout().map_or(0, |layout| layout.epoch()),
            zone: self.settings.zone.clone(),
            rack: self.settings.rack.clone(),
            capacity: self.settings.capacity.get(),
            rejoining: self.is_rejoining() || self.has_missed.load(std::sync::atomic::Ordering::Acquire),
            hints_waiting: self.hints.status().waiting,
            formats: crate::FORMATS,
            stopping: self.is_stopping.load(std::sync::atomic::Ordering::Acquire),
            ..NodeState::default()
        }
    }

    /// Begins the replica of group 0 that this node has, or a new one if it makes the cluster with others.
    fn begin_metadata(self: &Arc<Self>, standing: Standing) -> Result<(), Error> {
        let host = &self.host;
        if let Some(replica) = recover(host, METADATA_GROUP, None)? {
            let is_unfilled = replica.is_unfilled();
            self.add_replica(replica);
            if is_unfilled {
                self.begin_install(METADATA_GROUP);
            }
            return Ok(());
        }
        let has_had_one = Journal::kept(&host.engine, METADATA_GROUP)?.is_some();
        if standing == Standing::Rejoining || has_had_one || !self.settings.is_founder() {
            return Ok(());
        }
        let birth = Birth {
            group: METADATA_GROUP,
            id: ReplicaId(self.settings.node.0),
            preferred: None,
        };
        let (replica, batch) = found(host, birth, &self.settings.metadata_members())?;
        self.engine
            .append_and_write(batch, WriteBatch::new(), Durability::Sync)?;
        self.add_replica(replica);
        Ok(())
    }

    /// Begins with the groups that this node has, and with those of the layout that group 0 is known to have agreed on. When that is
    /// not known yet, they begin when it is.
    fn recover_groups(self: &Arc<Self>) -> Result<(), Error> {
        let layout = self.read_plan()?.map(|plan| plan.layout);
        self.begin_known(layout.as_ref())?;
        Ok(())
    }

    /// Waits for the first layout, and makes it if this node leads group 0 and all founders are there.
    async fn wait_for_layout(self: &Arc<Self>) -> Result<(), Error> {
        loop {
            self.look_at_layout()?;
            if self.layout().is_some() {
                return Ok(());
            }
            let metadata = self.replica(METADATA_GROUP);
            if let Some(metadata) = metadata.filter(|replica| replica.is_leader()) {
                match self.founders_present() {
                    Ok(nodes) => {
                        let empty = Layout::empty(self.settings.range_bits, self.settings.replication);
                        let layout = place(&empty, &nodes, self.settings.replication)?;
                        let founders: Vec<_> = nodes.keys().copied().collect();
                        let plan = Plan::first(layout, &founders);
                        let command = OwnCommand::PutLayout {
                            from: 0,
                            epoch: plan.epoch(),
                            plan: plan.to_bytes(),
                        };
                        let key = OwnRow::Layout.key();
                        let target = Target {
                            keyspace: METADATA,
                            key: &key,
                        };
                        // Should it be refused, the next look tries again.
                        let (options, command) = (WriteOptions::default(), Typed(&command));
                        if let Err(refused) = metadata.write(target, &options, &command).await {
                            tracing::debug!(?refused, "the first layout was not taken");
                        }
                    }
                    Err(missing) => self.waits_for(&missing),
                }
            }
            self.surroundings.world.sleep(LOOK).await;
        }
    }

    /// All founders with what they say of themselves, or whom to wait for.
    fn founders_present(&self) -> Result<BTreeMap<NodeId, NodeDescription>, String> {
        let describe = |node: NodeId, address: &str, incarnation: u64, state: &NodeState| {
            let description = NodeDescription {
                address: address.to_owned(),
                zone: state.zone.clone(),
                rack: state.rack.clone(),
                capacity: state.capacity.try_into().unwrap_or(self.settings.capacity),
                incarnation,
            };
            (node, description)
        };
        let mut nodes = BTreeMap::new();
        let me = self.settings.node;
        nodes.extend([describe(
            me,
            &self.settings.address,
            self.incarnation(),
            &self.state(),
        )]);
        let members = self.gossip.get().map(Gossiper::members).unwrap_or_default();
        for founder in self.settings.other_founders() {
            let member = members.iter().find(|member| member.node == founder);
            let there = member.filter(|member| member.liveness == Liveness::Alive);
            let Some((member, state)) = there.and_then(|member| Some((member, member.state.as_ref()?)))
            else {
                return Err(format!("node {founder}, with which the cluster is to begin"));
            };
            nodes.extend([describe(founder, &member.address, member.incarnation, state)]);
        }
        Ok(nodes)
    }
}
