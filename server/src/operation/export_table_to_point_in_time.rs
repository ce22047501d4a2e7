//! ExportTableToPointInTime. The table is exported after this is answered: as it is at a moment behind the request
//! (`transfer/porter/export.rs`), or as its history says that it was (`transfer/porter/past.rs`).
//!
//! Source: service model of DynamoDB, ExportTableToPointInTime.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::backup_description::check_is_there;
use super::transfer_page::{check_bucket, check_token};
use super::{Context, Operation};
use crate::arn;
use crate::catalog::{History, TableDefinition};
use crate::constraint::{Constraints, ModelEnum};
use crate::message::table::Unsupported;
use crate::message::{self, backup, transfer};
use crate::transfer::record::{Format, Past, Period, Place, View};
use crate::transfer::{Claim, Claimant, ExportRecord, Status, new_id};
use crate::wire::error::ApiError;

/// So many exports are under way at a time. Source: Amazon DynamoDB Developer Guide, "Quotas: table export to Amazon S3".
const EXPORTS_MAX: usize = 300;

/// How long the period may be whose changes are exported, in milliseconds. Source: Amazon DynamoDB Developer Guide, "Quotas:
/// table export to Amazon S3", and "Requesting a table export: incremental export".
const PERIOD_MS_MIN: i64 = 15 * 60 * 1000;
const PERIOD_MS_MAX: i64 = 24 * 60 * 60 * 1000;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExportTableToPointInTime {
    pub(crate) table_arn: Option<String>,
    /// In milliseconds since the Unix epoch.
    pub(crate) export_time_ms: Option<i64>,
    pub(crate) client_token: Option<String>,
    pub(crate) bucket: Option<String>,
    pub(crate) bucket_owner: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) sse_algorithm: Option<String>,
    pub(crate) sse_key: Option<String>,
    pub(crate) format: Option<String>,
    pub(crate) export_type: Option<String>,
    pub(crate) incremental: Option<IncrementalExport>,
    /// Whether there is a `FilterSpecification`.
    pub(crate) is_filtered: bool,
}

/// `IncrementalExportSpecification`. Times are in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Default)]
pub(crate) struct IncrementalExport {
    pub(crate) from_ms: Option<i64>,
    pub(crate) to_ms: Option<i64>,
    pub(crate) view_type: Option<String>,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct ExportTableToPointInTimeOutput {
    pub(crate) export: ExportDescription,
}

/// An export as the API describes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ExportDescription {
    pub(crate) record: ExportRecord,
    pub(crate) arn: String,
    pub(crate) table_arn: String,
}

impl ExportDescription {
    pub(super) fn new(context: &Context, record: ExportRecord) -> Self {
        let table_arn = arn::table(&context.region, &record.table);
        Self {
            arn: arn::export(&table_arn, &record.id),
            table_arn,
            record,
        }
    }
}

/// `S3SseAlgorithm`. It is told and nothing else: how a bucket is encrypted is its own matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SseAlgorithm {
    Aes256,
    Kms,
}

impl ModelEnum for SseAlgorithm {
    const NAMES: &'static [&'static str] = &["AES256", "KMS"];

    fn from_name(name: &str) -> Option<Self> {
        match name {
            "AES256" => Some(Self::Aes256),
            "KMS" => Some(Self::Kms),
            _ => None,
        }
    }
}

/// `ExportType`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExportType {
    Full,
    Incremental,
}

impl ModelEnum for ExportType {
    const NAMES: &'static [&'static str] = &["FULL_EXPORT", "INCREMENTAL_EXPORT"];

    fn from_name(name: &str) -> Option<Self> {
        match name {
            "FULL_EXPORT" => Some(Self::Full),
            "INCREMENTAL_EXPORT" => Some(Self::Incremental),
            _ => None,
        }
    }
}

impl ModelEnum for View {
    const NAMES: &'static [&'static str] = &["NEW_IMAGE", "NEW_AND_OLD_IMAGES"];

    fn from_name(name: &str) -> Option<Self> {
        match name {
            "NEW_IMAGE" => Some(Self::NewImage),
            "NEW_AND_OLD_IMAGES" => Some(Self::NewAndOldImages),
            _ => None,
        }
    }
}

/// Refuses a table that cannot be exported in its present state, and a period that it never had: the one place that says which can.
/// Gives its history: as in DynamoDB, point-in-time recovery has to be on, even where the moment that is exported needs none.
///
/// Source of the order: the service's answers in aws-controllers-k8s/dynamodb-controller, docs/api-quirks/export.md, DDB-EXPORT-001,
/// where a period from before the table is told of before recovery that is off.
fn check_exportable<'a>(
    definition: &'a TableDefinition,
    named: &str,
    period: Option<&Period>,
    now_ms: i64,
) -> Result<&'a History, ApiError> {
    check_is_there(definition, named)?;
    if let Some(period) = period {
        check_times(period, definition.created_at_ms, now_ms)?;
    }
    let history = definition.history.as_ref();
    history.ok_or_else(|| backup::no_history(&definition.name))
}

/// Refuses a period that no table of this age can have.
fn check_times(period: &Period, created_at_ms: i64, now_ms: i64) -> Result<(), ApiError> {
    if period.from_ms < created_at_ms {
        return Err(transfer::before_table(period.from_ms));
    }
    let Some(to_ms) = period.to_ms else {
        return Ok(());
    };
    check_length(period.from_ms, to_ms)?;
    if to_ms > now_ms {
        return Err(transfer::in_future(to_ms));
    }
    Ok(())
}

/// Refuses a period that is too short or too long.
fn check_length(from_ms: i64, to_ms: i64) -> Result<(), ApiError> {
    if from_ms >= to_ms {
        return Err(transfer::no_time_between());
    }
    let length_ms = to_ms.saturating_sub(from_ms);
    if length_ms < PERIOD_MS_MIN {
        return Err(transfer::too_short());
    }
    if length_ms > PERIOD_MS_MAX {
        return Err(transfer::too_long());
    }
    Ok(())
}

/// Says what of a table is exported: the period that the record has, the moment that is asked for, or none of the past.
fn choose(
    record: &mut ExportRecord,
    at_ms: Option<i64>,
    (created_at_ms, history): (i64, &History),
    now_ms: i64,
) -> Result<(), ApiError> {
    if let Some(past) = &mut record.past
        && let Some(period) = &mut past.period
    {
        let to_ms = check_period(period, history, now_ms)?;
        period.to_ms = Some(to_ms);
        past.history = Bytes::copy_from_slice(history.id.as_bytes());
        record.moment_ms = to_ms - 1;
        return Ok(());
    }
    let Some(at_ms) = at_ms else {
        record.moment_ms = now_ms;
        return Ok(());
    };
    if !(created_at_ms..=now_ms).contains(&at_ms) {
        return Err(transfer::no_moment_of_table());
    }
    let moment = history.moment(Some(at_ms), now_ms);
    record.moment_ms = moment.map_err(|_| transfer::not_recovered())?;
    record.past = Some(Past {
        history: Bytes::copy_from_slice(history.id.as_bytes()),
        period: None,
    });
    Ok(())
}

/// The end of a period that can be exported.
fn check_period(period: &Period, history: &History, now_ms: i64) -> Result<i64, ApiError> {
    let from_ms = period.from_ms;
    let latest_ms = history.restorable(now_ms).map(|(_, latest_ms)| latest_ms);
    let to_ms = period.to_ms.or(latest_ms);
    let to_ms = to_ms.ok_or_else(|| transfer::wrong_moment("ExportFromTime", from_ms, None))?;
    check_length(from_ms, to_ms)?;
    for (member, at_ms) in [("ExportFromTime", from_ms), ("ExportToTime", to_ms)] {
        let moment = history.moment(Some(at_ms), now_ms);
        moment.map_err(|restorable| transfer::wrong_moment(member, at_ms, restorable))?;
    }
    Ok(to_ms)
}

/// The table's name in a `TableArn`.
///
/// # Errors
/// ValidationException for what is no ARN of a table.
fn table_of(arn: &str) -> Result<&str, ApiError> {
    let name = arn::table_name(arn).filter(|name| arn::is_table_name(name));
    name.ok_or_else(|| {
        ApiError::validation(match (arn.is_empty(), arn.starts_with("arn:")) {
            (true, _) => transfer::EMPTY_TABLE_ARN,
            (false, false) => transfer::NO_TABLE_ARN,
            (false, true) => transfer::OTHER_TABLE_ARN,
        })
    })
}

impl Operation for ExportTableToPointInTime {
    type Output = ExportTableToPointInTimeOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let at_ms = self.export_time_ms;
        let named = self.table_arn.clone().unwrap_or_default();
        let (name, mut record) = self.validate()?;
        let transfers = context.transfers()?;
        let table = context.catalog.latest(&name).await;
        let table = table.map_err(message::table::catalog)?;
        let table = table.ok_or_else(|| backup::no_table(&named))?;
        let (definition, now_ms) = (table.definition(), context.clock.now_ms());
        let history = check_exportable(definition, &named, record.period(), now_ms)?;
        record.table_id = definition.id.to_string();
        record.fingerprint = fingerprint(&record);
        choose(&mut record, at_ms, (definition.created_at_ms, history), now_ms)?;
        record.started_ms = now_ms;
        record.id = new_id(now_ms, context.random).map_err(|error| ApiError::Internal(error.to_string()))?;
        let describe = |record| ExportTableToPointInTimeOutput {
            export: ExportDescription::new(context, record),
        };
        if let Some(token) = &record.token {
            let claimant = Claimant {
                token,
                fingerprint: &record.fingerprint,
                table: &name,
                id: &record.id,
                now_ms,
            };
            match transfers.claim(claimant).await.map_err(transfer::failed)? {
                Claim::Begin(claimed) => record.id = claimed,
                Claim::Known(record) => return Ok(describe(record)),
                Claim::Other => return Err(transfer::export_conflict()),
            }
        }
        let all = transfers.all::<ExportRecord>().await.map_err(transfer::failed)?;
        let under_way = all.iter().filter(|record| record.status() == Status::InProgress);
        if under_way.count() >= EXPORTS_MAX {
            return Err(transfer::too_many("exports", EXPORTS_MAX));
        }
        transfers.put(None, &record).await.map_err(transfer::failed)?;
        Ok(describe(record))
    }
}

impl ExportTableToPointInTime {
    /// The name of the table, and what is known of the export.
    fn validate(self) -> Result<(String, ExportRecord), ApiError> {
        let mut constraints = Constraints::default();
        constraints.required("tableArn", self.table_arn.as_ref());
        if let Some(arn) = self.table_arn.as_ref().filter(|arn| !arn.is_empty()) {
            constraints.length("tableArn", arn, arn.chars().count(), 1, 1024);
        }
        check_token(&mut constraints, self.client_token.as_ref());
        check_bucket(
            &mut constraints,
            ("s3Bucket", self.bucket.as_ref()),
            ("s3BucketOwner", self.bucket_owner.as_ref()),
            ("s3Prefix", self.prefix.as_ref()),
        );
        let algorithm: Option<SseAlgorithm> =
            constraints.one_of("s3SseAlgorithm", self.sse_algorithm.as_deref());
        if let Some(key) = &self.sse_key {
            constraints.length("s3SseKmsKeyId", key, key.chars().count(), 1, 2048);
        }
        let format: Option<ExportFormat> = constraints.one_of("exportFormat", self.format.as_deref());
        let export_type: Option<ExportType> = constraints.one_of("exportType", self.export_type.as_deref());
        let view = self.incremental.as_ref();
        let view = view.and_then(|incremental| incremental.view_type.as_deref());
        let view: Option<View> = constraints.one_of("incrementalExportSpecification.exportViewType", view);
        constraints.finish()?;
        let name = table_of(self.table_arn.as_deref().unwrap_or_default())?.to_owned();
        if self.is_filtered {
            return Err(Unsupported::ExportFilters("FilterSpecification").refusal());
        }
        if self.sse_key.is_some() && algorithm != Some(SseAlgorithm::Kms) {
            return Err(ApiError::validation(transfer::KEY_OF_OTHER_ENCRYPTION));
        }
        let period = self.period(export_type, view)?;
        let record = ExportRecord {
            status: Status::InProgress.into(),
            table: name.clone(),
            target: Place {
                bucket: self.bucket.unwrap_or_default(),
                prefix: self.prefix,
                owner: self.bucket_owner,
            },
            // So that it tells the request from others.
            moment_ms: self.export_time_ms.unwrap_or_default(),
            format: format.map_or(Format::DynamodbJson, |format| format.0).into(),
            sse_algorithm: self.sse_algorithm,
            sse_key: self.sse_key,
            token: self.client_token,
            past: period.map(|period| Past {
                history: Bytes::new(),
                period: Some(period),
            }),
            ..ExportRecord::default()
        };
        Ok((name, record))
    }

    /// Whose changes are asked for, as the request has it.
    fn period(
        &self,
        export_type: Option<ExportType>,
        view: Option<View>,
    ) -> Result<Option<Period>, ApiError> {
        let incremental = match (export_type, &self.incremental) {
            (None | Some(ExportType::Full), None) => return Ok(None),
            (None, Some(_)) => return Err(ApiError::validation(transfer::PERIOD_WITHOUT_TYPE)),
            (Some(ExportType::Full), Some(_)) => return Err(ApiError::validation(transfer::PERIOD_OF_FULL)),
            (Some(ExportType::Incremental), None) => return Err(ApiError::validation(transfer::NO_PERIOD)),
            (Some(ExportType::Incremental), Some(incremental)) => incremental,
        };
        let from_ms = incremental.from_ms;
        let from_ms = from_ms.ok_or_else(|| ApiError::validation(transfer::NO_BEGINNING))?;
        if self.export_time_ms.is_some() {
            return Err(ApiError::validation(transfer::MOMENT_OF_CHANGES));
        }
        Ok(Some(Period {
            from_ms,
            to_ms: incremental.to_ms,
            view: view.unwrap_or(View::NewAndOldImages).into(),
        }))
    }
}

/// `ExportFormat`, and that of bulk operations.
pub(super) struct ExportFormat(pub(super) Format);

impl ModelEnum for ExportFormat {
    const NAMES: &'static [&'static str] = &["DYNAMODB_JSON", "ION"];

    fn from_name(name: &str) -> Option<Self> {
        Format::from_name(name)
            .filter(|format| *format != Format::Csv)
            .map(Self)
    }
}

/// What tells the request from others: the same whenever the same is asked for.
fn fingerprint(record: &ExportRecord) -> Bytes {
    use prost::Message as _;
    Bytes::copy_from_slice(&Sha256::digest(record.encode_to_vec()))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::catalog::Deletion;
    use crate::operation::create_table::tests::definition;

    fn request() -> ExportTableToPointInTime {
        ExportTableToPointInTime {
            table_arn: Some("arn:aws:dynamodb:us-east-1:000000000000:table/Tab".into()),
            bucket: Some("bucket".into()),
            ..ExportTableToPointInTime::default()
        }
    }

    #[test]
    fn what_is_exported_is_json_of_now_unless_the_request_says_otherwise() {
        let (name, record) = request().validate().unwrap();
        assert_eq!((name.as_str(), record.format()), ("Tab", Format::DynamodbJson));
        let refusal = |change: fn(&mut ExportTableToPointInTime)| {
            let mut request = request();
            change(&mut request);
            request.validate().unwrap_err().to_string()
        };
        assert!(refusal(|request| request.is_filtered = true).contains("FilterSpecification"));
        let csv = refusal(|request| request.format = Some("CSV".into()));
        assert!(csv.contains("enum value set: [DYNAMODB_JSON, ION]"), "{csv}");
        let no_table = refusal(|request| request.table_arn = None);
        assert!(no_table.contains("'tableArn'"), "{no_table}");
        let key = refusal(|request| request.sse_key = Some("k".into()));
        assert!(key.contains(transfer::KEY_OF_OTHER_ENCRYPTION), "{key}");
    }

    #[test]
    fn a_table_is_named_by_its_arn_and_by_nothing_else() {
        let table = "arn:aws:dynamodb:us-east-1:000000000000:table/Tab";
        let index = format!("{table}/index/by-a");
        assert_eq!(table_of(table), Ok("Tab"));
        for (text, sentence) in [
            ("", transfer::EMPTY_TABLE_ARN),
            ("Tab", transfer::NO_TABLE_ARN),
            (index.as_str(), transfer::OTHER_TABLE_ARN),
        ] {
            assert_eq!(table_of(text), Err(ApiError::validation(sentence)));
            let request = ExportTableToPointInTime {
                table_arn: Some(text.to_owned()),
                ..request()
            };
            assert!(request.validate().unwrap_err().to_string().contains(sentence));
        }
    }

    /// A request for the changes of a period.
    fn incremental(from_ms: Option<i64>, to_ms: Option<i64>, view: Option<&str>) -> ExportTableToPointInTime {
        ExportTableToPointInTime {
            export_type: Some("INCREMENTAL_EXPORT".into()),
            incremental: Some(IncrementalExport {
                from_ms,
                to_ms,
                view_type: view.map(str::to_owned),
            }),
            ..request()
        }
    }

    #[test]
    fn changes_are_asked_for_with_a_period_and_nothing_else_is() {
        let view = |view| {
            let (_, record) = incremental(Some(7), None, view).validate().unwrap();
            let period = record.period().cloned().unwrap();
            assert_eq!((period.from_ms, period.to_ms), (7, None));
            period.view()
        };
        assert_eq!(view(None), View::NewAndOldImages);
        assert_eq!(view(Some("NEW_AND_OLD_IMAGES")), View::NewAndOldImages);
        assert_eq!(view(Some("NEW_IMAGE")), View::NewImage);
        let refused = |request: ExportTableToPointInTime| request.validate().unwrap_err().to_string();
        let wrong_view = refused(incremental(Some(7), None, Some("NEW_IMAGES")));
        assert!(
            wrong_view.contains("'incrementalExportSpecification.exportViewType'"),
            "{wrong_view}"
        );
        assert!(refused(incremental(None, Some(7), None)).contains(transfer::NO_BEGINNING));
        let without = ExportTableToPointInTime {
            incremental: None,
            ..incremental(None, None, None)
        };
        assert!(refused(without).contains(transfer::NO_PERIOD));
        for (export_type, sentence) in [
            (None, transfer::PERIOD_WITHOUT_TYPE),
            (Some("FULL_EXPORT"), transfer::PERIOD_OF_FULL),
        ] {
            let full = ExportTableToPointInTime {
                export_type: export_type.map(str::to_owned),
                ..incremental(Some(7), None, None)
            };
            assert!(refused(full).contains(sentence));
        }
        let moment = ExportTableToPointInTime {
            export_time_ms: Some(7),
            ..incremental(Some(7), None, None)
        };
        assert!(refused(moment).contains(transfer::MOMENT_OF_CHANGES));
    }

    #[test]
    fn a_period_has_15_minutes_to_24_hours_and_lies_in_the_history() {
        const HOUR_MS: i64 = 60 * 60 * 1000;
        let now_ms = 100 * HOUR_MS;
        let latest_ms = now_ms - 5_000;
        let mut history = History::new(Uuid::from_u128(1), 35);
        let chosen = |history: &History, from_ms, to_ms| {
            let (_, mut record) = incremental(Some(from_ms), to_ms, None).validate().unwrap();
            choose(&mut record, None, (0, history), now_ms)?;
            let to_ms = record.period().unwrap().to_ms.unwrap();
            assert_eq!(record.reads(), Some((Uuid::from_u128(1), from_ms - 1)));
            assert_eq!(record.moment_ms, to_ms - 1);
            Ok::<_, ApiError>(to_ms)
        };
        let early = chosen(&history, HOUR_MS, None).unwrap_err();
        assert_eq!(early.code(), "InvalidExportTimeException");
        let earliest_ms = HOUR_MS;
        history.complete_from_ms = Some(earliest_ms);
        let chosen = |from_ms, to_ms| chosen(&history, from_ms, to_ms);
        assert_eq!(chosen(latest_ms - PERIOD_MS_MIN, None), Ok(latest_ms));
        assert_eq!(chosen(latest_ms - PERIOD_MS_MAX, None), Ok(latest_ms));
        assert_eq!(chosen(earliest_ms, Some(2 * HOUR_MS)), Ok(2 * HOUR_MS));
        assert_eq!(
            chosen(latest_ms - PERIOD_MS_MIN + 1, None),
            Err(transfer::too_short())
        );
        for (from_ms, to_ms) in [(latest_ms - PERIOD_MS_MAX - 1, None), (i64::MIN, Some(i64::MAX))] {
            assert_eq!(chosen(from_ms, to_ms), Err(transfer::too_long()));
        }
        for (from_ms, to_ms) in [
            (HOUR_MS, Some(HOUR_MS)),
            (HOUR_MS + 1, Some(HOUR_MS)),
            (now_ms, None),
        ] {
            assert_eq!(chosen(from_ms, to_ms), Err(transfer::no_time_between()));
        }
        let wrong = |member, at_ms| {
            Err(transfer::wrong_moment(
                member,
                at_ms,
                Some((earliest_ms, latest_ms)),
            ))
        };
        let from_ms = earliest_ms - 1;
        assert_eq!(
            chosen(from_ms, Some(2 * HOUR_MS)),
            wrong("ExportFromTime", from_ms)
        );
        let to_ms = latest_ms + 1;
        assert_eq!(chosen(to_ms - HOUR_MS, Some(to_ms)), wrong("ExportToTime", to_ms));
    }

    #[test]
    fn a_period_lies_in_the_life_of_its_table_whether_it_has_a_history_or_not() {
        let mut table = definition();
        table.created_at_ms = 50_000;
        let now_ms = table.created_at_ms + 2 * PERIOD_MS_MIN;
        let refused = |from_ms, to_ms| {
            let period = Period {
                from_ms,
                to_ms,
                view: View::NewImage.into(),
            };
            check_exportable(&table, "arn", Some(&period), now_ms).unwrap_err()
        };
        let time = |text: &str| ApiError::Transfer("InvalidExportTimeException", text.to_owned());
        assert_eq!(
            refused(49_000, None),
            time(
                "Incremental export period from time cannot be less than the table creation time : 1970-01-01T00:00:49Z"
            )
        );
        assert_eq!(
            refused(now_ms, Some(now_ms + PERIOD_MS_MIN)),
            time(
                "Incremental export period to time cannot be greater than the current time : 1970-01-01T00:45:50Z"
            )
        );
        assert_eq!(
            refused(50_000, Some(49_000 + PERIOD_MS_MIN)),
            time(
                "Difference between export period from time and export period to time is less than 15 minutes"
            )
        );
        assert_eq!(refused(50_000, Some(now_ms)), backup::no_history("Tab"));
    }

    #[test]
    fn a_table_with_a_history_is_exported_as_it_is_or_as_it_was() {
        let mut table = definition();
        table.created_at_ms = 40_000;
        let refused = |table: &TableDefinition| check_exportable(table, "arn", None, 0).unwrap_err();
        assert_eq!(refused(&table), backup::no_history("Tab"));
        let mut deleted = table.clone();
        deleted.deletion = Some(Deletion {
            backup: "id".into(),
            asked_at_ms: 0,
        });
        assert_eq!(
            refused(&deleted),
            backup::no_table("arn"),
            "as the request names it"
        );
        table.history = Some(History::new(Uuid::from_u128(1), 35));
        let chosen = |table: &TableDefinition, at_ms| {
            let mut record = ExportRecord::default();
            let history = check_exportable(table, "arn", None, 100_000)?;
            choose(&mut record, at_ms, (table.created_at_ms, history), 100_000)?;
            Ok::<_, ApiError>((record.moment_ms, record.reads()))
        };
        assert_eq!(chosen(&table, None), Ok((100_000, None)));
        assert_eq!(chosen(&table, Some(60_000)), Err(transfer::not_recovered()));
        table.history.as_mut().unwrap().complete_from_ms = Some(50_000);
        for at_ms in [50_000, 60_001, 95_000] {
            let reads = Some((Uuid::from_u128(1), at_ms));
            assert_eq!(chosen(&table, Some(at_ms)), Ok((at_ms, reads)));
        }
        for at_ms in [40_000, 49_999, 95_001, 100_000] {
            assert_eq!(chosen(&table, Some(at_ms)), Err(transfer::not_recovered()));
        }
        for at_ms in [i64::MIN, 39_999, 100_001, i64::MAX] {
            assert_eq!(chosen(&table, Some(at_ms)), Err(transfer::no_moment_of_table()));
        }
    }
}
