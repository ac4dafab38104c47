//! On one node: deploy, look, redeploy under load, take back, undeploy.

use std::time::Duration;

use base64::Engine as _;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;

use super::{Load, door, hello, write};
use crate::kit::program::Program;

#[test]
fn a_file_is_deployed_shown_taken_back_and_undeployed() {
    let node = Program::start(&[]);
    node.write("hello.py", &hello("one"));
    let said = node.good(&["deploy", "hello.py"]);
    assert!(said.starts_with("deployed hello (1 service) as revision 1 on 1/1 nodes in "), "{said}");
    node.apply(&door());
    assert_eq!(node.curl("/hello").send().text(), "one");
    assert_eq!(node.good(&["invoke", "hello"]), "one");

    let again = node.good(&["deploy", "hello.py"]);
    assert!(again.contains("there already, just so, since revision 1"), "{again}");
    node.write("hello.py", &hello("two"));
    assert!(node.good(&["deploy", "hello.py", "--reason", "better"]).contains("as revision 3"));
    assert_eq!(node.curl("/hello").send().text(), "two");

    let list = node.good(&["package", "list"]);
    assert!(list.contains("hello") && list.contains("1/1 nodes"), "{list}");
    assert!(node.good(&["package", "show", "hello", "--file", "hello.py"]).contains("'two'"));
    let history = node.good(&["package", "history", "hello"]);
    assert!(history.contains("better") && history.lines().count() == 3, "{history}");
    let changes = node.good(&["history", "--changes"]);
    assert!(changes.contains("files.hello.py: \"9 lines, ") && !changes.contains("class Hello"), "{changes}");

    node.good(&["package", "rollback", "hello"]);
    assert_eq!(node.curl("/hello").send().text(), "one");
    node.good(&["package", "rollback", "hello", "3"]);
    assert_eq!(node.curl("/hello").send().text(), "two");

    // Somebody needs it.
    let used = node.run(&["undeploy", "hello.py"]);
    assert!(used.code == 1 && used.err.contains("channel/hello"), "{used:?}");
    assert_eq!(node.curl("/hello").send().text(), "two");
    node.good(&["delete", "channel", "hello"]);
    let gone = node.good(&["undeploy", "hello.py"]);
    assert!(gone.starts_with("undeployed hello as revision 7 on 1/1 nodes in "), "{gone}");
    let none = node.run(&["invoke", "hello"]);
    assert!(none.code == 1 && none.err.contains("there is no service \"hello\""), "{none:?}");
    assert!(node.run(&["undeploy", "hello"]).err.contains("there is no package/hello"));
    node.good(&["deploy", "hello.py"]);
    assert_eq!(node.good(&["invoke", "hello"]), "two");
    assert_eq!(node.stop(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_file_is_deployed_under_load_and_no_request_fails() {
    let node = Program::start(&[]);
    node.write("hello.py", &hello("version 0"));
    node.good(&["deploy", "hello.py"]);
    node.apply(&door());
    let load = Load::on(&node);
    for version in 1..=5 {
        load.goes_on(20).await;
        let says = format!("version {version}");
        node.write("hello.py", &hello(&says));
        node.good(&["deploy", "hello.py"]);
        // Once the receipt is here, the new one answers.
        assert_eq!(node.curl("/hello").send().text(), says);
    }
    load.goes_on(20).await;
    load.end().await;
}

#[test]
fn many_files_are_one_revision_and_survive_a_crash() {
    let node = Program::start(&[]);
    let folder = node.folder.path();
    let rates = "import json\nimport pathlib\n\nRATES = json.loads((pathlib.Path(__file__).parent / \
                 'rates.json').read_text())\n";
    write(folder, "crm/rates.py", rates);
    write(folder, "crm/rates.json", "{\"EUR\": 4}");
    let service = "from zeugma import Service\n\nimport rates\n\n\nclass GetRate(Service):\n    name = 'get-rate'\n\n    \
                   def handle(self):\n        self.response.payload = str(rates.RATES['EUR'])\n";
    write(folder, "crm/services.py", service);
    write(folder, "crm/services.py~", "not to be deployed");
    write(folder, "hello.py", &hello("hello"));
    let said = node.good(&["deploy", "crm", "hello.py"]);
    assert_eq!(said.matches("as revision 1 on 1/1 nodes").count(), 2, "{said}");
    assert_eq!(node.good(&["invoke", "get-rate"]), "4");
    let package = node.json(&["package", "show", "crm"]);
    let paths: Vec<_> =
        package["files"].as_array().expect("files").iter().map(|file| &file["path"]).collect();
    assert_eq!(paths, ["rates.json", "rates.py", "services.py"]);
    assert_eq!(package["services"], json!(["get-rate"]));

    let node = node.crash_and_restart(&[]);
    assert_eq!(node.good(&["invoke", "get-rate"]), "4");
    assert_eq!(node.good(&["invoke", "hello"]), "hello");
}

#[test]
fn a_bundle_brings_files_services_and_channels_together_and_an_export_brings_them_back() {
    let node = Program::start(&[]);
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/python-services/zeugma.yaml");
    assert!(node.good(&["apply", "-f", example]).contains("revision 1 applied on 1/1 nodes"));
    assert_eq!(node.curl("/customer/1").send().json(), json!({"name": "Ada Lovelace", "is_active": true}));
    assert_eq!(node.curl("/customer/1/greeting").send().json(), json!({"text": "Hello, Ada Lovelace!"}));
    assert_eq!(node.curl("/customer/7").send().status, 404);
    assert_eq!(node.curl("/customer/x").send().status, 400);

    let show = node.good(&["service", "show", "get-customer"]);
    for part in [
        "get-customer (service.python, namespace my.api.customer)",
        "Returns basic information about a customer.",
        "INPUT",
        "cust_id",
        "required",
        "used by: channel/get-customer",
        "package/customers, revision 1, customers.py:",
        "class GetCustomer(Service):",
    ] {
        assert!(show.contains(part), "{part:?} is not in\n{show}");
    }
    assert!(node.good(&["service", "show", "greet-customer"]).contains("calls: get-customer"));
    assert!(node.good(&["service", "list"]).contains("greet-customer"));

    let export = node.good(&["export"]);
    let other = Program::start(&[]);
    other.write("export.yaml", &export);
    other.good(&["apply", "-f", "export.yaml"]);
    assert_eq!(other.good(&["export"]), export);
    assert_eq!(other.curl("/customer/1").send().status, 200);

    // One of several is switched off.
    let off = json!({"services": [{"name": "greet-customer", "type": "python", "package": "customers", "enabled": false}]});
    other.apply(&off);
    assert_eq!(other.curl("/customer/1/greeting").send().status, 503);
    assert_eq!(other.curl("/customer/1").send().status, 200);
}

#[test]
fn the_api_takes_the_text_of_a_file_or_several_as_json_and_keeps_what_it_is_not_told() {
    let node = Program::start(&[]);
    let folder = TempDir::new().expect("a folder");
    write(folder.path(), "hello.py", &hello("one"));
    let put = |what: &[&str]| node.admin("/api/v1/packages/hello.py").with(&["-X", "PUT"]).with(what);
    let text = put(&["-H", "Content-Type: text/x-python"]).file(&folder.path().join("hello.py")).send();
    assert_eq!((text.status, text.json()["revision"].as_u64()), (200, Some(1)), "{text:?}");
    assert_eq!(node.good(&["invoke", "hello"]), "one");
    let several = json!({"files": {"hello.py": hello("two"), "lib/none.py": ""}, "workers": 1}).to_string();
    assert_eq!(put(&["--json", &several]).send().status, 200);
    assert_eq!(node.good(&["invoke", "hello"]), "two");
    put(&["-H", "Content-Type: text/x-python"]).file(&folder.path().join("hello.py")).send();
    let shown = node.admin("/api/v1/packages/hello").send().json();
    assert_eq!((&shown["params"]["workers"], shown["files"].as_array().map(Vec::len)), (&json!(1), Some(1)));
    assert_eq!(shown["nodes"][0]["served"], true);

    write(folder.path(), "long.py", &"#".repeat((4 << 20) + 1));
    let long = put(&["-H", "Content-Type: text/x-python"]).file(&folder.path().join("long.py")).send();
    assert_eq!(long.status, 413, "{long:?}");
    assert_eq!(node.admin("/api/v1/packages/hello.py").with(&["-X", "DELETE"]).send().status, 200);
    assert_eq!(node.admin("/api/v1/packages/hello.py").send().status, 404);
}

#[test]
fn a_service_takes_a_file_in_base64_as_older_programs_send_it() {
    let node = Program::start(&[]);
    let channel = json!({"name": "up", "type": "rest", "path": "/up", "service": "zato.service.upload-package", "data_format": "json"});
    node.apply(&json!({ "channels": [channel] }));
    let upload = |name: &str, payload: &str| {
        let body = json!({"cluster_id": 1, "payload_name": name, "payload": payload}).to_string();
        node.curl("/up").with(&["--json", &body]).send()
    };
    let file = base64::engine::general_purpose::STANDARD.encode(hello("one"));
    let done = upload("hello.py", &file);
    assert_eq!((done.status, done.json()), (200, json!({"package_id": 2})), "{done:?}");
    assert_eq!(node.good(&["invoke", "hello"]), "one");
    for (name, payload) in
        [("hello.txt", file.as_str()), ("hello.py", "no base64!"), ("", &file), ("hello.py", "/w==")]
    {
        assert_eq!(upload(name, payload).status, 400, "{name} {payload}");
    }
    assert!(node.good(&["package", "history", "hello"]).contains("somebody, through channel up"));
}

#[test]
fn a_package_says_which_types_elements_have_by_their_names() {
    let node = Program::start(&[]);
    let folder = node.folder.path();
    let text = "from zeugma import Service\n\n\nclass Order(Service):\n    name = 'order'\n    input = 'order_no', 'user_id', \
                '-is_gift'\n\n    def handle(self):\n        self.response.payload = [repr(v) for v in self.request.input.values()]\n";
    write(folder, "order.py", text);
    let bundle = json!({
        "packages": [{"name": "order", "type": "python", "files": ["order.py"],
                      "types_by_name": {"int": {"suffix": ["_no"]}}}],
        "channels": [{"name": "order", "type": "rest", "path": "/order", "service": "order", "data_format": "json"}],
    });
    node.apply(&bundle);
    let order = || {
        node.curl("/order")
            .with(&["--json", r#"{"order_no": "7", "user_id": "x", "is_gift": "true"}"#])
            .send()
    };
    assert_eq!(order().ok().json(), json!(["7", "'x'", "True"]));
    // As usual, a user_id is a number.
    node.apply(&json!({"packages": [{"name": "order", "type": "python", "files": ["order.py"]}]}));
    let usual = order();
    assert!(usual.status == 400 && usual.text().contains("/user_id"), "{usual:?}");
    let wrong = json!({"packages": [{"name": "order", "type": "python", "files": ["order.py"], "types_by_name": {"float": {}}}]});
    node.write("bundle.json", &wrong.to_string());
    let said = node.run(&["apply", "-f", "bundle.json"]);
    assert!(said.code == 1 && said.err.contains("types_by_name"), "{said:?}");
}

#[test]
fn what_the_old_version_has_begun_it_ends() {
    let node = Program::start(&[]);
    let slow = |says: &str| {
        hello(says).replace("from zeugma", "import time\nfrom zeugma").replace(
            "        self.response",
            "        self.cache.set('begun', True)\n        time.sleep(1.5)\n        self.response",
        )
    };
    node.write("hello.py", &slow("old"));
    let watch = hello("x").replace("'hello'", "'begun'").replace("'x'", "str(self.cache.get('begun'))");
    node.write("watch.py", &watch);
    node.good(&["deploy", "hello.py", "watch.py"]);
    node.apply(&door());
    let old: Vec<_> = (0..3).map(|_| node.curl("/hello").begin()).collect();
    let begun = Instant::now();
    while node.good(&["invoke", "begun"]) != "True" {
        assert!(begun.elapsed() < Duration::from_secs(10), "no request has begun");
    }
    node.write("hello.py", &hello("new"));
    node.good(&["deploy", "hello.py"]);
    assert_eq!(node.curl("/hello").send().ok().text(), "new");
    let said: Vec<_> = old.into_iter().map(|one| one.end().ok().text()).collect();
    assert!(
        said.iter().any(|text| text == "old") && said.iter().all(|text| text == "old" || text == "new"),
        "{said:?}"
    );
}
