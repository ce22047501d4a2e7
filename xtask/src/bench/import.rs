//! `bench import`: how many items a second ImportTable writes, from CSV and from DynamoDB JSON, beside clients that put the same
//! items in batches as fast as the node takes them; and how much of the machine each of the two takes.
//!
//! One node, which has the bucket on its own disk. The items are the 200,000 flights of a published package, which are small: what
//! an item costs by itself counts, not its bytes. Invariant: an import counts only if it has taken over every flight. Not
//! here: whether they are the same afterwards (`compat-tests`).

use std::fmt::Write as _;
use std::fs;
use std::thread::available_parallelism;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::api::{Bodies, Ours, member};
use super::backup::{only_folder_in, wait_until, wait_until_active};
use super::load::{Generator, Until};
use super::report::Row;
use super::sign::Pool;
use crate::cargo::{self, Workspace};
use crate::{Result, clock, dataset};

const BENCH: &str = "import";
/// How many flights this version of the package has.
const FLIGHTS: usize = 200_000;
/// Items a second that an import aims at.
const AIM: f64 = 50_000.0;
/// Where `stator dev` has its buckets, in its data directory.
const BUCKETS: &str = "buckets";
const BUCKET: &str = "flights";
/// Items of one BatchWriteItem: the most that it takes.
const BATCH: usize = 25;
const CONNECTIONS: usize = 8;

/// A flight, as the package has it.
#[derive(Debug, Deserialize)]
struct Flight {
    delay: i64,
    distance: i64,
    /// Of its departure, in hours since midnight.
    time: f64,
}

/// What writing all flights took.
#[derive(Debug, Clone, Copy)]
struct Cost {
    elapsed: Duration,
    /// CPU time of the node.
    cpu: Duration,
}

impl Cost {
    fn items_per_second(self) -> f64 {
        // So few flights are exact as a float.
        #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
        let flights = FLIGHTS as f64;
        flights / self.elapsed.as_secs_f64()
    }

    fn cores(self) -> f64 {
        self.cpu.as_secs_f64() / self.elapsed.as_secs_f64()
    }
}

/// Runs the bench.
pub(super) fn run(workspace: &Workspace) -> Result<Vec<Row>> {
    let stator = cargo::build(
        workspace,
        &["--release", "--package", "stator", "--bin", "stator"],
    )?
    .get("bin", "stator")?;
    let flights = fs::read(dataset::get(workspace, dataset::FLIGHTS)?)?;
    let flights: Vec<Flight> = serde_json::from_slice(&flights)?;
    if flights.len() != FLIGHTS {
        return Err(format!("the package has {} flights, not {FLIGHTS}", flights.len()).into());
    }
    let folder = tempfile::Builder::new()
        .prefix("bench-import-")
        .tempdir_in(&workspace.target)?;
    let ours = Ours::start(&stator, folder.path(), "interval", &Bodies::new(), "")?;
    let bucket = only_folder_in(folder.path())?.join(BUCKETS).join(BUCKET);
    for (format, text) in [("CSV", csv(&flights)), ("DYNAMODB_JSON", json(&flights))] {
        let objects = bucket.join(format);
        fs::create_dir_all(&objects)?;
        fs::write(objects.join("all"), text)?;
    }
    let batches = put(&ours, &flights)?;
    let mut rows = Vec::new();
    for format in ["CSV", "DYNAMODB_JSON"] {
        eprintln!("bench import: {format}");
        rows.extend(beside(format, import(&ours, format)?, batches)?);
    }
    Ok(rows)
}

/// The rows of an import.
fn beside(format: &str, ours: Cost, batches: Cost) -> Result<[Row; 3]> {
    let row = |name: &str, ours, (peer, theirs), unit| Row {
        bench: BENCH,
        name: format!("{format}{name}"),
        ours,
        peer,
        theirs,
        unit,
    };
    let machine = u32::try_from(available_parallelism()?.get())?;
    Ok([
        row(
            "",
            ours.items_per_second(),
            ("BatchWriteItem, 8 clients", batches.items_per_second()),
            "items/s",
        ),
        row(
            " and the aim",
            ours.items_per_second(),
            ("the aim", AIM),
            "items/s",
        ),
        row(
            " cores of the node",
            ours.cores(),
            ("of the machine", f64::from(machine)),
            "cores",
        ),
    ])
}

/// What an import of the files of a format costs.
fn import(ours: &Ours, format: &str) -> Result<Cost> {
    let before = ours.process.all_cpu_time()?;
    let start = clock::now();
    let asked = ours.call(
        "ImportTable",
        &format!(
            r#"{{"S3BucketSource":{{"S3Bucket":"{BUCKET}","S3KeyPrefix":"{format}/"}},"InputFormat":"{format}","TableCreationParameters":{}}}"#,
            table(format)
        ),
    )?;
    let arn = member(&asked, &["ImportTableDescription", "ImportArn"])?;
    let mut described = Value::Null;
    wait_until("the import is over", || {
        let told = ours.call("DescribeImport", &format!(r#"{{"ImportArn":{arn}}}"#))?;
        described = member(&told, &["ImportTableDescription"])?;
        Ok(described["ImportStatus"] != "IN_PROGRESS")
    })?;
    let cost = Cost {
        elapsed: start.elapsed(),
        cpu: ours.process.all_cpu_time()?.saturating_sub(before),
    };
    if described["ImportedItemCount"] != FLIGHTS {
        return Err(format!("not all flights were imported: {described}").into());
    }
    Ok(cost)
}

/// What clients that put all flights cost.
fn put(ours: &Ours, flights: &[Flight]) -> Result<Cost> {
    ours.call("CreateTable", &table("clients"))?;
    wait_until_active(ours, "clients")?;
    let numbered: Vec<_> = flights.iter().enumerate().collect();
    let bodies: Vec<String> = numbered.chunks(BATCH).map(batch).collect();
    let mut pool = Pool::new(&ours.signer, "BatchWriteItem", &bodies, clock::time_of_day())?;
    let mut requests = pool.requests(clock::time_of_day())?;
    let mut generator = Generator::connect(ours.process.ready.address()?, CONNECTIONS)?;
    let (before, start) = (ours.process.all_cpu_time()?, clock::now());
    generator.run(&mut requests, Until::Sent(bodies.len()))?;
    Ok(Cost {
        elapsed: start.elapsed(),
        cpu: ours.process.all_cpu_time()?.saturating_sub(before),
    })
}

/// A table keyed by the number of a flight.
fn table(name: &str) -> String {
    format!(
        r#"{{"TableName":"{name}","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{{"AttributeName":"id","AttributeType":"N"}}],"KeySchema":[{{"AttributeName":"id","KeyType":"HASH"}}]}}"#
    )
}

/// The body of a BatchWriteItem.
fn batch(flights: &[(usize, &Flight)]) -> String {
    let puts: Vec<String> = flights
        .iter()
        .map(|(id, flight)| format!(r#"{{"PutRequest":{{"Item":{}}}}}"#, item(*id, flight)))
        .collect();
    format!(r#"{{"RequestItems":{{"clients":[{}]}}}}"#, puts.join(","))
}

fn item(id: usize, flight: &Flight) -> String {
    let Flight {
        delay,
        distance,
        time,
    } = flight;
    format!(
        r#"{{"id":{{"N":"{id}"}},"delay":{{"N":"{delay}"}},"distance":{{"N":"{distance}"}},"time":{{"N":"{time}"}}}}"#
    )
}

fn json(flights: &[Flight]) -> String {
    let mut text = String::new();
    for (id, flight) in flights.iter().enumerate() {
        // Writing to a String cannot fail.
        writeln!(text, r#"{{"Item":{}}}"#, item(id, flight)).ok();
    }
    text
}

fn csv(flights: &[Flight]) -> String {
    let mut text = "id,delay,distance,time\n".to_owned();
    for (
        id,
        Flight {
            delay,
            distance,
            time,
        },
    ) in flights.iter().enumerate()
    {
        // As above.
        writeln!(text, "{id},{delay},{distance},{time}").ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flights() -> Vec<Flight> {
        serde_json::from_str(r#"[{"delay":-3,"distance":405,"time":18.5},{"delay":0,"distance":1,"time":0}]"#)
            .unwrap()
    }

    #[test]
    fn flights_are_the_same_in_each_form() {
        let flights = flights();
        assert_eq!(csv(&flights), "id,delay,distance,time\n0,-3,405,18.5\n1,0,1,0\n");
        let first: Value = serde_json::from_str(json(&flights).lines().next().unwrap()).unwrap();
        let expected = r#"{"id":{"N":"0"},"delay":{"N":"-3"},"distance":{"N":"405"},"time":{"N":"18.5"}}"#;
        let expected: Value = serde_json::from_str(expected).unwrap();
        assert_eq!(first["Item"], expected);
        let numbered: Vec<_> = flights.iter().enumerate().collect();
        let batch: Value = serde_json::from_str(&batch(&numbered)).unwrap();
        assert_eq!(
            batch["RequestItems"]["clients"][0]["PutRequest"]["Item"],
            expected
        );
    }
}
