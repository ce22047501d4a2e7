//! DescribeTable and DeleteTable: requests that only name a table.

use super::Decode;
use super::reader::{Decoded, Reader};
use crate::operation::delete_table::DeleteTable;
use crate::operation::describe_table::DescribeTable;

impl Decode for DescribeTable {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        Ok(Self {
            table_name: table_name(reader)?,
        })
    }
}

impl Decode for DeleteTable {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        Ok(Self {
            table_name: table_name(reader)?,
        })
    }
}

fn table_name(reader: &mut Reader<'_>) -> Decoded<Option<String>> {
    let mut table_name = None;
    reader.object(|reader, name| {
        match name {
            "TableName" => table_name = reader.text()?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(table_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_members_are_skipped() {
        let body = br#"{"Other":[{}],"TableName":"Tab"}"#;
        let request = DescribeTable::decode(&mut Reader::new(body)).unwrap();
        assert_eq!(request.table_name.as_deref(), Some("Tab"));
        let request = DeleteTable::decode(&mut Reader::new(b"{}")).unwrap();
        assert_eq!(request.table_name, None);
    }
}
