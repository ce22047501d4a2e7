//! What the audit log says of a request: one line of JSON with the fields of a CloudTrail record.
//!
//! Invariant: a line holds no secret, and no item data unless that was asked for; of a request that nobody has proved, it holds
//! nothing of the body. Source of the fields: AWS CloudTrail User Guide, "CloudTrail record contents", version 1.11. Not here:
//! files (`crate::audit`).

mod parameters;
mod pending;
mod slow;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::header::USER_AGENT;
use http::request::Parts;
use serde::Serialize;
use serde_json::{Map, Value, json};
use stator_iam::{Principal, Timestamp};
use uuid::{Builder, Uuid};

pub(super) use self::pending::{Pending, PendingCall};
use super::App;
use crate::arn;
use crate::auth;
use crate::identity::error::IdentityError;
use crate::metrics::TableSeries;
use crate::random::Fill;
use crate::request_id::RequestId;
use crate::wire::error::ApiError;
use crate::wire::query::form::Form;
use crate::wire::query::{Api, error};
use crate::wire::target::Target;

/// The version of the record's format.
const EVENT_VERSION: &str = "1.11";
/// CloudTrail's name for DynamoDB and its streams.
const DYNAMODB: &str = "dynamodb.amazonaws.com";
/// CloudTrail's names for IAM and STS.
const IAM: &str = "iam.amazonaws.com";
const STS: &str = "sts.amazonaws.com";
/// The name for what is Stator's own.
const STATOR: &str = "stator";
const API_VERSION: &str = "2012-08-10";
/// The longest text of a client or of an error, in bytes (CloudTrail User Guide, "Maximum size").
const TEXT_BYTES_MAX: usize = 1024;

/// Whether it is about items or records, which CloudTrail calls a data event (Amazon DynamoDB Developer Guide, "DynamoDB data
/// plane events in CloudTrail"). Every other operation is a management event.
fn is_data_event(target: Target) -> bool {
    matches!(
        target,
        Target::BatchExecuteStatement
            | Target::BatchGetItem
            | Target::BatchWriteItem
            | Target::DeleteItem
            | Target::ExecuteStatement
            | Target::ExecuteTransaction
            | Target::GetItem
            | Target::GetRecords
            | Target::GetShardIterator
            | Target::PutItem
            | Target::Query
            | Target::Scan
            | Target::TransactGetItems
            | Target::TransactWriteItems
            | Target::UpdateItem
    )
}

/// What is known of a request by the time it is answered.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// What it asks for.
    pub(super) target: Option<Target>,
    /// Who has proved to have sent it.
    pub(super) principal: Option<Arc<Principal>>,
    /// Whether nobody has, whatever it is answered.
    pub(super) denied: bool,
    /// Its body, once it is known who has sent it.
    pub(super) json: Bytes,
    /// What is counted of its table, if it is about one.
    pub(super) table: OnceLock<Arc<TableSeries>>,
}

/// A call that is written down.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// Whose operation it is, such as `dynamodb.amazonaws.com`.
    pub(super) source: &'static str,
    /// The version of its API.
    pub(super) api_version: &'static str,
    /// The operation.
    pub(super) name: &'a str,
    /// Whether it changes nothing.
    pub(super) read_only: bool,
    /// Whether it is about items.
    pub(super) data: bool,
    /// Who has proved to have sent it.
    pub(super) principal: Option<&'a Principal>,
    /// Code and sentence of the refusal.
    pub(super) error: Option<(&'static str, Option<String>)>,
    /// Without secrets.
    pub(super) parameters: Value,
    /// Without secrets.
    pub(super) response: Value,
    /// ARNs of the tables.
    pub(super) tables: Vec<String>,
}

/// A record, in CloudTrail's order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    event_version: &'static str,
    user_identity: Value,
    event_time: String,
    event_source: &'static str,
    event_name: &'a str,
    aws_region: &'a str,
    #[serde(rename = "sourceIPAddress")]
    source_ip_address: String,
    user_agent: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
    request_parameters: Value,
    response_elements: Value,
    #[serde(rename = "requestID")]
    request_id: &'a str,
    #[serde(rename = "eventID")]
    event_id: Uuid,
    read_only: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resources: Vec<Value>,
    event_type: &'static str,
    api_version: &'static str,
    management_event: bool,
    recipient_account_id: &'static str,
    event_category: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_details: Option<Value>,
}

/// Writes an operation of the API down, if it is one that is to be.
fn operation(app: &App, parts: &Parts, trail: &Trail, result: &Result<Vec<u8>, ApiError>, id: RequestId) {
    let (Some(log), Some(target)) = (&app.audit, trail.target) else {
        return;
    };
    let (name, data) = (target.name(), is_data_event(target));
    let error = result.as_ref().err();
    // What is throttled before it is looked at is counted only: it could fill the log.
    let denied = trail.denied || error.is_some_and(is_denial);
    let wanted = trail.principal.is_some() && (!data || log.settings().data_events);
    if !denied && !wanted {
        return;
    }
    let item_data = log.settings().item_data;
    let body: Value = match trail.json.as_ref() {
        [] => Value::Null,
        json => serde_json::from_slice(json).unwrap_or_default(),
    };
    let read_only = parameters::is_read_only(name);
    let response = match result {
        Ok(answer) if !data && !read_only => serde_json::from_slice(answer).unwrap_or_default(),
        _ => Value::Null,
    };
    let tables = parameters::tables(&body);
    let tables = tables.map(|name| arn_of(&app.context.region, name));
    let mut tables: Vec<String> = tables.collect();
    tables.dedup();
    let call = Call {
        source: DYNAMODB,
        api_version: API_VERSION,
        read_only,
        data,
        principal: trail.principal.as_deref(),
        error: error.map(|error| told(error, data && !item_data)),
        parameters: if data && !item_data {
            parameters::without_items(&body)
        } else {
            parameters::whole(body)
        },
        response: parameters::whole(response),
        tables,
        name,
    };
    write(app, parts, call, id);
}

/// Writes a call of Stator's own down, if somebody has proved to have sent it, or is kept from it because nobody has.
fn own(
    app: &App,
    parts: &Parts,
    name: &str,
    principal: Option<&Principal>,
    result: &Result<Value, ApiError>,
    id: RequestId,
) {
    let error = result.as_ref().err();
    // What is throttled before it is looked at, or cannot be read, is counted only: it could fill the log.
    if principal.is_none() && !error.is_some_and(is_denial) {
        return;
    }
    let call = Call {
        source: STATOR,
        api_version: API_VERSION,
        name,
        read_only: parts.method == http::Method::GET,
        data: false,
        principal,
        error: error.map(|error| told(error, false)),
        parameters: Value::Null,
        response: Value::Null,
        tables: Vec::new(),
    };
    write(app, parts, call, id);
}

/// Writes a call of the IAM or STS API down. Of one that nobody has proved, its parameters are left out.
fn query(
    app: &App,
    parts: &Parts,
    (api, form): (Api, &Form),
    principal: Option<&Principal>,
    (result, id): (&Result<String, IdentityError>, RequestId),
) {
    // What is throttled before it is looked at is counted only: it could fill the log.
    if app.audit.is_none() || (principal.is_none() && matches!(result, Err(IdentityError::Throttling))) {
        return;
    }
    let error = result.as_ref().err().map(|error| {
        let (_, code, sentence) = error::parts(error);
        (code, Some(without_signature(cut(&sentence))))
    });
    let name = form.get("Action").unwrap_or_default();
    let members = form
        .iter()
        .filter(|(name, _)| !matches!(*name, "Action" | "Version"));
    let members = members.filter(|(name, _)| !name.starts_with("X-Amz-"));
    let members: Map<_, _> = members
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    let call = Call {
        source: match api {
            Api::Iam => IAM,
            Api::Sts => STS,
        },
        api_version: api.version(),
        name: cut(name),
        read_only: parameters::is_read_only(name),
        data: false,
        principal,
        error,
        parameters: principal.map_or(Value::Null, |_| parameters::whole(Value::Object(members))),
        response: Value::Null,
        tables: Vec::new(),
    };
    write(app, parts, call, id);
}

/// Writes a call down.
pub(super) fn write(app: &App, parts: &Parts, call: Call<'_>, id: RequestId) {
    let Some(log) = &app.audit else { return };
    let peer = super::peer(parts);
    let (error_code, error_message) = call.error.unzip();
    let agent = parts
        .headers
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok());
    let record = Record {
        event_version: EVENT_VERSION,
        user_identity: identity(call.principal, auth::claimed_key(parts)),
        event_time: time(app.context.clock.now_ms()),
        event_source: call.source,
        event_name: call.name,
        aws_region: &app.context.region,
        source_ip_address: peer.ip().to_string(),
        user_agent: cut(agent.unwrap_or_default()),
        error_code,
        error_message: error_message.flatten(),
        request_parameters: parameters::bounded(call.parameters),
        response_elements: parameters::bounded(call.response),
        request_id: id.as_str(),
        event_id: event_id(app.context.random),
        read_only: call.read_only,
        resources: call.tables.iter().map(|arn| table(arn)).collect(),
        event_type: "AwsApiCall",
        api_version: call.api_version,
        management_event: !call.data,
        recipient_account_id: arn::ACCOUNT,
        event_category: if call.data { "Data" } else { "Management" },
        tls_details: peer
            .tls()
            .map(|tls| json!({"tlsVersion": tls.version, "cipherSuite": tls.cipher_suite})),
    };
    match serde_json::to_vec(&record) {
        Ok(mut line) => {
            line.push(b'\n');
            log.offer(line);
        }
        Err(error) => tracing::error!(%error, "a line of the audit log could not be made"),
    }
}

/// The line that tells how many lines were dropped.
pub(crate) fn dropped(region: &str, now_ms: i64, random: Fill, count: u64) -> Vec<u8> {
    let record = json!({
        "eventVersion": EVENT_VERSION,
        "userIdentity": {"type": "AWSService", "invokedBy": STATOR},
        "eventTime": time(now_ms),
        "eventSource": STATOR,
        "eventName": "AuditLinesDropped",
        "awsRegion": region,
        "sourceIPAddress": STATOR,
        "userAgent": STATOR,
        "requestParameters": null,
        "responseElements": null,
        "additionalEventData": {"dropped": count},
        "eventID": event_id(random),
        "readOnly": false,
        "eventType": "AwsServiceEvent",
        "managementEvent": true,
        "recipientAccountId": arn::ACCOUNT,
        "eventCategory": "Management",
    });
    format!("{record}\n").into_bytes()
}

/// Whether somebody was kept from something.
pub(super) fn is_denial(error: &ApiError) -> bool {
    matches!(error, ApiError::Authentication(_)) || error.code() == "AccessDeniedException"
}

/// Code and sentence of an error. Sentences about values repeat them.
fn told(error: &ApiError, hide_values: bool) -> (&'static str, Option<String>) {
    let repeats_values = matches!(error, ApiError::Validation(_) | ApiError::Serialization(_));
    let sentence = error
        .sentence()
        .filter(|_| !(hide_values && repeats_values))
        .map(|sentence| without_signature(cut(&sentence)));
    (error.code(), sentence)
}

/// A sentence about an Authorization header repeats it. Its signature would be good for some minutes.
fn without_signature(sentence: &str) -> String {
    const NAME: &str = "Signature=";
    match sentence.split_once(NAME) {
        Some((before, rest)) => {
            let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric());
            let rest = end.and_then(|end| rest.get(end..)).unwrap_or_default();
            format!("{before}{NAME}…{rest}")
        }
        None => sentence.to_owned(),
    }
}

/// `userIdentity`. `claimed` is the access key that a request names.
fn identity(principal: Option<&Principal>, claimed: Option<&str>) -> Value {
    let mut identity = Map::new();
    let mut set = |name: &str, value: &str| {
        if !value.is_empty() {
            identity.insert(name.to_owned(), value.into());
        }
    };
    let Some(principal) = principal else {
        set("type", "Unknown");
        set("accessKeyId", claimed.unwrap_or_default());
        return Value::Object(identity);
    };
    let arn = principal.arn.as_str();
    let mut parts = arn.splitn(6, ':').skip(4);
    let (account, resource) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let (kind, name) = resource.split_once('/').unwrap_or((resource, ""));
    let type_name = match kind {
        "root" => "Root",
        "user" => "IAMUser",
        "assumed-role" => "AssumedRole",
        "role" => "Role",
        "federated-user" => "FederatedUser",
        _ => "Unknown",
    };
    set("type", type_name);
    if kind == "root" {
        set("principalId", account);
    }
    set("arn", arn);
    set("accountId", account);
    set("accessKeyId", &principal.access_key_id);
    if kind == "user" {
        set("userName", name.rsplit('/').next().unwrap_or_default());
    }
    Value::Object(identity)
}

fn table(arn: &str) -> Value {
    json!({"accountId": arn::ACCOUNT, "type": "AWS::DynamoDB::Table", "ARN": arn})
}

/// The ARN of what a request names, which may be one already.
fn arn_of(region: &str, name: &str) -> String {
    if name.starts_with("arn:") {
        name.to_owned()
    } else {
        arn::table(region, name)
    }
}

/// A point in time as CloudTrail writes it.
pub(super) fn time(now_ms: i64) -> String {
    let basic = Timestamp::from_unix_s(u64::try_from(now_ms / 1000).unwrap_or(0)).to_string();
    let part = |from, to| basic.get(from..to).unwrap_or_default();
    format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(9, 11),
        part(11, 13),
        part(13, 15)
    )
}

/// A random id; nil when the operating system has no randomness to give.
fn event_id(random: Fill) -> Uuid {
    let mut bytes = [0; 16];
    match random(&mut bytes) {
        Ok(()) => Builder::from_random_bytes(bytes).into_uuid(),
        Err(_) => Uuid::nil(),
    }
}

/// The beginning of a text that is too long.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
