//! Who is locked out, who is not, and for how long.

use super::*;

fn address(n: u32) -> IpAddr {
    IpAddr::from((0x0a00_0000 + n).to_be_bytes())
}

/// Somebody at an address shows a password.
fn shows<'a>(lockout: &Lockout, security: &'a str, n: u32, password: &str) -> Attempt<'a> {
    let mut attempt = lockout.attempt(security, address(n));
    password.hash(&mut attempt);
    attempt
}

async fn judged(lockout: &Lockout, attempt: Attempt<'_>, verdict: Verdict) {
    lockout.begin(attempt).await.expect("in time").expect("not locked out").ends(verdict);
}

async fn fail(lockout: &Lockout, n: u32, times: u32) {
    for time in 0..times {
        judged(lockout, shows(lockout, "clerk", n, &format!("guess {time}")), Verdict::Wrong).await;
    }
}

async fn locks(lockout: &Lockout, security: &str, n: u32, password: &str) -> bool {
    let trial = lockout.begin(shows(lockout, security, n, password)).await.expect("in time");
    trial.map(|trial| trial.ends(Verdict::Nothing)).is_none()
}

#[tokio::test(start_paused = true)]
async fn an_address_that_fails_is_locked_out_for_longer_each_time() {
    let lockout = Lockout::default();
    let locks = async |security, n| locks(&lockout, security, n, "hush").await;
    fail(&lockout, 1, FAILURES - 1).await;
    assert!(!locks("clerk", 1).await);
    fail(&lockout, 1, 1).await;
    assert!(locks("clerk", 1).await);
    assert!(!locks("clerk", 2).await && !locks("other", 1).await);
    tokio::time::advance(FIRST).await;
    assert!(!locks("clerk", 1).await);
    fail(&lockout, 1, FAILURES).await;
    tokio::time::advance(FIRST).await;
    assert!(locks("clerk", 1).await, "twice as long");
    tokio::time::advance(FIRST).await;
    assert!(!locks("clerk", 1).await);
}

#[tokio::test(start_paused = true)]
async fn who_is_right_in_between_hides_no_guesses_and_slow_failures_do_not_add_up() {
    let lockout = Lockout::default();
    fail(&lockout, 1, FAILURES - 1).await;
    judged(&lockout, shows(&lockout, "clerk", 1, "hush"), Verdict::Right).await;
    assert!(!locks(&lockout, "clerk", 1, "other").await);
    fail(&lockout, 1, 1).await;
    assert!(locks(&lockout, "clerk", 1, "other").await);
    assert!(!locks(&lockout, "clerk", 1, "hush").await, "who was right goes on");
    for _ in 0..FAILURES * 3 {
        fail(&lockout, 2, 1).await;
        tokio::time::advance(WINDOW).await;
    }
    assert!(!locks(&lockout, "clerk", 2, "other").await);
}

#[tokio::test(start_paused = true)]
async fn who_was_right_there_goes_on_and_does_not_cover_who_is_wrong() {
    let lockout = Lockout::default();
    let right = || shows(&lockout, "clerk", 1, "hush");
    judged(&lockout, right(), Verdict::Right).await;
    for _ in 0..FAILURES {
        fail(&lockout, 1, 1).await;
        judged(&lockout, right(), Verdict::Right).await;
    }
    assert!(!locks(&lockout, "clerk", 1, "hush").await);
    assert!(locks(&lockout, "clerk", 1, "hush!").await, "another password at that address");
    fail(&lockout, 2, FAILURES).await;
    assert!(locks(&lockout, "clerk", 2, "hush").await, "the right one at another address");
    judged(&lockout, shows(&lockout, "other", 2, "hush"), Verdict::Right).await;
    assert!(locks(&lockout, "clerk", 2, "hush").await, "what was right at another definition");
    judged(&lockout, right(), Verdict::Wrong).await;
    assert!(locks(&lockout, "clerk", 1, "hush").await, "it was right, until the password was changed");
    tokio::time::advance(FIRST).await;
    judged(&lockout, right(), Verdict::Right).await;
    assert!(!locks(&lockout, "clerk", 1, "hush").await);
    tokio::time::advance(TRUSTED + LONGEST).await;
    fail(&lockout, 1, FAILURES).await;
    assert!(locks(&lockout, "clerk", 1, "hush").await, "that was long ago");
}

#[tokio::test(start_paused = true)]
async fn many_addresses_lock_out_strangers_but_not_who_was_right() {
    let lockout = Lockout::default();
    judged(&lockout, shows(&lockout, "clerk", 0, "hush"), Verdict::Right).await;
    tokio::time::advance(Duration::from_secs(3600)).await;
    for n in 1..=FAILURES_OF_ALL {
        fail(&lockout, n, 1).await;
    }
    assert!(locks(&lockout, "clerk", 9_999, "hush").await);
    assert!(locks(&lockout, "clerk", 0, "guess").await);
    assert!(!locks(&lockout, "clerk", 0, "hush").await);
    assert!(!locks(&lockout, "other", 9_999, "hush").await);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_addresses_finds_bounded_memory() {
    let lockout = Lockout::default();
    for n in 0..200_000 {
        lockout.wrong(&shows(&lockout, "clerk", n, "guess"));
    }
    let kept = lockout.kept();
    assert!(kept <= SHARDS * MOST, "{kept}");
}

#[tokio::test(start_paused = true)]
async fn no_more_guesses_are_under_way_than_there_may_be_failures() {
    let lockout = Lockout::default();
    let attempt = |n: u32| shows(&lockout, "clerk", 1, &format!("guess {n}"));
    let mut under_way = Vec::new();
    for n in 0..FAILURES {
        under_way.push(lockout.begin(attempt(n)).await.expect("a place").expect("not locked out"));
    }
    let full = lockout.begin(attempt(99)).await.err().expect("full");
    assert_eq!((full.kind(), full.wait()), (ErrorKind::TooMany, Some(Duration::from_secs(1))));
    assert!(!locks(&lockout, "clerk", 2, "hush").await, "another address");
    // Who waits takes the next place, and hears of it at once.
    let (next, ()) = tokio::join!(lockout.begin(attempt(99)), async {
        under_way.pop().expect("one").ends(Verdict::Nothing);
    });
    under_way.push(next.expect("a place").expect("not locked out"));
    // All but one are wrong; then one is right, and lets in all that show the same and have waited.
    let last = under_way.pop().expect("one");
    under_way.drain(..).for_each(|trial| trial.ends(Verdict::Wrong));
    let (same, ()) = tokio::join!(lockout.begin(attempt(99)), async { last.ends(Verdict::Right) });
    assert!(!same.expect("in time").expect("not locked out").counts);
    assert!(
        lockout
            .shards
            .iter()
            .all(|shard| { shard.lock().expect("a lock").values().all(|memory| memory.under_way == 0) })
    );
}

#[tokio::test(start_paused = true)]
async fn who_breaks_off_has_failed_unless_they_were_right_lately() {
    let lockout = Lockout::default();
    judged(&lockout, shows(&lockout, "clerk", 1, "hush"), Verdict::Right).await;
    for _ in 0..FAILURES * 2 {
        drop(lockout.begin(shows(&lockout, "clerk", 1, "hush")).await);
    }
    assert!(!locks(&lockout, "clerk", 1, "other").await);
    for n in 0..FAILURES {
        drop(lockout.begin(shows(&lockout, "clerk", 1, &format!("guess {n}"))).await);
    }
    assert!(locks(&lockout, "clerk", 1, "other").await);
    assert!(!locks(&lockout, "clerk", 1, "hush").await);
    // What is left open counts as well; what says nothing does not.
    for verdict in [Verdict::Nothing, Verdict::Open] {
        for n in 0..FAILURES {
            judged(&lockout, shows(&lockout, "clerk", 2, &format!("guess {n}")), verdict).await;
        }
        assert_eq!(locks(&lockout, "clerk", 2, "other").await, verdict == Verdict::Open);
    }
}
