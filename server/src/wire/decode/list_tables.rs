//! ListTables.

use super::Decode;
use super::reader::{Decoded, Reader};
use crate::operation::list_tables::ListTables;

impl Decode for ListTables {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "ExclusiveStartTableName" => request.exclusive_start_table_name = reader.text()?,
                "Limit" => request.limit = reader.integer()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read() {
        let body = br#"{"ExclusiveStartTableName":"Tab","Limit":2}"#;
        let request = ListTables::decode(&mut Reader::new(body)).unwrap();
        assert_eq!(request.exclusive_start_table_name.as_deref(), Some("Tab"));
        assert_eq!(request.limit, Some(2));
        let wrong = ListTables::decode(&mut Reader::new(br#"{"Limit":"2"}"#));
        assert_eq!(
            wrong.unwrap_err().to_string(),
            "STRING_VALUE cannot be converted to Integer"
        );
    }
}
