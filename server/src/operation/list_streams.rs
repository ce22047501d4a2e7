//! ListStreams: the streams of all tables or of one, those that are disabled and can still be read included, also if their
//! table is gone.

use super::shards::label;
use super::{Context, Operation, restore_table_from_backup};
use crate::arn;
use crate::constraint::Constraints;
use crate::message;
use crate::wire::error::ApiError;

/// Most streams of one answer. Source: Amazon DynamoDB Streams API Reference, ListStreams.
const LIMIT_MAX: i32 = 100;

/// The request.
#[derive(Debug, Default)]
pub(crate) struct ListStreams {
    pub(crate) table_name: Option<String>,
    pub(crate) limit: Option<i32>,
    pub(crate) start_arn: Option<String>,
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedStream {
    pub(crate) arn: String,
    pub(crate) label: String,
    pub(crate) table: String,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct ListStreamsOutput {
    pub(crate) streams: Vec<ListedStream>,
    pub(crate) last_arn: Option<String>,
}

impl Operation for ListStreams {
    type Output = ListStreamsOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let mut constraints = Constraints::default();
        restore_table_from_backup::check_name(&mut constraints, "tableName", self.table_name.as_ref());
        constraints.at_least("limit", self.limit, 1);
        if let Some(arn) = &self.start_arn {
            constraints.length("exclusiveStartStreamArn", arn, arn.len(), 37, 1024);
        }
        constraints.finish()?;
        if self.limit.is_some_and(|limit| limit > LIMIT_MAX) {
            return Err(ApiError::validation(message::stream::TOO_MANY_STREAMS));
        }
        let tables = context.catalog.all().await.map_err(message::table::catalog)?;
        let wanted = self.table_name.as_deref();
        let deleted = context.catalog.deleted();
        let of_deleted = deleted.iter().map(|table| (&table.name[..], &table.streams));
        let of_tables = tables
            .values()
            .map(|table| (table.name(), &table.definition().streams));
        let mut all = Vec::new();
        for (name, streams) in of_deleted.chain(of_tables) {
            if wanted.is_some_and(|wanted| wanted != name) {
                continue;
            }
            let table_arn = arn::table(&context.region, name);
            all.extend(streams.iter().map(|stream| {
                let label = label(stream);
                ListedStream {
                    arn: arn::stream(&table_arn, &label),
                    label,
                    table: name.to_owned(),
                }
            }));
        }
        // Labels are times: the streams of a name in the order in which they were made.
        all.sort_by(|one, two| (&one.table, &one.label).cmp(&(&two.table, &two.label)));
        let begin = match &self.start_arn {
            None => 0,
            Some(start) => all
                .iter()
                .position(|stream| stream.arn == *start)
                .map_or(all.len(), |at| at + 1),
        };
        let limit = usize::try_from(self.limit.unwrap_or(LIMIT_MAX)).unwrap_or_default();
        let mut streams = all.split_off(begin);
        let more = streams.len() > limit;
        streams.truncate(limit);
        let last_arn = streams.last().filter(|_| more).map(|stream| stream.arn.clone());
        Ok(ListStreamsOutput { streams, last_arn })
    }
}
