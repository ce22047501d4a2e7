//! Requests of one node whose cells are led by another.

use parking_lot::Mutex;

use super::three::{Hub, retried, three_with};
use super::transact::{HIGH, LOW, bank, transact};
use super::*;
use crate::TransactionOutcome;
use crate::follow::{Kept, ROOT, Request, RequestName, Span, Step, Tracer, follow, with_name};

/// Says under which request commands were decided.
#[derive(Debug, Default)]
struct Names(Mutex<Vec<Option<String>>>);

impl Commands for Names {
    fn decide(&self, command: &Bytes, current: Option<&Cell>) -> Result<Verdict<Vec<u8>>, MalformedCommand> {
        self.0.lock().push(with_name(str::to_owned));
        Appends.decide(command, current)
    }

    fn weigh(&self, cell: &[u8]) -> u64 {
        Appends.weigh(cell)
    }
}

fn find(spans: &[Span], is_it: impl Fn(&Step) -> bool) -> Vec<Span> {
    let found = spans.iter().filter(|span| is_it(&span.step) && !span.failed);
    found.copied().collect()
}

/// One write and one read under a request that comes to node 1.
async fn write_and_read(node: &Cluster, keyspace: Keyspace, key: &[u8], known: impl Fn() -> Request) {
    let write = async || {
        let options = WriteOptions::default();
        let writing = node.write(keyspace, key, options, &Append(9));
        follow(known(), writing).await
    };
    retried(write).await;
    let read = async || {
        let reading = node.read(keyspace, key, ConsistencyLevel::Quorum);
        follow(known(), reading).await
    };
    assert!(retried(read).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trace_and_the_id_go_with_a_request_to_the_leader() {
    let kept = [1, 2, 3].map(Kept::of);
    let tracer = |kept: &Arc<Kept>| Arc::clone(kept) as Arc<dyn Tracer>;
    let hub = Hub {
        tracers: (1..).map(NodeId).zip(kept.iter().map(tracer)).collect(),
        ..Hub::default()
    };
    let names = Arc::<Names>::default();
    let three = three_with(3, &hub, Arc::clone(&names) as Arc<dyn Commands>).await;
    let node = &three.nodes[0];
    let keyspace = retried(async || node.create_keyspace("k").await).await;
    let known = || Request::new(RequestName::new(b"REQUEST7")).traced(Some(kept[0].trace()));
    for first in [0x00, 0x40, 0x80, 0xC0] {
        write_and_read(node, keyspace, &[first, 1, 1, 1, 1, 1, 1, 1, 7], known).await;
    }
    let own = kept[0].spans();
    let others: Vec<Span> = kept[1..].iter().flat_map(|kept| kept.spans()).collect();
    let routes = find(&own, |step| matches!(step, Step::Route { .. }));
    assert!(
        routes.iter().all(|route| route.parent == ROOT) && routes.len() >= 8,
        "{routes:?}"
    );
    for (what, parts) in [
        ("Write", &[Step::Decide, Step::Commit, Step::Apply][..]),
        ("Read", &[Step::Barrier, Step::Read]),
    ] {
        let asked = find(
            &own,
            |step| matches!(step, Step::Ask { what: kind, .. } if *kind == what),
        );
        assert!(!asked.is_empty(), "other nodes lead some of four ranges");
        for ask in asked {
            assert!(routes.iter().any(|route| route.id == ask.parent), "{ask:?}");
            let from = NodeId(1);
            let served = find(&others, |step| *step == Step::Serve { node: from, what });
            let served = served.iter().find(|served| served.parent == ask.id).unwrap();
            assert_eq!(served.trace, ask.trace);
            for part in parts {
                let parts = find(&others, |step| step == part);
                assert!(
                    parts.iter().any(|part| part.parent == served.id),
                    "{part:?} of {served:?}"
                );
            }
        }
    }
    let names = names.0.lock().clone();
    assert!(
        !names.is_empty() && names.iter().all(|name| name.as_deref() == Some("REQUEST7")),
        "{names:?}"
    );
    three.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_has_the_steps_of_its_entries() {
    let (_directory, cluster, keyspace) = bank().await;
    let both = [(LOW[0], "+5"), (HIGH[0], "+5")];
    // Alone in its range, as one entry; across two, with a part and its end in each, and what the ledger says of it.
    // What was prepared is carried out without another decision.
    for (some, decisions, entries) in [(&[(LOW[0], "+5"), (LOW[1], "+5")], 1, 1), (&both, 4, 5)] {
        let kept = Kept::of(1);
        let request = Request::new(RequestName::new(b"REQUEST8")).traced(Some(kept.trace()));
        let outcome = follow(request, transact(&cluster, keyspace, some, None)).await;
        assert!(matches!(outcome, TransactionOutcome::Done { .. }), "{outcome:?}");
        let spans = kept.spans();
        for (step, times) in [
            (Step::Decide, decisions),
            (Step::Log, entries),
            (Step::Commit, entries),
            (Step::Apply, entries),
        ] {
            let found = find(&spans, |other| *other == step).len();
            assert!(found >= times, "{found} times {step:?} in {spans:?}");
        }
        assert!(spans.iter().all(|span| !span.failed), "{spans:?}");
    }
    cluster.close().unwrap();
}
