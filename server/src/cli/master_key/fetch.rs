//! Fetching master keys from where a configuration says that they come from.
//!
//! Invariant: no message has a key, a token or the output of a command in it. Not here: Vault's protocol (`vault.rs`).

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use stator_cluster::{Cluster, MasterKey, MasterKeys};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use zeroize::Zeroizing;

use super::vault;
use crate::config::SecuritySection;
use crate::config::key_source::{CommandSource, KeySource};

/// The most that is read of a command's output, in bytes.
const OUTPUT_BYTES_MAX: u64 = 4096;
/// The most that is told of what a command says on standard error, in characters.
const COMPLAINT_LENGTH_MAX: usize = 200;

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
#[error("no master key from {source_name}: {cause}{wanted}")]
pub(crate) struct KeyError {
    source_name: String,
    cause: String,
    /// Which key the data wants, as the end of the sentence; empty while there is no data.
    wanted: String,
}

/// The master keys of a configuration: the one that wraps, and older ones. `data` is where the engine's files lie.
///
/// # Errors
/// [`KeyError`] names the source, and the key that the data wants.
pub(crate) async fn master_keys(security: &SecuritySection, data: &Path) -> Result<MasterKeys, KeyError> {
    let named = |mut error: KeyError| {
        error.wanted = wanted(data);
        error
    };
    let mut keys = MasterKeys::new(fetch(&security.master_key).await.map_err(named)?);
    for source in &security.older_master_keys {
        keys = keys.with_older(fetch(source).await.map_err(named)?);
    }
    Ok(keys)
}

/// Which master key the data wants, as the end of a sentence.
fn wanted(data: &Path) -> String {
    match Cluster::wanted_master_keys(data) {
        Ok(ids) if ids.is_empty() => String::new(),
        Ok(ids) => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            format!(
                "; the data in {} wants the key {}",
                data.display(),
                ids.join(", ")
            )
        }
        // There may be no directory yet.
        Err(_) => String::new(),
    }
}

/// The key of a source.
///
/// # Errors
/// [`KeyError`] names the source.
pub(crate) async fn fetch(source: &KeySource) -> Result<MasterKey, KeyError> {
    let text = match source {
        KeySource::File(path) => std::fs::read_to_string(path)
            .map(Zeroizing::new)
            .map_err(|error| error.to_string()),
        KeySource::Environment(name) => match std::env::var(name) {
            Ok(text) => Ok(Zeroizing::new(text)),
            Err(std::env::VarError::NotPresent) => Err("it is not set".to_owned()),
            Err(std::env::VarError::NotUnicode(_)) => Err("it is no text".to_owned()),
        },
        KeySource::Command(command) => output(command).await,
        KeySource::Vault(vault) => return vault::unwrap(vault).await.map_err(|cause| failed(source, cause)),
    };
    text.and_then(|text| text.parse::<MasterKey>().map_err(|error| error.to_string()))
        .map_err(|cause| failed(source, cause))
}

fn failed(source: &KeySource, cause: String) -> KeyError {
    KeyError {
        source_name: source.to_string(),
        cause,
        wanted: String::new(),
    }
}

/// What a command prints. It is killed when it takes too long.
async fn output(source: &CommandSource) -> Result<Zeroizing<String>, String> {
    let mut words = source.command.iter();
    let program = words.next().map_or("", String::as_str);
    let child = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|error| format!("it cannot be started: {error}"))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let ended = async {
        let (printed, complaint) = tokio::try_join!(read(out), read(err))?;
        Ok::<_, io::Error>((printed, complaint, child.wait().await?))
    };
    let timeout = Duration::from_millis(source.timeout_ms.into());
    let (printed, complaint, status) = tokio::time::timeout(timeout, ended)
        .await
        .map_err(|_| format!("it took longer than {} ms", source.timeout_ms))?
        .map_err(|error| error.to_string())?;
    if !status.success() {
        let complaint: String = complaint
            .trim()
            .chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .take(COMPLAINT_LENGTH_MAX)
            .collect();
        return Err(format!("it ended with {status}: {complaint}"));
    }
    Ok(printed)
}

/// The beginning of what comes out of a pipe. The rest is not read: who writes more than a key gets a broken pipe.
async fn read(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::new());
    if let Some(pipe) = pipe {
        pipe.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes).await?;
    }
    Ok(Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &[&str], timeout_ms: u32) -> KeySource {
        KeySource::Command(CommandSource {
            command: words.iter().map(|word| (*word).to_owned()).collect(),
            timeout_ms,
        })
    }

    async fn refusal(source: KeySource) -> String {
        fetch(&source).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_command_prints_a_key_or_is_told_to_have_failed() {
        let digits = "5a".repeat(32);
        let key = fetch(&command(&["printf", "%s\\n", &digits], 60_000))
            .await
            .unwrap();
        assert_eq!(key.id(), digits.parse::<MasterKey>().unwrap().id());
        let failing = ["sh", "-c", "echo planted; echo 'the vault is shut' >&2; exit 3"];
        let error = refusal(command(&failing, 60_000)).await;
        assert!(
            error.starts_with(
                "no master key from the command sh: it ended with exit status: 3: the vault is shut"
            ),
            "{error}"
        );
        assert!(!error.contains("planted"), "{error}");
        let error = refusal(command(&["sleep", "600"], 50)).await;
        assert!(error.ends_with("it took longer than 50 ms"), "{error}");
        let error = refusal(command(&["/no/such/program"], 60_000)).await;
        assert!(error.contains("cannot be started"), "{error}");
        let error = refusal(command(&["printf", "planted"], 60_000)).await;
        assert!(
            error.contains("hexadecimal") && !error.contains("planted"),
            "{error}"
        );
        // Endless output neither fills the memory nor hangs.
        let error = refusal(command(&["yes", "planted"], 60_000)).await;
        assert!(!error.contains("planted"), "{error}");
    }

    #[tokio::test]
    async fn files_and_variables_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let error = refusal(KeySource::File(path.clone())).await;
        assert!(error.contains("/key: No such file"), "{error}");
        std::fs::write(&path, "5a".repeat(32)).unwrap();
        assert!(fetch(&KeySource::File(path)).await.is_ok());
        // Set for every test by cargo.
        let error = refusal(KeySource::Environment("CARGO_PKG_NAME".to_owned())).await;
        assert!(error.contains("CARGO_PKG_NAME of the environment: ") && error.contains("hexadecimal"));
        let error = refusal(KeySource::Environment("STATOR_NO_SUCH_VARIABLE".to_owned())).await;
        assert!(error.ends_with("it is not set"), "{error}");
    }
}
