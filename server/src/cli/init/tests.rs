//! Runs of the command in a directory of their own.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use clap::Parser;
use stator_cluster::transport::Credentials;

use super::*;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    options: Options,
}

fn options(directory: &Path, arguments: &[&str]) -> Result<Options, clap::Error> {
    let directory = directory.to_str().unwrap();
    let mut all = vec!["init", "--directory", directory];
    all.extend(arguments);
    Command::try_parse_from(all).map(|command| command.options)
}

fn init(directory: &Path, arguments: &[&str]) -> Result<Plan, InitError> {
    let options = options(directory, arguments).unwrap();
    let plan = plan(&options)?;
    make(&plan, &options.directory)?;
    Ok(plan)
}

/// Makes three nodes with nothing to be said of them: each in a folder of its own, with data and audit log in it.
pub(in crate::cli) fn three_nodes(directory: &Path) {
    let nodes = "1=10.0.0.1:7400,2=10.0.0.2:7400,3=10.0.0.3:7400";
    let metrics = ["--metrics", "10.0.0.1:9400"];
    init(
        directory,
        &[&["--cluster", "blue", "--nodes", nodes], &metrics[..]].concat(),
    )
    .unwrap();
}

/// All files under a directory, by path.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

fn names(directory: &Path) -> Vec<String> {
    contents(directory)
        .keys()
        .map(|path| path.strip_prefix(directory).unwrap().display().to_string())
        .collect()
}

fn config(folder: &Path) -> Config {
    Config::parse(&fs::read_to_string(folder.join(CONFIG)).unwrap(), folder).unwrap()
}

#[test]
fn one_node_gets_all_it_needs_and_secrets_are_private() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("new/cluster");
    init(&target, &["--cluster", "blue"]).unwrap();
    let all = [
        "ca-key.pem",
        "ca.pem",
        "master.key",
        "node-key.pem",
        "node.pem",
        "root-credentials",
        "stator.toml",
    ];
    assert_eq!(names(&target), all);
    for name in all {
        let mode = fs::metadata(target.join(name)).unwrap().permissions().mode() & 0o777;
        let secret = !["ca.pem", "node.pem", "stator.toml"].contains(&name);
        assert_eq!(mode == 0o600, secret, "{name} has mode {mode:o}");
    }
    let config = config(&target);
    assert_eq!(config.cluster.id.as_ref(), "blue");
    assert_eq!(config.node.address.to_string(), "127.0.0.1:7400");
    for path in [
        &config.security.ca,
        &config.security.certificate,
        &config.security.key,
        &target.join("master.key"),
        &config.security.root_credentials,
    ] {
        assert!(path.exists(), "{}", path.display());
    }
}

#[test]
fn clusters_without_a_name_get_different_ones() {
    let directory = tempfile::tempdir().unwrap();
    let one = init(&directory.path().join("1"), &[]).unwrap();
    let two = init(&directory.path().join("2"), &[]).unwrap();
    assert_ne!(one.cluster, two.cluster);
}

#[test]
fn a_second_run_changes_nothing_and_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    init(directory.path(), &[]).unwrap();
    let before = contents(directory.path());
    let error = init(directory.path(), &[]).err().unwrap();
    assert!(matches!(error, InitError::Exists { .. }), "{error}");
    assert!(error.to_string().contains("--add-node"), "{error}");
    assert_eq!(contents(directory.path()), before);
}

#[test]
fn a_single_file_that_is_there_is_enough_to_make_nothing() {
    for name in ["stator.toml", "node-key.pem", "root-credentials"] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(name), "mine").unwrap();
        let error = init(directory.path(), &[]).err().unwrap();
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(names(directory.path()), [name]);
    }
}

#[test]
fn several_nodes_get_a_folder_each_and_one_authority() {
    let directory = tempfile::tempdir().unwrap();
    let nodes = "1=127.0.0.1:7401,2=127.0.0.1:7402,5=db-5.example:7400";
    init(directory.path(), &["--nodes", nodes, "--listen", "0.0.0.0:8000"]).unwrap();
    let root = contents(directory.path());
    let read = |path: &str| root.get(&directory.path().join(path)).unwrap().clone();
    let mut ports = Vec::new();
    for id in [1, 2, 5] {
        let folder = directory.path().join(format!("node-{id}"));
        for name in [CA, "master.key", "root-credentials"] {
            assert_eq!(read(&format!("node-{id}/{name}")), read(name));
        }
        let config = config(&folder);
        assert_eq!(config.node.id, id);
        assert_eq!(config.cluster.nodes.len(), 3);
        ports.push(config.http.listen.port());
        assert!(!folder.join(CA_KEY).exists());
    }
    // Two of them share a host.
    assert_eq!(ports, [8000, 8001, 8000]);
    assert_ne!(read("node-1/node-key.pem"), read("node-2/node-key.pem"));
    assert!(!directory.path().join(CONFIG).exists());
}

#[test]
fn a_node_is_added_with_the_authority_that_is_there() {
    let directory = tempfile::tempdir().unwrap();
    init(
        directory.path(),
        &["--cluster", "blue", "--address", "10.0.0.1:7400"],
    )
    .unwrap();
    let before = contents(directory.path());
    let add = |id: &str, address: &str| {
        init(
            directory.path(),
            &["--add-node", "--node-id", id, "--address", address],
        )
    };
    add("2", "10.0.0.2:7400").unwrap();
    add("3", "10.0.0.3:7400").unwrap();
    let after = contents(directory.path());
    assert!(before.iter().all(|(path, bytes)| after.get(path) == Some(bytes)));
    let config = config(&directory.path().join("node-3"));
    assert_eq!((config.node.id, config.cluster.id.as_ref()), (3, "blue"));
    let known: Vec<String> = config.cluster.nodes.iter().map(ToString::to_string).collect();
    assert_eq!(known, ["1=10.0.0.1:7400", "2=10.0.0.2:7400"], "not itself");

    for id in ["1", "3"] {
        let error = add(id, "10.0.0.9:7400").err().unwrap();
        assert!(matches!(error, InitError::NodeExists { .. }), "{error}");
    }
    let error = add("4", "10.0.0.3:7400").err().unwrap();
    assert!(
        error
            .to_string()
            .contains("10.0.0.3:7400 is the address of node 3"),
        "{error}"
    );
    assert_eq!(contents(directory.path()), after);
}

#[test]
fn a_node_is_not_added_to_two_clusters_that_were_mixed() {
    let directory = tempfile::tempdir().unwrap();
    init(directory.path(), &["--cluster", "blue"]).unwrap();
    let path = directory.path().join(CONFIG);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("id = \"blue\"", "id = \"red\"")).unwrap();
    let arguments = ["--add-node", "--node-id", "2", "--address", "10.0.0.2:7400"];
    let error = init(directory.path(), &arguments).err().unwrap();
    assert!(error.to_string().contains("it is of cluster red"), "{error}");
}

#[test]
fn a_node_cannot_be_added_to_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["--add-node", "--node-id", "2", "--address", "10.0.0.2:7400"];
    let error = init(directory.path(), &arguments).err().unwrap();
    assert!(matches!(error, InitError::Missing { .. }), "{error}");
    assert!(error.to_string().contains("ca.pem"), "{error}");
    init(directory.path(), &[]).unwrap();
    fs::write(directory.path().join("root-credentials"), "no pair").unwrap();
    let error = init(directory.path(), &arguments).err().unwrap();
    assert!(
        error.to_string().contains("root-credentials cannot be read"),
        "{error}"
    );
    assert!(!directory.path().join("node-2").exists());
}

#[test]
fn nodes_that_do_not_fit_together_are_refused_before_anything_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let error = init(directory.path(), &["--nodes", "1=a:1,1=b:1"]).err().unwrap();
    assert!(error.to_string().contains("node 1 is named twice"), "{error}");
    assert!(names(directory.path()).is_empty());
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let directory = Path::new("d");
    for arguments in [
        &["--add-node"][..],
        &["--add-node", "--node-id", "2"],
        &["--nodes", "1=a:1", "--node-id", "1"],
        &["--node-id", "0"],
        &["--cluster", "Not Allowed"],
        &["--nodes", "a:1"],
        &["--region", "EU"],
        &["--days", "0"],
    ] {
        assert!(options(directory, arguments).is_err(), "{arguments:?}");
    }
}

#[test]
fn the_report_names_files_and_the_next_command() {
    let directory = tempfile::tempdir().unwrap();
    let plan = init(directory.path(), &[]).unwrap();
    let mut text = Vec::new();
    report(&plan, &options(directory.path(), &[]).unwrap(), &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let config = directory.path().join(CONFIG).display().to_string();
    assert!(
        text.contains(&format!("stator serve --config {config}")),
        "{text}"
    );
    assert!(
        text.contains("node-key.pem  (secret)") && text.contains("--node-id 2"),
        "{text}"
    );
    let secret = fs::read_to_string(directory.path().join("master.key")).unwrap();
    assert!(!text.contains(secret.trim()));
}

#[test]
fn names_of_clients_and_metrics_go_into_every_node() {
    let directory = tempfile::tempdir().unwrap();
    let nodes = ["--nodes", "1=a:7400,2=b:7400", "--hosts", "db.example,10.0.0.9"];
    let more = ["--metrics", "0.0.0.0:9400", "--listen", "0.0.0.0:8000"];
    init(directory.path(), &[&nodes[..], &more[..]].concat()).unwrap();
    for node in ["node-1", "node-2"] {
        let folder = directory.path().join(node);
        let config = config(&folder);
        assert_eq!(config.http.metrics_listen, Some(([0, 0, 0, 0], 9400).into()));
        let pem = fs::read(folder.join(NODE)).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
        let certificate = pem.parse_x509().unwrap();
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        let names = format!("{:?}", names.value.general_names);
        assert!(names.contains("db.example"), "{names}");
    }
}

#[test]
fn traces_go_where_it_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let traces = ["--traces", "http://collector:4318", "--trace-ratio", "1"];
    init(directory.path(), &traces).unwrap();
    let tracing = config(directory.path()).tracing.unwrap();
    assert_eq!(tracing.endpoint, "http://collector:4318");
    assert!(tracing.sample_ratio >= 1.0);
    for wrong in [
        &["--traces", "collector:4318"][..],
        &["--traces", "https://collector:4318"],
        &["--traces", "http://a\"b:4318"],
        &["--traces", "http://collector:4318", "--trace-ratio", "1.5"],
        &["--trace-ratio", "1"],
    ] {
        assert!(options(directory.path(), wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_cluster_that_is_there_is_left_alone_when_it_is_only_made_if_missing() {
    let directory = tempfile::tempdir().unwrap();
    let again = options(directory.path(), &["--if-missing"]).unwrap();
    run(&again).unwrap();
    let before = contents(directory.path());
    run(&again).unwrap();
    assert_eq!(contents(directory.path()), before);
    assert!(matches!(
        init(directory.path(), &[]),
        Err(InitError::Exists { .. })
    ));
}

/// The names in the certificate of a folder, and when it expires.
fn certified(folder: &Path) -> (String, i64) {
    let pem = fs::read(folder.join(NODE)).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
    let certificate = pem.parse_x509().unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    let names = format!("{:?}", names.value.general_names);
    (names, certificate.validity().not_after.timestamp())
}

#[test]
fn a_node_gets_a_new_certificate_with_the_names_of_the_old_one_and_the_rest_stays() {
    let directory = tempfile::tempdir().unwrap();
    let nodes = [
        "--nodes",
        "1=a:7400,2=10.0.0.2:7400",
        "--hosts",
        "db.example,fd00::9",
    ];
    init(directory.path(), &[&nodes[..], &["--days", "1"]].concat()).unwrap();
    let before = contents(directory.path());
    let renew = |arguments: &[&str]| {
        let options = options(directory.path(), &[&["--renew"][..], arguments].concat()).unwrap();
        certificate::renew(&options, now_ms())
    };
    let folder = directory.path().join("node-2");
    let renewed = renew(&["--node-id", "2", "--hosts", "more.example"]).unwrap();
    assert_eq!(renewed, [(2, folder.clone())]);
    let after = contents(directory.path());
    assert_eq!(
        names(directory.path()).len(),
        before.len(),
        "nothing is left over"
    );
    let changed: Vec<_> = before
        .iter()
        .filter(|(path, bytes)| after.get(*path) != Some(*bytes))
        .map(|(path, _)| path.clone())
        .collect();
    assert_eq!(changed, [folder.join(NODE_KEY), folder.join(NODE)]);
    let mode = |name: &str| fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(NODE), mode(NODE_KEY)), (0o644, 0o600));
    let (names, expires) = certified(&folder);
    for name in [
        "db.example",
        "more.example",
        "spiffe://",
        "/node/2",
        "[10, 0, 0, 2]",
        "[253, 0, 0",
    ] {
        assert!(names.contains(name), "{name} is not in {names}");
    }
    assert!(expires > certified(&directory.path().join("node-1")).1);

    assert_eq!(renew(&[]).unwrap().len(), 2, "all of them, if none is named");
    let error = renew(&["--node-id", "7"]).unwrap_err();
    assert!(matches!(error, InitError::NoNode { .. }), "{error}");
    assert!(options(directory.path(), &["--renew", "--add-node"]).is_err());
}

/// docs/operations.md, "Another authority".
#[tokio::test]
async fn the_key_says_which_authority_issues_while_one_replaces_the_other() {
    let directory = tempfile::tempdir().unwrap();
    let (cluster, next) = (directory.path().join("cluster"), directory.path().join("next"));
    init(&cluster, &["--cluster", "blue", "--nodes", "1=a:7400,2=b:7400"]).unwrap();
    init(&next, &["--cluster", "blue"]).unwrap();
    let [old, new] = [&cluster, &next].map(|folder| fs::read_to_string(folder.join(CA)).unwrap());
    let both = format!("{old}{new}");
    let world = crate::node::world().unwrap();
    let are_of = |nodes: &[&str], authority: &str| {
        nodes.iter().all(|node| {
            let credentials = Credentials {
                authority_pem: authority.as_bytes().to_vec(),
                certificate_pem: fs::read(cluster.join(node).join(NODE)).unwrap(),
                key_pem: fs::read(cluster.join(node).join(NODE_KEY)).unwrap().into(),
            };
            credentials.check(Arc::clone(&world)).is_ok()
        })
    };
    let renew = || certificate::renew(&options(&cluster, &["--renew"]).unwrap(), now_ms()).unwrap();
    let add = |id: &str, address: &str| {
        let node = ["--add-node", "--node-id", id, "--address", address];
        init(&cluster, &node).unwrap()
    };

    fs::write(cluster.join(CA), &both).unwrap();
    renew();
    add("3", "c:7400");
    assert!(are_of(&["node-1", "node-2", "node-3"], &old));
    fs::copy(next.join(CA_KEY), cluster.join(CA_KEY)).unwrap();
    assert_eq!(renew().len(), 3);
    add("4", "d:7400");
    assert!(are_of(&["node-1", "node-2", "node-3", "node-4"], &new));
    // Who comes meanwhile trusts both.
    let trusted = |node: &str| fs::read_to_string(cluster.join(node).join(CA)).unwrap();
    assert_eq!((trusted("node-3"), trusted("node-4")), (both.clone(), both));
    fs::write(cluster.join(CA), &new).unwrap();
    renew();
    assert!(are_of(&["node-1", "node-4"], &new) && !are_of(&["node-1"], &old));
}

#[test]
fn backups_are_where_it_is_said() {
    let directory = tempfile::tempdir().unwrap();
    init(directory.path(), &["--backups", "/mnt/of all nodes"]).unwrap();
    let backup = config(directory.path()).backup.unwrap();
    assert_eq!(backup.directory, Path::new("/mnt/of all nodes"));
    for wrong in ["backups", "/a\"b", "/a\\b"] {
        assert!(
            options(directory.path(), &["--backups", wrong]).is_err(),
            "{wrong}"
        );
    }
}
