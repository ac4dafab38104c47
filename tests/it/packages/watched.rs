//! A watched folder: files of Python in it are deployed as they change, and undeployed when they are gone.

use std::path::Path;

use tempfile::TempDir;

use super::{door, hello, write};
use crate::kit::cluster::SOON;
use crate::kit::process::eventually;
use crate::kit::program::Program;

/// Waits until `hello` answers this.
async fn answers(node: &Program, what: &str) {
    let log = || node.log();
    eventually(SOON, &format!("hello says {what:?}\n{}", log()), async || {
        let answer = node.run(&["invoke", "hello"]);
        answer.code == 0 && answer.out == what
    })
    .await;
}

/// Waits until the status has this in it.
async fn status_says(node: &Program, what: &str) {
    eventually(SOON, &format!("the status says {what:?}"), async || node.good(&["status"]).contains(what))
        .await;
}

/// Saves as many editors do: a new file beside it, a backup, a rename.
fn save(folder: &Path, name: &str, text: &str) {
    write(folder, "4913", "");
    std::fs::remove_file(folder.join("4913")).expect("removed");
    write(folder, &format!(".{name}.swp"), "not Python");
    write(folder, &format!(".{name}.new"), text);
    if folder.join(name).exists() {
        std::fs::rename(folder.join(name), folder.join(format!("{name}~"))).expect("a backup");
    }
    std::fs::rename(folder.join(format!(".{name}.new")), folder.join(name)).expect("renamed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_deployed_as_editors_save_them_and_undeployed_when_they_are_gone() {
    let watched = TempDir::new().expect("a folder");
    let folder = watched.path();
    save(folder, "hello.py", &hello("one"));
    let watch = ["--watch", folder.to_str().expect("text")];
    let node = Program::start(&watch);
    answers(&node, "one").await;
    save(folder, "hello.py", &hello("two"));
    answers(&node, "two").await;

    // A folder with several files is one package, and a bundle that refers to it may come with it.
    write(folder, "crm/parts/words.py", "WORD = 'three'");
    let crm = hello("x").replace("'hello'", "'crm'").replace("'x'", "words.WORD");
    write(folder, "crm/crm.py", &format!("from parts import words\n{crm}"));
    write(folder, "door.json", &door().to_string());
    eventually(SOON, "the channel answers", async || node.curl("/hello").send().status == 200).await;
    eventually(SOON, "the folder is deployed", async || node.run(&["invoke", "crm"]).out == "three").await;
    let packages = node.json(&["package", "list"]);
    assert_eq!(packages.as_array().map(Vec::len), Some(2), "{packages}");

    // What is wrong is in the status, and keeps nothing else back.
    save(folder, "hello.py", "this is no Python");
    status_says(&node, "package/hello.files.hello.py:1: ").await;
    assert_eq!(node.curl("/hello").send().text(), "two");
    write(folder, "crm/parts/words.py", "WORD = 'four'");
    eventually(SOON, "the other is deployed", async || node.run(&["invoke", "crm"]).out == "four").await;
    assert!(node.good(&["status"]).contains("hello.py:1: "));
    save(folder, "hello.py", &hello("five"));
    answers(&node, "five").await;
    eventually(SOON, "the status is good", async || !node.good(&["status"]).contains("hello.py")).await;

    // What is gone is undeployed, also if that was while the node was down.
    std::fs::remove_dir_all(folder.join("crm")).expect("removed");
    eventually(SOON, "the folder is undeployed", async || node.run(&["invoke", "crm"]).code == 1).await;
    assert_eq!(node.curl("/hello").send().text(), "five");
    let folder_of_node = node.crash();
    std::fs::remove_file(folder.join("hello.py")).expect("removed");
    let node = Program::start_in(folder_of_node, &watch);
    // A channel needs it, so it stays until that is gone.
    status_says(&node, "refers to service/hello").await;
    assert_eq!(node.curl("/hello").send().text(), "five");
    std::fs::remove_file(folder.join("door.json")).expect("removed");
    node.good(&["delete", "channel", "hello"]);
    write(folder, "other.py", &hello("other").replace("'hello'", "'other'"));
    eventually(SOON, "it is undeployed", async || node.run(&["invoke", "hello"]).code == 1).await;
    assert_eq!(node.good(&["invoke", "other"]), "other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_files_of_a_bundle_in_the_folder_are_its_own() {
    let watched = TempDir::new().expect("a folder");
    let folder = watched.path();
    write(folder, "hello.py", &hello("one"));
    write(folder, "app.yaml", "packages: [{name: app, type: python, files: [hello.py], workers: 1}]");
    let node = Program::start(&["--watch", folder.to_str().expect("text")]);
    answers(&node, "one").await;
    let packages = node.json(&["package", "list"]);
    assert_eq!(
        (packages.as_array().map(Vec::len), &packages[0]["name"]),
        (Some(1), &"app".into()),
        "{packages}"
    );
    save(folder, "hello.py", &hello("two"));
    answers(&node, "two").await;
}
