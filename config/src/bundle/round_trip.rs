//! What is written reads back to the same: both formats, any value.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::json;

use super::*;

/// Texts that a careless writer leaves unquoted, or quotes in a way that changes them.
const TRICKY: [&str; 78] = [
    "",
    " ",
    "~",
    "null",
    "Null",
    "NULL",
    "true",
    "False",
    "yes",
    "No",
    "on",
    "y",
    "1",
    "-1",
    "+1",
    "1_000",
    "0x1",
    "0o7",
    "007",
    "1e3",
    "1.",
    ".5",
    "-.5E+3",
    ".inf",
    "-.INF",
    ".nan",
    "1:30",
    "2026-12-01",
    "2026-12-01T09:00:00Z",
    "<<",
    "=",
    "-",
    "- a",
    "?",
    "? a",
    ":",
    ": a",
    "a: b",
    "a:",
    ":a",
    "a #b",
    "#a",
    "a#b",
    "&a",
    "*a",
    "!a",
    "!!str a",
    "|",
    ">",
    "%a",
    "@a",
    "`a",
    "'",
    "\"",
    "'a'",
    "\"a\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    "{a: b}",
    "[a, b]",
    "---",
    "...",
    "--- a",
    " lead",
    "trail ",
    "\ttab",
    "a\tb",
    "\\",
    "\\n",
    "${X}",
    "$${X}",
    "$$${X",
    "(sealed)",
    "a\u{2028}b\u{85}\u{feff}\u{a0}",
    "\u{1F600}\u{7f}\u{0}\u{1b}",
];
/// The same for texts of several lines.
const LINES: [&str; 22] = [
    "\n",
    "\n\n",
    "a\n",
    "a\n\n",
    "\na",
    "\n\na\n",
    " a\nb",
    "a\n b",
    "a\n  b\nc\n",
    "a \nb",
    "a\n \nb",
    "a\n\t\nb",
    "\ta\nb",
    "a\r\nb",
    "a\rb",
    "a\n---\nb",
    "a\n...\nb",
    "# a\nb",
    "a: b\nc: d\n",
    "- a\n- b",
    "${X}\n$${Y}\n",
    "   \n a",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(&TRICKY[..]).prop_map(String::from),
        prop::sample::select(&LINES[..]).prop_map(String::from),
        (prop::sample::select(&LINES[..]), prop::sample::select(&TRICKY[..]))
            .prop_map(|(a, b)| format!("{a}{b}")),
        (prop::sample::select(&TRICKY[..]), prop::sample::select(&LINES[..]))
            .prop_map(|(a, b)| format!("{a}{b}")),
        any::<String>(),
        "[ a:#\\-\n'\"\\\\${}]{0,12}",
        "[a-z ]{60,200}",
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON holds finite numbers", |f| f.is_finite()).prop_map(Value::from),
        prop::sample::select(vec![0.0, -0.0, 1.0, 1e300, 1e-300, 0.1, 1e16, 123_456_789.0])
            .prop_map(Value::from),
        text().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((text(), inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn draft() -> impl Strategy<Value = Draft> {
    let name = prop_oneof![text(), "[a-z]{1,3}[ ./][a-z]{1,3}"]
        .prop_filter_map("names have rules", |text| text.trim().parse::<Name>().ok());
    let r#type = text().prop_filter("a type is not empty", |text| !text.is_empty());
    let params = prop::collection::vec((text(), value()), 0..5);
    (prop::sample::select(&Family::ALL[..]), name, r#type, any::<bool>(), params).prop_map(
        |(family, name, r#type, enabled, params)| {
            let head = |key: &String| ["name", "type", "enabled"].contains(&key.as_str());
            let params = Clear(params.into_iter().filter(|(key, _)| !head(key)).collect());
            let (id, kind) = (DefId::new(family, name), KindTag::new(family, r#type));
            Draft { id, kind, enabled, params, place: Place::default() }
        },
    )
}

fn written(draft: &Draft) -> (Family, Map<String, Value>) {
    let mut map = json!({"name": draft.id.name, "type": draft.kind.r#type});
    if !draft.enabled {
        map["enabled"] = false.into();
    }
    let Value::Object(mut map) = map else { unreachable!("made above") };
    map.extend(draft.params.0.clone());
    (draft.id.family, map)
}

fn read(text: &str) -> BTreeMap<DefId, Draft> {
    let drafts = parse(text, None).unwrap_or_else(|faults| panic!("{faults} in\n{text}"));
    let drafts = substitute(drafts, &|_| None).unwrap_or_else(|faults| panic!("{faults} in\n{text}"));
    drafts.into_iter().map(|d| (d.id.clone(), Draft { place: Place::default(), ..d })).collect()
}

fn comes_back(drafts: Vec<Draft>) {
    let wanted: BTreeMap<DefId, Draft> = drafts.into_iter().map(|d| (d.id.clone(), d)).collect();
    let yaml = write_yaml(wanted.values().map(written));
    let json = write_json(wanted.values().rev().map(written));
    assert_eq!(read(&yaml), wanted, "{yaml}");
    assert_eq!(read(&json), wanted, "{json}");
    assert_eq!(write_yaml(wanted.values().rev().map(written)), yaml, "the order of the input shows");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn any_bundle_comes_back(drafts in prop::collection::vec(draft(), 0..4)) {
        comes_back(drafts);
    }
}

#[test]
fn every_tricky_text_comes_back_as_value_key_and_element() {
    for text in TRICKY.iter().chain(&LINES) {
        let Value::Object(params) =
            json!({"value": text, "list": [text, [text]], "map": {*text: {*text: text}}})
        else {
            unreachable!("made here")
        };
        let id: DefId = "job/x".parse().expect("an id");
        let kind = KindTag::new(Family::Job, "t");
        comes_back(vec![Draft { id, kind, enabled: true, params: Clear(params), place: Place::default() }]);
    }
}

#[test]
fn an_export_reads_well() {
    let definition = |value: Value| match value {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    let definitions = [
        (
            Family::Channel,
            definition(json!({"name": "b", "type": "rest", "path": "/b/{id}", "service": "x.y"})),
        ),
        (Family::Security, definition(json!({"name": "s", "type": "basic", "password": "(sealed)"}))),
        (
            Family::Channel,
            definition(json!({
                "path": "/a", "name": "a: 1", "enabled": false, "type": "rest", "tags": ["x", "10s", "yes", "10"],
                "empty": [], "none": {}, "rate": {"per": "1m", "max": 10}, "text": "one\ntwo\n", "cron": "00 3-6 * * 1-5"
            })),
        ),
    ];
    let expected = "\
security:
- name: s
  type: basic
  password: (sealed)
channels:
- name: \"a: 1\"
  type: rest
  enabled: false
  cron: 00 3-6 * * 1-5
  empty: []
  none: {}
  path: /a
  rate:
    max: 10
    per: 1m
  tags:
  - x
  - 10s
  - \"yes\"
  - \"10\"
  text: |
    one
    two
- name: b
  type: rest
  path: /b/{id}
  service: x.y
";
    assert_eq!(write_yaml(definitions.into_iter()), expected);
    assert_eq!(write_yaml(std::iter::empty()), "{}\n");
}
