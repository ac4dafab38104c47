//! What is refused or does not run: it says why, and what ran before goes on.

use serde_json::json;

use super::{door, hello, write};
use crate::kit::program::{Program, command, said};

#[test]
fn a_file_that_does_not_import_leaves_the_old_version_and_says_where_it_is_wrong() {
    let node = Program::start(&[]);
    node.write("hello.py", &hello("one"));
    node.good(&["deploy", "hello.py"]);
    node.apply(&door());
    // What is wrong in a function is told with the way there.
    write(node.folder.path(), "deep/words.py", "def word():\n    return 1 / 0\n");
    write(node.folder.path(), "deep/main.py", "import words\n\nWORD = words.word()\n");
    let deep = node.run(&["deploy", "deep"]);
    for part in [
        "package/deep.files.words.py:2: ",
        "ZeroDivisionError",
        "Traceback",
        "main.py\", line 3",
        "words.word()",
    ] {
        assert!(deep.code == 1 && deep.err.contains(part), "{part}: {deep:?}");
    }
    for (text, what) in [
        ("from zeugma import Service\n\nclass Hello(Service)\n    pass\n", "SyntaxError"),
        ("import zeugma\n\nnothing_of_this_name\n", "NameError"),
        ("import no_such_module_anywhere\n", "no_such_module_anywhere"),
        ("raise SystemExit(3)\n", "SystemExit"),
    ] {
        node.write("hello.py", text);
        let said = node.run(&["deploy", "hello.py"]);
        let line = text.trim_end().lines().count().min(3);
        let place = format!("package/hello.files.hello.py:{line}: ");
        assert!(said.code == 1 && said.err.contains(what) && said.err.contains(&place), "{what}: {said:?}");
        assert!(said.err.contains("there is 1 fault; nothing was changed"), "{what}: {said:?}");
        assert_eq!(node.curl("/hello").send().text(), "one");
    }
    node.write("hello.py", "while True:\n    pass\n");
    let said = node.run(&["deploy", "hello.py"]);
    assert!(said.code == 1 && said.err.contains("importing them has not ended within 10s"), "{said:?}");
    node.write("hello.py", &hello("two"));
    node.good(&["deploy", "hello.py"]);
    assert_eq!(node.curl("/hello").send().text(), "two");
}

#[test]
fn a_service_is_in_one_package_only_and_hides_none_of_the_engine() {
    let node = Program::start(&[]);
    node.write("one.py", &hello("one"));
    node.write("two.py", &hello("two"));
    node.good(&["deploy", "one.py"]);
    let twice = node.run(&["deploy", "two.py"]);
    assert!(
        twice.code == 1 && twice.err.contains("service hello is already held by package/one"),
        "{twice:?}"
    );
    assert_eq!(node.good(&["invoke", "hello"]), "one");
    for name in ["zeugma.ping", "zato.ping"] {
        node.write("ping.py", &hello("ping").replace("'hello'", &format!("'{name}'")));
        let hidden = node.run(&["deploy", "ping.py"]);
        assert!(hidden.code == 1 && hidden.err.contains("is compiled into the node"), "{hidden:?}");
    }
    // What is there to be tried out gives way, and comes back.
    node.write("mine.py", &hello("mine").replace("'hello'", "'ftp-handler'"));
    node.good(&["deploy", "mine.py"]);
    assert_eq!(node.good(&["invoke", "ftp-handler"]), "mine");
    node.good(&["undeploy", "mine"]);
    assert_eq!(node.json(&["service", "show", "ftp-handler"])["kind"], "service.native");
    let both = node.run(&["deploy", "one.py", "two.py"]);
    assert_eq!(both.code, 1, "{both:?}");
    let both = node.run(&["deploy", "--name", "both", "one.py", "two.py"]);
    assert_eq!(both.code, 1, "{both:?}");
    assert_eq!(node.json(&["package", "list"]).as_array().map(Vec::len), Some(1));
}

#[test]
fn what_cannot_be_deployed_is_told_with_its_place() {
    let node = Program::start(&[]);
    write(node.folder.path(), "folder/notes.txt", "no Python here");
    let none = node.run(&["deploy", "folder"]);
    assert!(none.code == 1 && none.err.contains("there is no file of Python among them"), "{none:?}");
    let gone = node.run(&["deploy", "gone.py"]);
    assert!(gone.code == 1 && gone.err.contains("gone.py: cannot be read"), "{gone:?}");
    write(node.folder.path(), "a/x.py", "");
    write(node.folder.path(), "b/a/x.py", "");
    let same = node.run(&["deploy", "a", "b/a"]);
    assert!(same.code == 2 && same.err.contains("two of the paths would be package a"), "{same:?}");
    let empty = node.good(&["deploy", "a"]);
    assert!(empty.contains("deployed a (0 services)") && empty.contains("hint: no class"), "{empty}");

    // A node reads no file by its path, and takes no path that leads out of the package.
    let put =
        |body: &str| node.admin("/api/v1/definitions/package/p").with(&["-X", "PUT", "--json", body]).send();
    let by_path = put(&json!({"type": "python", "files": ["/etc/passwd"]}).to_string());
    assert!(by_path.status == 422 && by_path.text().contains("reads no files by their paths"), "{by_path:?}");
    for path in ["../x.py", "/x.py", "a//x.py", "", "a/../x.py", "x.py/"] {
        let out = put(&json!({"type": "python", "files": {path: "", "x.py": ""}}).to_string());
        assert!(
            out.status == 422 && out.text().contains("no path of a file within the package"),
            "{path}: {out:?}"
        );
    }
}

#[test]
fn a_bundle_is_checked_without_a_node_and_a_fault_in_a_file_has_its_place() {
    let folder = tempfile::TempDir::new().expect("a folder");
    write(folder.path(), "hello.py", &hello("one"));
    let bundle = json!({
        "packages": [{"name": "hello", "type": "python", "files": ["hello.py"]}],
        "channels": [{"name": "hello", "type": "rest", "path": "/hello", "service": "hello"}],
    });
    write(folder.path(), "bundle.json", &bundle.to_string());
    let check =
        || said(command(folder.path()).args(["check", "-f", "bundle.json"]).output().expect("it runs"));
    let good = check();
    assert!(good.code == 0 && good.out.contains("2 definitions checked: no fault"), "{good:?}");
    write(
        folder.path(),
        "bundle.json",
        &bundle.to_string().replace("\"service\":\"hello\"", "\"service\":\"helo\""),
    );
    assert!(check().err.contains("did you mean \"hello\"?"), "{:?}", check());
    write(folder.path(), "hello.py", "import no_such_module_anywhere\n");
    assert!(check().err.contains("package/hello.files.hello.py:1: "), "{:?}", check());
}
