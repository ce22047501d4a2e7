//! Calls from their form to their XML, on the directory of a cluster of one, as two nodes would see it.

mod carry;

use std::sync::Arc;

use stator_cluster::{Cluster, Durability, MASTER_KEY_BYTES, MasterKey};
use stator_iam::{Identity, Principal};
use tempfile::TempDir;

use super::Call;
use super::error::IdentityError;
use super::store::{Identities, IdentitySettings};
use crate::arn;
use crate::clock::Clock;
use crate::limits::Limits;
use crate::node::{self, Opened};
use crate::wire::query::answer::Asked;
use crate::wire::query::form::Form;
use crate::wire::query::{Api, error};

/// A clock that stands still: 2015-08-30T12:36:00Z.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now_ms(&self) -> i64 {
        1_440_938_160_000
    }
}

struct World {
    cluster: Cluster,
    settings: IdentitySettings,
    one: Arc<Identities>,
    two: Arc<Identities>,
    _directory: TempDir,
}

impl World {
    async fn start() -> Self {
        Self::start_under(3).await
    }

    /// Under a master key of this byte.
    async fn start_under(byte: u8) -> Self {
        let directory = TempDir::new().unwrap();
        let key = MasterKey::new([byte; MASTER_KEY_BYTES]);
        let Opened {
            cluster, wrapping, ..
        } = node::open_alone(Durability::Interval, directory.path(), key, Limits::default()).unwrap();
        cluster.ready().await.unwrap();
        let settings = IdentitySettings {
            wrapping,
            clock: Arc::new(Still),
            random: crate::random::fill,
        };
        let open = || Identities::open(cluster.clone(), settings.clone());
        let (one, two) = (open().await.unwrap(), open().await.unwrap());
        Self {
            cluster,
            settings,
            one,
            two,
            _directory: directory,
        }
    }

    async fn ask(
        &self,
        identities: &Identities,
        principal: &Principal,
        api: Api,
        form: &str,
    ) -> Result<String, IdentityError> {
        let version = if api == Api::Sts {
            "2011-06-15"
        } else {
            "2010-05-08"
        };
        let form = Form::parse(format!("Version={version}&Action={form}").as_bytes()).unwrap();
        let asked = Asked {
            api,
            form: &form,
            call: Call {
                identities,
                principal,
                source: None,
                is_secure: false,
                user_agent: Some("test/1"),
                region: "us-east-1",
            },
            request_id: "ID",
        };
        asked.run().await
    }

    /// A new user.
    async fn user(&self, name: &str) -> Principal {
        self.iam(&format!("CreateUser&UserName={name}")).await.unwrap();
        let shown = self.one.latest().await.unwrap();
        Principal {
            access_key_id: format!("AKIA{name}"),
            arn: format!("arn:aws:iam::000000000000:user/{name}"),
            identity: Identity::User {
                id: shown.directory().user(name).unwrap().id.clone(),
            },
            session: None,
        }
    }

    /// A new role that trusts everybody with this, which may have a condition behind it.
    async fn role(&self, name: &str, actions: &str) {
        let document = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"AWS":"*"}},"Action":{actions}}}}}"#
        );
        self.iam(&format!(
            "CreateRole&RoleName={name}&AssumeRolePolicyDocument={document}"
        ))
        .await
        .unwrap();
    }

    /// Who somebody is who has assumed a role.
    async fn assume(
        &self,
        principal: &Principal,
        role: &str,
        more: &str,
    ) -> Result<Arc<Principal>, IdentityError> {
        let form =
            format!("AssumeRole&RoleArn=arn:aws:iam::000000000000:role/{role}&RoleSessionName=s-1{more}");
        let answer = self.ask(&self.one, principal, Api::Sts, &form).await?;
        Ok(self.opened(&answer).await)
    }

    /// Who temporary credentials were issued for.
    async fn opened(&self, answer: &str) -> Arc<Principal> {
        let shown = self.one.latest().await.unwrap();
        let opened = shown
            .directory()
            .session(text(answer, "AccessKeyId"), text(answer, "SessionToken"));
        opened.unwrap().principal
    }

    /// As root, to IAM, of the first node.
    async fn iam(&self, form: &str) -> Result<String, IdentityError> {
        let root = Principal::root("AKIAROOT", arn::ACCOUNT);
        self.ask(&self.one, &root, Api::Iam, form).await
    }
}

/// The text of the first element of a name.
fn text<'x>(xml: &'x str, name: &str) -> &'x str {
    let (_, rest) = xml.split_once(&format!("<{name}>")).unwrap();
    rest.split_once(&format!("</{name}>")).unwrap().0
}

fn told(error: &IdentityError) -> (u16, &'static str, String) {
    let (status, code, message) = error::parts(error);
    (status.as_u16(), code, message)
}

#[tokio::test]
async fn a_call_is_answered_in_xml() {
    let world = World::start().await;
    let made = world
        .iam("CreateUser&UserName=Ann&Path=/a/&Tags.member.1.Key=k&Tags.member.1.Value=v%40w")
        .await
        .unwrap();
    let id = text(&made, "UserId");
    assert_eq!(
        made,
        format!(
            "<CreateUserResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><CreateUserResult><User>\
             <Path>/a/</Path><UserName>Ann</UserName><UserId>{id}</UserId>\
             <Arn>arn:aws:iam::000000000000:user/a/Ann</Arn><CreateDate>2015-08-30T12:36:00Z</CreateDate>\
             <Tags><member><Key>k</Key><Value>v@w</Value></member></Tags></User></CreateUserResult>\
             <ResponseMetadata><RequestId>ID</RequestId></ResponseMetadata></CreateUserResponse>"
        )
    );
    assert_eq!(
        world.iam("DeleteUser&UserName=ANN").await.unwrap(),
        "<DeleteUserResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><ResponseMetadata>\
         <RequestId>ID</RequestId></ResponseMetadata></DeleteUserResponse>"
    );
    let error = world.iam("DeleteUser&UserName=ann").await.unwrap_err();
    assert_eq!(
        told(&error),
        (
            404,
            "NoSuchEntity",
            "The user with name ann cannot be found.".to_owned()
        )
    );
    assert_eq!(
        told(&world.iam("NoSuchCall").await.unwrap_err()).1,
        "InvalidAction"
    );
    assert_eq!(
        told(&world.iam("DeleteUser").await.unwrap_err()).1,
        "ValidationError"
    );
    assert_eq!(
        told(&world.iam("AssumeRole").await.unwrap_err()).2,
        "Could not find operation AssumeRole for version 2010-05-08"
    );
}

#[tokio::test]
async fn every_node_knows_what_one_has_changed() {
    let world = World::start().await;
    world.iam("CreateUser&UserName=ann").await.unwrap();
    let key = world.iam("CreateAccessKey&UserName=ann").await.unwrap();
    let id = text(&key, "AccessKeyId");
    let shown = world.two.latest().await.unwrap();
    let credential = shown.directory().credential(id).unwrap();
    assert_eq!(credential.secret.expose(), text(&key, "SecretAccessKey"));
    assert_eq!(credential.principal.arn, "arn:aws:iam::000000000000:user/ann");
    // Not the row itself: it holds the secret sealed.
    let planted = text(&key, "SecretAccessKey").as_bytes();
    let cells = world.cluster.metadata();
    let row = world
        .cluster
        .read(cells, b"iam/user/ann", stator_cluster::ConsistencyLevel::Quorum)
        .await
        .unwrap()
        .unwrap();
    assert!(!row.windows(planted.len()).any(|window| window == planted));
    // A node that starts later opens it with the same master key.
    let three = Identities::open(world.cluster.clone(), world.settings.clone())
        .await
        .unwrap();
    assert!(three.shown().directory().credential(id).is_some());
}

#[tokio::test]
async fn users_get_what_policies_give_them() {
    let world = World::start().await;
    world.iam("CreateUser&UserName=ann").await.unwrap();
    let directory = world.one.latest().await.unwrap();
    let ann = Principal {
        access_key_id: "AKIA1".to_owned(),
        arn: "arn:aws:iam::000000000000:user/ann".to_owned(),
        identity: Identity::User {
            id: directory.directory().user("ann").unwrap().id.clone(),
        },
        session: None,
    };
    let refused = world
        .ask(&world.one, &ann, Api::Iam, "GetUser")
        .await
        .unwrap_err();
    assert_eq!(
        told(&refused),
        (
            403,
            "AccessDenied",
            "User: arn:aws:iam::000000000000:user/ann is not authorized to perform: iam:GetUser on resource: \
             arn:aws:iam::000000000000:user/ann because no identity-based policy allows the iam:GetUser action"
                .to_owned()
        )
    );
    let document = "%7B%22Version%22:%222012-10-17%22,%22Statement%22:%7B%22Effect%22:%22Allow%22,%22Action%22:%22iam:Get*%22,\
                    %22Resource%22:%22*%22%7D%7D";
    world
        .iam(&format!(
            "PutUserPolicy&UserName=ann&PolicyName=p&PolicyDocument={document}"
        ))
        .await
        .unwrap();
    let got = world.ask(&world.one, &ann, Api::Iam, "GetUser").await.unwrap();
    assert_eq!(text(&got, "UserName"), "ann");
    let identity = world
        .ask(&world.two, &ann, Api::Sts, "GetCallerIdentity")
        .await
        .unwrap();
    assert_eq!(text(&identity, "Arn"), ann.arn);
    let session = world
        .ask(&world.one, &ann, Api::Sts, "GetSessionToken&DurationSeconds=900")
        .await
        .unwrap();
    assert_eq!(text(&session, "Expiration"), "2015-08-30T12:51:00Z");
    // The other node opens the token; it has issued nothing itself.
    let shown = world.two.latest().await.unwrap();
    let opened = shown
        .directory()
        .session(text(&session, "AccessKeyId"), text(&session, "SessionToken"))
        .unwrap();
    assert_eq!(opened.secret.expose(), text(&session, "SecretAccessKey"));
    assert_eq!(opened.principal.identity, ann.identity);
}

#[tokio::test]
async fn calls_tell_their_client_and_their_account() {
    let world = World::start().await;
    let ann = world.user("ann").await;
    for (condition, is_met) in [
        (r#"{"StringLike":{"aws:UserAgent":"test/*"}}"#, true),
        (r#"{"StringLike":{"aws:UserAgent":"other/*"}}"#, false),
        (r#"{"StringEquals":{"aws:ResourceAccount":"000000000000"}}"#, true),
        (
            r#"{"StringNotEquals":{"aws:ResourceAccount":"000000000000"}}"#,
            false,
        ),
    ] {
        let document = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{condition}}}}}"#
        );
        world
            .iam(&format!(
                "PutUserPolicy&UserName=ann&PolicyName=p&PolicyDocument={document}"
            ))
            .await
            .unwrap();
        let got = world.ask(&world.one, &ann, Api::Iam, "GetUser").await;
        assert_eq!(got.is_ok(), is_met, "{condition}: {got:?}");
    }
}

#[tokio::test]
async fn who_may_not_assume_a_role_is_not_told_whether_it_is_there() {
    let world = World::start().await;
    let ann = world.user("ann").await;
    let condition = r#""sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"right"}}"#;
    world.role("closed", condition).await;
    for role in ["closed", "none"] {
        let refused = world.assume(&ann, role, "").await.unwrap_err();
        let sentence = format!(
            "User: arn:aws:iam::000000000000:user/ann is not authorized to perform: sts:AssumeRole on resource: \
             arn:aws:iam::000000000000:role/{role}"
        );
        assert_eq!(told(&refused), (403, "AccessDenied", sentence));
    }
    world.assume(&ann, "closed", "&ExternalId=right").await.unwrap();
}

#[tokio::test]
async fn a_session_of_a_user_or_of_root_may_not_call_iam() {
    let world = World::start().await;
    let ann = world.user("ann").await;
    world.role("admin", r#""sts:AssumeRole""#).await;
    let all = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    for put in ["PutUserPolicy&UserName=ann", "PutRolePolicy&RoleName=admin"] {
        let form = format!("{put}&PolicyName=p&PolicyDocument={all}");
        world.iam(&form).await.unwrap();
    }
    let root = Principal::root("AKIAROOT", arn::ACCOUNT);
    for principal in [&ann, &root] {
        world
            .ask(&world.one, principal, Api::Iam, "ListUsers")
            .await
            .unwrap();
        let answer = world
            .ask(&world.one, principal, Api::Sts, "GetSessionToken")
            .await
            .unwrap();
        let session = world.opened(&answer).await;
        let refused = world
            .ask(&world.one, &session, Api::Iam, "ListUsers")
            .await
            .unwrap_err();
        let sentence = "The security token included in the request is invalid.".to_owned();
        assert_eq!(told(&refused), (403, "InvalidClientTokenId", sentence));
        world
            .ask(&world.one, &session, Api::Sts, "GetCallerIdentity")
            .await
            .unwrap();
    }
    let session = world.assume(&ann, "admin", "").await.unwrap();
    let listed = world.ask(&world.one, &session, Api::Iam, "ListUsers").await;
    assert_eq!(text(&listed.unwrap(), "UserName"), "ann");
}

#[tokio::test]
async fn a_chain_keeps_what_its_first_session_has_settled() {
    let world = World::start().await;
    let ann = world.user("ann").await;
    for (name, actions) in [
        (
            "first",
            r#"["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]"#,
        ),
        ("second", r#""sts:*""#),
        ("untagged", r#"["sts:AssumeRole","sts:SetSourceIdentity"]"#),
        ("unnamed", r#"["sts:AssumeRole","sts:TagSession"]"#),
    ] {
        world.role(name, actions).await;
    }
    let settled =
        "&SourceIdentity=ann&Tags.member.1.Key=Team&Tags.member.1.Value=red&TransitiveTagKeys.member.1=team";
    let first = world.assume(&ann, "first", settled).await.unwrap();
    let second = world
        .assume(&first, "second", "&SourceIdentity=ann")
        .await
        .unwrap();
    let session = second.session.as_deref().unwrap();
    assert_eq!(session.source_identity.as_deref(), Some("ann"));
    assert_eq!(session.tags, [("Team".to_owned(), "red".to_owned())]);

    for (more, code, sentence) in [
        (
            "&SourceIdentity=bea",
            "ValidationError",
            "The source identity is already set for this assume role session",
        ),
        (
            "&Tags.member.1.Key=TEAM&Tags.member.1.Value=blue",
            "InvalidParameterValue",
            "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the \
             calling session.",
        ),
    ] {
        let refused = world.assume(&first, "second", more).await.unwrap_err();
        assert_eq!(told(&refused), (400, code, sentence.to_owned()));
    }
    // A role has to let in what the chain hands on; a session that hands on nothing needs no more than the role.
    let plain = world.assume(&ann, "first", "").await.unwrap();
    for (role, action) in [
        ("untagged", "sts:TagSession"),
        ("unnamed", "sts:SetSourceIdentity"),
    ] {
        let (status, code, sentence) = told(&world.assume(&first, role, "").await.unwrap_err());
        assert_eq!((status, code), (403, "AccessDenied"));
        assert!(sentence.contains(&format!("perform: {action} on")), "{sentence}");
        world.assume(&plain, role, "").await.unwrap();
    }
}

#[tokio::test]
async fn a_role_says_which_tags_may_be_handed_on() {
    let world = World::start().await;
    let ann = world.user("ann").await;
    let of_keys = r#""sts:*","Condition":{"ForAllValues:StringEquals":{"sts:TransitiveTagKeys":["Team"]}}"#;
    world.role("limited", of_keys).await;
    let tags = "&Tags.member.1.Key=Team&Tags.member.1.Value=red&Tags.member.2.Key=Cost&Tags.member.2.Value=1";
    for (handed_on, is_permitted) in [
        ("", true),
        ("&TransitiveTagKeys.member.1=Team", true),
        ("&TransitiveTagKeys.member.1=Cost", false),
        (
            "&TransitiveTagKeys.member.1=Team&TransitiveTagKeys.member.2=Cost",
            false,
        ),
    ] {
        let assumed = world.assume(&ann, "limited", &format!("{tags}{handed_on}")).await;
        assert_eq!(assumed.is_ok(), is_permitted, "{handed_on}");
    }
}

#[tokio::test]
async fn a_rename_keeps_the_user_and_frees_the_name() {
    let world = World::start().await;
    let made = world.iam("CreateUser&UserName=ann").await.unwrap();
    world
        .iam("UpdateUser&UserName=ann&NewUserName=bea")
        .await
        .unwrap();
    let bea = world.iam("GetUser&UserName=bea").await.unwrap();
    assert_eq!(text(&bea, "UserId"), text(&made, "UserId"));
    world.iam("CreateUser&UserName=ann").await.unwrap();
    let list = world.iam("ListUsers&MaxItems=1").await.unwrap();
    assert_eq!(text(&list, "UserName"), "ann");
    assert_eq!(text(&list, "IsTruncated"), "true");
    let next = format!("ListUsers&Marker={}", text(&list, "Marker"));
    let list = world.iam(&next).await.unwrap();
    assert_eq!(text(&list, "UserName"), "bea");
    assert_eq!(text(&list, "IsTruncated"), "false");
}

#[tokio::test]
async fn changes_of_the_same_user_at_once_all_stand() {
    let world = World::start().await;
    world.iam("CreateUser&UserName=ann").await.unwrap();
    let document =
        "%7B%22Statement%22:%7B%22Effect%22:%22Allow%22,%22Action%22:%22a:b%22,%22Resource%22:%22*%22%7D%7D";
    let root = Principal::root("AKIAROOT", arn::ACCOUNT);
    let puts = (0..6).map(|number| {
        let node = if number % 2 == 0 { &world.one } else { &world.two };
        let form = format!("PutUserPolicy&UserName=ann&PolicyName=p{number}&PolicyDocument={document}");
        let (world, root) = (&world, &root);
        async move { world.ask(node, root, Api::Iam, &form).await }
    });
    for done in futures_util::future::join_all(puts).await {
        done.unwrap();
    }
    let shown = world.one.latest().await.unwrap();
    assert_eq!(shown.directory().user("ann").unwrap().inline.len(), 6);
}
