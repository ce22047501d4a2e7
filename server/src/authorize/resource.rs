//! What an action is asked for: the ARNs of tables, indexes and streams as this node writes them, whatever region or
//! account the request wrote.

use crate::arn;

/// What a request is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Resource<'a> {
    /// Nothing in particular: `*`.
    Any,
    /// All tables there are.
    Tables,
    /// A table, by its name or ARN as the request has it; empty when it has none.
    Table(&'a str),
    /// An index of a table.
    Index(&'a str, &'a str),
    /// A stream, by its ARN.
    Stream(&'a str),
    /// A backup, by its ARN. Its table may be gone, or another one may have its name: it has no policy and no tags.
    Backup(&'a str),
    /// An export, by its ARN.
    Export(&'a str),
    /// An import, by its ARN.
    Import(&'a str),
    /// A bulk operation, by its ARN.
    BulkOperation(&'a str),
    /// A bucket, or with a key an object in it.
    Bucket(&'a str, Option<&'a str>),
}

impl<'a> Resource<'a> {
    /// A table or one of its indexes.
    pub(super) fn of(table: Option<&'a str>, index: Option<&'a str>) -> Self {
        let table = table.unwrap_or_default();
        index.map_or(Self::Table(table), |index| Self::Index(table, index))
    }

    /// A table or a stream by its ARN.
    pub(super) fn table_or_stream(arn: Option<&'a str>) -> Self {
        let arn = arn.unwrap_or_default();
        if arn::stream_parts(arn).is_some() {
            Self::Stream(arn)
        } else {
            Self::Table(arn)
        }
    }

    /// The label of a stream.
    pub(super) fn label(self) -> Option<&'a str> {
        match self {
            Self::Stream(text) => arn::stream_parts(text).map(|(_, label)| label),
            _ => None,
        }
    }

    /// The name of the table, or what stands in its place.
    pub(super) fn table(self) -> Option<&'a str> {
        let name = |text: &'a str| arn::table_name(text).unwrap_or(text);
        match self {
            Self::Any
            | Self::Tables
            | Self::Backup(_)
            | Self::Export(_)
            | Self::Import(_)
            | Self::BulkOperation(_)
            | Self::Bucket(..) => None,
            Self::Table(table) | Self::Index(table, _) => Some(name(table)),
            Self::Stream(text) => arn::stream_parts(text).map(|(table, _)| table),
        }
    }

    /// The ARN that policies are matched with.
    pub(super) fn arn(self, region: &str) -> String {
        let of_table = || arn::table(region, self.table().unwrap_or_default());
        match self {
            Self::Any => "*".to_owned(),
            Self::Tables => arn::table(region, "*"),
            Self::Table(_) => of_table(),
            Self::Backup(text) => {
                let (table, id) = arn::backup_parts(text).unwrap_or_default();
                arn::backup(&arn::table(region, table), id)
            }
            Self::Export(text) => {
                let (table, id) = arn::export_parts(text).unwrap_or_default();
                arn::export(&arn::table(region, table), id)
            }
            Self::Import(text) => {
                let (table, id) = arn::import_parts(text).unwrap_or_default();
                arn::import(&arn::table(region, table), id)
            }
            Self::BulkOperation(text) => {
                let (table, id) = arn::bulk_operation_parts(text).unwrap_or_default();
                arn::bulk_operation(&arn::table(region, table), id)
            }
            Self::Bucket(name, key) => arn::bucket(name, key),
            Self::Index(_, index) => arn::index(&of_table(), index),
            Self::Stream(text) => match arn::stream_parts(text) {
                Some((_, label)) => arn::stream(&of_table(), label),
                // No stream that could be read.
                None => arn::stream(&of_table(), ""),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_named_as_this_node_names_them() {
        let own = "arn:aws:dynamodb:eu-west-1:000000000000:table/Music";
        let arn = |resource: Resource<'_>| resource.arn("eu-west-1");
        assert_eq!(arn(Resource::Any), "*");
        assert_eq!(
            arn(Resource::Tables),
            "arn:aws:dynamodb:eu-west-1:000000000000:table/*"
        );
        for table in [
            "Music",
            own,
            "arn:aws:dynamodb:us-east-1:123456789012:table/Music",
        ] {
            assert_eq!(arn(Resource::of(Some(table), None)), own);
            assert_eq!(
                arn(Resource::of(Some(table), Some("I"))),
                format!("{own}/index/I")
            );
            let stream = format!("{table}/stream/1");
            let expected = if table == "Music" {
                "arn:aws:dynamodb:eu-west-1:000000000000:table//stream/".to_owned()
            } else {
                format!("{own}/stream/1")
            };
            assert_eq!(arn(Resource::Stream(&stream)), expected);
        }
        assert_eq!(
            arn(Resource::of(None, None)),
            "arn:aws:dynamodb:eu-west-1:000000000000:table/"
        );
    }
}
