//! The files under `deploy/` are what their readers expect, and say only what the program knows.

use std::process::Command;

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn text(file: &str) -> String {
    std::fs::read_to_string(format!("{ROOT}/deploy/{file}")).expect("a file")
}

/// Fails unless this variable is a setting.
fn is_setting(variable: &str) {
    let name = variable.strip_prefix("ZEUGMA_").map(str::to_lowercase);
    let known = name.is_some_and(|name| config::settings::NAMES.contains(&name.as_str()));
    assert!(known || variable == config::settings::KEYS_VARIABLE, "{variable} is no setting");
}

#[test]
fn the_compose_file_is_sound_and_its_variables_are_settings() {
    let compose: Value = serde_saphyr::from_str(&text("compose.yaml")).expect("YAML");
    let services = compose["services"].as_object().expect("services");
    assert_eq!(services.keys().filter(|name| name.starts_with("node")).count(), 3);
    for (name, _) in compose["x-node"]["environment"].as_object().expect("an environment") {
        is_setting(name);
    }
    for (name, node) in services.iter().filter(|(name, _)| name.starts_with("node")) {
        assert!(node["volumes"].is_array() && node["hostname"] == **name, "{node}");
    }
}

#[test]
fn the_kubernetes_manifest_is_sound_and_its_variables_are_settings() {
    let manifest = text("kubernetes.yaml");
    let documents: Vec<Value> =
        manifest.split("\n---\n").map(|one| serde_saphyr::from_str(one).expect("YAML")).collect();
    let kinds: Vec<_> = documents.iter().map(|d| d["kind"].as_str().expect("a kind")).collect();
    assert_eq!(kinds, ["Service", "Service", "StatefulSet"]);
    let set = &documents[2]["spec"];
    assert_eq!(set["serviceName"], documents[1]["metadata"]["name"]);
    assert_eq!(set["selector"]["matchLabels"], set["template"]["metadata"]["labels"]);
    let node = &set["template"]["spec"]["containers"][0];
    for variable in node["env"].as_array().expect("variables") {
        is_setting(variable["name"].as_str().expect("a name"));
    }
    let ports: Vec<_> = node["ports"].as_array().expect("ports").iter().map(|port| &port["name"]).collect();
    for probe in ["livenessProbe", "readinessProbe"] {
        assert!(ports.contains(&&node[probe]["httpGet"]["port"]), "{probe}");
    }
}

#[test]
fn the_systemd_unit_is_sound() {
    let unit = text("zeugma.service");
    let mut section = None;
    for line in unit.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => section = Some(name),
            None => {
                let (key, value) = line.split_once('=').expect("Key=value");
                assert!(
                    section.is_some() && !value.is_empty() && key.chars().all(char::is_alphanumeric),
                    "{line}"
                );
            }
        }
    }
    // Where systemd is at hand, it is asked.
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("zeugma.service");
    std::fs::write(&file, unit.replace("/usr/bin/zeugma", env!("CARGO_BIN_EXE_zeugma"))).expect("written");
    if let Ok(said) = Command::new("systemd-analyze").arg("verify").arg(&file).output() {
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        let about_us: Vec<_> = said.lines().filter(|line| line.contains("zeugma.service")).collect();
        assert!(about_us.is_empty(), "{about_us:?}");
    }
}
