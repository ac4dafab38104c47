//! The pages of the docs say what is so: bundles apply, commands parse, lists are whole, links lead somewhere.

mod bundles;
mod commands;
mod lists;
mod skeleton;
mod text;

use config::settings::env_var;
use zeugma::reference;

#[test]
fn the_page_about_kinds_is_current() {
    let registry = actors::Registry::new(&[], &[]).expect("a registry");
    let (page, path) =
        (reference::markdown(&registry), concat!(env!("CARGO_MANIFEST_DIR"), "/docs/kinds.md"));
    if env_var("BLESS").is_some() {
        std::fs::write(path, &page).expect("written");
    }
    let there = std::fs::read_to_string(path).expect("docs/kinds.md");
    assert!(there == page, "docs/kinds.md is not current: BLESS=1 ./test docs writes it");
}

#[test]
fn every_parameter_is_documented_and_every_example_can_be_applied() {
    let registry = actors::Registry::new(&[], &[]).expect("a registry");
    for kind in reference::kinds(&registry) {
        assert!(!kind.summary.is_empty(), "{}: no documentation", kind.kind);
        for parameter in reference::parameters(&kind.schema) {
            assert!(!parameter.description.is_empty(), "{}.{}: no documentation", kind.kind, parameter.name);
            assert_ne!(parameter.r#type, "any", "{}.{}: no type", kind.kind, parameter.name);
        }
        let example = reference::example(&kind);
        let drafts = config::bundle::parse(&example, Some(&kind.kind.to_string())).expect("a bundle");
        let lookup = |_: &str| Some("a-long-enough-secret".into());
        let drafts = config::bundle::substitute(drafts, &lookup).expect("variables");
        // What it refers to is not there, and a native service must be one that is; all else has to be right.
        let checked = config::Rules::check(&registry, &drafts[0]);
        let faults: Vec<_> = checked.faults.iter().filter(|fault| fault.at != "name").collect();
        assert!(faults.is_empty(), "{}: {faults:?}\n{example}", kind.kind);
    }
}
