//! Answers about the time to live.

use super::Encode;
use super::json::Json;
use crate::catalog::{TimeToLive, TimeToLiveStatus};
use crate::operation::describe_time_to_live::DescribeTimeToLiveOutput;
use crate::operation::update_time_to_live::UpdateTimeToLiveOutput;

impl Encode for UpdateTimeToLiveOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("TimeToLiveSpecification").object(|json| {
                json.member("Enabled").boolean(self.enabled);
                json.member("AttributeName").text(&self.attribute_name);
            });
        });
    }
}

impl Encode for DescribeTimeToLiveOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| json.time_to_live_description(self.time_to_live.as_ref()));
    }
}

impl Json {
    pub(super) fn time_to_live_description(&mut self, known: Option<&TimeToLive>) {
        self.member("TimeToLiveDescription").object(|json| {
            let status = match known.map(|known| known.status) {
                None => "DISABLED",
                Some(TimeToLiveStatus::Enabling) => "ENABLING",
                Some(TimeToLiveStatus::Enabled) => "ENABLED",
                Some(TimeToLiveStatus::Disabling) => "DISABLING",
            };
            json.member("TimeToLiveStatus").text(status);
            if let Some(known) = known {
                json.member("AttributeName").text(&known.attribute);
            }
        });
    }
}
