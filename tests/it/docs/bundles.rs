//! Every bundle that the pages and the examples show can be applied.

use std::sync::Arc;
use std::time::Duration;

use config::store::memory::Memory;
use config::{Clock, Faults, Keyring, Note};
use serde_json::Value;
use zeugma::app::{Extras, Node, Settings};
use zeugma::definitions::{Definitions, Options, Refused};
use zeugma::management::Management;

use super::text::{ROOT, none, pages};

#[path = "../../../examples/customer-service/services.rs"]
mod services;

/// The services of the example.
static SERVICES: &[&dyn zeugma::Service] =
    &[&services::get_customer, &services::import_customers, &services::audit, &services::crm_stand_in];

/// A hash of some password.
const HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$7tCBpj3dveit3xm8doyrZg$Wg8/+LzlhTUlsDtXBzFUnYJ1BdryhSqm/66TWeDerlQ";

/// What a variable may stand for.
fn dummy(name: &str) -> Option<String> {
    Some(match name {
        name if name.ends_with("_URL") => "http://127.0.0.1:9/x".into(),
        name if name.ends_with("_HASH") => HASH.into(),
        _ => "a-long-enough-secret".into(),
    })
}

/// The files of a page's packages are not beside the page.
fn without_files(mut draft: config::Draft) -> config::Draft {
    if draft.id.family == config::Family::Package {
        draft.params.0.insert("files".into(), serde_json::json!({ "x.py": "" }));
    }
    draft
}

fn nothing_yet() -> Definitions {
    let registry = Management::default().registry(&[], SERVICES).expect("a registry");
    Definitions {
        store: Arc::new(Memory::new(Clock::System)),
        slots: None,
        registry: Arc::new(registry),
        keyring: Keyring::generate(),
        board: Arc::default(),
    }
}

/// What is wrong with a bundle, once those before it on the page are applied.
async fn faults(them: &Definitions, at: &str, text: &str) -> Vec<String> {
    let drafts = config::bundle::parse(text, Some(at));
    let drafts = drafts.and_then(|drafts| config::bundle::substitute(drafts, &dummy));
    let drafts = drafts.map(|drafts| drafts.into_iter().map(without_files).collect::<Vec<_>>());
    let outcome = match drafts {
        Ok(drafts) => {
            let options = Options { wait: Duration::ZERO, ..Options::default() };
            them.apply(drafts, options, Note::default()).await.map(drop)
        }
        Err(faults) => Err(Refused::Faults(faults)),
    };
    match outcome {
        Ok(()) => Vec::new(),
        Err(Refused::Faults(Faults(faults))) => faults.iter().map(ToString::to_string).collect(),
        Err(refused) => vec![format!("{at}: {refused}")],
    }
}

/// YAML that is no bundle is marked as a fragment, so that a slip in the name of a family is not taken for one.
#[tokio::test]
async fn every_bundle_can_be_applied_after_those_before_it_on_its_page() {
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for page in pages().iter().filter(|page| page.path != "docs/kinds.md") {
        let them = nothing_yet();
        for block in page.blocks() {
            if block.info == "yaml" {
                checked += 1;
                wrong.extend(faults(&them, &block.at, &block.text).await);
            }
        }
    }
    for entry in std::fs::read_dir(format!("{ROOT}/examples")).expect("the examples").flatten() {
        let Ok(text) = std::fs::read_to_string(entry.path().join("zeugma.yaml")) else { continue };
        checked += 1;
        wrong.extend(faults(&nothing_yet(), &entry.path().display().to_string(), &text).await);
    }
    none(wrong);
    assert!(checked >= 10, "only {checked} bundles were found");
}

/// What docs/rust-services.md says happens, with the services and the bundle of that example.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_of_services_in_rust_does_what_its_page_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let flags = config::settings::Flags {
        listen: Some("127.0.0.1:0".into()),
        admin: Some("127.0.0.1:0".into()),
        data: Some(data),
        ..Default::default()
    };
    let environment = config::settings::Environment::default();
    let settings = Settings::load(None, &environment, &flags).expect("settings");
    let node = Node::start(settings, &environment, Extras { services: SERVICES, kinds: &[] }).await;
    let node = node.expect("the node starts");
    let url = format!("http://{}", node.data);

    let text = std::fs::read_to_string(format!("{ROOT}/examples/customer-service/zeugma.yaml")).expect("it");
    let lookup = |name: &str| match name {
        "CRM_URL" => Some(format!("{url}/crm")),
        _ => Some("demo".into()),
    };
    let drafts = config::bundle::parse(&text, None).expect("a bundle");
    let drafts = config::bundle::substitute(drafts, &lookup).expect("variables");
    let outcome = node.app.definitions.apply(drafts, Options::default(), Note::default()).await;
    assert!(outcome.expect("it applies").receipt.settled);

    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let get = async |path: &str| {
        let request = client.get(format!("{url}{path}")).basic_auth("clerk", Some("demo"));
        request.send().await.expect("an answer")
    };
    let found: Value = get("/customer/7").await.json().await.expect("JSON");
    assert_eq!(found["name"], "Customer 7");
    assert_eq!(get("/customer/77").await.status(), 404);
    let import = client.post(format!("{url}/customers")).basic_auth("clerk", Some("demo"));
    let imported = import.body("7,Ada").send().await.expect("an answer");
    assert_eq!(
        (imported.status().as_u16(), &imported.headers()["location"]),
        (201, &"/customer/7".parse().expect("a value"))
    );
    assert!(node.stop().await, "the node stops cleanly");
}
