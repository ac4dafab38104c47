//! Tests of what only a file can do: reopening, locks, damage, crashes and full disks.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use chrono::{TimeDelta, Utc};
use redb::{Database, ReadableTable as _, TableDefinition};
use tempfile::TempDir;

use super::*;
use crate::settings::env_var;
use crate::store::HISTORY_LIMIT;
use crate::store::contract::{by, contract, delete, id, put, value};

contract!(in_new_folder);

/// A store whose folder goes when it does.
struct InFolder {
    store: Embedded,
    _folder: TempDir,
}

#[async_trait]
impl Store for InFolder {
    async fn load(&self) -> Result<Arc<Catalog>, StoreError> {
        self.store.load().await
    }
    async fn commit(
        &self,
        expect: Revision,
        change: Change,
        note: Note,
    ) -> Result<Arc<Catalog>, CommitError> {
        self.store.commit(expect, change, note).await
    }
    async fn history(&self, before: Option<Revision>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.store.history(before, limit).await
    }
    fn nudges(&self) -> watch::Receiver<Revision> {
        self.store.nudges()
    }
    fn describe(&self) -> String {
        self.store.describe()
    }
    fn journal(&self) -> Arc<dyn Journal> {
        self.store.journal()
    }

    fn sessions(&self) -> Arc<dyn Sessions> {
        self.store.sessions()
    }
    fn health(&self) -> Health {
        self.store.health()
    }
}

async fn in_new_folder() -> InFolder {
    let folder = tempfile::tempdir().expect("a folder");
    InFolder { store: open(&folder), _folder: folder }
}

fn open(folder: &TempDir) -> Embedded {
    Embedded::open(&folder.path().join("data"), Clock::System).expect("opens")
}

/// Changes the file behind the store's back.
fn tamper(folder: &TempDir, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::open(folder.path().join("data").join(file::FILE)).expect("opens");
    let tx = database.begin_write().expect("begins");
    change(&tx);
    tx.commit().expect("commits");
}

const DEFINITIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("definitions");
const HISTORY: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("history");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

#[tokio::test]
async fn everything_is_there_after_it_is_opened_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::manual(Utc::now());
    let path = folder.path().join("data");
    let store = Embedded::open(&path, clock.clone()).expect("opens");
    store.commit(Revision(0), put([("a", 1), ("b", 1)]), by("one")).await.expect("commits");
    clock.advance(TimeDelta::hours(1));
    store.commit(Revision(1), put([("a", 2)]), by("two")).await.expect("commits");
    store.commit(Revision(2), delete(["b"]), by("three")).await.expect("commits");
    let (catalog, history) =
        (store.load().await.expect("loads"), store.history(None, 9).await.expect("reads"));
    assert_eq!(history[1].at, clock.now());
    drop(store);

    use std::os::unix::fs::PermissionsExt as _;
    for (path, mode) in [(path.clone(), 0o700), (path.join(file::FILE), 0o600)] {
        let found = std::fs::metadata(&path).expect("is there").permissions().mode() & 0o777;
        assert_eq!(found, mode, "{}", path.display());
    }
    let again = Embedded::open(&path, clock).expect("opens");
    assert_eq!(again.load().await.expect("loads"), catalog);
    assert_eq!(again.history(None, 9).await.expect("reads"), history);
    assert_eq!(*again.nudges().borrow(), Revision(3));
    again.commit(Revision(3), put([("c", 1)]), by("four")).await.expect("commits");
}

#[tokio::test]
async fn a_second_node_on_the_same_folder_is_told_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    let error = Embedded::open(&folder.path().join("data"), Clock::System).expect_err("locked").to_string();
    assert!(error.contains("another node runs on this data folder") && error.contains("/data)"), "{error}");
    drop(store);
    open(&folder);
}

#[tokio::test]
async fn a_damaged_definition_is_left_out_and_can_be_written_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    store
        .commit(Revision(0), put([("a", 1), ("b", 1), ("c", 1), ("d", 1)]), by("test"))
        .await
        .expect("commits");
    drop(store);
    tamper(&folder, |tx| {
        let mut table = tx.open_table(DEFINITIONS).expect("opens");
        let of_d = table.get("job/d").expect("reads").expect("is there").value().to_vec();
        for (id, json) in
            [("job/a", &b"{\"id\":"[..]), ("job/b", &of_d), ("nothing", b"{}"), ("job/c", b"\xff")]
        {
            table.insert(id, json).expect("writes");
        }
    });
    let store = open(&folder);
    assert_eq!(store.unreadable(), ["job/a", "job/b", "job/c", "nothing"]);
    let catalog = store.load().await.expect("loads");
    assert_eq!(catalog.definitions.keys().collect::<Vec<_>>(), [&id("d")]);
    let change = Change { put: put([("a", 2)]).put, delete: vec![id("b")] };
    store.commit(Revision(1), change, by("test")).await.expect("commits");
    assert_eq!(store.unreadable(), ["job/c", "nothing"]);
    drop(store);
    let store = open(&folder);
    assert_eq!(store.unreadable(), ["job/c", "nothing"]);
    assert_eq!(value(&store.load().await.expect("loads"), "a"), Some(2.into()));
}

#[tokio::test]
async fn a_file_of_another_format_and_one_that_is_none_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(&folder));
    tamper(&folder, |tx| drop(tx.open_table(META).expect("opens").insert("format", 2).expect("writes")));
    let path = folder.path().join("data");
    let error = Embedded::open(&path, Clock::System).expect_err("refused").to_string();
    assert!(error.contains("has format 2, and this program reads format 1"), "{error}");

    std::fs::write(path.join(file::FILE), "some text that is no database at all").expect("writes");
    let error = Embedded::open(&path, Clock::System).expect_err("refused").to_string();
    assert!(error.contains("damaged or not a store"), "{error}");

    std::fs::write(folder.path().join("file"), "").expect("writes");
    let error = Embedded::open(&folder.path().join("file"), Clock::System).expect_err("refused");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn the_history_is_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    store.commit(Revision(0), put([("a", 1)]), by("test")).await.expect("commits");
    drop(store);
    tamper(&folder, |tx| {
        let mut history = tx.open_table(HISTORY).expect("opens");
        let first: Entry = {
            let json = history.get(1).expect("reads").expect("is there");
            serde_json::from_slice(json.value()).expect("an entry")
        };
        for revision in 2..=HISTORY_LIMIT + 5 {
            let entry = Entry { revision: Revision(revision), ops: Vec::new(), ..first.clone() };
            let json = serde_json::to_vec(&entry).expect("JSON");
            history.insert(revision, json.as_slice()).expect("writes");
        }
        tx.open_table(META).expect("opens").insert("revision", HISTORY_LIMIT + 5).expect("writes");
    });
    let store = open(&folder);
    store.commit(Revision(HISTORY_LIMIT + 5), put([("a", 2)]), by("test")).await.expect("commits");
    let oldest = store.history(Some(Revision(9)), 10).await.expect("reads");
    assert_eq!(oldest.iter().map(|e| e.revision.0).collect::<Vec<_>>(), [8, 7]);
    match store.load_at(Revision(5)).await {
        Err(StoreError::TooOld(asked, oldest)) => assert_eq!((asked.0, oldest.0), (5, 6)),
        other => panic!("not too old: {other:?}"),
    }
    assert_eq!(value(&store.load_at(Revision(6)).await.expect("loads"), "a"), Some(1.into()));
}

/// This test's program, run once more as `test` alone, on a data folder.
struct Peer {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    fn start(test: &str, folder: &TempDir) -> Self {
        let program = std::env::current_exe().expect("a program");
        // A file that reaches its size limit also raises a signal, which is to be an error like any other.
        let mut child = Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .arg(program)
            .args(["--exact", &format!("store::embedded::tests::{test}"), "--ignored", "--nocapture"])
            .env(FOLDER, folder.path().join("data"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self { child, input, output }
    }

    /// The rest of the next line that begins with `word`; none once the peer has ended.
    fn hear(&mut self, word: &str) -> Option<String> {
        self.output.by_ref().map_while(Result::ok).find_map(|line| line.strip_prefix(word).map(str::to_owned))
    }

    fn say(&mut self, word: &str) {
        writeln!(self.input, "{word}").expect("the peer listens");
    }

    /// Limits the size of the files that the peer writes.
    fn limit(&self, size: &str) {
        let limit = Command::new("prlimit")
            .args([format!("--pid={}", self.child.id()), format!("--fsize={size}:")])
            .status()
            .expect("prlimit, of util-linux, is there");
        assert!(limit.success());
    }
}

/// Tells a peer its data folder.
const FOLDER: &str = "ZEUGMA_TEST_FOLDER";

/// The store of a peer, or none in a process that is no peer.
fn peer_store() -> Option<Embedded> {
    env_var(FOLDER).map(|folder| Embedded::open(Path::new(&folder), Clock::System).expect("opens"))
}

fn listen() {
    std::io::stdin().lines().next().expect("a word").expect("a text");
}

fn in_step(revision: Revision) -> Change {
    let n = revision.next().0 as i64;
    let spare = format!("spare {}", n % 20);
    let mut change = put([("left", n), (&spare, n), ("right", n)]);
    change.delete.push(id(&format!("spare {}", (n + 10) % 20)));
    change
}

#[tokio::test]
#[ignore = "run by killing_the_process_loses_nothing_acknowledged, in a process of its own"]
async fn commits_until_it_is_killed() {
    let Some(store) = peer_store() else { return };
    loop {
        let at = store.load().await.expect("loads").revision;
        let after = store.commit(at, in_step(at), by("peer")).await.expect("commits");
        println!("acknowledged {}", after.revision);
    }
}

#[tokio::test]
async fn killing_the_process_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut acknowledged = 0;
    for commits in [1, 190, 2, 160, 77, 3, 205, 120, 5, 240] {
        let mut peer = Peer::start("commits_until_it_is_killed", &folder);
        for _ in 0..commits {
            let heard = peer.hear("acknowledged ").expect("still commits");
            acknowledged = heard.parse().expect("a revision");
        }
        peer.child.kill().expect("is killed");
        // What was acknowledged before the kill may still be in the pipe.
        while let Some(heard) = peer.hear("acknowledged ") {
            acknowledged = heard.parse().expect("a revision");
        }
        peer.child.wait().expect("has ended");

        let store = open(&folder);
        let catalog = store.load().await.expect("loads");
        let now = catalog.revision;
        assert!(
            [acknowledged, acknowledged + 1].contains(&now.0),
            "{acknowledged} acknowledged, {now} there"
        );
        assert!(store.unreadable().is_empty());
        for name in ["left", "right", &format!("spare {}", now.0 % 20)] {
            assert_eq!(value(&catalog, name), Some(now.0.into()), "{name} at {now}");
        }
        assert_eq!(value(&catalog, &format!("spare {}", (now.0 + 10) % 20)), None);
        let history = store.history(None, usize::MAX).await.expect("reads");
        let told: Vec<u64> = history.iter().map(|entry| entry.revision.0).collect();
        assert_eq!(told, (1..=now.0).rev().collect::<Vec<_>>());
        assert!(history.iter().all(|entry| entry.ops.len() == 4));
    }
    assert!(acknowledged > 1_000);
}

#[tokio::test]
#[ignore = "run by a_full_disk_refuses_changes_until_there_is_space, in a process of its own"]
async fn commits_until_the_disk_is_full() {
    let Some(store) = peer_store() else { return };
    store.commit(Revision(0), put([("a", 1)]), by("peer")).await.expect("commits");
    println!("ready");
    listen();
    let large = |n| {
        let mut change = put([("small", n)]);
        change.put.push(crate::store::contract::definition(&format!("large {n}"), "x".repeat(50_000)));
        change
    };
    // One refusal may free just enough for the next try, so only a few in a row are a full disk.
    let (mut refusals, mut message) = (0, String::new());
    while refusals < 4 {
        let at = store.load().await.expect("loads").revision;
        match store.commit(at, large(at.0 as i64), by("peer")).await {
            Ok(_) => refusals = 0,
            Err(CommitError::Store(StoreError::Unavailable(why))) => {
                (refusals, message) = (refusals + 1, why);
                let catalog = store.load().await.expect("loads");
                assert_eq!((catalog.revision, value(&catalog, "a")), (at, Some(1.into())), "readers go on");
                assert_eq!(value(&catalog, &format!("large {at}")), None, "nothing is half there");
            }
            Err(other) => panic!("{other}"),
        }
    }
    let full = store.load().await.expect("loads").revision;
    println!("full {full} {message}");
    listen();
    let after = store.commit(full, large(-1), by("peer")).await.expect("commits again");
    let history = store.history(None, usize::MAX).await.expect("reads");
    assert_eq!(history.len() as u64, after.revision.0);
    println!("again {}", after.revision);
}

#[tokio::test]
async fn a_full_disk_refuses_changes_until_there_is_space() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut peer = Peer::start("commits_until_the_disk_is_full", &folder);
    peer.hear("ready").expect("is ready");
    let size = std::fs::metadata(folder.path().join("data").join(file::FILE)).expect("is there").len();
    peer.limit(&size.max(1 << 20).to_string());
    peer.say("go");
    let heard = peer.hear("full ").expect("the disk gets full");
    let (full, message) = heard.split_once(' ').expect("two words");
    assert!(message.contains("nothing was changed; free space on the disk and try again"), "{message}");
    peer.limit("unlimited");
    peer.say("there is space");
    let again: u64 = peer.hear("again ").expect("commits again").parse().expect("a revision");
    assert_eq!(again, full.parse::<u64>().expect("a revision") + 1);
    assert!(peer.child.wait().expect("ends").success());

    let store = open(&folder);
    let catalog = store.load().await.expect("loads");
    assert_eq!((catalog.revision.0, value(&catalog, "small")), (again, Some((-1).into())));
    assert_eq!(catalog.definitions.len() as u64, 2 + full.parse::<u64>().expect("a revision") - 1 + 1);
}
