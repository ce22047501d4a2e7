//! Schedules: whatever they break, and however their faults overlap, everything is whole when they have ended.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use stator_cluster::{Inbox, NodeId, Priority};
use stator_sim::fault::{Entry, Fault, Partition, PlanSettings, Schedule, plan, unleash};
use stator_sim::kernel::{Boot, Control, LinkSettings, Settings, Simulation, Started};
use stator_sim::random::Seed;
use stator_storage::vfs::mem::Unsynced;

const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

#[derive(Debug)]
struct Mailbox {
    node: NodeId,
    received: Received,
}

/// Who has got what, from whom.
type Received = Arc<Mutex<Vec<(NodeId, NodeId)>>>;

impl Inbox for Mailbox {
    fn receive(&self, from: NodeId, _: Bytes) {
        self.received.lock().push((from, self.node));
    }
}

struct World {
    simulation: Simulation,
    control: Control,
    boots: Arc<Mutex<Vec<Boot>>>,
    received: Received,
}

fn world(seed: u64) -> World {
    let settings = Settings {
        link: LinkSettings {
            loss_ppm: 0,
            ..LinkSettings::default()
        },
        ..Settings::default()
    };
    let simulation = Simulation::new(Seed(seed), settings);
    let control = simulation.control().clone();
    let (boots, received) = (Arc::<Mutex<Vec<Boot>>>::default(), Received::default());
    for node in NODES {
        let (boots, received, addresses) = (Arc::clone(&boots), Arc::clone(&received), control.clone());
        let machine = move |boot: Boot| {
            for peer in NODES {
                boot.network.introduce(peer, &addresses.address(peer));
            }
            boots.lock().push(boot.clone());
            Ok(Started {
                inbox: Arc::new(Mailbox {
                    node: boot.node,
                    received: Arc::clone(&received),
                }),
                hook: None,
            })
        };
        control.add_node(node, Arc::new(machine));
        control.start(node);
    }
    World {
        simulation,
        control,
        boots,
        received,
    }
}

impl World {
    /// Which of the six directions between the nodes carry a message now.
    fn heard(&mut self) -> Vec<(NodeId, NodeId)> {
        self.received.lock().clear();
        for boot in &*self.boots.lock() {
            let peers = NODES.iter().filter(|peer| **peer != boot.node);
            peers.for_each(|peer| {
                boot.network
                    .send(*peer, Priority::Urgent, Bytes::from_static(b"hello"));
            });
        }
        self.simulation.run_for(Duration::from_millis(100));
        let mut heard = std::mem::take(&mut *self.received.lock());
        heard.sort_unstable();
        heard
    }

    fn is_up(&self) -> [bool; 3] {
        NODES.map(|node| self.control.is_up(node))
    }
}

fn seconds(at: u64, lasting: u64, fault: Fault) -> Entry {
    Entry {
        at: Duration::from_secs(at),
        lasting: Duration::from_secs(lasting),
        fault,
    }
}

#[test]
fn after_any_schedule_every_node_is_up_and_hears_every_other() {
    for seed in 0..100 {
        let mut world = world(seed);
        let mut stream = world.control.stream("plan", 0);
        let schedule = plan(&mut stream, &NODES, &PlanSettings::default());
        let nemesis = unleash(&world.control, &schedule);
        assert!(world.simulation.run_until(schedule.end()), "seed {seed}");
        assert_eq!((nemesis.active(), world.is_up()), (0, [true; 3]), "seed {seed}");
        // What a slow link has on its way arrives first.
        world.simulation.run_for(Duration::from_secs(60));
        assert_eq!(world.heard().len(), 6, "seed {seed}: {schedule:?}");
    }
}

#[test]
fn a_node_stays_down_as_long_as_any_fault_keeps_it_down() {
    let [one, two, _] = NODES;
    let power_cut = Fault::PowerCut {
        nodes: vec![one],
        after_operations: 0,
        unsynced: Unsynced::Lost,
    };
    let schedule = Schedule {
        entries: vec![
            seconds(1, 4, Fault::Kill(vec![one, two])),
            seconds(2, 6, power_cut),
            seconds(3, 10, Fault::Pause(one)),
        ],
    };
    let mut world = world(1);
    unleash(&world.control, &schedule);
    let mut up = Vec::new();
    for half in [1, 3, 11, 17] {
        world.simulation.run_until(Duration::from_millis(half * 500));
        up.push(world.is_up());
    }
    assert_eq!(
        up,
        [
            [true, true, true],
            [false, false, true],
            [false, true, true],
            [true, true, true]
        ]
    );
    assert!(
        !world.heard().iter().any(|(_, to)| *to == one),
        "the pause goes on after the restart"
    );
    world.simulation.run_until(Duration::from_secs(14));
    assert_eq!(world.heard().len(), 6);
}

#[test]
fn a_link_is_cut_as_long_as_any_partition_cuts_it() {
    let [one, two, three] = NODES;
    let schedule = Schedule {
        entries: vec![
            seconds(1, 4, Fault::Partition(Partition::Split(vec![one]))),
            seconds(3, 6, Fault::Partition(Partition::Muted(vec![one]))),
        ],
    };
    let mut world = world(1);
    unleash(&world.control, &schedule);
    let mut heard = Vec::new();
    for second in [2, 4, 6, 10] {
        world.simulation.run_until(Duration::from_secs(second));
        heard.push(world.heard());
    }
    let apart = vec![(two, three), (three, two)];
    let muted = vec![(two, one), (two, three), (three, one), (three, two)];
    assert_eq!(heard[..3], [apart.clone(), apart, muted]);
    assert_eq!(heard[3].len(), 6);
}

#[test]
fn a_power_cut_that_has_not_come_when_its_time_is_over_never_comes() {
    let schedule = Schedule {
        entries: vec![seconds(
            1,
            1,
            Fault::PowerCut {
                nodes: vec![NODES[0]],
                after_operations: 1,
                unsynced: Unsynced::Lost,
            },
        )],
    };
    let mut world = world(1);
    unleash(&world.control, &schedule);
    world.simulation.run_until(Duration::from_secs(3));
    let disk = Arc::clone(&world.boots.lock()[0].disk);
    let names = ["/a", "/b", "/c"].map(std::path::Path::new);
    assert!(names.iter().all(|name| disk.create(name).is_ok()));
    assert_eq!(world.is_up(), [true; 3]);
}
