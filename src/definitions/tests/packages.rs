//! Packages: what they bring along, and what that keeps others from.

use super::*;

/// A package that says itself which services are in it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CrateParams {
    /// The services.
    services: Vec<config::Name>,
    /// What it is made of.
    #[serde(default)]
    files: std::collections::BTreeMap<String, String>,
}

/// A kind of package that never starts.
struct Crate;

#[async_trait]
impl Kind for Crate {
    const TAG: &'static str = "package.crate";
    type Params = CrateParams;

    fn example() -> CrateParams {
        CrateParams { services: Vec::new(), files: Default::default() }
    }

    async fn inspect(_: &DefId, params: CrateParams, _: &Registry) -> Result<Vec<Claim>, Vec<Fault>> {
        if params.files.contains_key("broken.py") {
            return Err(vec![Fault::new("files.broken.py:1", "SyntaxError: invalid syntax")]);
        }
        let claim = |name: &config::Name| Claim { at: "services".into(), what: format!("service {name}") };
        Ok(params.services.iter().map(claim).collect())
    }

    async fn start(_: CrateParams, _: Start) -> sdk::Result<Part> {
        Err(sdk::Error::unavailable("nobody there"))
    }
}

fn them() -> Definitions {
    let registry = Registry::new(&[&Line, &Door, &Crate], &[]).expect("a registry");
    Definitions { registry: Arc::new(registry), ..definitions() }
}

fn told(outcome: Result<Outcome, Refused>) -> Vec<String> {
    match outcome {
        Err(Refused::Faults(faults)) => faults.0.iter().map(ToString::to_string).collect(),
        other => panic!("it is not refused for faults: {other:?}"),
    }
}

const BILLING: &str = "packages: [{name: billing, type: crate, services: [bill, remind]}]";
const DOOR: &str = "channels: [{name: d, type: door, path: /d, service: bill}]";

#[tokio::test]
async fn channels_refer_to_the_services_of_packages() {
    let them = them();
    let near =
        told(them.try_apply(&format!("{BILLING}\n{}", DOOR.replace("bill}", "bil}")), at_once()).await);
    assert!(near.len() == 1 && near[0].contains("did you mean \"bill\"?"), "{near:?}");
    // Both in one revision, whichever comes first in it.
    let outcome = them.good(&format!("{DOOR}\n{BILLING}")).await;
    assert_eq!((outcome.revision, outcome.changes.len()), (Revision(1), 2));
    let again = them.good(BILLING).await;
    assert_eq!((again.revision, again.unchanged), (Revision(1), 1));

    // What is used stays.
    let less = told(them.try_apply(&BILLING.replace("bill, ", ""), at_once()).await);
    assert!(
        less.len() == 1 && less[0].contains("service/bill, which would go from package/billing"),
        "{less:?}"
    );
    let gone = told(them.delete("package/billing".parse().expect("an id"), at_once(), note()).await);
    assert!(gone.len() == 1 && gone[0].contains("channel/d"), "{gone:?}");
    let service: DefId = "service/bill".parse().expect("an id");
    let refused = them.delete(service, at_once(), note()).await.expect_err("it is in a package");
    assert!(refused.to_string().contains("comes with package/billing"), "{refused}");
    them.good(&BILLING.replace(", remind", "")).await;
}

#[tokio::test]
async fn a_service_is_in_one_package_only_and_hides_none_that_is_compiled_in() {
    let them = them();
    them.good(BILLING).await;
    let other = "packages: [{name: other, type: crate, services: [bill]}]";
    let twice = told(them.try_apply(other, at_once()).await);
    assert!(
        twice.len() == 1 && twice[0].contains("service bill is already held by package/billing"),
        "{twice:?}"
    );
    assert!(twice[0].starts_with("b.yaml:1:12 package/other.services"), "{twice:?}");
    them.good(&other.replace("services", "enabled: false, services")).await;
    for name in ["zeugma.ping", "zato.ping"] {
        let hidden = told(them.try_apply(&other.replace("bill", name), at_once()).await);
        assert!(hidden.len() == 1 && hidden[0].contains("is compiled into the node"), "{hidden:?}");
    }
}

#[tokio::test]
async fn a_file_that_does_not_import_is_the_only_fault_and_changes_nothing() {
    let them = them();
    them.good(BILLING).await;
    let broken = BILLING.replace("remind]", "remind], files: {broken.py: x}");
    let door = "channels: [{name: d, type: door, path: /d, service: not-known-now}]";
    let faults = told(them.try_apply(&format!("{broken}\n{door}"), at_once()).await);
    assert_eq!(faults, ["b.yaml:1:12 package/billing.files.broken.py:1: SyntaxError: invalid syntax"]);
    assert_eq!(them.list(None).await.expect("lists").0, Revision(1));
}

#[tokio::test]
async fn one_package_goes_back_to_what_it_was_and_the_rest_stays() {
    let them = them();
    them.good(BILLING).await;
    them.good("packages: [{name: billing, type: crate, services: [pay], files: {a.py: 'x\n\ny'}}]").await;
    them.good("packages: [{name: other, type: crate, services: []}]").await;
    let id: DefId = "package/billing".parse().expect("an id");
    let history = them.history_of(&id, None, 10).await.expect("a history");
    assert_eq!(history.iter().map(|event| event.revision.0).collect::<Vec<_>>(), [2, 1]);
    let files =
        history[0].changes[0].fields.iter().find(|field| field.at == "files").expect("it was changed");
    assert!(
        files.after.as_ref().is_some_and(|after| after["a.py"].as_str().is_some_and(|t| t.contains("line")))
    );

    let outcome = them.rollback_one(&id, Revision(1), at_once(), note()).await.expect("rolls back");
    assert_eq!((outcome.revision, outcome.changes.len()), (Revision(4), 1));
    them.good(DOOR).await; // the service is there again
    assert_eq!(them.list(None).await.expect("lists").1.len(), 3);
    let id: DefId = "package/other".parse().expect("an id");
    let none = them.rollback_one(&id, Revision(1), at_once(), note()).await.expect_err("it was not there");
    assert!(matches!(none, Refused::NotFound { .. }), "{none}");
}
