//! What one decision costs: `cargo run --release -p stator-iam --example decide_cost`.
//!
//! A user with five policies, a permissions boundary and a table with a policy asks for an item, on one thread, with
//! everything compiled. Printed: the median of 21 rounds.
#![expect(clippy::print_stdout, reason = "printing is what this example is for")]
#![expect(clippy::unwrap_used, reason = "an example stops where its assumption fails")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock itself")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use stator_iam::policy::{
    ContextKeys, DocumentKind, Policy, PrincipalPolicies, Request, Value, Values, decide,
};

const ROUNDS: usize = 21;
const CALLS_A_ROUND: u32 = 50_000;
const ACCOUNT: &str = "000000000000";
const TABLE: &str = "arn:aws:dynamodb:eu-west-1:000000000000:table/orders-2026";

/// Nanoseconds a call, the median of the rounds.
fn median_ns(mut call: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..CALLS_A_ROUND {
                call();
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS_A_ROUND)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

/// What a GetItem over TLS has.
struct GetItem;

impl ContextKeys for GetItem {
    fn values(&self, key: &str) -> Values<'_> {
        match key {
            "dynamodb:leadingkeys" => Values::texts(["ann"]),
            "dynamodb:attributes" => Values::texts(["id", "total", "state"]),
            "dynamodb:select" => Values::text("SPECIFIC_ATTRIBUTES"),
            "aws:sourceip" => Values::One(Value::Address(IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3)))),
            "aws:securetransport" => Values::One(Value::Bool(true)),
            "aws:currenttime" => Values::One(Value::Time(1_790_000_000_000)),
            _ => Values::Absent,
        }
    }
}

fn policy(statements: &str, kind: DocumentKind) -> Arc<Policy> {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    Arc::new(Policy::parse(&text, kind).unwrap())
}

fn main() {
    let identity = |statements: &str| policy(statements, DocumentKind::Identity);
    let simple = identity(
        r#"{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],
            "Resource":"arn:aws:dynamodb:*:000000000000:table/orders-*"}"#,
    );
    let elsewhere = identity(r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::bucket/*"}"#);
    let guarded = identity(
        r#"{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}},
           {"Effect":"Deny","Action":"*","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":["10.0.0.0/8"]}}},
           {"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateGreaterThan":{"aws:CurrentTime":"2030-01-01"}}}"#,
    );
    let fine = identity(
        r#"{"Effect":"Allow","Action":"dynamodb:*","Resource":"arn:aws:dynamodb:*:*:table/orders-*",
            "Condition":{"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":["${aws:username}"],
            "dynamodb:Attributes":["id","total","state"]},"StringEqualsIfExists":{"dynamodb:Select":"SPECIFIC_ATTRIBUTES"}}}"#,
    );
    let resource = policy(
        r#"{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::000000000000:user/eve"},"Action":"*","Resource":"*"}"#,
        DocumentKind::Resource,
    );
    let boundary = identity(r#"{"Effect":"Allow","Action":["dynamodb:*","s3:*"],"Resource":"*"}"#);
    let request = Request {
        action: "dynamodb:GetItem",
        resource: TABLE,
        context: &GetItem,
    };

    let mut user = PrincipalPolicies::user(ACCOUNT, "/", "ann", "AIDAANN");
    user.identity = vec![Arc::clone(&simple)];
    let one = median_ns(|| {
        assert!(decide(black_box(&request), black_box(&user), None).is_allowed());
    });
    user.identity = vec![fine, Arc::clone(&elsewhere), guarded, elsewhere, simple];
    user.boundary = Some(boundary);
    let many = median_ns(|| {
        assert!(decide(black_box(&request), black_box(&user), Some(&resource)).is_allowed());
    });
    println!("one policy of one statement                              {one:8.0} ns");
    println!("seven policies, conditions on items, address, time, TLS  {many:8.0} ns");
}
