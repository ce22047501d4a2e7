//! The settings of a table that CreateTable and UpdateTable share: throughput, class, stream, encryption.

use crate::catalog::{BillingMode, OnDemandLimits, StreamView, TableClass, WarmUnits};
use crate::constraint::{Constraints, ModelEnum};
use crate::message::stream;
use crate::message::table::{self, Unsupported};
use crate::wire::error::ApiError;

/// Most read or write units a table can have, as DescribeLimits says.
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
        if read_units.max(write_units) > TABLE_UNITS_MAX {
            return Err(ApiError::validation(table::CAPACITY_TOO_LARGE));
        }
        Ok((read_units, write_units))
    }

    /// The same for a global index, whose limit is as high and has a sentence of its own.
    ///
    /// # Errors
    /// ValidationException.
    pub(super) fn units_of_index(&self) -> Result<(i64, i64), ApiError> {
        self.units().map_err(|error| match error {
            ApiError::Validation(text) if text == table::CAPACITY_TOO_LARGE => {
                ApiError::validation(crate::message::index::CAPACITY_TOO_LARGE)
            }
            error => error,
        })
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

/// Limits of a table that is paid per request; -1 takes a limit away.
#[derive(Debug, Clone, Default)]
pub(crate) struct OnDemandThroughput {
    pub(crate) max_read_request_units: Option<i64>,
    pub(crate) max_write_request_units: Option<i64>,
}

impl OnDemandThroughput {
    /// The limits after this request on a table that has `current`.
    pub(super) fn applied(
        &self,
        billing_mode: BillingMode,
        current: OnDemandLimits,
    ) -> Result<OnDemandLimits, ApiError> {
        if billing_mode == BillingMode::Provisioned {
            return Err(ApiError::validation(table::ON_DEMAND_WITH_PROVISIONED));
        }
        let limit = |requested: Option<i64>, current| match requested {
            None => Ok(current),
            Some(-1) => Ok(None),
            Some(units) if units >= 1 => Ok(Some(units)),
            Some(_) => Err(ApiError::validation(table::ON_DEMAND_UNITS)),
        };
        Ok(OnDemandLimits {
            read_units: limit(self.max_read_request_units, current.read_units)?,
            write_units: limit(self.max_write_request_units, current.write_units)?,
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
    /// The warm throughput after this request on a table that has `current`.
    pub(super) fn applied(&self, current: WarmUnits) -> Result<WarmUnits, ApiError> {
        let units = |requested: Option<i64>, current: i64, member| match requested {
            Some(units) if units < current => Err(table::lower_warm_throughput(member)),
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

    /// What records of the wanted stream are to have; `None` when none is wanted.
    ///
    /// # Errors
    /// ValidationException for a stream without a view, and a view without a stream.
    pub(super) fn view(&self) -> Result<Option<StreamView>, ApiError> {
        let view = self.stream_view_type.as_deref().and_then(StreamView::from_name);
        match (self.stream_enabled.unwrap_or_default(), view) {
            (true, None) => Err(ApiError::validation(stream::NO_VIEW_TYPE)),
            (false, Some(_)) => Err(ApiError::validation(table::VIEW_TYPE_WITHOUT_STREAM)),
            (_, view) => Ok(view),
        }
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
        let enabled = self.enabled.unwrap_or_default();
        match self.sse_type.as_deref() {
            None => Ok(enabled),
            Some(kind) if kind != SSE_TYPE => Err(ApiError::validation(table::SSE_TYPE_NOT_KMS)),
            Some(_) if !enabled => Err(ApiError::validation(table::SSE_TYPE_WHEN_DISABLED)),
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
        assert_eq!(
            capacity(BillingMode::Provisioned, Some(&throughput(1, 40_000))),
            Ok(Some((1, 40_000)))
        );
        assert_eq!(
            capacity(BillingMode::Provisioned, Some(&throughput(1, 40_001))),
            Err(ApiError::validation(table::CAPACITY_TOO_LARGE))
        );
    }

    #[test]
    fn on_demand_limits_are_set_one_by_one_and_taken_away() {
        let current = OnDemandLimits {
            read_units: Some(10),
            write_units: Some(20),
        };
        let request = OnDemandThroughput {
            max_read_request_units: Some(-1),
            max_write_request_units: None,
        };
        let limits = OnDemandLimits {
            read_units: None,
            write_units: Some(20),
        };
        assert_eq!(request.applied(BillingMode::PayPerRequest, current), Ok(limits));
        assert!(request.applied(BillingMode::Provisioned, current).is_err());
        let zero = OnDemandThroughput {
            max_read_request_units: Some(0),
            max_write_request_units: None,
        };
        assert_eq!(
            zero.applied(BillingMode::PayPerRequest, current),
            Err(ApiError::validation(table::ON_DEMAND_UNITS))
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
        assert_eq!(request(Some(13_000), None).applied(current), Ok(risen));
        assert_eq!(
            request(None, Some(3_999)).applied(current),
            Err(table::lower_warm_throughput("WriteUnitsPerSecond"))
        );
    }

    #[test]
    fn a_stream_has_a_view() {
        let view = |enabled, view: Option<&str>| {
            StreamSpecification {
                stream_enabled: Some(enabled),
                stream_view_type: view.map(str::to_owned),
            }
            .view()
        };
        assert_eq!(view(false, None), Ok(None));
        assert_eq!(view(true, Some("NEW_IMAGE")), Ok(Some(StreamView::NewImage)));
        assert_eq!(view(true, None), Err(ApiError::validation(stream::NO_VIEW_TYPE)));
        assert_eq!(
            view(false, Some("NEW_IMAGE")),
            Err(ApiError::validation(table::VIEW_TYPE_WITHOUT_STREAM))
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
            refused(table::SSE_TYPE_NOT_KMS)
        );
        assert_eq!(
            encryption(None, Some("KMS"), None),
            refused(table::SSE_TYPE_WHEN_DISABLED)
        );
        let key = Err(Unsupported::EncryptionKey("SSESpecification.KMSMasterKeyId").refusal());
        assert_eq!(encryption(Some(true), Some("KMS"), Some("alias/mine")), key);
    }
}
