//! Configurations with one thing wrong, with many, and with none.

use proptest::prelude::*;

use super::*;

/// A configuration with nothing to say about.
pub(crate) const SOUND: &str = r#"[cluster]
id = "blue"
nodes = ["1=10.0.0.1:7400", "2=10.0.0.2:7400", "3=10.0.0.3:7400"]
replication = 3
[node]
id = 1
address = "10.0.0.1:7400"
listen = "10.0.0.1:7400"
data_dir = "data"
[http]
listen = "0.0.0.0:8000"
region = "eu-central-1"
metrics_listen = "10.0.0.1:9400"
[security]
ca = "ca.pem"
certificate = "node.pem"
key = "node-key.pem"
master_key = "master.key"
root_credentials = "root-credentials"
[storage]
durability = "sync"
[audit]
file = "audit"
[backup]
directory = "/mnt/backup"
"#;

fn checked(text: &str) -> Checked {
    check(text, Path::new("/d"), &Place::default())
}

/// Field and line of everything that is found.
fn found(text: &str) -> Vec<(String, Option<usize>)> {
    let findings = checked(text).findings.into_iter();
    findings.map(|finding| (finding.field, finding.line)).collect()
}

fn at(field: &str, line: usize) -> (String, Option<usize>) {
    (field.to_owned(), Some(line))
}

#[test]
fn nothing_is_found_in_what_a_node_takes() {
    let checked = checked(SOUND);
    assert_eq!(checked.findings, []);
    let config = checked.config.unwrap();
    assert_eq!(config.node.data_dir, Path::new("/d/data"));
    assert_eq!(checked.lines.of("node.data_dir"), Some(9));
    // A value that is not there has the line of its section.
    assert_eq!(checked.lines.of("node.zone"), Some(5));
    assert_eq!(checked.lines.of("limits.tables_max"), None);
}

#[test]
fn everything_is_found_at_once_with_its_line() {
    let text = SOUND
        .replace("2=10.0.0.2:7400", "two")
        .replace("3=10.0.0.3:7400", "3")
        .replace("replication = 3", "replication = 9")
        .replace("id = 1\n", "id = \"one\"\n")
        .replace("data_dir = \"data\"\n", "")
        .replace("region =", "regiom =")
        .replace("\"sync\"", "\"sometimes\"");
    let expected = [
        at("cluster.nodes[1]", 3),
        at("cluster.nodes[2]", 3),
        at("cluster.replication", 4),
        at("node.data_dir", 5),
        at("node.id", 6),
        at("http.region", 9),
        at("http.regiom", 11),
        at("storage.durability", 20),
    ];
    assert_eq!(found(&text), expected, "{:#?}", checked(&text).findings);
    assert!(checked(&text).config.is_none());
}

#[test]
fn sections_that_are_missing_or_unknown_are_found() {
    assert_eq!(found("").len(), 4);
    let text = SOUND.replace("[audit]\nfile", "[audti]\nfile");
    assert_eq!(found(&text), [at("audti", 22)]);
    let text = SOUND.replace("[http]", "[web]");
    assert_eq!(found(&text), [("http".to_owned(), None), at("web", 10)]);
}

#[test]
fn values_that_do_not_go_together_are_found_unless_one_is_not_understood() {
    let same = SOUND.replace("0.0.0.0:8000", "10.0.0.1:7400");
    assert_eq!(found(&same), [at("http.listen", 11)]);
    let and_bad = same.replace("metrics_listen = \"10.0.0.1:9400\"", "metrics_listen = \"x\"");
    assert_eq!(found(&and_bad), [at("http.metrics_listen", 13)]);
    let nested = format!("{SOUND}[storage.engine]\nblock_size = 1\nlog_segments_max = 0\n");
    assert_eq!(
        found(&nested),
        [at("storage.engine", 26), at("storage.engine.block_size", 27)]
    );
}

#[test]
fn what_is_no_toml_is_found_line_by_line() {
    let text = SOUND.replace("id = 1\n", "id = \n").replace("region =", "region");
    let lines: Vec<_> = found(&text).into_iter().map(|(_, line)| line).collect();
    assert!(lines.contains(&Some(6)) && lines.contains(&Some(12)), "{lines:?}");
}

#[test]
fn what_a_node_has_for_itself_is_checked_with_the_file() {
    let place = Place {
        node: Some(2),
        ..Place::default()
    };
    let checked = check(SOUND, Path::new("/d"), &place);
    let fields: Vec<&str> = checked
        .findings
        .iter()
        .map(|finding| finding.field.as_str())
        .collect();
    assert_eq!(fields, ["cluster.nodes", "node.address"]);
}

proptest! {
    /// Nothing is found exactly when a node takes it; and it ends.
    #[test]
    fn a_check_says_what_a_start_says(
        lines in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
        values in proptest::collection::vec(
            prop::sample::select(vec!["", "x = 1", "id = 0", "[node]", "listen = \"0.0.0.0:8000\"", "key = 7", "[[http]]", "nodes = [1, \"2=a:1\", [3]]", "principals = 1", "= ="]), 4),
    ) {
        let mut text: Vec<&str> = SOUND.lines().collect();
        for (line, value) in lines.iter().zip(&values) {
            let place = line.index(text.len());
            text[place] = value;
        }
        let text = text.join("\n");
        let taken = Config::parse(&text, Path::new("/d")).is_ok();
        let checked = checked(&text);
        prop_assert_eq!(checked.findings.is_empty(), taken, "{:?} {}", checked.findings, text);
        prop_assert_eq!(checked.config.is_some(), taken);
    }
}
