//! ListTables.

use super::Encode;
use super::json::Json;
use crate::operation::list_tables::ListTablesOutput;

impl Encode for ListTablesOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("TableNames").list(|json| {
                for name in &self.table_names {
                    json.element().text(name);
                }
            });
            if let Some(name) = &self.last_evaluated_table_name {
                json.member("LastEvaluatedTableName").text(name);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_page_names_no_last_table() {
        let text = |last: Option<&str>| {
            let mut json = Json::default();
            let answer = ListTablesOutput {
                table_names: vec!["a.a".to_owned(), "b.b".to_owned()],
                last_evaluated_table_name: last.map(str::to_owned),
            };
            answer.encode(&mut json);
            String::from_utf8(json.into_bytes()).unwrap()
        };
        assert_eq!(text(None), r#"{"TableNames":["a.a","b.b"]}"#);
        assert_eq!(
            text(Some("b.b")),
            r#"{"TableNames":["a.a","b.b"],"LastEvaluatedTableName":"b.b"}"#
        );
    }
}
