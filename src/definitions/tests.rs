//! Tests of changing what is wanted.

mod packages;
mod rollback;

use actors::{Kind, Part, kind::Start};
use async_trait::async_trait;
use config::store::memory::Memory;
use config::{Claim, Clock, Fault, Need, Secret, bundle};

use super::*;

/// The password of every test, so that it can be looked for.
pub(crate) const HUSH: &str = "hush-hush";

/// A connection with a secret.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LineParams {
    /// Where.
    host: String,
    /// How.
    #[serde(default)]
    port: Option<u16>,
    /// The secret.
    #[serde(default)]
    password: Option<Secret>,
}

/// A kind of connection that never starts.
pub(crate) struct Line;

#[async_trait]
impl Kind for Line {
    const TAG: &'static str = "connection.line";
    type Params = LineParams;

    fn example() -> LineParams {
        LineParams { host: "127.0.0.1".into(), port: Some(21), password: None }
    }

    fn check(params: &LineParams) -> Vec<Fault> {
        let short = params.password.as_ref().is_some_and(|p| p.reveal().len() < 9);
        if short { vec![Fault::new("password", "it is too short").hint("at least 9")] } else { Vec::new() }
    }

    async fn start(_: LineParams, _: Start) -> sdk::Result<Part> {
        Err(sdk::Error::unavailable("nobody there"))
    }
}

/// A channel that needs a service, and holds its path alone.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DoorParams {
    /// Where it is mounted.
    path: String,
    /// What does the work.
    service: config::Name,
    /// What it talks to.
    #[serde(default)]
    line: Option<config::Name>,
}

/// A kind of channel that never starts.
pub(crate) struct Door;

#[async_trait]
impl Kind for Door {
    const TAG: &'static str = "channel.door";
    type Params = DoorParams;

    fn example() -> DoorParams {
        let service = "zeugma.ping".parse().expect("a name");
        DoorParams { path: "/x".into(), service, line: None }
    }

    fn needs(params: &DoorParams) -> Vec<Need> {
        let need = |at: &str, family, name: &config::Name| Need {
            at: at.into(),
            id: DefId::new(family, name.clone()),
        };
        let line = params.line.iter().map(|line| need("line", Family::Connection, line));
        line.chain([need("service", Family::Service, &params.service)]).collect()
    }

    fn claims(params: &DoorParams) -> Vec<Claim> {
        vec![Claim { at: "path".into(), what: format!("door {}", params.path) }]
    }

    async fn start(_: DoorParams, _: Start) -> sdk::Result<Part> {
        Err(sdk::Error::unavailable("nobody there"))
    }
}

fn definitions() -> Definitions {
    let registry = Registry::new(&[&Line, &Door], &[]).expect("a registry");
    Definitions {
        store: Arc::new(Memory::new(Clock::System)),
        slots: None,
        registry: Arc::new(registry),
        keyring: Keyring::generate(),
        board: Arc::default(),
    }
}

fn drafts(text: &str) -> Vec<Draft> {
    bundle::parse(text, Some("b.yaml")).expect("a bundle")
}

fn note() -> Note {
    Note { author: "me".into(), reason: None, ..Note::default() }
}

fn at_once() -> Options {
    Options { wait: Duration::ZERO, ..Options::default() }
}

impl Definitions {
    async fn try_apply(&self, text: &str, options: Options) -> Result<Outcome, Refused> {
        self.apply(drafts(text), options, note()).await
    }

    async fn good(&self, text: &str) -> Outcome {
        self.try_apply(text, at_once()).await.unwrap_or_else(|refused| panic!("{refused}"))
    }

    async fn bad(&self, text: &str) -> Vec<Fault> {
        match self.try_apply(text, at_once()).await {
            Err(Refused::Faults(faults)) => faults.0,
            other => panic!("{other:?}"),
        }
    }
}

fn id(text: &str) -> DefId {
    text.parse().expect("an id")
}

fn what(outcome: &Outcome) -> Vec<String> {
    let field = |f: &Field| f.at.clone();
    let one = |c: &Changed| {
        format!("{:?} {}: {}", c.change, c.id, c.fields.iter().map(field).collect::<Vec<_>>().join(" "))
    };
    outcome.changes.iter().map(one).collect()
}

const TWO: &str = "
connections:
- {name: ftp, type: line, host: h, password: hush-hush}
channels:
- {name: front, type: door, path: /a, service: zeugma.ping, line: ftp}
";

#[tokio::test]
async fn ten_mistakes_are_ten_faults_each_with_its_place() {
    let faults = definitions()
        .bad(
            "
connections:
- {name: no-host, type: line}
- {name: odd, type: line, host: h, port: many, pasword: hush-hush}
- {name: short, type: line, host: h, password: hush}
- {name: kept, type: line, host: h, password: (sealed)}
channels:
- {name: a, type: door, path: /same, service: zeugma.pink}
- {name: b, type: door, path: /same, service: zeugma.ping, line: no-host}
- {name: c, type: dor, path: /c, service: zeugma.ping}
jobs:
- {name: once, type: onetime}
specs:
- {name: public}
",
        )
        .await;
    let found: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let expected = [
        "b.yaml:3:3 connection/no-host.host: this parameter is required",
        "b.yaml:4:3 connection/odd.port: ",
        "b.yaml:4:3 connection/odd.pasword: there is no parameter \"pasword\" (did you mean \"password\"?)",
        "b.yaml:5:3 connection/short.password: it is too short (at least 9)",
        "b.yaml:6:3 connection/kept.password: (sealed) keeps the secret that is there, but there is none",
        "b.yaml:8:3 channel/a.service: refers to service/zeugma.pink, which does not exist (did you mean",
        "b.yaml:9:3 channel/b.path: door /same is already held by channel/a",
        "b.yaml:10:3 channel/c.type: there is no channel of type \"dor\" (did you mean \"door\"?)",
        "b.yaml:12:3 job/once.type: there is no job of type \"onetime\" (did you mean \"one-time\"?)",
        "b.yaml:14:3 spec/public.type: there is no spec of type \"api\" (this version has no type of specs",
    ];
    for expected in expected {
        assert!(found.iter().any(|f| f.starts_with(expected)), "{expected} in\n{}", found.join("\n"));
    }
    assert_eq!(found.len(), 10, "{}", found.join("\n"));
    assert!(!found.iter().any(|f| f.contains("hush")), "{}", found.join("\n"));
}

#[tokio::test]
async fn what_is_there_just_so_is_not_touched() {
    let them = definitions();
    assert_eq!(them.good(TWO).await.revision, Revision(1));
    let again = them.good(TWO).await;
    assert_eq!((again.revision, again.unchanged, again.changes.len()), (Revision(1), 2, 0));
    let changed = them.good(&TWO.replace("/a", "/b")).await;
    assert_eq!((changed.revision, changed.unchanged), (Revision(2), 1));
    assert_eq!(what(&changed), ["Changed channel/front: path"]);
    let untouched = them.store.load().await.expect("loads");
    assert_eq!(untouched.get(&id("connection/ftp")).map(|d| d.changed_at), Some(Revision(1)));
}

#[tokio::test]
async fn the_masked_text_keeps_the_secret_and_a_check_sees_it() {
    let them = definitions();
    them.good(TWO).await;
    // The check wants 9 letters: it passes only if it sees the secret and not the 8 letters that stand for it.
    let masked = "connections: [{name: ftp, type: line, host: other, password: (sealed)}]";
    let outcome = them.good(masked).await;
    assert_eq!(what(&outcome), ["Changed connection/ftp: host"]);
    let revealed = them.export(Some(Family::Connection), true).await.expect("exports");
    assert_eq!(revealed[0].1["password"], HUSH);
    assert_eq!(them.good(masked).await.unchanged, 1);
    let other = them.good(&masked.replace("(sealed)", "another-one")).await;
    assert_eq!(what(&other), ["Changed connection/ftp: password"]);
}

#[tokio::test]
async fn what_an_older_key_sealed_is_sealed_anew_by_an_apply_of_the_same() {
    let before = definitions();
    let line =
        |password: &str| format!("connections: [{{name: l, type: line, host: h, password: '{password}'}}]");
    before.good(&line(HUSH)).await;
    let key = |keys: &[&str]| Keyring::parse(&keys.join("\n"), "keys").expect("keys");
    let (old, new) =
        ("b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2w=", "bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmU=");
    let with = |keys: &[&str]| Definitions { keyring: key(keys), ..before.clone() };
    with(&[old]).good(&line(HUSH)).await;
    let rotated = with(&[new, old]);
    let outcome = rotated.good(&line("(sealed)")).await;
    assert_eq!((outcome.changes.len(), outcome.unchanged), (1, 0));
    assert_eq!(rotated.good(&line("(sealed)")).await.unchanged, 1, "once is enough");
    assert_eq!(with(&[new]).good(&line(HUSH)).await.unchanged, 1, "the old key is not needed any more");
}

#[tokio::test]
async fn a_password_is_seen_nowhere() {
    let them = definitions();
    let outcome = them.good(TWO).await;
    let listed = them.list(None).await.expect("lists").1;
    let exported = bundle::write_yaml(them.export(None, false).await.expect("exports").into_iter());
    let deleted = them.try_apply("channels: []", Options { prune: true, ..at_once() }).await;
    let history = them.history(None, 10).await.expect("history");
    let stored = them.store.load_at(Revision(1)).await.expect("loads");
    for seen in [
        serde_json::to_string(&outcome).expect("writes"),
        serde_json::to_string(&listed).expect("writes"),
        exported,
        serde_json::to_string(&history).expect("writes"),
        format!("{outcome:?}{deleted:?}{stored:?}{:?}", drafts(TWO)),
        serde_json::to_string(stored.get(&id("connection/ftp")).expect("there").as_ref()).expect("writes"),
    ] {
        assert!(!seen.contains(HUSH), "{seen}");
    }
}

#[tokio::test]
async fn a_password_of_digits_without_quotes_is_a_fault_that_does_not_show_it() {
    let faults =
        definitions().bad("connections: [{name: c, type: line, host: h, password: 123456789}]").await;
    let text = faults[0].to_string();
    assert!(text.starts_with("b.yaml:1:15 connection/c.password: ") && text.contains("quotes"), "{text}");
    assert!(!text.contains("12345"), "{text}");
}

#[tokio::test]
async fn who_says_what_they_expect_is_refused_when_somebody_was_faster() {
    let them = definitions();
    them.good(TWO).await;
    let expecting = |revision| Options { expect: Some(Revision(revision)), ..at_once() };
    let text = TWO.replace("/a", "/b");
    match them.try_apply(&text, expecting(0)).await {
        Err(Refused::Commit(CommitError::Conflict { expected, current })) => {
            assert_eq!((expected, current), (Revision(0), Revision(1)));
        }
        other => panic!("{other:?}"),
    }
    let outcome = them.try_apply(&text, expecting(1)).await.unwrap_or_else(|refused| panic!("{refused}"));
    assert_eq!(outcome.revision, Revision(2));
}

#[tokio::test]
async fn writers_who_expect_nothing_all_get_through() {
    let them = definitions();
    let write = |n: usize| {
        let them = them.clone();
        async move { them.good(&format!("connections: [{{name: c{n}, type: line, host: h}}]")).await }
    };
    futures_util::future::join_all((0..20).map(write)).await;
    let catalog = them.store.load().await.expect("loads");
    assert_eq!((catalog.revision, catalog.definitions.len()), (Revision(20), 20));
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_a_prune_deletes_the_rest() {
    let them = definitions();
    them.good(TWO).await;
    let only = "connections: [{name: ftp, type: line, host: h, password: hush-hush}]";
    let options = Options { prune: true, ..at_once() };
    let dry = them.try_apply(only, Options { dry_run: true, ..options.clone() }).await.expect("fine");
    assert_eq!(
        (dry.revision, what(&dry)[0].as_str()),
        (Revision(1), "Deleted channel/front: type path service line")
    );
    let done = them.try_apply(only, options).await.expect("fine");
    assert_eq!((done.revision, done.changes), (Revision(2), dry.changes));
    assert_eq!(them.list(None).await.expect("lists").1.len(), 1);
}

#[tokio::test]
async fn what_others_need_is_not_deleted() {
    let them = definitions();
    them.good(TWO).await;
    assert_eq!(
        them.get(&id("connection/ftp")).await.expect("there").1.needed_by,
        [id("channel/front")].into()
    );
    match them.delete(id("connection/ftp"), at_once(), note()).await {
        Err(Refused::Faults(faults)) => {
            let text = faults.0.iter().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!(text.len(), 1);
            assert!(
                text[0].starts_with("channel/front: refers to connection/ftp, which would be deleted"),
                "{text:?}"
            );
        }
        other => panic!("{other:?}"),
    }
    let outcome = them.delete(id("channel/front"), at_once(), note()).await.expect("deletes");
    assert_eq!(outcome.revision, Revision(2));
    assert!(matches!(
        them.delete(id("channel/front"), at_once(), note()).await,
        Err(Refused::NotFound { compiled_in: false, .. })
    ));
    assert!(matches!(
        them.delete(id("service/zeugma.ping"), at_once(), note()).await,
        Err(Refused::NotFound { compiled_in: true, .. })
    ));
}

#[tokio::test]
async fn what_was_wrong_before_does_not_keep_anybody_from_changing_something_else() {
    let them = definitions();
    them.good(TWO).await;
    // As if a newer version of the program had lost the service.
    let mut channel =
        Definition::clone(them.store.load().await.expect("loads").get(&id("channel/front")).expect("there"));
    channel.needs = channel.needs.iter().cloned().chain([id("service/lost")]).collect();
    let change = config::Change { put: vec![channel], delete: vec![] };
    them.store.commit(Revision(1), change, note()).await.expect("commits");
    them.good("connections: [{name: new, type: line, host: h}]").await;
}
