//! On three nodes around Redis: every node serves what one was given, whoever is down or comes later.

use super::{Load, door, hello};
use crate::kit::cluster::{Cluster, SOON};
use crate::kit::process::eventually;
use crate::kit::program::Program;

const NODES: usize = 3;

/// Deploys a version of `hello` by one node, and gives what the command said.
fn deploy(node: &Program, says: &str) -> String {
    node.write("hello.py", &hello(says));
    node.good(&["deploy", "hello.py"])
}

/// Waits until a node answers this.
async fn answers(cluster: &Cluster, n: usize, what: &str) {
    let node = cluster.node(n);
    eventually(SOON, &format!("n{n} says {what:?}"), async || {
        cluster.get(node, "/hello").await == (200, what.to_owned())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_serve_what_one_was_given_redeployed_under_load_caught_up_and_taken_back() {
    let mut cluster = Cluster::of(NODES).await;
    let said = deploy(cluster.node(1), "one");
    assert!(said.starts_with("deployed hello (1 service) as revision 1 on 3/3 nodes in "), "{said}");
    cluster.node(2).apply(&door());
    for n in 1..=NODES {
        assert_eq!(cluster.get(cluster.node(n), "/hello").await, (200, "one".to_owned()));
    }

    // Under load on two nodes, by either of them.
    let loads = [Load::on(cluster.node(1)), Load::on(cluster.node(3))];
    for version in 0..4 {
        for load in &loads {
            load.goes_on(10).await;
        }
        let said = deploy(cluster.node(1 + version % 2), &format!("version {version}"));
        assert!(said.contains("on 3/3 nodes"), "{said}");
        for n in 1..=NODES {
            assert_eq!(cluster.get(cluster.node(n), "/hello").await, (200, format!("version {version}")));
        }
    }
    for load in loads {
        load.goes_on(10).await;
        load.end().await;
    }

    // One that was down has the version of now, and so has a new one.
    cluster.kill(2);
    eventually(SOON, "the others know that n2 is gone", async || {
        cluster.admin(cluster.node(1), "revision").await["nodes"].as_array().map(Vec::len) == Some(2)
    })
    .await;
    assert!(deploy(cluster.node(1), "without n2").contains("on 2/2 nodes"));
    cluster.add(2, &[], &[]);
    cluster.add(4, &[], &[]);
    cluster.complete().await;
    for n in 1..=4 {
        answers(&cluster, n, "without n2").await;
    }

    // Wrong files change nothing anywhere.
    let node = cluster.node(4);
    node.write("hello.py", "import nothing_of_this_name");
    let wrong = node.run(&["deploy", "hello.py"]);
    assert!(wrong.code == 1 && wrong.err.contains("nothing_of_this_name"), "{wrong:?}");
    for n in 1..=4 {
        assert_eq!(cluster.get(cluster.node(n), "/hello").await, (200, "without n2".to_owned()));
    }
    node.good(&["package", "rollback", "hello"]);
    for n in 1..=4 {
        answers(&cluster, n, "version 3").await;
    }
    node.good(&["delete", "channel", "hello"]);
    let gone = node.good(&["undeploy", "hello"]);
    assert!(gone.contains("on 4/4 nodes"), "{gone}");
    for n in 1..=4 {
        let none = cluster.node(n).run(&["invoke", "hello"]);
        assert!(none.code == 1 && none.err.contains("there is no service"), "{none:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_killed_while_it_deploys_leaves_the_old_version_or_the_new_one_everywhere() {
    let mut cluster = Cluster::of(NODES).await;
    deploy(cluster.node(1), "old");
    cluster.node(1).apply(&door());
    for round in 0..3 {
        let (old, new) = (format!("old {round}"), format!("new {round}"));
        deploy(cluster.node(2), &old);
        cluster.node(1).write("hello.py", &hello(&new));
        let mut deploying = cluster.node(1).command(&["deploy", "hello.py"]);
        let mut deploying =
            deploying.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn();
        // Somewhere between the first byte and the receipt, each time later.
        tokio::time::sleep(std::time::Duration::from_millis(20 + 25 * round)).await;
        cluster.kill(1);
        drop(deploying.as_mut().expect("it runs").wait());
        let seen = cluster.get(cluster.node(2), "/hello").await;
        assert!(seen == (200, old) || seen == (200, new), "{seen:?}");
        cluster.add(1, &[], &[]);
        cluster.complete().await;
        // Whichever it is, all have the same in the end.
        eventually(SOON, "all nodes agree", async || {
            let mut all = Vec::new();
            for n in 1..=NODES {
                all.push(cluster.get(cluster.node(n), "/hello").await);
            }
            all.iter().all(|one| one.0 == 200 && *one == all[0])
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_on_which_new_files_do_not_start_serves_the_old_ones_and_says_why() {
    let mut cluster = Cluster::of(2).await;
    deploy(cluster.node(1), "old");
    cluster.node(1).apply(&door());
    cluster.add(3, &[], &[("BROKEN", "yes"), ("ZEUGMA_PYTHON_ENVIRONMENT", "BROKEN")]);
    cluster.complete().await;
    answers(&cluster, 3, "old").await;
    let node = cluster.node(1);
    let only_elsewhere =
        format!("import os\nassert 'BROKEN' not in os.environ, 'not here'\n{}", hello("new"));
    node.write("hello.py", &only_elsewhere);
    let said = node.run(&["deploy", "hello.py"]);
    assert!(said.code == 3 && said.out.contains("on 2/3 nodes") && said.err.contains("not here"), "{said:?}");
    assert_eq!(cluster.get(cluster.node(1), "/hello").await, (200, "new".to_owned()));
    assert_eq!(cluster.get(cluster.node(3), "/hello").await, (200, "old".to_owned()));
    let status = node.good(&["status"]);
    assert!(status.contains("n3: package/hello: does not start"), "{status}");
    for part in ["hello.py:2", "Traceback", "AssertionError: not here"] {
        assert!(status.contains(part), "{part} is not in {status}");
    }
    assert!(node.good(&["package", "show", "hello"]).contains("n3: the version before goes on"));
}
