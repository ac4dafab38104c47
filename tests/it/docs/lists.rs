//! What the pages list is what there is: links, settings, metrics, endpoints, kinds, code.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::text::{ROOT, anchor, none, page, pages};
use crate::kit::node::{TestNode, until};

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let mut wrong = Vec::new();
    for from in &pages {
        for link in from.links().iter().filter(|link| !link.contains("://")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => from.path.clone(),
                file => {
                    let folder = Path::new(&from.path).parent().unwrap_or(Path::new(""));
                    let joined = folder.join(file);
                    let inside = joined.to_string_lossy().replace("docs/../", "");
                    if !Path::new(ROOT).join(&inside).exists() {
                        wrong.push(format!("{}: {link}: there is no such file", from.path));
                    }
                    inside
                }
            };
            let to = pages.iter().find(|page| page.path == target);
            if !heading.is_empty() && !to.is_some_and(|page| page.anchors().contains(&heading.to_owned())) {
                wrong.push(format!("{}: {link}: there is no such heading", from.path));
            }
        }
    }
    none(wrong);
}

#[test]
fn every_page_is_in_the_index_and_every_kind_is_linked() {
    let index = page("docs/README.md").links();
    let pages = pages();
    let listed = |path: &str| path == "README.md" || index.iter().any(|link| link == path);
    let names = pages.iter().filter_map(|page| page.path.strip_prefix("docs/"));
    let mut missing: Vec<String> = names.filter(|path| !listed(path)).map(Into::into).collect();
    let links: BTreeSet<String> = pages.iter().flat_map(|page| page.links()).collect();
    let kinds = actors::registry::KINDS.iter().map(|kind| kind.tag());
    missing.extend(
        kinds
            .filter(|tag| !links.contains(&format!("kinds.md#{}", anchor(tag))))
            .map(|tag| format!("a link to {tag}")),
    );
    none(missing);
}

#[test]
fn every_setting_is_on_the_page_as_every_layer_names_it() {
    let text = page("docs/operations.md").text;
    let start = zeugma::cli::command();
    let start = start.find_subcommand("start").expect("the command");
    let flags: BTreeSet<&str> = start.get_arguments().filter_map(|argument| argument.get_long()).collect();
    let mut missing = Vec::new();
    for setting in config::settings::NAMES {
        let flag = setting.replace('_', "-");
        let Some(row) = text.lines().find(|line| line.starts_with(&format!("| `{setting}` |"))) else {
            missing.push(setting.to_owned());
            continue;
        };
        if !row.contains(&format!("`ZEUGMA_{}`", setting.to_uppercase())) {
            missing.push(format!("the variable of {setting}"));
        }
        if row.contains(&format!("`--{flag}`")) != flags.contains(flag.as_str()) {
            missing.push(format!("the flag of {setting}, or that it has none"));
        }
    }
    none(missing);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_is_on_the_page_and_every_one_on_the_page_is_there() {
    let node = TestNode::start().await;
    node.apply("connections: [{name: c, type: http, url: 'http://127.0.0.1:9/'}]").await;
    node.apply("jobs: [{name: j, type: interval, service: counts, every: 10ms}]").await;
    until("the job has fired", async || node.metrics().contains("zeugma_job_last_slot_seconds{")).await;
    node.app().metrics.refused("forbidden");
    assert_eq!(node.get("/nothing/here").send().await.expect("an answer").status(), 404);
    node.app().metrics.dropped.with_label_values(&["data", "broken"]).inc();
    let rendered = node.metrics();
    let heads = rendered.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let there: BTreeSet<(String, String)> = heads
        .filter_map(|line| line.split_once(' '))
        .map(|(name, r#type)| (name.to_owned(), r#type.to_owned()))
        .collect();
    let text = page("docs/operations.md").text;
    let rows = text.lines().filter(|line| line.starts_with("| `zeugma_"));
    let cell = |row: &str, n| row.split('|').nth(n).unwrap_or_default().trim().trim_matches('`').to_owned();
    let listed: BTreeSet<(String, String)> = rows.map(|row| (cell(row, 1), cell(row, 2))).collect();
    assert_eq!(there, listed);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_endpoint_is_on_the_page_and_every_one_on_the_page_is_there() {
    let node = TestNode::start().await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = client.get(format!("http://{}/api/v1/openapi.json", node.admin()));
    let answer = request.bearer_auth(node.app().admin_token.reveal()).send().await.expect("an answer");
    let document: Value = answer.json().await.expect("JSON");
    let mut there = BTreeSet::new();
    for (path, verbs) in document["paths"].as_object().expect("paths") {
        for verb in verbs.as_object().expect("verbs").keys() {
            there.insert(format!("{} {path}", verb.to_uppercase()));
        }
    }
    let text = page("docs/admin-api.md").text;
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let listed: BTreeSet<String> =
        rows.map(|(cell, _)| cell.to_owned()).filter(|cell| cell.contains(" /")).collect();
    assert_eq!(there, listed);
    node.stop().await;
}

/// Code on a page is part of a file that is compiled. What is marked as a fragment is not looked at.
#[test]
fn code_on_a_page_is_compiled_somewhere() {
    let plain = |text: &str| {
        text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
    };
    let files = [
        "examples/customer-service/main.rs",
        "examples/customer-service/services.rs",
        "tests/it/kit/services.rs",
    ];
    let read = |file: &str| std::fs::read_to_string(Path::new(ROOT).join(file)).expect("a file");
    let mut compiled: Vec<String> = files.iter().map(|file| plain(&read(file))).collect();
    compiled.push(plain(&include_str!("skeleton.rs").replace("actors::", "crate::")));
    let mut wrong = Vec::new();
    for page in pages() {
        for block in page.blocks().iter().filter(|block| block.info == "rust") {
            // The first line of the skeleton is about itself.
            let skip = usize::from(block.text.starts_with("//! "));
            let code = plain(&block.text.lines().skip(skip).collect::<Vec<_>>().join("\n"));
            if !compiled.iter().any(|file| file.contains(&code)) {
                wrong.push(format!("{}: it is in no file that is compiled", block.at));
            }
        }
    }
    none(wrong);
}

/// The kind that CONTRIBUTING.md shows keeps the contract of kinds.
#[test]
fn the_skeleton_of_a_kind_is_one() {
    let registry = actors::Registry::new(&[&super::skeleton::FolderKind], &[]).expect("a registry");
    let kind = registry.kind(&"connection.folder".parse().expect("a tag")).expect("it is there");
    let checked = kind.check(&config::Clear(kind.shape().example.clone()));
    assert!(checked.faults.is_empty(), "{:?}", checked.faults);
    let relative = serde_json::json!({"path": "files"});
    let faults = kind.check(&config::Clear(relative.as_object().expect("a map").clone())).faults;
    assert_eq!(faults.len(), 1, "{faults:?}");
}
