//! `bench ttl`: what clients notice of many items that fall due at once.
//!
//! One node, and GetItem and PutItem in turn at a fixed rate below what it can take. In each round the items are written,
//! all due in the same second; the time before that second is the peer, the time from it to the end of the last of them is
//! ours, so that both are of the same data, minute and rate. Invariant: a round counts only if all items were there before
//! they were due, and a scan finds none of them at its end. Not here: what a sweep may cost (`server/src/sweeper.rs`).

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::Value;

use super::api::{Bodies, ITEMS, Ours, TABLE, member};
use super::foreground::{Clients, Figures, Foreground, LATENCIES};
use super::load::{Generator, Until};
use super::report::Row;
use super::rounds::{Effort, median};
use super::sign::Pool;
use crate::cargo::Workspace;
use crate::{Result, clock};

const BENCH: &str = "ttl";
const PEER: &str = "before they are due";
/// Items of one BatchWriteItem: the most that it takes.
const BATCH: u32 = 25;
/// How long a node takes before it looks for due items again, and some more for the clocks.
const MARGIN: Duration = Duration::from_secs(3);
/// How often it is looked how many are left.
const LOOK: Duration = Duration::from_millis(100);
/// Due items that are there after so long stay there.
const LOST_AFTER: Duration = Duration::from_mins(10);
/// How many due items a node deletes in a second at most, `sweep_items_per_second` of `stator dev`.
const BOUND: f64 = 2_000.0;
/// After how many seconds the last one is to be gone.
const AIM: f64 = 60.0;

#[derive(Args)]
pub(super) struct Arguments {
    /// How many items fall due at once in each round.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..))]
    items: u32,
    #[command(flatten)]
    clients: Clients,
}

/// Runs the bench.
pub(super) fn run(workspace: &Workspace, arguments: &Arguments, effort: Effort) -> Result<Vec<Row>> {
    let stator = arguments.clients.server(workspace)?;
    let folder = tempfile::Builder::new()
        .prefix("bench-ttl-")
        .tempdir_in(&workspace.target)?;
    let bodies = Bodies::new();
    let ours = Ours::start(&stator, folder.path(), "interval", &bodies, "")?;
    enable_time_to_live(&ours)?;
    let mut foreground = Foreground::new(&ours, &bodies)?;
    let writes = foreground.settle_rate(arguments.clients.rate, effort)?;
    let rate = foreground.rate;
    eprintln!("bench ttl: {rate:.0} requests/s");
    // Twice what single writes would take, for batches of them.
    let writing = Duration::from_secs_f64(2.0 * f64::from(arguments.items) / writes);
    let lead = writing + effort.round * 2 + MARGIN;
    let rounds = (0..effort.rounds.div_ceil(2))
        .map(|number| {
            let round = round(&ours, &mut foreground, arguments.items, lead, effort.round * 2)?;
            eprintln!("bench ttl: round {}: {round}", number + 1);
            Ok(round)
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(rows(&rounds, rate, arguments.items))
}

/// What one round has found.
#[derive(Debug)]
struct Round {
    before: Figures,
    during: Figures,
    sweep: Sweep,
}

impl std::fmt::Display for Round {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ([_, get, _, put], [_, due_get, _, due_put]) = (self.before.us, self.during.us);
        write!(
            f,
            "p99 of GetItem {get:.0} us, then {due_get:.0}; of PutItem {put:.0} us, then {due_put:.0}; gone after {:.1} s",
            self.sweep.gone.as_secs_f64()
        )
    }
}

/// How due items have gone, from the moment at which they were due.
#[derive(Clone, Copy, Debug)]
struct Sweep {
    /// All of them were still there.
    begun: Duration,
    /// None was.
    gone: Duration,
}

impl Sweep {
    fn length(&self) -> Duration {
        self.gone.saturating_sub(self.begun)
    }
}

/// Writes items that are due after `lead`, and measures for `quiet` before that and until all of them are gone.
fn round(
    ours: &Ours,
    foreground: &mut Foreground<'_>,
    items: u32,
    lead: Duration,
    quiet: Duration,
) -> Result<Round> {
    // The first whole second behind it.
    let due_s = (clock::time_of_day() + lead)
        .duration_since(UNIX_EPOCH)?
        .as_secs()
        + 1;
    let due = UNIX_EPOCH + Duration::from_secs(due_s);
    write_due(ours, &mut foreground.generator, items, due_s)?;
    if clock::time_of_day() + quiet > due || count(ours)? != ITEMS + u64::from(items) {
        return Err(format!("{items} items were not all there {quiet:?} before they were due").into());
    }
    foreground.work(|| clock::time_of_day() + quiet < due)?;
    let before = foreground.work(|| clock::time_of_day() < due)?;
    let over = AtomicBool::new(false);
    let (during, sweep) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let sweep = watch(ours, items, due).map_err(|error| error.to_string());
            over.store(true, Ordering::Relaxed);
            sweep
        });
        let during = foreground.work(|| !over.load(Ordering::Relaxed));
        let sweep = watching.join().map_err(|_| "who watches has panicked")??;
        Result::Ok((during?, sweep))
    })?;
    let left = scan(ours)?;
    if left != ITEMS {
        return Err(format!("a scan finds {left} items at the end, not {ITEMS}").into());
    }
    Ok(Round {
        before,
        during,
        sweep,
    })
}

/// Looks how many items are left until all that were due are gone.
fn watch(ours: &Ours, items: u32, due: SystemTime) -> Result<Sweep> {
    let start: Instant = clock::now();
    // It is due already; between the two looks at clocks there is next to nothing.
    let late = clock::time_of_day().duration_since(due).unwrap_or_default();
    let mut begun = late;
    loop {
        let at = late + start.elapsed();
        match count(ours)? {
            left if left <= ITEMS => {
                return Ok(Sweep {
                    begun,
                    gone: late + start.elapsed(),
                });
            }
            left if left == ITEMS + u64::from(items) => begun = at,
            _ => {}
        }
        if at > LOST_AFTER {
            return Err(format!("some items are there {} s after they were due", at.as_secs()).into());
        }
        std::thread::park_timeout(LOOK);
    }
}

/// How many items the table has by its own account, which costs the server nothing.
fn count(ours: &Ours) -> Result<u64> {
    let table = ours.call("DescribeTable", &format!(r#"{{"TableName":"{TABLE}"}}"#))?;
    let count = member(&table, &["Table", "ItemCount"])?;
    count
        .as_u64()
        .ok_or_else(|| format!("no ItemCount in {table}").into())
}

/// How many items a scan finds.
fn scan(ours: &Ours) -> Result<u64> {
    let (mut found, mut from) = (0, String::new());
    loop {
        let page = ours.call(
            "Scan",
            &format!(r#"{{"TableName":"{TABLE}","Select":"COUNT","ConsistentRead":true{from}}}"#),
        )?;
        found += member(&page, &["Count"])?
            .as_u64()
            .ok_or("a scan without a count")?;
        match member(&page, &["LastEvaluatedKey"])? {
            Value::Null => return Ok(found),
            key => from = format!(r#","ExclusiveStartKey":{key}"#),
        }
    }
}

fn enable_time_to_live(ours: &Ours) -> Result<()> {
    ours.call(
        "UpdateTimeToLive",
        &format!(
            r#"{{"TableName":"{TABLE}","TimeToLiveSpecification":{{"AttributeName":"due","Enabled":true}}}}"#
        ),
    )?;
    let start = clock::now();
    loop {
        let told = ours.call("DescribeTimeToLive", &format!(r#"{{"TableName":"{TABLE}"}}"#))?;
        if told.contains(r#""ENABLED""#) {
            return Ok(());
        }
        if start.elapsed() > LOST_AFTER {
            return Err("the time to live is still not enabled".into());
        }
        std::thread::park_timeout(LOOK);
    }
}

/// Writes the items.
fn write_due(ours: &Ours, generator: &mut Generator, items: u32, due_s: u64) -> Result<()> {
    let bodies = due_bodies(items, due_s);
    let mut pool = Pool::new(&ours.signer, "BatchWriteItem", &bodies, clock::time_of_day())?;
    let mut requests = pool.requests(clock::time_of_day())?;
    generator.run(&mut requests, Until::Sent(bodies.len()))?;
    Ok(())
}

/// Bodies of BatchWriteItem that put so many items with this time.
fn due_bodies(items: u32, due_s: u64) -> Vec<String> {
    let numbers: Vec<u32> = (0..items).collect();
    let batches = numbers.chunks(usize::try_from(BATCH).unwrap_or(usize::MAX));
    batches
        .map(|batch| {
            let mut puts = String::new();
            for number in batch {
                let comma = if puts.is_empty() { "" } else { "," };
                // Writing to a String cannot fail.
                write!(
                    puts,
                    r#"{comma}{{"PutRequest":{{"Item":{{"id":{{"S":"due#{number:011}"}},"due":{{"N":"{due_s}"}},"notes":{{"S":"{number:0100}"}}}}}}}}"#
                )
                .ok();
            }
            format!(r#"{{"RequestItems":{{"{TABLE}":[{puts}]}}}}"#)
        })
        .collect()
}

/// The medians of all rounds.
fn rows(rounds: &[Round], rate: f64, items: u32) -> Vec<Row> {
    let of = |figure: &dyn Fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
    let row = |name: &str, ours, (peer, theirs), unit| Row {
        bench: BENCH,
        name: name.to_owned(),
        ours,
        peer,
        theirs,
        unit,
    };
    let mut rows: Vec<Row> = (LATENCIES.iter().enumerate())
        .map(|(place, (operation, unit))| {
            let name = format!("{operation} while {items} expire");
            let theirs = of(&|round| round.before.us[place]);
            row(&name, of(&|round| round.during.us[place]), (PEER, theirs), unit)
        })
        .collect();
    let made = of(&|round| round.during.rate);
    rows.push(row(
        "both together",
        made,
        ("the rate asked for", rate),
        "requests/s",
    ));
    let swept = of(&|round| f64::from(items) / round.sweep.length().as_secs_f64());
    rows.push(row("sweep", swept, ("the bound", BOUND), "items/s"));
    let gone = of(&|round| round.sweep.gone.as_secs_f64());
    rows.push(row("the last is gone after", gone, ("the aim", AIM), "s"));
    rows
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use serde_json::Value;

    use super::{Figures, Round, Sweep, due_bodies, rows};

    #[test]
    fn each_item_is_written_once_with_its_time() {
        let mut ids = HashSet::new();
        for body in due_bodies(51, 1_700_000_000) {
            let body: Value = serde_json::from_str(&body).unwrap();
            let puts = body["RequestItems"]["bench"].as_array().unwrap();
            assert!(puts.len() <= 25);
            for put in puts {
                let item = &put["PutRequest"]["Item"];
                assert_eq!(item["due"]["N"], "1700000000");
                ids.insert(item["id"]["S"].to_string());
            }
        }
        assert_eq!(ids.len(), 51);
    }

    #[test]
    fn rows_are_medians_with_the_peer_of_the_same_rounds() {
        let figures = |us| Figures {
            us: [us; 4],
            rate: 10.0,
        };
        let rounds: Vec<Round> = [1.0, 2.0, 300.0]
            .map(|us| Round {
                before: figures(us),
                during: figures(2.0 * us),
                sweep: Sweep {
                    begun: Duration::from_secs(1),
                    gone: Duration::from_secs(6),
                },
            })
            .into();
        let rows = rows(&rounds, 20.0, 100);
        let found: Vec<(f64, f64)> = rows.iter().map(|row| (row.ours, row.theirs)).collect();
        assert_eq!(
            found,
            [
                (4.0, 2.0),
                (4.0, 2.0),
                (4.0, 2.0),
                (4.0, 2.0),
                (10.0, 20.0),
                (20.0, 2000.0),
                (6.0, 60.0)
            ]
        );
    }
}
