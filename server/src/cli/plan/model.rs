//! The arithmetic of capacity and durability (`docs/scaling.md`), pure.
//!
//! Invariant: every figure is a function of [`Given`] and of the constants here. What the formulas leave out, such as failures
//! that strike many nodes at once, is said in the document.

use serde::Serialize;

/// Memory of a replica that rests, in bytes, as measured (`docs/scaling.md`, "Idle ranges").
const IDLE_REPLICA_BYTES: f64 = 4_822.0;
/// How full disks are to be: the rest is room for compactions, and for the data of a node that is gone.
const FILL: f64 = 0.75;
/// Replicas of a node that are filled at a time.
const FILLED_AT_ONCE: f64 = 2.0;
/// Seconds of a Julian year.
const YEAR_S: f64 = 365.25 * 24.0 * 3600.0;
/// Ranges a node that let leaders be spread evenly to a twentieth.
const RANGES_A_NODE_MIN: f64 = 20.0;
/// The size of a range, in bytes, that is copied in some minutes.
const RANGE_BYTES_GOOD: f64 = 16e9;
/// The size of a range, in bytes, beyond which moves take long (`docs/scaling.md`, "Limits").
const RANGE_BYTES_MAX: f64 = 50e9;
/// Fewest and most bits of a range that are proposed; a cluster has 8 if nobody says otherwise.
const BITS: std::ops::RangeInclusive<u8> = 8..=16;

/// What is given.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Given {
    /// Nodes, *n*.
    pub(super) nodes: u32,
    /// Copies of an item, *r*.
    pub(super) replication: u8,
    /// The ring has two to the power of this many ranges, *R*.
    pub(super) range_bits: u8,
    /// User's data in bytes, *D*.
    pub(super) data_bytes: f64,
    /// Written by users in the whole cluster, in bytes a second, *w*.
    pub(super) write_bytes_per_second: f64,
    /// The disk of a node in bytes, if it is known.
    pub(super) disk_bytes: Option<f64>,
    /// How often a year a node loses its disk, λ.
    pub(super) losses_a_year: f64,
    /// After how many seconds a node that is away is replaced.
    pub(super) replace_after_s: f64,
    /// How fast a replica is filled, in bytes a second.
    pub(super) fill_bytes_per_second: f64,
    /// Seconds until an operator has another machine in the place of one that is lost, when no other node can take its replicas.
    pub(super) operator_s: f64,
    /// The part of the time that a node is away, *u*.
    pub(super) unavailability: f64,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Figures {
    /// Ranges, *R*.
    pub(super) ranges: f64,
    /// Sets of nodes that hold ranges: in a small cluster, many ranges lie on the same nodes and are lost together.
    pub(super) sets: f64,
    /// Bytes on the disk of a node.
    pub(super) node_bytes: f64,
    /// The disk that a node needs for them, in bytes.
    pub(super) disk_bytes_needed: f64,
    /// Bytes of a range.
    pub(super) range_bytes: f64,
    /// Replicas of a node.
    pub(super) replicas_a_node: f64,
    /// The part of the capacity that is used when the node with most leaders is busy.
    pub(super) evenness: f64,
    /// Memory of the replicas of a node that rest, in bytes.
    pub(super) idle_memory_bytes: f64,
    /// What a node sends for writes, in bytes a second.
    pub(super) sends_bytes_per_second: f64,
    /// Whether other nodes can take the replicas of one that is lost.
    pub(super) heals: bool,
    /// Seconds to fill one replica.
    pub(super) fill_s: f64,
    /// How many rounds of filling there are.
    pub(super) rounds: f64,
    /// Seconds until a lost replica is there again, *T*.
    pub(super) repair_s: f64,
    /// How many replicas must be lost for a range to be without a majority.
    pub(super) majority: u8,
    /// How often a year a given range is lost.
    pub(super) range_losses_a_year: f64,
    /// How often a year any range is lost.
    pub(super) losses_a_year: f64,
    /// Nines of an item's durability in a year.
    pub(super) nines: f64,
    /// How often a year any range is without a majority of its replicas, for good.
    pub(super) majority_losses_a_year: f64,
    /// Seconds a year that an item cannot be reached because nodes are away.
    pub(super) unavailable_s_a_year: f64,
    /// The bits of a range that suit this cluster.
    pub(super) range_bits_proposed: u8,
    /// The fewest nodes on whose disks the data fits, if the disks are known.
    pub(super) nodes_needed: Option<f64>,
}

/// Works everything out.
pub(super) fn figures(given: &Given) -> Figures {
    let (n, r) = (f64::from(given.nodes), f64::from(given.replication));
    // There are no more copies than nodes.
    let copies = r.min(n);
    let ranges = 2_f64.powi(i32::from(given.range_bits));
    let node_bytes = given.data_bytes * copies / n;
    let range_bytes = given.data_bytes / ranges;
    let replicas_a_node = ranges * copies / n;
    let fill_s = range_bytes / given.fill_bytes_per_second;
    let heals = n > copies;
    let (rounds, waiting) = if heals {
        // One more, because replicas do not spread evenly.
        let takers = FILLED_AT_ONCE * (n - 1.0);
        ((replicas_a_node / takers).ceil() + 1.0, given.replace_after_s)
    } else {
        ((replicas_a_node / FILLED_AT_ONCE).ceil(), given.operator_s)
    };
    let repair_s = waiting + rounds * fill_s;
    let copies_whole = given
        .replication
        .min(u8::try_from(given.nodes).unwrap_or(u8::MAX));
    let majority = copies_whole / 2 + 1;
    let rate = |lost: u8| losses(copies_whole, lost, given.losses_a_year, repair_s / YEAR_S);
    let range_losses_a_year = rate(copies_whole);
    let sets = ranges.min(choose(given.nodes, copies_whole));
    let away = choose(copies_whole.into(), majority) * given.unavailability.powi(i32::from(majority));
    Figures {
        ranges,
        sets,
        node_bytes,
        disk_bytes_needed: node_bytes / FILL,
        range_bytes,
        replicas_a_node,
        evenness: evenness(ranges, n),
        idle_memory_bytes: replicas_a_node * IDLE_REPLICA_BYTES,
        sends_bytes_per_second: given.write_bytes_per_second * copies / n,
        heals,
        fill_s,
        rounds,
        repair_s,
        majority,
        range_losses_a_year,
        losses_a_year: sets * range_losses_a_year,
        nines: -range_losses_a_year.log10(),
        majority_losses_a_year: sets * rate(majority),
        unavailable_s_a_year: away * YEAR_S,
        range_bits_proposed: bits(n, given.data_bytes),
        nodes_needed: given
            .disk_bytes
            .map(|disk| (given.data_bytes * r / (disk * FILL)).ceil().max(r)),
    }
}

/// The part of the capacity that can be used: with *R* ranges some node leads ⌈*R*/*n*⌉ of them.
fn evenness(ranges: f64, nodes: f64) -> f64 {
    (ranges / nodes) / (ranges / nodes).ceil()
}

/// How often a year `lost` of `copies` replicas are lost, each of the later ones within `within` years of the one before: the
/// first of any, then any of those that are left.
fn losses(copies: u8, lost: u8, losses_a_year: f64, within: f64) -> f64 {
    (0..lost)
        .map(|before| {
            let left = f64::from(copies - before) * losses_a_year;
            if before == 0 { left } else { left * within }
        })
        .product()
}

fn choose(of: u32, some: u8) -> f64 {
    (0..some)
        .map(|step| f64::from(of.saturating_sub(step.into())) / f64::from(step + 1))
        .product()
}

/// The fewest bits with which leaders are spread evenly and ranges are copied quickly.
fn bits(nodes: f64, data_bytes: f64) -> u8 {
    let suits = |bits: &u8| {
        let ranges = 2_f64.powi(i32::from(*bits));
        ranges >= RANGES_A_NODE_MIN * nodes && data_bytes / ranges <= RANGE_BYTES_GOOD
    };
    BITS.into_iter().find(suits).unwrap_or(*BITS.end())
}

/// What an operator should think about.
pub(super) fn advice(given: &Given, figures: &Figures) -> Vec<String> {
    let mut advice = Vec::new();
    if u32::from(given.replication) > given.nodes {
        advice.push(format!(
            "{} copies do not fit on {} nodes: there are {} until others have joined",
            given.replication, given.nodes, given.nodes
        ));
    }
    if given.replication < 3 {
        advice.push(
            "fewer than 3 copies bear no loss of a node without a loss of data or of service".to_owned(),
        );
    } else if given.replication.is_multiple_of(2) {
        advice.push("an even number of copies bears no more failures than one copy less".to_owned());
    }
    if !figures.heals {
        advice.push(
            "no node is left over for the replicas of one that is lost: one more node makes the cluster heal by itself".to_owned(),
        );
    }
    if let (Some(disk), Some(needed)) = (given.disk_bytes, figures.nodes_needed)
        && figures.disk_bytes_needed > disk
    {
        advice.push(format!(
            "the disks are too small: larger ones, or {needed:.0} nodes"
        ));
    }
    if figures.range_bytes > RANGE_BYTES_MAX {
        advice.push(
            "ranges of this size take long to move; range_bits is settled when a cluster is made".to_owned(),
        );
    }
    if figures.range_bits_proposed != given.range_bits {
        advice.push(format!(
            "range_bits = {} suits this cluster; it is settled when a cluster is made, and should suit what it will grow to",
            figures.range_bits_proposed
        ));
    }
    if figures.nines < 9.0 {
        advice.push("fewer than 9 nines: shorten the repair, add copies, and have backups".to_owned());
    }
    advice
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The cluster of `docs/scaling.md`.
    pub(in crate::cli::plan) fn petabyte() -> Given {
        Given {
            nodes: 1_000,
            replication: 3,
            range_bits: 16,
            data_bytes: 1e15,
            write_bytes_per_second: 50e9,
            disk_bytes: Some(4e12),
            losses_a_year: 0.04,
            replace_after_s: 600.0,
            fill_bytes_per_second: 67_108_864.0,
            operator_s: 86_400.0,
            unavailability: 1e-4,
        }
    }

    fn close(left: f64, right: f64, part: f64) {
        assert!((left / right - 1.0).abs() < part, "{left} is not about {right}");
    }

    #[test]
    fn the_figures_of_the_document_come_out() {
        let figures = figures(&petabyte());
        close(figures.node_bytes, 3e12, 1e-9);
        close(figures.disk_bytes_needed, 4e12, 1e-9);
        close(figures.range_bytes, 15.3e9, 0.01);
        close(figures.replicas_a_node, 197.0, 0.01);
        close(figures.idle_memory_bytes, 1e6, 0.06);
        close(figures.evenness, 0.99, 0.01);
        close(figures.sends_bytes_per_second, 150e6, 1e-9);
        close(figures.fill_s, 228.0, 0.01);
        close(figures.repair_s, 1_056.0, 0.01);
        assert!(figures.heals);
        assert_eq!((figures.majority, figures.range_bits_proposed), (2, 16));
        close(figures.unavailable_s_a_year, 0.95, 0.01);
        assert_eq!(advice(&petabyte(), &figures), <[&str; 0]>::default());
    }

    #[test]
    fn the_table_of_durability_comes_out() {
        for (repair_s, range, nines, any, majority, five) in [
            (20.0 * 60.0, 5.6e-13, 12.3, 3.6e-8, 0.024, 22.6),
            (2.0 * 3_600.0, 2.0e-11, 10.7, 1.3e-6, 0.14, 19.5),
            (24.0 * 3_600.0, 2.9e-9, 8.5, 1.9e-4, 1.7, 15.2),
            (7.0 * 86_400.0, 1.4e-7, 6.9, 9.2e-3, 12.0, 11.8),
        ] {
            // All of it is waiting.
            let given = |replication| Given {
                replication,
                replace_after_s: repair_s,
                fill_bytes_per_second: 1e30,
                ..petabyte()
            };
            let three = figures(&given(3));
            close(three.range_losses_a_year, range, 0.03);
            close(three.nines, nines, 0.01);
            close(three.losses_a_year, any, 0.03);
            close(three.majority_losses_a_year, majority, 0.05);
            close(figures(&given(5)).nines, five, 0.01);
        }
    }

    #[test]
    fn small_clusters_have_no_more_copies_than_nodes_and_wait_for_their_operator() {
        let given = Given {
            nodes: 3,
            range_bits: 8,
            data_bytes: 1e12,
            disk_bytes: Some(1e12),
            ..petabyte()
        };
        let three = figures(&given);
        assert!(!three.heals);
        assert!(three.repair_s > given.operator_s);
        assert_eq!(three.nodes_needed, Some(4.0));
        // All ranges lie on the same nodes.
        close(three.losses_a_year, three.range_losses_a_year, 1e-9);
        let said = advice(&given, &three).join("\n");
        for words in ["no node is left over", "or 4 nodes", "fewer than 9 nines"] {
            assert!(said.contains(words), "{words}: {said}");
        }
        let one = figures(&Given { nodes: 1, ..given });
        close(one.node_bytes, 1e12, 1e-9);
        close(one.range_losses_a_year, 0.04, 1e-9);
        assert_eq!(one.majority, 1);
    }

    #[test]
    fn evenness_is_that_of_the_document() {
        close(evenness(512.0, 48.0), 0.97, 0.01);
        close(evenness(65_536.0, 1_000.0), 0.99, 0.01);
        assert_eq!(bits(3.0, 1e12), 8);
        assert_eq!(bits(48.0, 1e12), 10);
    }
}
