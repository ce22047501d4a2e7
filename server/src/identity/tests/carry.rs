//! Identities that come out of a backup in another cluster, which has other keys.

use bytes::Bytes;
use stator_iam::directory::sealing::WrappingKey;

use super::*;
use crate::identity::store::carry::Brought;

fn archive(byte: u8) -> WrappingKey {
    WrappingKey::derive("archive".to_owned(), &[byte; 32])
}

/// A cluster with four identities; its rows, with what secrets are sealed with, and the id and secret of an access key.
async fn rows() -> (Vec<(Bytes, Bytes)>, String, String) {
    let world = World::start().await;
    for call in [
        "CreateUser&UserName=Ann",
        "CreateGroup&GroupName=g",
        "AddUserToGroup&GroupName=g&UserName=Ann",
        "CreatePolicy&PolicyName=p&PolicyDocument=%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22\
         Action%22%3A%22dynamodb%3A%2A%22%2C%22Resource%22%3A%22%2A%22%7D%7D",
        "CreateUser&UserName=bob",
        // Leaves nothing.
        "CreateUser&UserName=gone",
        "DeleteUser&UserName=gone",
    ] {
        world.iam(call).await.unwrap();
    }
    let made = world.iam("CreateAccessKey&UserName=Ann").await.unwrap();
    let (id, secret) = (text(&made, "AccessKeyId"), text(&made, "SecretAccessKey"));
    let carried = world.two.carried().await.unwrap();
    assert_eq!(carried.rows.len(), 4);
    let ring = world.two.wrapped_for(&carried, &archive(9)).unwrap();
    let mut rows = carried.rows;
    rows.extend(ring);
    let is_in = |cell: &Bytes| {
        cell.windows(secret.len())
            .any(|window| window == secret.as_bytes())
    };
    assert!(!rows.iter().any(|(_, cell)| is_in(cell)));
    (rows, id.to_owned(), secret.to_owned())
}

#[tokio::test]
async fn they_are_there_with_their_secrets_under_other_keys() {
    let (rows, id, secret) = rows().await;
    let world = World::start_under(5).await;
    assert_eq!(world.one.taken(&rows).await.unwrap(), Vec::<String>::new());
    let all = Brought {
        made: 4,
        skipped: Vec::new(),
    };
    assert_eq!(world.one.bring(&rows, &archive(9)).await.unwrap(), all);
    // A second try, on another node, finds them.
    assert_eq!(world.two.bring(&rows, &archive(9)).await.unwrap(), all);
    assert_eq!(world.two.taken(&rows).await.unwrap().len(), 4);
    let shown = world.two.shown();
    let credential = shown.directory().credential(&id).unwrap();
    assert_eq!(credential.secret.expose(), secret);
    assert!(
        world
            .iam("GetGroup&GroupName=g")
            .await
            .unwrap()
            .contains("<UserName>Ann</UserName>")
    );
    world
        .iam("GetPolicy&PolicyArn=arn:aws:iam::000000000000:policy/p")
        .await
        .unwrap();
}

#[tokio::test]
async fn who_is_there_stays() {
    let (rows, id, _) = rows().await;
    let world = World::start_under(5).await;
    world.iam("CreateUser&UserName=ANN").await.unwrap();
    assert_eq!(world.one.taken(&rows).await.unwrap(), ["user ann"]);
    let brought = world.one.bring(&rows, &archive(9)).await.unwrap();
    assert_eq!((brought.made, brought.skipped), (3, vec!["user ann".to_owned()]));
    assert!(world.one.shown().directory().credential(&id).is_none());
}

#[tokio::test]
async fn secrets_of_another_archive_are_not_taken_for_ours() {
    let (rows, id, _) = rows().await;
    let world = World::start_under(5).await;
    let refused = world.one.bring(&rows, &archive(8)).await.unwrap_err();
    assert!(refused.to_string().contains("does not unwrap"), "{refused}");
    // Without what they are sealed with, no secret opens.
    let without: Vec<_> = rows
        .into_iter()
        .filter(|(name, _)| &name[..] != b"sealing-keys")
        .collect();
    let refused = world.one.bring(&without, &archive(9)).await.unwrap_err();
    assert!(
        refused
            .to_string()
            .contains(&format!("access key {id} does not open")),
        "{refused}"
    );
}
