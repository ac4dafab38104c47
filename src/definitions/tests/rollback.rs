//! Going back to what was.

use super::*;

#[tokio::test]
async fn a_rollback_is_one_more_revision_that_makes_everything_as_it_was() {
    let them = definitions();
    them.good(TWO).await;
    them.good(&TWO.replace("hush-hush", "another-one").replace("/a", "/b")).await;
    them.good("connections: [{name: new, type: line, host: h}]").await;
    let outcome = them.rollback(Revision(1), at_once(), note()).await.expect("rolls back");
    assert_eq!(outcome.revision, Revision(4));
    assert_eq!(
        what(&outcome),
        [
            "Changed connection/ftp: password",
            "Deleted connection/new: type host",
            "Changed channel/front: path"
        ]
    );
    let revealed = them.export(Some(Family::Connection), true).await.expect("exports");
    assert_eq!((revealed.len(), &revealed[0].1["password"]), (1, &HUSH.into()));
    let history = them.history(Some(Revision(4)), 2).await.expect("history");
    assert_eq!(history.iter().map(|e| e.revision.0).collect::<Vec<_>>(), [3, 2]);
    assert!(them.rollback(Revision(9), at_once(), note()).await.is_err());
}

#[tokio::test]
async fn a_rollback_of_everything_leaves_rights_over_nodes_as_they_are() {
    let them = definitions();
    let token = |name: &str, role: &str| {
        let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        format!("security: [{{name: {name}, type: admin-token, role: {role}, token_hash: {hash}}}]")
    };
    them.good(&token("leaked", "admin")).await;
    them.good(&token("robot", "admin")).await;
    them.good(&token("robot", "viewer")).await;
    them.delete(id("security/leaked"), at_once(), note()).await.expect("revoked");
    them.good(TWO).await;
    them.good(&token("new", "viewer")).await;
    let outcome = them.rollback(Revision(2), at_once(), note()).await.expect("rolls back");
    let ids: Vec<String> = outcome.changes.iter().map(|change| change.id.to_string()).collect();
    assert_eq!(ids, ["connection/ftp", "channel/front"]);
    assert_eq!(outcome.left, [id("security/new"), id("security/leaked"), id("security/robot")]);
    // Who means it, says which one.
    let leaked = id("security/leaked");
    let outcome = them.rollback_one(&leaked, Revision(2), at_once(), note()).await.expect("rolls back");
    assert_eq!((outcome.changes[0].id.clone(), outcome.left), (leaked, Vec::new()));
}
