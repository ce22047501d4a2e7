//! The scenario `register`: a register per key, replicated by majorities, under every fault.
//!
//! It is a toy, and shows that kernel, faults and checkers work: under the right rules no seed fails, and each broken rule
//! is found within a few seeds. Invariant: what the clients saw is linearizable, and everything is available again once
//! all faults have ended.

mod message;
mod replica;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::{Either, select};
use parking_lot::Mutex;
use stator_cluster::{NodeId, World};
use tokio::sync::oneshot;

use self::message::Message;
use self::replica::Replica;
pub use self::replica::{Answers, Keeps, Reads, Rules};
use super::{Report, Run, Scenario};
use crate::check::linearizable::{self, CONFIGURATIONS_MAX};
use crate::check::register::{Input, Output, Register};
use crate::fault::{PlanSettings, Schedule, plan, unleash};
use crate::history::{Client, History};
use crate::kernel::{Control, Machine, Settings, Simulation, Started};
use crate::random::{Seed, Spread, Stream};
use crate::trace;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long after the last fault everything has to be available again.
const HEALED_WITHIN: Duration = Duration::from_secs(30);

/// A slow disk, so that a power cut finds something that is not synced.
const DISK_TURN: Spread = Spread {
    least: Duration::from_millis(1),
    usual: Duration::from_millis(15),
    tail_ppm: 50_000,
    tail: Duration::from_millis(100),
};

type Registers = History<u64, Input, Output>;

/// The scenario with its sizes.
#[derive(Clone, Debug)]
pub struct RegisterScenario {
    /// How the replicas behave.
    pub rules: Rules,
    /// How many replicas there are.
    pub replicas: u64,
    /// How many clients use them at once.
    pub clients: u64,
    /// How many keys they use.
    pub keys: u64,
    /// What is broken.
    pub faults: PlanSettings,
}

impl Default for RegisterScenario {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            replicas: 3,
            clients: 6,
            keys: 3,
            faults: PlanSettings {
                until: Duration::from_secs(15),
                ..PlanSettings::default()
            },
        }
    }
}

/// The replicas that run, to be called by tasks of their own nodes.
type Running = Arc<Mutex<BTreeMap<NodeId, Weak<Replica>>>>;

/// What all clients share.
#[derive(Clone)]
struct Everyone {
    control: Control,
    world: Arc<dyn World>,
    running: Running,
    replicas: Vec<NodeId>,
    history: Registers,
    /// Clients at work.
    busy: Arc<Mutex<u64>>,
}

impl RegisterScenario {
    fn nodes(&self) -> Vec<NodeId> {
        (1..=self.replicas).map(NodeId).collect()
    }

    fn machine(&self, control: &Control, running: &Running) -> Machine {
        let (rules, running) = (self.rules, Arc::clone(running));
        let replicas: BTreeSet<_> = self.nodes().into_iter().collect();
        let addresses: Vec<_> = replicas
            .iter()
            .map(|node| (*node, control.address(*node)))
            .collect();
        Arc::new(move |boot| {
            for (node, address) in &addresses {
                boot.network.introduce(*node, address);
            }
            let replica =
                Replica::start(&boot, rules, replicas.clone()).map_err(|error| error.to_string())?;
            let replica = Arc::new(replica);
            running.lock().insert(boot.node, Arc::downgrade(&replica));
            let of_disk = Arc::clone(&replica);
            Ok(Started {
                inbox: replica,
                hook: Some(Arc::new(move || of_disk.turn())),
            })
        })
    }

    fn world(&self, run: &Run) -> (Simulation, Everyone) {
        let settings = Settings {
            trace: trace::Settings {
                describe: Some(Message::describe),
                ..run.trace
            },
            disk_turn: DISK_TURN,
            ..Settings::default()
        };
        let simulation = Simulation::new(run.seed, settings);
        let control = simulation.control().clone();
        let running = Running::default();
        for node in self.nodes() {
            control.add_node(node, self.machine(&control, &running));
            control.start(node);
        }
        let everyone = Everyone {
            world: control.outside(),
            replicas: self.nodes(),
            history: History::new(),
            busy: Arc::default(),
            control,
            running,
        };
        (simulation, everyone)
    }
}

impl Scenario for RegisterScenario {
    fn name(&self) -> &'static str {
        "register"
    }

    fn summary(&self) -> &'static str {
        "registers replicated by majorities (Attiya, Bar-Noy, Dolev), linearizable under every fault"
    }

    fn schedule(&self, seed: Seed) -> Schedule {
        plan(&mut seed.stream("plan", 0), &self.nodes(), &self.faults)
    }

    fn run(&self, run: &Run) -> Report {
        let (mut simulation, everyone) = self.world(run);
        let control = everyone.control.clone();
        unleash(&control, &run.schedule);
        for client in 1..=self.clients {
            *everyone.busy.lock() += 1;
            let (until, keys) = (self.faults.until, self.keys);
            let everyone = everyone.clone();
            control.spawn(Box::pin(async move {
                everyone.work(Client(client), keys, until).await;
                *everyone.busy.lock() -= 1;
            }));
        }
        simulation.run_until(self.faults.until.max(run.schedule.end()));
        *everyone.busy.lock() += 1;
        let (last, keys) = (everyone.clone(), self.keys);
        control.spawn(Box::pin(async move {
            last.read_all(Client(0), keys).await;
            *last.busy.lock() -= 1;
        }));
        let limit = control.now() + HEALED_WITHIN;
        if !simulation.run_while(limit, || *everyone.busy.lock() > 0) {
            control.fail("not available though all faults have ended".to_owned());
        }
        let judged = linearizable::check_keys(
            &Register::default(),
            &everyone.history.by_key(),
            CONFIGURATIONS_MAX,
        );
        let undecided = match judged {
            Ok(judged) => judged.undecided,
            Err(reason) => {
                control.fail(reason);
                0
            }
        };
        Report {
            operations: everyone.history.count(),
            operations_unknown: everyone.history.count_unknown(),
            undecided,
            ended: simulation.finish(),
        }
    }
}

impl Everyone {
    /// What a client does all day.
    async fn work(&self, client: Client, keys: u64, until: Duration) {
        let mut stream = self.control.stream("client", client.0);
        let mut written = 0;
        while self.control.now() < until {
            let think = Duration::from_millis(stream.between(1, 120));
            self.world.sleep(think).await;
            let key = stream.below(keys);
            let input = match stream.below(20) {
                0..10 => Input::Read,
                10..18 => {
                    written += 1;
                    Input::Write(i64::try_from(client.0 * 1_000_000 + written).unwrap_or(0))
                }
                _ => Input::Delete,
            };
            let node = self.any_node(&mut stream);
            self.operate(client, node, key, input).await;
        }
    }

    /// Reads every key from every node, again and again until each has answered.
    async fn read_all(&self, client: Client, keys: u64) {
        for node in &self.replicas {
            for key in 0..keys {
                while !self.operate(client, *node, key, Input::Read).await {
                    self.world.sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn any_node(&self, stream: &mut Stream) -> NodeId {
        stream.pick(&self.replicas).copied().unwrap_or(NodeId(0))
    }

    /// One operation on one node, with its place in the history. False when there was no answer.
    async fn operate(&self, client: Client, node: NodeId, key: u64, input: Input) -> bool {
        let operation = self.history.begin(client, key, input, self.control.now());
        let (answer, answered) = oneshot::channel();
        let running = Arc::clone(&self.running);
        let was_taken = self.control.spawn_on(
            node,
            Box::pin(async move {
                let replica = running.lock().get(&node).and_then(Weak::upgrade);
                if let Some(replica) = replica {
                    let output = perform(&replica, key, input).await;
                    // The client may have lost its patience.
                    answer.send(output).ok();
                }
            }),
        );
        if !was_taken {
            // The node is down: nothing has reached it.
            self.history.withdraw(operation);
            return false;
        }
        self.control
            .note(format!("{client} begins on node {node}: key {key} {input:?}"));
        let output = match select(answered, self.world.sleep(PATIENCE)).await {
            Either::Left((output, _)) => output.ok().flatten(),
            Either::Right(_) => None,
        };
        self.control.note(format!("{client} ends: {output:?}"));
        if let Some(output) = output {
            self.history.end(operation, output);
        }
        output.is_some()
    }
}

async fn perform(replica: &Replica, key: u64, input: Input) -> Option<Output> {
    match input {
        Input::Read => replica.read(key).await.map(Output::read),
        Input::Write(value) => replica.write(key, Some(value)).await.map(|()| Output::done()),
        Input::Delete => replica.write(key, None).await.map(|()| Output::done()),
        // Majorities of a register cannot decide on its value; see Herlihy, "Wait-free synchronization", 1991.
        Input::CompareAndSet { .. } | Input::Add(_) => None,
    }
}
