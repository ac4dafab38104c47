//! Tests of reading bundles: every fault is found, each with its place.

use serde_json::json;

use super::*;

fn faults(text: &str) -> Vec<String> {
    match parse(text, Some("b.yaml")) {
        Ok(drafts) => panic!("no faults in {text:?}: {drafts:?}"),
        Err(faults) => faults.0.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_bundle_gives_drafts_with_their_places() {
    let text = "\
# what we sell
channels:
- {name: get customer, type: rest, path: '/customer/{cust_id}', limit: 0x10, ratio: 1e3}
- name: events
  type: websocket
  enabled: false
  nested: {list: [1, {deep: ~}], on: yes}
jobs:
---
specs: [{name: public, path: /apispec, security: null}]
";
    let drafts = parse(text, Some("b.yaml")).expect("no faults");
    let seen: Vec<_> = drafts
        .iter()
        .map(|d| (d.at(), d.kind.to_string(), d.enabled, Value::Object(d.params.0.clone())))
        .collect();
    assert_eq!(
        seen,
        [
            (
                "b.yaml:3:3 channel/get customer".into(),
                "channel.rest".into(),
                true,
                json!({"path": "/customer/{cust_id}", "limit": 16, "ratio": 1000.0})
            ),
            (
                "b.yaml:4:3 channel/events".into(),
                "channel.websocket".into(),
                false,
                json!({"nested": {"list": [1, {"deep": null}], "on": "yes"}})
            ),
            (
                "b.yaml:10:9 spec/public".into(),
                "spec.api".into(),
                true,
                json!({"path": "/apispec", "security": null})
            ),
        ]
    );
}

#[test]
fn json_is_read_whatever_its_layout() {
    let long = "k".repeat(5_000);
    let document = json!({"jobs": [{"name": "x", "type": "t", "text": "a\"\\\u{1}\u{1F600}\u{7f}\u{2028}", long: [[], {}, 1.5, -3]}]});
    for text in [
        document.to_string(),
        serde_json::to_string_pretty(&document).expect("written").replace("  ", "\t"),
        document.to_string().replace('\u{1F600}', "\\ud83d\\ude00").replace(":", " :\n\t"),
    ] {
        let drafts = parse(&text, None).unwrap_or_else(|faults| panic!("{faults} in {text}"));
        let written = json!({"jobs": [{"name": "x", "type": "t"}]});
        assert_eq!(drafts.len(), written["jobs"].as_array().map_or(0, Vec::len));
        for (key, value) in &drafts[0].params.0 {
            assert_eq!(value, &document["jobs"][0][key], "{key:.20}");
        }
    }
}

#[test]
fn every_fault_is_found_with_its_place_and_a_hint() {
    let text = "\
channel:
- {name: a, type: rest}
conections: []
jobs:
- {type: cron}
- {name: ' x', type: cron}
- {name: 12, type: cron, more: {a: 1, a: 2}}
- {name: j, enabled: maybe, sum: .inf}
- just text
- {name: dup, type: cron, dup: 1, dup: 2}
security: {name: s}
connections:
- {name: c, type: http}
- {name: c, type: [http], url: !secret x, <<: {}}
- {name: c, type: ftp, [1]: 2}
";
    let found = faults(text);
    let expected = [
        "b.yaml:1:1 channel: there is no such family (did you mean \"channels\"?)",
        "b.yaml:3:1 conections: there is no such family (did you mean \"connections\"?)",
        "b.yaml:5:3 jobs[0]: the definition has no name (add name: ...)",
        "b.yaml:6:10 jobs[1].name: the name \" x\" begins or ends with white space (trim it)",
        "b.yaml:7:10 jobs[2].name: the name is not a text",
        "b.yaml:7:39 jobs[2].more.a: the same key is there twice",
        "b.yaml:8:3 job/j: the definition has no type (add type: ...)",
        "b.yaml:8:22 job/j.enabled: neither true nor false",
        "b.yaml:8:34 job/j.sum: infinity and not-a-number",
        "b.yaml:9:3 jobs[4]: a definition is a map",
        "b.yaml:10:35 jobs[5].dup: the same key is there twice",
        "b.yaml:11:11 security: the definitions of a family are a list",
        "b.yaml:14:19 connection/c.type: the type is not a text",
        "b.yaml:14:40 connection/c.url: this tag has no meaning here",
        "b.yaml:14:43 connection/c.?: merge keys (<<) are not part of YAML 1.2",
        "b.yaml:15:24 connection/c.?: a list or a map cannot be a key",
        "b.yaml:15:3 connection/c: connection/c is already defined at b.yaml:13:3 connection/c",
    ];
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "\n   found {found}\nexpected {expected}");
        assert!(found.contains('('), "no hint: {found}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn a_text_that_is_no_yaml_is_a_fault_with_line_and_column() {
    for (text, at) in
        [("jobs: [", "b.yaml:1:7"), ("jobs:\n- a: b: c", "b.yaml:2:7"), ("a: *nobody", "b.yaml:1:4")]
    {
        let found = faults(text);
        assert!(found.len() == 1 && found[0].starts_with(at), "{found:?} for {text:?}");
    }
    for text in ["- a list", "just text", "12"] {
        assert!(faults(text)[0].contains("a bundle is a map of families"), "{text}");
    }
    for text in ["", "# nothing\n", "---\n...\n", "{}", "jobs:"] {
        assert_eq!(parse(text, None), Ok(Vec::new()), "{text:?}");
    }
}

#[test]
fn no_fault_shows_a_value() {
    let text = "\
security:
- {name: a, type: basic, password: 'hush', password: hush, pin: !hush hush, enabled: hush}
- {name: [hush], type: {hush: 1}, key: *hush}
";
    for text in
        [text, "security: [{name: a, password: \"hush", "security: [{name: a, password: ${hush!}, x: [}"]
    {
        let found = parse(text, None).expect_err("faults").to_string();
        // The name of an anchor is no value, and is not shown either.
        assert!(!found.contains("hush"), "{found}");
    }
}

#[test]
fn aliases_repeat_values_but_not_without_end() {
    let text = "jobs:\n- &a {name: a, type: t, list: &l [1, 2]}\n- {name: b, type: t, list: *l}\n";
    let drafts = parse(text, None).expect("no faults");
    assert_eq!(drafts[1].params.0["list"], json!([1, 2]));

    let mut laughs = String::from("jobs:\n- {name: a, type: t, a0: &a0 [ha, ha]");
    for n in 1..40 {
        laughs += &format!(", a{n}: &a{n} [*a{0}, *a{0}]", n - 1);
    }
    laughs += "}\n";
    assert!(faults(&laughs)[0].contains("aliases make the text too large"));

    let mut deep = String::from("jobs:\n- {name: a, type: t, a0: &a0 []");
    for n in 1..150 {
        deep += &format!(", a{n}: &a{n} [*a{}]", n - 1);
    }
    deep += "}\n";
    assert!(faults(&deep)[0].contains("nested more than 100 deep"));
    let found = faults(&format!("jobs: {}", "[".repeat(100_000)));
    assert!(found[0].contains("recursion limit exceeded"), "{found:?}");
    assert!(faults("jobs: &a [*a]")[0].contains("inside the value that it repeats"));
}

#[test]
fn variables_are_filled_in_everywhere_and_faults_name_the_place() {
    let text = "\
connections:
- {name: '${NAME}', type: ftp, password: 'x${PASS}', list: [{deep: '$${PASS}'}], port: 21}
- {name: b, type: ftp, password: '${NO}', list: [{deep: '${hush hush}'}]}
";
    let drafts = parse(text, Some("b.yaml")).expect("no faults");
    let lookup = |name: &str| (name == "PASS").then(|| "hush".to_owned());
    let good = substitute(vec![drafts[0].clone()], &lookup).expect("filled in");
    assert_eq!(good[0].id.name.as_str(), "${NAME}");
    let params = json!({"password": "xhush", "list": [{"deep": "${PASS}"}], "port": 21});
    assert_eq!(Value::Object(good[0].params.0.clone()), params);
    let found = substitute(drafts, &lookup).expect_err("faults");
    assert_eq!(found.0.len(), 2, "{found}");
    assert_eq!(found.0[0].at, "b.yaml:3:3 connection/b.password");
    assert_eq!(found.0[1].at, "b.yaml:3:3 connection/b.list[0].deep");
    assert!(!found.to_string().contains("hush"), "{found}");
}
