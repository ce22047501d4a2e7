//! Amazon Resource Names of tables, and table names given as one.

/// The account that owns everything until there are accounts.
pub(crate) const ACCOUNT: &str = "000000000000";

/// The ARN of a table.
pub(crate) fn table(region: &str, name: &str) -> String {
    format!("arn:aws:dynamodb:{region}:{ACCOUNT}:table/{name}")
}

/// The ARN of the key that the data of the account is encrypted with.
pub(crate) fn account_key(region: &str) -> String {
    format!("arn:aws:kms:{region}:{ACCOUNT}:alias/aws/dynamodb")
}

/// The ARN of an index of a table.
pub(crate) fn index(table: &str, name: &str) -> String {
    format!("{table}/index/{name}")
}

/// The ARN of a stream of a table.
pub(crate) fn stream(table: &str, label: &str) -> String {
    format!("{table}/stream/{label}")
}

/// The ARN of a backup of a table.
pub(crate) fn backup(table: &str, id: &str) -> String {
    format!("{table}/backup/{id}")
}

/// The ARN of an export of a table.
pub(crate) fn export(table: &str, id: &str) -> String {
    format!("{table}/export/{id}")
}

/// The ARN of an import into a table.
pub(crate) fn import(table: &str, id: &str) -> String {
    format!("{table}/import/{id}")
}

/// The ARN of a bulk operation on a table.
pub(crate) fn bulk_operation(table: &str, id: &str) -> String {
    format!("{table}/bulk-operation/{id}")
}

/// The ARN of a bucket, or of an object in it.
pub(crate) fn bucket(name: &str, key: Option<&str>) -> String {
    match key {
        None => format!("arn:aws:s3:::{name}"),
        Some(key) => format!("arn:aws:s3:::{name}/{key}"),
    }
}

/// Name of the table and id of the backup when `text` is a backup's ARN in any region and account.
pub(crate) fn backup_parts(text: &str) -> Option<(&str, &str)> {
    parts_with_id(text, "/backup/")
}

/// The same for the ARN of an export.
pub(crate) fn export_parts(text: &str) -> Option<(&str, &str)> {
    parts_with_id(text, "/export/")
}

/// The same for the ARN of an import.
pub(crate) fn import_parts(text: &str) -> Option<(&str, &str)> {
    parts_with_id(text, "/import/")
}

/// The same for the ARN of a bulk operation.
pub(crate) fn bulk_operation_parts(text: &str) -> Option<(&str, &str)> {
    parts_with_id(text, "/bulk-operation/")
}

fn parts_with_id<'a>(text: &'a str, kind: &str) -> Option<(&'a str, &'a str)> {
    let (table, id) = text.split_once(kind)?;
    let is_id = |id: &str| {
        let (time, random) = id.split_once('-')?;
        let is_time = time.len() == 14 && time.bytes().all(|byte| byte.is_ascii_digit());
        let is_random = random.len() == 8 && random.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_time && is_random).then_some(())
    };
    is_id(id)?;
    Some((table_name(table)?, id))
}

/// Name of the table and label of the stream when `text` is a stream's ARN in any region and account.
pub(crate) fn stream_parts(text: &str) -> Option<(&str, &str)> {
    let (table, label) = text.split_once("/stream/")?;
    Some((table_name(table)?, label))
}

/// The table's name when `text` is a table's ARN in any region and account.
pub(crate) fn table_name(text: &str) -> Option<&str> {
    let mut parts = text.splitn(6, ':');
    let head = [parts.next()?, parts.next()?, parts.next()?];
    let (_region, _account, resource) = (parts.next()?, parts.next()?, parts.next()?);
    let name = resource.strip_prefix("table/")?;
    (head[0] == "arn" && head[2] == "dynamodb" && !name.contains('/')).then_some(name)
}

/// True for the ARN of a principal of the account: the root principal, a user, a role or a session of one.
pub(crate) fn is_principal(text: &str) -> bool {
    let of = |service: &str| {
        let head = format!("arn:aws:{service}::{ACCOUNT}:");
        text.strip_prefix(&head).map(str::to_owned)
    };
    let named = |resource: &str, kind: &str| {
        resource
            .strip_prefix(kind)
            .is_some_and(|name| !name.is_empty() && !name.ends_with('/'))
    };
    match (of("iam"), of("sts")) {
        (Some(resource), _) => resource == "root" || named(&resource, "user/") || named(&resource, "role/"),
        (_, Some(resource)) => named(&resource, "assumed-role/"),
        (None, None) => false,
    }
}

/// True for a name that a table can have. Source: Amazon DynamoDB Developer Guide, "Naming rules".
pub(crate) fn is_table_name(name: &str) -> bool {
    (3..=255).contains(&name.len()) && name.bytes().all(is_table_name_byte)
}

/// True for a byte that the name of a table can have.
pub(crate) fn is_table_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_are_told_from_other_resources() {
        for text in [
            "arn:aws:iam::000000000000:root",
            "arn:aws:iam::000000000000:user/team/ada",
            "arn:aws:sts::000000000000:assumed-role/reader/session",
        ] {
            assert!(is_principal(text), "{text}");
        }
        for text in [
            "ada",
            "arn:aws:iam::000000000000:user/",
            "arn:aws:iam::111111111111:root",
            "arn:aws:iam::000000000000:group/a",
            "arn:aws:dynamodb:us-east-1:000000000000:table/Music",
        ] {
            assert!(!is_principal(text), "{text}");
        }
    }

    #[test]
    fn a_table_is_found_by_its_arn() {
        assert_eq!(table_name(&table("eu-west-1", "Music")), Some("Music"));
        for text in [
            "Music",
            "arn:aws:s3:::table/Music",
            "arn:aws:dynamodb:a:b:table/Music/index/I",
            "arn:aws:dynamodb",
        ] {
            assert_eq!(table_name(text), None, "{text}");
        }
    }

    #[test]
    fn a_backup_is_found_by_its_arn() {
        let arn = backup(&table("eu-west-1", "Music"), "01678793340962-cc4bfb86");
        assert_eq!(backup_parts(&arn), Some(("Music", "01678793340962-cc4bfb86")));
        for text in [
            "01678793340962-cc4bfb86",
            "arn:aws:dynamodb:a:b:table/Music",
            "arn:aws:dynamodb:a:b:table/Music/backup/",
            "arn:aws:dynamodb:a:b:table/Music/backup/../../x",
            "arn:aws:dynamodb:a:b:table/Music/backup/1678793340962-cc4bfb86",
        ] {
            assert_eq!(backup_parts(text), None, "{text}");
        }
    }

    #[test]
    fn names_have_rules() {
        assert!(is_table_name("a_b-c.D9"));
        for name in ["ab", "", "a b", "ä123"] {
            assert!(!is_table_name(name), "{name}");
        }
        assert!(!is_table_name(&"a".repeat(256)));
    }
}
