//! The kernel by small actors: what a crash, a pause, a cut and a slow disk do, and that a seed decides everything.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use stator_cluster::{Inbox, NodeId, Priority, World};
use stator_sim::kernel::{Boot, Control, Crash, Ended, LinkSettings, Machine, Settings, Simulation, Started};
use stator_sim::random::{Seed, Spread};
use stator_storage::vfs::mem::Unsynced;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const MS: Duration = Duration::from_millis(1);

/// Keeps what arrives, with the receiver's steady clock.
#[derive(Debug)]
struct Mailbox {
    world: Arc<dyn World>,
    received: Received,
}

type Received = Arc<Mutex<Vec<(Duration, NodeId, u64)>>>;

impl Inbox for Mailbox {
    fn receive(&self, from: NodeId, mut message: Bytes) {
        let number = message.get_u64_le();
        self.received.lock().push((self.world.now(), from, number));
    }
}

/// Nothing is lost, nothing overtakes, everything takes a known time.
fn plain() -> Settings {
    Settings {
        link: LinkSettings {
            delay: Spread::exactly(MS),
            loss_ppm: 0,
            reorder_ppm: 0,
            duplicate_ppm: 0,
        },
        disk_turn: Spread::exactly(MS),
        scheduling: Spread::exactly(Duration::ZERO),
        clock_drift_ppm_max: 0,
        ..Settings::default()
    }
}

/// A node that knows `peers` and sends them a number every ten milliseconds.
fn sender(peers: &[NodeId], received: &Received, control: &Control) -> Machine {
    let (peers, received) = (peers.to_vec(), Arc::clone(received));
    let addresses: Vec<_> = peers.iter().map(|peer| control.address(*peer)).collect();
    Arc::new(move |boot: Boot| {
        for (peer, address) in peers.iter().zip(&addresses) {
            boot.network.introduce(*peer, address);
        }
        let (world, network, peers) = (Arc::clone(&boot.world), Arc::clone(&boot.network), peers.clone());
        boot.world.spawn(Box::pin(async move {
            for number in 0_u64.. {
                world.sleep(10 * MS).await;
                for peer in &peers {
                    network.send(
                        *peer,
                        Priority::Urgent,
                        Bytes::copy_from_slice(&number.to_le_bytes()),
                    );
                }
            }
        }));
        Ok(Started {
            inbox: Arc::new(Mailbox {
                world: boot.world,
                received: Arc::clone(&received),
            }),
            hook: None,
        })
    })
}

/// Two nodes that send each other numbers; gives what each has received.
fn pair(seed: u64, settings: Settings) -> (Simulation, Received, Received) {
    let simulation = Simulation::new(Seed(seed), settings);
    let control = simulation.control();
    let (at_a, at_b) = (Received::default(), Received::default());
    control.add_node(A, sender(&[B], &at_a, control));
    control.add_node(B, sender(&[A], &at_b, control));
    assert!(control.start(A) && control.start(B));
    (simulation, at_a, at_b)
}

fn count(received: &Received) -> usize {
    std::mem::take(&mut *received.lock()).len()
}

/// A machine that only runs what a test spawns on it, and gives away what it was started with.
fn idle(boots: &Arc<Mutex<Vec<Boot>>>) -> Machine {
    let boots = Arc::clone(boots);
    Arc::new(move |boot: Boot| {
        let inbox = Mailbox {
            world: Arc::clone(&boot.world),
            received: Received::default(),
        };
        boots.lock().push(boot);
        Ok(Started {
            inbox: Arc::new(inbox),
            hook: None,
        })
    })
}

fn alone(settings: Settings) -> (Simulation, Arc<Mutex<Vec<Boot>>>) {
    let simulation = Simulation::new(Seed(1), settings);
    let boots = Arc::default();
    simulation.control().add_node(A, idle(&boots));
    assert!(simulation.control().start(A));
    (simulation, boots)
}

fn stormy_run(seed: u64) -> Ended {
    let (mut simulation, ..) = pair(seed, Settings::default());
    let control = simulation.control().clone();
    control.after(Duration::from_secs(1), |control| control.crash(B, Crash::Kill));
    control.after(Duration::from_secs(2), |control| {
        control.start(B);
    });
    assert!(simulation.run_until(Duration::from_secs(4)));
    simulation.finish()
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another_one() {
    let ended = stormy_run(1);
    assert!(ended.events > 1_000);
    assert_eq!(ended, stormy_run(1));
    assert_ne!(ended.hash, stormy_run(2).hash);
}

#[test]
fn a_crash_drops_the_tasks_of_the_node_and_of_no_other() {
    #[derive(Clone)]
    struct Alive(Arc<AtomicU64>);
    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let (mut simulation, boots) = alone(plain());
    let control = simulation.control().clone();
    let ticks = Arc::new(AtomicU64::new(0));
    let [on_node, outside] = [0; 2].map(|_| Arc::new(AtomicU64::new(1)));
    let worlds = [Arc::clone(&boots.lock()[0].world), control.outside()];
    let mut tasks = Vec::new();
    for (world, alive) in worlds.into_iter().zip([&on_node, &outside]) {
        let (alive, ticks) = (Alive(Arc::clone(alive)), Arc::clone(&ticks));
        tasks.push(Box::pin(async move {
            let _alive = alive;
            loop {
                world.sleep(MS).await;
                ticks.fetch_add(1, Ordering::SeqCst);
            }
        }));
    }
    let mut tasks = tasks.into_iter();
    assert!(control.spawn_on(A, tasks.next().unwrap()));
    control.spawn(tasks.next().unwrap());
    simulation.run_for(100 * MS);
    let before = ticks.swap(0, Ordering::SeqCst);
    assert!((180..=200).contains(&before), "{before}");

    control.crash(A, Crash::Kill);
    assert_eq!(
        (on_node.load(Ordering::SeqCst), outside.load(Ordering::SeqCst)),
        (0, 1)
    );
    assert!(!control.is_up(A) && !control.spawn_on(A, Box::pin(async {})));
    simulation.run_for(100 * MS);
    let after = ticks.load(Ordering::SeqCst);
    assert!((90..=100).contains(&after), "{after}");

    // What the dead incarnation still holds does nothing.
    let dead = boots.lock()[0].clone();
    dead.world
        .spawn(Box::pin(async { panic!("a dead node has run something") }));
    assert!(dead.disk.create(Path::new("/a")).is_err());
    assert!(control.start(A));
    assert!(simulation.run_for(100 * MS));
    drop(simulation);
    assert_eq!(
        outside.load(Ordering::SeqCst),
        0,
        "the end of the run drops everything"
    );
}

#[test]
fn messages_to_a_node_that_is_down_vanish() {
    let (mut simulation, at_a, at_b) = pair(1, plain());
    let control = simulation.control().clone();
    simulation.run_for(100 * MS + MS / 2);
    assert_eq!((count(&at_a), count(&at_b)), (9, 9));
    control.crash(B, Crash::Kill);
    simulation.run_for(100 * MS);
    assert_eq!(
        (count(&at_a), count(&at_b)),
        (1, 0),
        "what was on its way to the living arrives"
    );
    control.start(B);
    simulation.run_for(100 * MS);
    let number = at_b.lock()[0].2;
    assert!(
        number > 15,
        "nothing of what was sent meanwhile comes later, {number} came"
    );
    assert!((8..=10).contains(&count(&at_b)) && (8..=10).contains(&count(&at_a)));
}

#[test]
fn a_cut_in_one_direction_stops_one_direction() {
    let (mut simulation, at_a, at_b) = pair(1, plain());
    let control = simulation.control().clone();
    control.set_cut(A, B, true);
    simulation.run_for(105 * MS);
    assert_eq!((count(&at_a), count(&at_b)), (10, 0));
    control.set_cut(A, B, false);
    control.set_cut(B, A, true);
    simulation.run_for(100 * MS);
    assert_eq!((count(&at_a), count(&at_b)), (0, 10));
    control.set_cut(B, A, false);
    simulation.run_for(100 * MS);
    assert_eq!((count(&at_a), count(&at_b)), (10, 10));
}

#[test]
fn a_slow_link_is_late_and_a_lossy_one_loses() {
    let (mut simulation, at_a, at_b) = pair(1, plain());
    let control = simulation.control().clone();
    control.set_link_slowness(A, B, 50);
    simulation.run_for(105 * MS);
    assert_eq!((count(&at_a), count(&at_b)), (10, 5));
    control.set_link_slowness(A, B, 1);
    control.set_link_loss(B, A, 500_000);
    simulation.run_for(Duration::from_secs(10));
    let (left, all) = (count(&at_a), count(&at_b));
    assert!(
        (1_000..=1_010).contains(&all) && (430..570).contains(&left),
        "{left} of {all}"
    );
}

#[test]
fn nothing_comes_twice_unless_it_is_asked_for() {
    let distinct = |duplicate_ppm| {
        let mut settings = plain();
        settings.link.duplicate_ppm = duplicate_ppm;
        let (mut simulation, at_a, _) = pair(1, settings);
        simulation.run_for(Duration::from_secs(5));
        let mut numbers: Vec<_> = at_a.lock().iter().map(|(_, _, number)| *number).collect();
        let all = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        (numbers.len(), all)
    };
    let (numbers, all) = distinct(0);
    assert_eq!(numbers, all);
    let (numbers, all) = distinct(300_000);
    assert!(all > numbers + 100, "{all} messages of {numbers}");
}

#[test]
fn who_was_not_introduced_is_not_reached() {
    let (mut simulation, at_a, _) = pair(1, plain());
    let control = simulation.control().clone();
    let (boots, stranger) = (Arc::default(), NodeId(3));
    control.add_node(stranger, idle(&boots));
    control.start(stranger);
    let send = |address: Option<&str>| {
        if let Some(address) = address {
            boots.lock()[0].network.introduce(A, address);
        }
        boots.lock()[0]
            .network
            .send(A, Priority::Urgent, Bytes::copy_from_slice(&77_u64.to_le_bytes()));
    };
    for (address, arrives) in [
        (None, false),
        (Some("elsewhere:1"), false),
        (Some(&*control.address(A)), true),
    ] {
        send(address);
        simulation.run_for(5 * MS);
        let received = std::mem::take(&mut *at_a.lock());
        assert_eq!(
            received.iter().any(|(_, from, _)| *from == stranger),
            arrives,
            "{address:?}"
        );
    }
}

#[test]
fn what_a_paused_node_gets_waits_and_what_a_suspended_one_gets_is_lost() {
    let (mut simulation, _, at_b) = pair(1, plain());
    let control = simulation.control().clone();
    simulation.run_for(105 * MS);
    count(&at_b);
    control.pause(B);
    simulation.run_for(100 * MS);
    assert_eq!(count(&at_b), 0);
    control.resume(B);
    simulation.run_for(MS / 2);
    assert_eq!(count(&at_b), 10, "all of them at once");

    control.suspend(B);
    simulation.run_for(100 * MS);
    control.resume(B);
    simulation.run_for(MS / 2);
    assert_eq!(count(&at_b), 0);
    simulation.run_for(100 * MS);
    assert_eq!(count(&at_b), 10);
}

#[test]
fn a_suspended_machine_stops_its_timers_and_not_its_steady_clock() {
    let slept = |suspend: bool| {
        let (mut simulation, boots) = alone(plain());
        let control = simulation.control().clone();
        let (world, woke) = (Arc::clone(&boots.lock()[0].world), Arc::new(Mutex::new(None)));
        let (start, told) = (world.now(), Arc::clone(&woke));
        control.spawn_on(
            A,
            Box::pin(async move {
                world.sleep(100 * MS).await;
                *told.lock() = Some(world.now().saturating_sub(start));
            }),
        );
        simulation.run_for(50 * MS);
        if suspend {
            control.suspend(A);
        } else {
            control.pause(A);
        }
        simulation.run_for(Duration::from_secs(10));
        control.resume(A);
        simulation.run_for(Duration::from_secs(1));
        woke.lock().take().unwrap().as_millis()
    };
    assert_eq!(
        slept(false),
        10_050,
        "a timer of a paused process is due when it goes on"
    );
    assert_eq!(slept(true), 10_100);
}

#[test]
fn a_fast_clock_wakes_early_and_a_wall_clock_jumps_alone() {
    let (mut simulation, boots) = alone(plain());
    let control = simulation.control().clone();
    let world = Arc::clone(&boots.lock()[0].world);
    let (steady, wall) = (world.now(), world.unix_ms());
    control.set_clock_drift(A, 100_000);
    let woke = Arc::new(Mutex::new(Duration::ZERO));
    let (told, watch, sleeper) = (Arc::clone(&woke), control.clone(), Arc::clone(&world));
    control.spawn_on(
        A,
        Box::pin(async move {
            sleeper.sleep(Duration::from_secs(11)).await;
            *told.lock() = watch.now();
        }),
    );
    simulation.run_for(Duration::from_secs(20));
    assert_eq!(woke.lock().as_secs(), 10);
    assert_eq!(world.now().saturating_sub(steady).as_secs(), 22);
    control.jump_wall_clock(A, -3_600_000);
    assert_eq!(world.unix_ms() + 3_600_000, wall + 20_000);
    assert_eq!(world.now().saturating_sub(steady).as_secs(), 22);
}

#[test]
fn a_power_cut_takes_what_was_not_synced_and_a_kill_does_not() {
    let path = Path::new("/d/a");
    let contents = |how: Crash| {
        let (simulation, boots) = alone(plain());
        let disk = Arc::clone(&boots.lock()[0].disk);
        let file = disk.create(path).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write_all_at(b"a", 0).unwrap();
        file.sync_data().unwrap();
        file.write_all_at(b"b", 1).unwrap();
        let steady = boots.lock()[0].world.now();
        simulation.control().crash(A, how);
        assert!(file.write_all_at(b"c", 2).is_err(), "the dead do not write");
        assert!(simulation.control().start(A));
        let boots = boots.lock();
        let file = boots[1].disk.open(path).unwrap();
        let mut bytes = vec![0; usize::try_from(file.size().unwrap()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(boots[1].incarnation, 2);
        (bytes, boots[1].world.now() == steady)
    };
    assert_eq!(contents(Crash::Kill), (b"ab".to_vec(), true));
    assert_eq!(contents(Crash::PowerCut(Unsynced::Kept)), (b"ab".to_vec(), false));
    assert_eq!(contents(Crash::PowerCut(Unsynced::Lost)), (b"a".to_vec(), false));
    let torn = contents(Crash::PowerCut(Unsynced::Torn { seed: 1 })).0;
    assert!(torn.starts_with(b"a"));
}

#[test]
fn an_armed_power_cut_comes_in_the_middle_of_the_work_and_silences_the_node() {
    let (mut simulation, _, at_b) = pair(1, plain());
    let control = simulation.control().clone();
    simulation.run_for(5 * MS);
    let boots = Arc::default();
    let third = NodeId(3);
    control.add_node(third, idle(&boots));
    control.start(third);
    control.arm_power_cut(third, 3, Unsynced::Lost);
    let boot: Boot = boots.lock()[0].clone();
    let address = control.address(B);
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&outcomes);
    control.spawn_on(
        third,
        Box::pin(async move {
            boot.network.introduce(B, &address);
            let file = boot.disk.create(Path::new("/d/a")).unwrap();
            for step in 0_u64..4 {
                told.lock().push(file.write_all_at(b"a", step).is_ok());
                boot.network
                    .send(B, Priority::Urgent, Bytes::copy_from_slice(&step.to_le_bytes()));
            }
            boot.world.sleep(MS).await;
            told.lock().push(true);
        }),
    );
    simulation.run_for(10 * MS);
    assert_eq!(*outcomes.lock(), [true, true, false, false]);
    assert!(!control.is_up(third));
    let received = at_b.lock().iter().filter(|(_, from, _)| *from == third).count();
    assert_eq!(
        received, 1,
        "only what was sent before the last operation has left the machine"
    );

    control.start(third);
    control.arm_power_cut(third, 1, Unsynced::Lost);
    control.disarm_power_cut(third);
    let disk = Arc::clone(&boots.lock()[1].disk);
    assert!((0..4).all(|number| disk.create(Path::new(&format!("/d/{number}"))).is_ok()));
}

#[test]
fn a_hook_has_its_turn_after_the_latency_until_it_has_nothing_to_do() {
    let turns_of = |slowness: u32| {
        let mut simulation = Simulation::new(Seed(1), plain());
        let control = simulation.control().clone();
        control.set_disk_slowness(A, slowness);
        let work = Arc::new(AtomicU64::new(0));
        let turns = Arc::new(Mutex::new(Vec::new()));
        let (todo, told, clock) = (Arc::clone(&work), Arc::clone(&turns), control.clone());
        let machine: Machine = Arc::new(move |boot: Boot| {
            let (todo, told, clock) = (Arc::clone(&todo), Arc::clone(&told), clock.clone());
            Ok(Started {
                inbox: Arc::new(Mailbox {
                    world: boot.world,
                    received: Received::default(),
                }),
                hook: Some(Arc::new(move || {
                    let left = todo.load(Ordering::SeqCst);
                    if left > 0 {
                        todo.store(left - 1, Ordering::SeqCst);
                        told.lock().push(clock.now());
                    }
                    left > 0
                })),
            })
        });
        control.add_node(A, machine);
        control.set_disk_slowness(A, slowness);
        control.start(A);
        simulation.run_for(100 * MS);
        let task = Arc::clone(&work);
        control.spawn_on(A, Box::pin(async move { task.store(3, Ordering::SeqCst) }));
        simulation.run_for(100 * MS);
        let turns: Vec<_> = turns.lock().iter().map(Duration::as_millis).collect();
        turns
    };
    assert_eq!(turns_of(1), [101, 102, 103]);
    assert_eq!(turns_of(20), [120, 140, 160]);
}

#[test]
fn a_panic_and_a_refused_start_and_an_endless_run_are_failures() {
    let (mut simulation, _) = alone(plain());
    simulation
        .control()
        .spawn_on(A, Box::pin(async { panic!("broken {}", 7) }));
    assert!(!simulation.run_for(Duration::from_secs(1)));
    let ended = simulation.finish();
    assert_eq!(ended.failure.as_deref(), Some("node 1 panicked: broken 7"));
    assert!(ended.trace.last().unwrap().contains("broken 7"));

    let mut simulation = Simulation::new(Seed(1), plain());
    simulation
        .control()
        .add_node(A, Arc::new(|_| Err("bad disk".to_owned())));
    assert!(!simulation.control().start(A));
    assert!(!simulation.run_for(MS));
    let failure = simulation.finish().failure.unwrap();
    assert_eq!(failure, "node 1 does not start: bad disk");

    let settings = Settings {
        events_max: 1_000,
        ..plain()
    };
    let (mut simulation, ..) = pair(1, settings);
    assert!(!simulation.run_for(Duration::from_secs(60)));
    assert!(
        simulation
            .finish()
            .failure
            .unwrap()
            .starts_with("the run does not end")
    );
}

#[test]
fn a_draw_more_on_one_node_shifts_nothing_on_another() {
    let drawn_at_b = |draws_at_a: usize| {
        let (mut simulation, boots) = alone(plain());
        let control = simulation.control().clone();
        control.add_node(B, idle(&boots));
        control.start(B);
        let worlds: Vec<_> = boots.lock().iter().map(|boot| Arc::clone(&boot.world)).collect();
        (0..draws_at_a).for_each(|_| assert_ne!(worlds[0].random_u64(), 0));
        simulation.run_for(MS);
        (worlds[1].random_u64(), worlds[1].now())
    };
    assert_eq!(drawn_at_b(0), drawn_at_b(5));
}
