//! Backups of the cluster and their restore, as operators ask for them. What is asked is the part of `whole/request.rs`.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::App;
use crate::whole::request::{self, ChangeBackups, ChangeRestore};
use crate::wire::error::ApiError;

/// The path of backups of the cluster.
pub(crate) const BACKUPS_PATH: &str = "/_stator/backups";
/// The path of the restore of the cluster.
pub(crate) const RESTORE_PATH: &str = "/_stator/restore";

fn value(shown: impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(shown).map_err(|error| ApiError::Internal(error.to_string()))
}

fn body<T: DeserializeOwned>(json: &[u8], what: &str) -> Result<T, ApiError> {
    serde_json::from_slice(json).map_err(|error| ApiError::validation(format!("{what}: {error}")))
}

/// All backups of the cluster.
pub(super) async fn backups(app: &App) -> Result<Value, ApiError> {
    Ok(json!({"backups": value(request::all(&app.context).await?)?}))
}

/// Begins or removes one.
pub(super) async fn change_backups(app: &App, json: &[u8]) -> Result<Value, ApiError> {
    let change: ChangeBackups = body(json, "no change of backups")?;
    value(request::change(&app.context, change).await?)
}

/// How far the restore is that was asked for last.
pub(super) async fn restore(app: &App) -> Result<Value, ApiError> {
    Ok(json!({"restore": value(request::standing(&app.context).await?)?}))
}

/// Begins a restore, or gives it up.
pub(super) async fn change_restore(app: &App, json: &[u8]) -> Result<Value, ApiError> {
    let change: ChangeRestore = body(json, "no change of a restore")?;
    let standing = request::change_restore(&app.context, &app.identities, change).await?;
    Ok(json!({"restore": value(standing)?}))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The document of this API, which is written by hand.
    const DOCUMENT: &str = include_str!("../../../../openapi/admin.json");

    /// Bodies with all members that the document has for a request.
    fn examples(schema: &str) -> Vec<Value> {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let shown = document["components"]["schemas"][schema]["oneOf"].clone();
        let value = |member: &Value| match (&member["const"], member["type"].as_str()) {
            (Value::Null, Some("array")) => json!(["a"]),
            (Value::Null, Some("boolean")) => json!(true),
            (Value::Null, _) => json!("a"),
            (tag, _) => tag.clone(),
        };
        let example = |schema: &Value| {
            let members = schema["properties"].as_object().unwrap().iter();
            let members = members.map(|(name, member)| (name.clone(), value(member)));
            members.collect::<serde_json::Map<_, _>>().into()
        };
        shown.as_array().unwrap().iter().map(example).collect()
    }

    #[test]
    fn the_bodies_of_the_document_are_understood() {
        let (backups, restores) = (examples("ChangeBackups"), examples("ChangeRestore"));
        assert_eq!((backups.len(), restores.len()), (2, 2));
        for example in backups {
            serde_json::from_value::<ChangeBackups>(example).unwrap();
        }
        for example in restores {
            serde_json::from_value::<ChangeRestore>(example).unwrap();
        }
        let refused = body::<ChangeBackups>(br#"{"change":"create","nmae":"a"}"#, "no change of backups");
        let refused = refused.unwrap_err().to_string();
        assert!(
            refused.contains("no change of backups: unknown field `nmae`"),
            "{refused}"
        );
    }
}
