//! What gossip promises, over some hundred seeds.

use std::time::Duration;

use rand::RngExt;

use super::super::{Effect, Fault, GossipSettings, Input, Liveness, NodeState};
use super::Simulation;
use crate::world::NodeId;

/// How many nodes, and how many seeds.
const SIZES: [(u64, u64); 3] = [(3, 60), (5, 40), (20, 8)];

fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn bound(nodes: u64) -> Duration {
    GossipSettings::default().detection_bound(u32::try_from(nodes).unwrap())
}

#[test]
fn all_see_all_alive_soon_and_nobody_dies_without_losses() {
    for (nodes, seeds) in SIZES {
        for seed in 0..seeds {
            let mut simulation = Simulation::cluster(seed, nodes);
            let taken = simulation.run_until(milliseconds(500), Simulation::all_agree);
            assert!(taken.is_some(), "seed {seed}, {nodes} nodes");
            simulation.run(milliseconds(1500));
            for process in &simulation.processes {
                let accusation = process
                    .events
                    .iter()
                    .find(|(_, event)| matches!(event, Effect::Suspect(_) | Effect::Down(_)));
                assert_eq!(
                    accusation, None,
                    "seed {seed}, {nodes} nodes, at {}",
                    process.node
                );
                assert_eq!(process.faults, []);
            }
        }
    }
}

#[test]
fn a_dead_node_is_down_everywhere_within_the_bound_and_nobody_else_is() {
    for (nodes, seeds) in SIZES {
        for seed in 0..seeds {
            let mut simulation = Simulation::settled(seed, nodes);
            let moment = simulation.random.random_range(0..1000);
            simulation.run(milliseconds(moment));
            let victim = simulation.random.random_range(0..simulation.processes.len());
            simulation.kill(victim);
            let dead = simulation.processes[victim].node;
            let taken = simulation.run_until(bound(nodes), |simulation| {
                simulation.all_see(dead, Liveness::Down)
            });
            assert!(taken.is_some(), "seed {seed}, {nodes} nodes");
            assert!(simulation.all_agree(), "seed {seed}, {nodes} nodes");
        }
    }
}

#[test]
fn a_node_that_has_left_is_forgotten_by_all_and_nobody_brings_it_back() {
    for seed in 0..40 {
        let mut simulation = Simulation::settled(seed, 5);
        let left = NodeId(5);
        let is_forgotten = |simulation: &Simulation, by: usize| {
            let mut processes = simulation.processes.iter().take(by);
            processes.all(|process| process.gossip.liveness(left).is_none())
        };
        // One stands still, and holds it for alive when it goes on.
        simulation.pause(3, milliseconds(3000));
        simulation.kill(4);
        // The others hear of it one after the other, be it down or not.
        for process in 0..3 {
            let pause = simulation.random.random_range(0..400);
            simulation.run(milliseconds(pause));
            simulation.input(process, Input::Forget(left));
        }
        let taken = simulation.run_until(milliseconds(1700), |simulation| is_forgotten(simulation, 3));
        assert!(taken.is_some(), "seed {seed}");
        let forgotten = simulation.now;
        let is_about_it = |event: &Effect| match event {
            Effect::Up(node) | Effect::Suspect(node) | Effect::Down(node) => *node == left,
            _ => false,
        };
        simulation.run(milliseconds(5000));
        for process in simulation.processes.iter().take(3) {
            let mut since = process.events.iter().filter(|(at, _)| *at > forgotten);
            assert!(
                !since.any(|(_, event)| is_about_it(event)),
                "seed {seed}, at {}",
                process.node
            );
        }
        simulation.input(3, Input::Forget(left));
        assert!(is_forgotten(&simulation, 4), "seed {seed}");
    }
}

#[test]
fn fifty_nodes_know_of_a_dead_one_within_a_second() {
    for seed in 0..2 {
        let mut simulation = Simulation::settled(seed, 50);
        simulation.run(milliseconds(200));
        simulation.kill(7);
        let taken = simulation.run_until(bound(50), |simulation| {
            simulation.all_see(NodeId(8), Liveness::Down)
        });
        assert!(
            taken.is_some_and(|taken| taken < milliseconds(1000)),
            "seed {seed}: {taken:?}"
        );
    }
}

#[test]
fn losses_delay_but_do_not_divide() {
    for (nodes, seeds) in [(3, 40), (5, 25), (20, 4)] {
        for seed in 0..seeds {
            let mut simulation = Simulation::new(seed);
            simulation.loss_percent = u32::try_from(seed % 4 + 1).unwrap() * 5;
            for node in 1..=nodes {
                simulation.start(node, 1, &format!("host-{node}:7000"));
            }
            let taken = simulation.run_until(milliseconds(10_000), Simulation::all_agree);
            assert!(taken.is_some(), "seed {seed}, {nodes} nodes: never all alive");
            simulation.kill(0);
            let taken = simulation.run_until(3 * bound(nodes), |simulation| {
                simulation.all_see(NodeId(1), Liveness::Down)
            });
            assert!(
                taken.is_some(),
                "seed {seed}, {nodes} nodes: the dead one is not down everywhere"
            );
            simulation.loss_percent = 0;
            let taken = simulation.run_until(milliseconds(3000), Simulation::all_agree);
            assert!(
                taken.is_some(),
                "seed {seed}, {nodes} nodes: no agreement without losses"
            );
        }
    }
}

#[test]
fn both_sides_of_a_partition_lose_each_other_and_agree_again_when_it_heals() {
    for (nodes, seeds) in [(3, 30), (5, 20), (20, 3)] {
        for seed in 0..seeds {
            let mut simulation = Simulation::settled(seed, nodes);
            // Up to as many sides as nodes: then every node is alone.
            let sides = simulation.random.random_range(2..=3);
            for process in 0..simulation.processes.len() {
                let side = simulation.random.random_range(0..sides);
                simulation.sides.insert(process, side);
            }
            let lost = |simulation: &Simulation| {
                let sides = &simulation.sides;
                simulation.processes.iter().enumerate().all(|(process, seer)| {
                    simulation.processes.iter().enumerate().all(|(other, seen)| {
                        let apart = sides[&process] != sides[&other];
                        let down = seer.gossip.liveness(seen.node) == Some(Liveness::Down);
                        apart == down
                    })
                })
            };
            let taken = simulation.run_until(milliseconds(5000), lost);
            assert!(
                taken.is_some(),
                "seed {seed}, {nodes} nodes: the sides still see each other"
            );
            let longer = simulation.random.random_range(0..2000);
            simulation.run(milliseconds(longer));
            simulation.sides.clear();
            let taken = simulation.run_until(milliseconds(5000), Simulation::all_agree);
            assert!(taken.is_some(), "seed {seed}, {nodes} nodes: no agreement");
        }
    }
}

#[test]
fn nodes_that_all_lost_each_other_come_together_again() {
    for seed in 0..20 {
        let mut simulation = Simulation::settled(seed, 5);
        for process in 0..5 {
            simulation.sides.insert(process, u32::try_from(process).unwrap());
        }
        simulation.run(milliseconds(3000));
        assert!(
            (1..=5).all(|node| simulation.all_see(NodeId(node), Liveness::Down)),
            "seed {seed}"
        );
        simulation.sides.clear();
        let taken = simulation.run_until(milliseconds(5000), Simulation::all_agree);
        assert!(taken.is_some(), "seed {seed}");
    }
}

#[test]
fn a_path_that_is_cut_in_one_direction_kills_nobody() {
    for seed in 0..20 {
        let mut simulation = Simulation::settled(seed, 5);
        simulation.cuts.insert((1, 3));
        simulation.run(milliseconds(3000));
        for process in &simulation.processes {
            let death = process
                .events
                .iter()
                .find(|(_, event)| matches!(event, Effect::Down(_)));
            assert_eq!(death, None, "seed {seed}, at {}", process.node);
        }
    }
}

#[test]
fn a_restarted_node_replaces_its_former_process_at_once() {
    for (nodes, seeds) in SIZES {
        for seed in 0..seeds / 2 {
            let mut simulation = Simulation::settled(seed, nodes);
            let node = nodes;
            simulation.kill(usize::try_from(node).unwrap() - 1);
            let down_for = simulation.random.random_range(0..1500);
            simulation.run(milliseconds(down_for));
            let address = if seed % 2 == 0 {
                "elsewhere:7000".into()
            } else {
                format!("host-{node}:7000")
            };
            simulation.start(node, 2, &address);
            let replaced = |simulation: &Simulation| {
                simulation
                    .processes
                    .iter()
                    .filter(|process| process.runs)
                    .all(|process| {
                        process.gossip.members().iter().any(|member| {
                            member.node == NodeId(node)
                                && member.incarnation == 2
                                && member.liveness == Liveness::Alive
                                && member.address == address
                        })
                    })
            };
            let taken = simulation.run_until(milliseconds(300), replaced);
            assert!(taken.is_some(), "seed {seed}, {nodes} nodes");
            simulation.run(milliseconds(500));
            assert!(simulation.all_agree(), "seed {seed}, {nodes} nodes");
        }
    }
}

#[test]
fn a_node_that_leaves_is_down_before_it_could_be_missed() {
    for (nodes, seeds) in [(3, 20), (20, 4)] {
        for seed in 0..seeds {
            let mut simulation = Simulation::settled(seed, nodes);
            simulation.input(0, Input::Leave);
            assert_eq!(
                simulation.processes[0].gossip.liveness(NodeId(1)),
                Some(Liveness::Down)
            );
            simulation.kill(0);
            let taken = simulation.run_until(milliseconds(250), |simulation| {
                simulation.all_see(NodeId(1), Liveness::Down)
            });
            assert!(taken.is_some(), "seed {seed}, {nodes} nodes");
        }
    }
}

#[test]
fn a_node_that_stood_still_accuses_nobody_and_comes_back() {
    for seed in 0..20 {
        let mut simulation = Simulation::settled(seed, 5);
        simulation.pause(2, milliseconds(4000));
        simulation.run(milliseconds(3000));
        assert!(simulation.all_see(NodeId(3), Liveness::Down), "seed {seed}");
        simulation.run(milliseconds(1000));
        let taken = simulation.run_until(milliseconds(3000), Simulation::all_agree);
        assert!(taken.is_some(), "seed {seed}");
        for process in &simulation.processes {
            let wrong = process
                .events
                .iter()
                .find(|(_, event)| matches!(event, Effect::Down(node) if *node != NodeId(3)));
            assert_eq!(wrong, None, "seed {seed}, at {}", process.node);
        }
    }
}

/// Whether all processes that run know the latest that all others have said.
fn states_are_known(simulation: &Simulation, epoch: u64) -> bool {
    simulation
        .processes
        .iter()
        .filter(|process| process.runs)
        .all(|process| {
            process.gossip.members().iter().all(|member| {
                member.state.as_ref().is_some_and(|state| {
                    state.layout_epoch == epoch
                        && state.data_bytes == member.node.0 * 1000
                        && state.software == "0.1.0"
                })
            })
        })
}

fn say(simulation: &mut Simulation, process: usize, epoch: u64) {
    let state = NodeState {
        layout_epoch: epoch,
        data_bytes: simulation.processes[process].node.0 * 1000,
        software: "0.1.0".into(),
        ..NodeState::default()
    };
    simulation.input(process, Input::State(state));
}

#[test]
fn states_spread_and_the_newest_wins() {
    for (nodes, seeds) in [(3, 20), (5, 10), (20, 3)] {
        for seed in 0..seeds {
            let mut simulation = Simulation::settled(seed, nodes);
            for epoch in 1..=2 {
                for process in 0..simulation.processes.len() {
                    say(&mut simulation, process, epoch);
                }
                let taken = simulation.run_until(milliseconds(2000), |simulation| {
                    states_are_known(simulation, epoch)
                });
                assert!(taken.is_some(), "seed {seed}, {nodes} nodes, epoch {epoch}");
            }
            // Who comes late hears of all as well.
            let late = simulation.start(nodes + 1, 1, "late:7000");
            say(&mut simulation, late, 2);
            let taken =
                simulation.run_until(milliseconds(3000), |simulation| states_are_known(simulation, 2));
            assert!(taken.is_some(), "seed {seed}, {nodes} nodes and one more");
        }
    }
}

#[test]
fn fifty_nodes_hear_of_all_states_within_a_bounded_traffic() {
    let mut simulation = Simulation::settled(1, 50);
    for process in 0..50 {
        say(&mut simulation, process, 1);
    }
    let taken = simulation.run_until(milliseconds(2000), |simulation| states_are_known(simulation, 1));
    assert!(taken.is_some());
    let (sent, bytes) = (simulation.sent, simulation.sent_bytes);
    simulation.run(milliseconds(1000));
    let (messages, bytes) = (
        (simulation.sent - sent) / 50,
        (simulation.sent_bytes - bytes) / 50,
    );
    assert!(messages < 150, "{messages} messages a second and node");
    assert!(bytes < 60_000, "{bytes} bytes a second and node");
}

#[test]
fn two_processes_that_claim_one_incarnation_are_reported() {
    for seed in 0..20 {
        let mut simulation = Simulation::settled(seed, 5);
        let copy = simulation.start(4, 1, "copy:7000");
        let reported = |simulation: &Simulation| {
            let knows = |fault: &Fault| {
                matches!(
                    fault,
                    Fault::Duplicate {
                        node: NodeId(4),
                        incarnation: 1,
                        ..
                    }
                )
            };
            simulation
                .processes
                .iter()
                .any(|process| process.node != NodeId(4) && process.faults.iter().any(knows))
                && (simulation.processes[3].faults.iter().any(knows)
                    || simulation.processes[copy].faults.iter().any(knows))
        };
        let taken = simulation.run_until(milliseconds(2000), reported);
        assert!(taken.is_some(), "seed {seed}");
        let stopped = [3, copy]
            .iter()
            .any(|process| !simulation.processes[*process].gossip.is_running());
        assert!(stopped, "seed {seed}");
    }
}

#[test]
fn a_process_that_was_started_again_elsewhere_falls_silent() {
    for seed in 0..20 {
        let mut simulation = Simulation::settled(seed, 5);
        let restarted = simulation.start(4, 2, "elsewhere:7000");
        let superseded = |simulation: &Simulation| {
            matches!(
                simulation.processes[3].gossip.fault(),
                Some(Fault::Superseded {
                    node: NodeId(4),
                    own: 1,
                    seen: 2,
                    ..
                })
            )
        };
        let taken = simulation.run_until(milliseconds(4000), superseded);
        assert!(taken.is_some(), "seed {seed}");
        simulation.kill(3);
        simulation.run(milliseconds(2000));
        assert!(simulation.all_agree(), "seed {seed}");
        assert!(simulation.processes[restarted].gossip.is_running(), "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let run = |seed, nodes| {
        let mut simulation = Simulation::settled(seed, nodes);
        simulation.loss_percent = 10;
        simulation.kill(1);
        simulation.sides.insert(0, 1);
        simulation.run(milliseconds(1500));
        simulation.sides.clear();
        simulation.start(2, 2, "host-2:7000");
        simulation.run(milliseconds(1500));
        simulation.trace()
    };
    for (nodes, seeds) in [(3, 5), (20, 1)] {
        for seed in 0..seeds {
            assert_eq!(run(seed, nodes), run(seed, nodes), "seed {seed}, {nodes} nodes");
        }
        assert_ne!(run(0, nodes), run(1, nodes), "another seed, another trace");
    }
}
