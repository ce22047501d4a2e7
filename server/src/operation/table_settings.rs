//! The settings of a table that CreateTable and UpdateTable share: throughput, class, stream, encryption.

use crate::catalog::{BillingMode, OnDemandLimits, StreamView, TableClass, WarmUnits};
use crate::constraint::{Constraints, ModelEnum};
use crate::message::stream;
use crate::message::table::{self, Unsupported};
use crate::wire::error::ApiError;

/// Most read or write units a table or a global index can have, as DescribeLimits says. Held by `account_limits.rs`.
pub(super) const TABLE_UNITS_MAX: i64 = 40_000;

impl ModelEnum for BillingMode {
    const NAMES: &'static [&'static str] = &["PROVISIONED", "PAY_PER_REQUEST"];

    fn from_name(name: &str) -> Option<Self> {
        match name {
            "PROVISIONED" => Some(Self::Provisioned),
            "PAY_PER_REQUEST" => Some(Self::PayPerRequest),
            _ => None,
        }
    }
}

impl ModelEnum for TableClass {
    const NAMES: &'static [&'static str] = &["STANDARD", "STANDARD_INFREQUENT_ACCESS"];

    fn from_name(name: &str) -> Option<Self> {
        match name {
            "STANDARD" => Some(Self::Standard),
            "STANDARD_INFREQUENT_ACCESS" => Some(Self::StandardInfrequentAccess),
            _ => None,
        }
    }
}

/// Capacity units a second.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProvisionedThroughput {
    pub(crate) read_capacity_units: Option<i64>,
    pub(crate) write_capacity_units: Option<i64>,
}

impl ProvisionedThroughput {
    pub(super) fn check(&self, constraints: &mut Constraints) {
        self.check_at(constraints, "provisionedThroughput");
    }

    /// The same for one that is the value of `member`.
    pub(super) fn check_at(&self, constraints: &mut Constraints, member: &str) {
        for (name, units) in [
            ("readCapacityUnits", self.read_capacity_units),
            ("writeCapacityUnits", self.write_capacity_units),
        ] {
            let member = format!("{member}.{name}");
            constraints.required(&member, units.as_ref());
            constraints.at_least(&member, units, 1);
        }
    }

    /// Read and write units of checked throughput.
    pub(super) fn units(&self) -> Result<(i64, i64), ApiError> {
        let (Some(read_units), Some(write_units)) = (self.read_capacity_units, self.write_capacity_units)
        else {
            return Err(ApiError::validation(table::CAPACITY_MISSING));
        };
        Ok((read_units, write_units))
    }
}

/// Read and write units that a billing mode asks for: `None` when it has none.
pub(super) fn capacity(
    billing_mode: BillingMode,
    throughput: Option<&ProvisionedThroughput>,
) -> Result<Option<(i64, i64)>, ApiError> {
    match (billing_mode, throughput) {
        (BillingMode::PayPerRequest, Some(_)) => {
            Err(ApiError::validation(table::CAPACITY_WITH_PAY_PER_REQUEST))
        }
        (BillingMode::PayPerRequest, None) => Ok(None),
        (BillingMode::Provisioned, Some(throughput)) => Ok(Some(throughput.units()?)),
        (BillingMode::Provisioned, None) => Err(ApiError::validation(table::CAPACITY_MISSING)),
    }
}

/// What a request is about, for sentences.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose<'a> {
    /// The index, if it is one.
    index: Option<&'a str>,
    /// How it is to be billed, if it is made by the request.
    made: Option<BillingMode>,
}

impl<'a> Whose<'a> {
    pub(super) const TABLE: Self = Self {
        index: None,
        made: None,
    };

    pub(super) fn new_table(billing_mode: BillingMode) -> Self {
        Self {
            index: None,
            made: Some(billing_mode),
        }
    }

    pub(super) fn index(name: &'a str) -> Self {
        Self {
            index: Some(name),
            made: None,
        }
    }

    pub(super) fn new_index(name: &'a str, billing_mode: BillingMode) -> Self {
        Self {
            index: Some(name),
            made: Some(billing_mode),
        }
    }
}

/// Limits of a table that is paid per request; -1 takes a limit away.
#[derive(Debug, Clone, Default)]
pub(crate) struct OnDemandThroughput {
    pub(crate) max_read_request_units: Option<i64>,
    pub(crate) max_write_request_units: Option<i64>,
}

impl OnDemandThroughput {
    /// Whether it names a limit.
    pub(super) fn is_named(&self) -> bool {
        self.max_read_request_units.is_some() || self.max_write_request_units.is_some()
    }

    /// The limits after this request on what has `current`. What is made has no limit yet that could be taken away.
    ///
    /// # Errors
    /// ValidationException.
    pub(super) fn applied(
        &self,
        billing_mode: BillingMode,
        current: OnDemandLimits,
        whose: Whose<'_>,
    ) -> Result<OnDemandLimits, ApiError> {
        let limit =
            |requested: Option<i64>, current, member| match requested {
                None => Ok(current),
                Some(_) if billing_mode == BillingMode::Provisioned => Err(
                    table::on_demand_with_provisioned(member, whose.index, whose.made.is_some()),
                ),
                Some(-1) if whose.made.is_none() => Ok(None),
                Some(units) if units >= 1 => Ok(Some(units)),
                Some(_) => Err(table::on_demand_units(member, whose.index)),
            };
        Ok(OnDemandLimits {
            read_units: limit(
                self.max_read_request_units,
                current.read_units,
                "MaxReadRequestUnits",
            )?,
            write_units: limit(
                self.max_write_request_units,
                current.write_units,
                "MaxWriteRequestUnits",
            )?,
        })
    }
}

/// Throughput that a table has to serve at once. It is never lowered.
#[derive(Debug, Clone, Default)]
pub(crate) struct WarmThroughput {
    pub(crate) read_units_per_second: Option<i64>,
    pub(crate) write_units_per_second: Option<i64>,
}

impl WarmThroughput {
    /// Whether it names units.
    pub(super) fn is_named(&self) -> bool {
        self.read_units_per_second.is_some() || self.write_units_per_second.is_some()
    }

    /// The warm throughput after this request on what has `current`.
    ///
    /// # Errors
    /// ValidationException.
    pub(super) fn applied(&self, current: WarmUnits, whose: Whose<'_>) -> Result<WarmUnits, ApiError> {
        let units = |requested: Option<i64>, current: i64, member| match requested {
            Some(units) if units < current => Err(match whose.made {
                None => table::lower_warm_throughput(member, whose.index),
                Some(billing_mode) => table::low_warm_throughput(member, whose.index, billing_mode),
            }),
            requested => Ok(requested.unwrap_or(current)),
        };
        Ok(WarmUnits {
            read_units: units(
                self.read_units_per_second,
                current.read_units,
                "ReadUnitsPerSecond",
            )?,
            write_units: units(
                self.write_units_per_second,
                current.write_units,
                "WriteUnitsPerSecond",
            )?,
        })
    }
}

impl ModelEnum for StreamView {
    const NAMES: &'static [&'static str] = &["NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES", "KEYS_ONLY"];

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "NEW_IMAGE" => Self::NewImage,
            "OLD_IMAGE" => Self::OldImage,
            "NEW_AND_OLD_IMAGES" => Self::NewAndOldImages,
            "KEYS_ONLY" => Self::KeysOnly,
            _ => return None,
        })
    }
}

/// Whether a table has a stream, and of what.
#[derive(Debug, Clone, Default)]
pub(crate) struct StreamSpecification {
    pub(crate) stream_enabled: Option<bool>,
    pub(crate) stream_view_type: Option<String>,
}

impl StreamSpecification {
    pub(super) fn check(&self, constraints: &mut Constraints) {
        constraints.required("streamSpecification.streamEnabled", self.stream_enabled.as_ref());
        constraints.one_of::<StreamView>(
            "streamSpecification.streamViewType",
            self.stream_view_type.as_deref(),
        );
    }

    /// What records of the wanted stream are to have; `None` when none is wanted. A new table has other sentences.
    ///
    /// # Errors
    /// ValidationException for a stream without a view, and a view without a stream.
    pub(super) fn view(&self, is_new: bool) -> Result<Option<StreamView>, ApiError> {
        let view = self.stream_view_type.as_deref().and_then(StreamView::from_name);
        let sentence = match (self.stream_enabled.unwrap_or_default(), view) {
            (true, None) if is_new => stream::NO_VIEW_TYPE,
            (true, None) => stream::UPDATED_NO_VIEW_TYPE,
            (false, Some(_)) if is_new => stream::VIEW_TYPE_WITHOUT_STREAM,
            (false, Some(_)) => stream::UPDATED_VIEW_TYPE_WITHOUT_STREAM,
            (_, view) => return Ok(view),
        };
        Err(ApiError::validation(sentence))
    }
}

/// Which key encrypts a table.
#[derive(Debug, Clone, Default)]
pub(crate) struct SseSpecification {
    pub(crate) enabled: Option<bool>,
    pub(crate) sse_type: Option<String>,
    pub(crate) kms_master_key_id: Option<String>,
}

/// The only type that the API takes. Source: service model of DynamoDB, shape SSESpecification.
const SSE_TYPE: &str = "KMS";

/// How a table is encrypted.
struct SseType;

impl ModelEnum for SseType {
    const NAMES: &'static [&'static str] = &["AES256", "KMS"];

    fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.contains(&name).then_some(Self)
    }
}

impl SseSpecification {
    pub(super) fn check(&self, constraints: &mut Constraints) {
        constraints.one_of::<SseType>("sSESpecification.sSEType", self.sse_type.as_deref());
    }

    /// Whether a key of the account's is asked for, which is the cluster's own. All data is encrypted with that, whether it is
    /// asked for or not.
    ///
    /// # Errors
    /// ValidationException for another key, and a type that does not go with the rest.
    pub(super) fn is_enabled(&self) -> Result<bool, ApiError> {
        self.is_enabled_by("SSESpecification.KMSMasterKeyId")
    }

    /// The same for a specification whose key is that member.
    ///
    /// # Errors
    /// As [`SseSpecification::is_enabled`].
    pub(super) fn is_enabled_by(&self, key: &'static str) -> Result<bool, ApiError> {
        if self.kms_master_key_id.is_some() {
            return Err(Unsupported::EncryptionKey(key).refusal());
        }
        match self.sse_type.as_deref() {
            None => Ok(self.enabled.unwrap_or_default()),
            Some(kind) if kind != SSE_TYPE => Err(ApiError::validation(table::SSE_TYPE_AES256)),
            Some(_) if self.enabled == Some(false) => {
                Err(ApiError::validation(table::SSE_TYPE_WHEN_DISABLED))
            }
            // The type alone asks for it, too.
            Some(_) => Ok(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throughput(read: i64, write: i64) -> ProvisionedThroughput {
        ProvisionedThroughput {
            read_capacity_units: Some(read),
            write_capacity_units: Some(write),
        }
    }

    #[test]
    fn capacity_belongs_to_provisioned_tables() {
        assert_eq!(
            capacity(BillingMode::Provisioned, Some(&throughput(5, 6))),
            Ok(Some((5, 6)))
        );
        assert_eq!(capacity(BillingMode::PayPerRequest, None), Ok(None));
        assert_eq!(
            capacity(BillingMode::PayPerRequest, Some(&throughput(5, 6))),
            Err(ApiError::validation(table::CAPACITY_WITH_PAY_PER_REQUEST))
        );
        assert_eq!(
            capacity(BillingMode::Provisioned, None),
            Err(ApiError::validation(table::CAPACITY_MISSING))
        );
    }

    #[test]
    fn on_demand_limits_are_set_one_by_one_and_taken_away() {
        let current = OnDemandLimits {
            read_units: Some(10),
            write_units: Some(20),
        };
        let applied = |read: i64, billing_mode, whose| {
            let request = OnDemandThroughput {
                max_read_request_units: Some(read),
                max_write_request_units: None,
            };
            request.applied(billing_mode, current, whose)
        };
        let limits = OnDemandLimits {
            read_units: None,
            write_units: Some(20),
        };
        let on_demand = BillingMode::PayPerRequest;
        assert_eq!(applied(-1, on_demand, Whose::TABLE), Ok(limits));
        let invalid = |text: &str| {
            let text = format!("One or more parameter values were invalid: {text}");
            Err::<OnDemandLimits, _>(ApiError::Validation(text))
        };
        for read in [0, -2] {
            assert_eq!(
                applied(read, on_demand, Whose::TABLE),
                invalid(
                    "Requested MaxReadRequestUnits for OnDemandThroughput for table is outside of valid range"
                )
            );
        }
        assert_eq!(
            applied(-1, on_demand, Whose::new_index("by-a", on_demand)),
            invalid(
                "Requested MaxReadRequestUnits for OnDemandThroughput for index : by-a is outside of valid range"
            ),
            "there is nothing to be taken away yet"
        );
        let provisioned = BillingMode::Provisioned;
        assert_eq!(
            applied(1, provisioned, Whose::TABLE),
            invalid(
                "MaxReadRequestUnits for OnDemandThroughput cannot be specified when the table BillingMode is \
                 PROVISIONED"
            )
        );
        assert_eq!(
            applied(1, provisioned, Whose::new_table(provisioned)),
            invalid(
                "MaxReadRequestUnits for OnDemandThroughput cannot be specified when table BillingMode is \
                 PROVISIONED."
            )
        );
    }

    #[test]
    fn warm_throughput_only_rises() {
        let current = WarmUnits {
            read_units: 12_000,
            write_units: 4_000,
        };
        let request = |read, write| WarmThroughput {
            read_units_per_second: read,
            write_units_per_second: write,
        };
        let risen = WarmUnits {
            read_units: 13_000,
            write_units: 4_000,
        };
        assert_eq!(
            request(Some(13_000), None).applied(current, Whose::TABLE),
            Ok(risen)
        );
        let low = request(None, Some(3_999));
        assert_eq!(
            low.applied(current, Whose::TABLE),
            Err(table::lower_warm_throughput("WriteUnitsPerSecond", None))
        );
        let new = Whose::new_index("by-a", BillingMode::Provisioned);
        assert_eq!(
            low.applied(current, new),
            Err(ApiError::validation(
                "One or more parameter values were invalid: Requested WriteUnitsPerSecond for WarmThroughput for index \
                 by-a is lower than WriteCapacityUnits of ProvisionedThroughput"
            ))
        );
    }

    #[test]
    fn a_stream_has_a_view() {
        let view = |enabled, view: Option<&str>, is_new| {
            StreamSpecification {
                stream_enabled: Some(enabled),
                stream_view_type: view.map(str::to_owned),
            }
            .view(is_new)
        };
        let refused = |sentence| Err(ApiError::validation(sentence));
        for is_new in [true, false] {
            assert_eq!(view(false, None, is_new), Ok(None));
            assert_eq!(
                view(true, Some("NEW_IMAGE"), is_new),
                Ok(Some(StreamView::NewImage))
            );
        }
        assert_eq!(view(true, None, true), refused(stream::NO_VIEW_TYPE));
        assert_eq!(view(true, None, false), refused(stream::UPDATED_NO_VIEW_TYPE));
        assert_eq!(
            view(false, Some("NEW_IMAGE"), true),
            refused(stream::VIEW_TYPE_WITHOUT_STREAM)
        );
        assert_eq!(
            view(false, Some("NEW_IMAGE"), false),
            refused(stream::UPDATED_VIEW_TYPE_WITHOUT_STREAM)
        );
    }

    #[test]
    fn encryption_is_by_the_key_of_the_cluster() {
        let encryption = |enabled, kind: Option<&str>, key: Option<&str>| {
            SseSpecification {
                enabled,
                sse_type: kind.map(str::to_owned),
                kms_master_key_id: key.map(str::to_owned),
            }
            .is_enabled()
        };
        assert_eq!(encryption(None, None, None), Ok(false));
        assert_eq!(encryption(Some(false), None, None), Ok(false));
        assert_eq!(encryption(Some(true), None, None), Ok(true));
        assert_eq!(encryption(Some(true), Some("KMS"), None), Ok(true));
        let refused = |sentence| Err(ApiError::validation(sentence));
        assert_eq!(
            encryption(Some(true), Some("AES256"), None),
            refused(table::SSE_TYPE_AES256)
        );
        assert_eq!(encryption(None, Some("KMS"), None), Ok(true));
        assert_eq!(
            encryption(Some(false), Some("KMS"), None),
            refused(table::SSE_TYPE_WHEN_DISABLED)
        );
        let key = Err(Unsupported::EncryptionKey("SSESpecification.KMSMasterKeyId").refusal());
        assert_eq!(encryption(Some(true), Some("KMS"), Some("alias/mine")), key);
    }
}
