//! The contract that all places for sessions keep, as a test.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::Sessions;

const LONG: Duration = Duration::from_secs(20);

/// `here` and `there` are two nodes, or twice the same one.
pub(crate) async fn keeps(here: &dyn Sessions, there: &dyn Sessions) {
    let mut told = there.closed();
    assert!(!here.touch("nobody", LONG).await.expect("answers"), "touching opens nothing");
    assert!(!here.close("nobody").await.expect("answers"));

    // What one opens, the other knows.
    here.open("a", LONG).await.expect("opens");
    here.open("b", LONG).await.expect("opens");
    assert!(there.touch("a", LONG).await.expect("answers"));
    // What one ends has ended for both, the other is told, and it stays ended.
    assert!(here.close("a").await.expect("answers"));
    for node in [here, there] {
        assert!(!node.touch("a", LONG).await.expect("answers"));
        assert!(node.touch("b", LONG).await.expect("answers"), "only the one that was meant");
    }
    assert!(!there.close("a").await.expect("answers"));
    let push = async { while &*told.recv().await.expect("is told") != "a" {} };
    timeout(LONG, push).await.expect("in time");

    // It ends without use, and not before.
    let short = Duration::from_millis(300);
    let begin = Instant::now();
    here.open("short", short).await.expect("opens");
    here.open("used", short).await.expect("opens");
    while begin.elapsed() < short * 2 {
        let asked = Instant::now();
        let there_still = there.touch("used", short * 4).await.expect("answers");
        assert!(there_still || asked.elapsed() > short, "used, and yet ended");
        sleep(Duration::from_millis(10)).await;
    }
    assert!(!there.touch("short", LONG).await.expect("answers"), "it ends by itself");
    assert!(here.touch("used", LONG).await.expect("answers"), "use prolongs it");
    // And it may be shortened.
    assert!(here.touch("used", Duration::from_millis(1)).await.expect("answers"));
    let begin = Instant::now();
    sleep(Duration::from_millis(20)).await;
    assert!(!here.touch("used", LONG).await.expect("answers"), "after {:?}", begin.elapsed());
}
