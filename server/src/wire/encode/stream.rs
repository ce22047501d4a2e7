//! Answers of DynamoDB Streams.

use super::Encode;
use super::json::Json;
use crate::catalog::{StreamStatus, StreamView};
use crate::command::SERVICE;
use crate::derive::stream::EventName;
use crate::operation::describe_stream::DescribeStreamOutput;
use crate::operation::get_records::{GetRecordsOutput, ToldRecord};
use crate::operation::get_shard_iterator::GetShardIteratorOutput;
use crate::operation::list_streams::ListStreamsOutput;

/// The name of a view.
pub(super) fn view_name(view: StreamView) -> &'static str {
    match view {
        StreamView::KeysOnly => "KEYS_ONLY",
        StreamView::NewImage => "NEW_IMAGE",
        StreamView::OldImage => "OLD_IMAGE",
        StreamView::NewAndOldImages => "NEW_AND_OLD_IMAGES",
    }
}

impl Encode for ListStreamsOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("Streams").list(&self.streams, |json, stream| {
                json.object(|json| {
                    json.member("StreamArn").text(&stream.arn);
                    json.member("TableName").text(&stream.table);
                    json.member("StreamLabel").text(&stream.label);
                });
            });
            if let Some(arn) = &self.last_arn {
                json.member("LastEvaluatedStreamArn").text(arn);
            }
        });
    }
}

impl Encode for DescribeStreamOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("StreamDescription").object(|json| {
                json.member("StreamArn").text(&self.arn);
                json.member("StreamLabel").text(&self.label);
                json.member("StreamStatus").text(match self.stream.status {
                    StreamStatus::Enabling => "ENABLING",
                    StreamStatus::Enabled => "ENABLED",
                    StreamStatus::Disabling => "DISABLING",
                    StreamStatus::Disabled => "DISABLED",
                });
                json.member("StreamViewType").text(view_name(self.stream.view));
                json.member("CreationRequestDateTime")
                    .time(self.stream.created_at_ms);
                json.member("TableName").text(&self.table);
                json.key_schema(&self.key_schema);
                json.shards(self);
            });
        });
    }
}

impl Json {
    fn shards(&mut self, described: &DescribeStreamOutput) {
        self.member("Shards").list(&described.shards, |json, shard| {
            json.object(|json| {
                json.member("ShardId").text(&shard.id);
                json.member("SequenceNumberRange").object(|json| {
                    json.member("StartingSequenceNumber").text(&shard.starting);
                    if let Some(ending) = &shard.ending {
                        json.member("EndingSequenceNumber").text(ending);
                    }
                });
                if let Some(parent) = &shard.parent {
                    json.member("ParentShardId").text(parent);
                }
            });
        });
        if let Some(shard) = &described.last_shard {
            self.member("LastEvaluatedShardId").text(shard);
        }
    }

    fn told_record(&mut self, told: &ToldRecord, output: &GetRecordsOutput) {
        let record = &told.record;
        self.object(|json| {
            json.member("eventID").text(&told.event_id);
            json.member("eventName").text(match record.event {
                EventName::Insert => "INSERT",
                EventName::Modify => "MODIFY",
                EventName::Remove => "REMOVE",
            });
            json.member("eventVersion").text("1.1");
            json.member("eventSource").text("aws:dynamodb");
            json.member("awsRegion").text(&output.region);
            json.member("dynamodb").object(|json| {
                // Told to the second, as DynamoDB tells it.
                json.member("ApproximateCreationDateTime")
                    .integer(record.at_ms / 1000);
                json.member("Keys").item(record.keys.as_ref());
                if let Some(image) = &record.new_image {
                    json.member("NewImage").item(image.as_ref());
                }
                if let Some(image) = &record.old_image {
                    json.member("OldImage").item(image.as_ref());
                }
                json.member("SequenceNumber").text(&told.sequence_number);
                json.member("SizeBytes").size(record.size());
                json.member("StreamViewType").text(view_name(output.view));
            });
            if record.origin == SERVICE {
                json.member("userIdentity").object(|json| {
                    json.member("PrincipalId").text("dynamodb.amazonaws.com");
                    json.member("Type").text("Service");
                });
            }
        });
    }
}

impl Encode for GetShardIteratorOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| json.member("ShardIterator").text(&self.iterator));
    }
}

impl Encode for GetRecordsOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("Records")
                .list(&self.records, |json, told| json.told_record(told, self));
            if let Some(iterator) = &self.next_iterator {
                json.member("NextShardIterator").text(iterator);
            }
        });
    }
}
