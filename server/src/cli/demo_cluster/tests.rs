//! What is made before processes are started. Clusters of processes are tested from outside, in `compat-tests`.

use clap::Parser;

use super::*;
use crate::cli::serve::ServeError;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    options: Options,
}

fn options(arguments: &[&str]) -> Options {
    let all = ["demo-cluster"].iter().chain(arguments);
    Command::try_parse_from(all).unwrap().options
}

#[test]
fn ports_are_free_and_all_different() {
    let ports = free_ports(20).unwrap();
    assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 20);
    for port in ports {
        assert!((FIRST_PORT..FIRST_PORT + PORTS).contains(&port), "{port}");
    }
}

#[test]
fn a_port_that_a_node_has_reserved_is_not_free() {
    let port = free_ports(1).unwrap()[0];
    let reserved = TcpSocket::new_v4().unwrap();
    reserved.set_reuseaddr(true).unwrap();
    reserved.bind((Ipv4Addr::LOCALHOST, port).into()).unwrap();
    assert_eq!(reserve(port).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    drop(reserved);
    reserve(port).unwrap();
}

#[test]
fn only_a_port_that_somebody_else_has_is_a_reason_for_others() {
    let other = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = other.local_addr().unwrap();
    let log = |source| {
        let field = "node.listen";
        let error = ServeError::Listen {
            field,
            address,
            source,
        };
        format!("it begins\nstator: {error}\n")
    };
    assert!(is_port_taken(&log(reserve(address.port()).unwrap_err())));
    assert!(!is_port_taken(&log(io::ErrorKind::PermissionDenied.into())));
    assert!(!is_port_taken(
        "a peer said: Address already in use (os error 98)"
    ));
}

#[test]
fn of_a_cluster_that_has_not_started_nothing_is_left_but_what_was_there_before() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("notes"), "mine").unwrap();
    let before = entries(directory.path()).unwrap();
    for nodes in ["1", "3"] {
        configurations(&options(&["--nodes", nodes]), directory.path()).unwrap();
        let now = entries(directory.path()).unwrap();
        let mut made: BTreeSet<_> = now.difference(&before).cloned().collect();
        assert!(made.len() > 1);
        let inside: Vec<_> = made.iter().map(|path| path.join("data")).collect();
        made.extend(inside);
        remove(&made).unwrap();
        assert_eq!(entries(directory.path()).unwrap(), before);
    }
}

#[test]
fn ports_follow_the_base_that_is_given() {
    let members = members(&options(&["--nodes", "2", "--port-base", "7000"])).unwrap();
    let told: Vec<_> = members
        .iter()
        .map(|member| (member.node.to_string(), member.listen.port()))
        .collect();
    assert_eq!(
        told,
        [
            ("1=127.0.0.1:7002".to_owned(), 7000),
            ("2=127.0.0.1:7003".to_owned(), 7001)
        ]
    );
    let error = self::members(&options(&["--port-base", "65530"])).unwrap_err();
    assert!(matches!(error, DemoError::PortBase(65530)));
}

#[test]
fn what_is_in_the_directory_is_used_again() {
    let directory = tempfile::tempdir().unwrap();
    let three = options(&[]);
    let paths = |configs: &[(PathBuf, Config)]| -> Vec<_> {
        configs
            .iter()
            .map(|(path, config)| (path.clone(), config.node.id, config.http.listen))
            .collect()
    };
    let made = paths(&configurations(&three, directory.path()).unwrap());
    assert_eq!(made.iter().map(|(_, id, _)| *id).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(paths(&configurations(&three, directory.path()).unwrap()), made);
    let error = configurations(&options(&["--nodes", "1"]), directory.path()).unwrap_err();
    assert!(error.to_string().contains("start it with --nodes 3"), "{error}");
    let alone = tempfile::tempdir().unwrap();
    let one = options(&["--nodes", "1", "--durability", "sync"]);
    let made = configurations(&one, alone.path()).unwrap();
    assert_eq!(made[0].1.storage.durability, stator_cluster::Durability::Sync);
    assert_eq!(configurations(&one, alone.path()).unwrap().len(), 1);
}

#[tokio::test]
async fn a_node_whose_end_was_seen_can_be_stopped_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let keeper = Keeper {
        node: 1,
        // It takes any arguments, says nothing and ends well.
        program: PathBuf::from("true"),
        config: directory.path().join("stator.toml"),
        log: directory.path().join("stator.log"),
        restart: false,
    };
    let (ready, is_ready) = oneshot::channel();
    let mut kept = keeper.start(ready);
    kept.ended().await;
    kept.ended().await;
    assert!(is_ready.await.is_err());
    let end = kept.stop().await;
    assert!(matches!(end, Ended::Process(status) if status.success()), "{end}");
}
