//! The contract that all journals keep, as a test.

use chrono::DateTime;

use super::{Deed, Journal, Log};

/// A deed of this name.
pub(crate) fn deed(what: &str) -> Deed {
    Deed {
        at: DateTime::UNIX_EPOCH,
        node: "here".parse().expect("a name"),
        what: what.into(),
        request: "POST /there".into(),
        status: 200,
        by: None,
        address: Some("127.0.0.1".into()),
        author: None,
        reason: None,
        cid: String::new(),
    }
}

fn names(deeds: &[Deed]) -> Vec<&str> {
    deeds.iter().map(|deed| deed.what.as_str()).collect()
}

/// `journal` is empty.
pub(crate) async fn keeps(journal: &dyn Journal) {
    for log in Log::ALL {
        assert_eq!(journal.read(log, None, 10).await.expect("answers"), []);
    }
    // Newest first, in pages, and each with a time of its own.
    for n in 0..50 {
        journal.note(Log::Done, deed(&n.to_string())).await.expect("notes");
    }
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = journal.read(Log::Done, before, 7).await.expect("answers");
        let Some(last) = page.last() else { break };
        before = Some(last.at);
        seen.extend(page);
    }
    let all: Vec<String> = (0..50).rev().map(|n: i32| n.to_string()).collect();
    assert_eq!(names(&seen), all);
    assert!(seen.windows(2).all(|pair| pair[0].at > pair[1].at));
    assert_eq!(seen[0].address.as_deref(), Some("127.0.0.1"));

    // A flood of refusals is bounded, and pushes out only refusals.
    for n in 0..Log::Refused.keeps() + 200 {
        journal.note(Log::Refused, deed(&n.to_string())).await.expect("notes");
    }
    let refused = journal.read(Log::Refused, None, usize::MAX).await.expect("answers");
    let keeps = Log::Refused.keeps();
    assert!((keeps..keeps + 200).contains(&refused.len()), "{}", refused.len());
    assert_eq!(refused[0].what, (keeps + 199).to_string());
    assert_eq!(journal.read(Log::Done, None, 100).await.expect("answers").len(), 50);
}
