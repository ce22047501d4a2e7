//! DescribeLimits and DescribeEndpoints.

use super::Encode;
use super::json::Json;
use crate::operation::describe_endpoints::DescribeEndpointsOutput;
use crate::operation::describe_limits::DescribeLimitsOutput;

impl Encode for DescribeLimitsOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            for (name, units) in [
                (
                    "AccountMaxReadCapacityUnits",
                    self.account_max_read_capacity_units,
                ),
                (
                    "AccountMaxWriteCapacityUnits",
                    self.account_max_write_capacity_units,
                ),
                ("TableMaxReadCapacityUnits", self.table_max_read_capacity_units),
                ("TableMaxWriteCapacityUnits", self.table_max_write_capacity_units),
            ] {
                json.member(name).integer(units);
            }
        });
    }
}

impl Encode for DescribeEndpointsOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("Endpoints").list(|json| {
                json.element().object(|json| {
                    json.member("Address").text(&self.address);
                    json.member("CachePeriodInMinutes")
                        .integer(self.cache_period_in_minutes);
                });
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_in_a_list() {
        let mut json = Json::default();
        let answer = DescribeEndpointsOutput {
            address: "localhost:8000".to_owned(),
            cache_period_in_minutes: 1440,
        };
        answer.encode(&mut json);
        assert_eq!(
            json.into_bytes(),
            br#"{"Endpoints":[{"Address":"localhost:8000","CachePeriodInMinutes":1440}]}"#
        );
    }
}
