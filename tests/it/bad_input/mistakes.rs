//! A bundle with ten mistakes of all levels is answered with ten faults, whoever is asked.

use config::Fault;

use crate::kit::program::Program;

/// Each mistake has a line of its own.
const BUNDLE: &str = "\
security:
- {name: clerk, type: basic, username: clerk, password: hush-hush}
- {name: sealed, type: basic, username: clerk, password: (sealed)}
- {type: basic, username: nobody, password: hush-hush}
- {name: guard, type: basik, username: guard, password: hush-hush}
connections:
- {name: my.ftp, type: ftp, host: 127.0.0.1, port: many}
- {name: ERP, type: http, url: 'http://127.0.0.1:1', timeout: 1s}
- {name: ERP, type: http, url: 'http://127.0.0.1:2'}
chanels:
- {name: lost, type: rest, path: /lost, service: zeugma.ping}
channels:
- {name: good, type: rest, path: '/good/{id}', service: zeugma.ping}
- {name: typo, type: rest, path: /typo, servise: zeugma.ping, service: zeugma.ping}
- {name: bad path, type: rest, path: no-slash, service: zeugma.ping}
- {name: dangling, type: rest, path: /dangling, service: zeugma.ping, security: clrk}
- {name: twin, type: rest, path: '/good/{name}', service: zeugma.ping}
";

/// The line and the column of each mistake, what it is about, and a word of what is said.
const FAULTS: [(&str, &str, &str); 10] = [
    ("3:3", "security/sealed.password", "sealed"),
    ("4:3", "security[2]", "no name"),
    ("5:3", "security/guard.type", "basik"),
    ("7:3", "connection/my.ftp.port", "many"),
    ("9:3", "connection/ERP", "already"),
    ("10:1", "chanels", "no such family"),
    ("14:3", "channel/typo.servise", "no parameter"),
    ("15:3", "channel/bad path.path", "/"),
    ("16:3", "channel/dangling.security", "clrk"),
    ("17:3", "channel/twin.path", "already held by channel/good"),
];

/// Fails unless these are the faults of the bundle, each once.
fn assert_all(faults: &[Fault], source: &str) {
    let told = faults.iter().map(|fault| format!("\n  {fault}")).collect::<String>();
    for (position, about, word) in FAULTS {
        let at = format!("{source}{position} {about}");
        let fits = |fault: &&Fault| fault.at == at && fault.to_string().contains(word);
        assert_eq!(faults.iter().filter(fits).count(), 1, "{at}: {word}, among:{told}");
    }
    assert_eq!(faults.len(), FAULTS.len(), "{told}");
    assert!(!told.contains("hush-hush"), "{told}");
}

/// The faults that a command has told, one a line.
fn told(err: &str) -> Vec<Fault> {
    let (faults, last) = err.trim_end().rsplit_once('\n').expect("lines");
    assert!(last.starts_with(&format!("error: there are {} faults", FAULTS.len())), "{err}");
    let fault = |line: &str| {
        let (at, message) = line.split_once(": ").expect("a place and a message");
        Fault::new(at, message)
    };
    faults.lines().map(fault).collect()
}

#[test]
fn ten_mistakes_are_ten_faults_for_apply_check_and_the_api() {
    let node = Program::start(&[]);
    let file = node.write("bundle.yaml", BUNDLE);
    for command in ["apply", "check", "diff"] {
        let said = node.run(&[command, "-f", "bundle.yaml"]);
        assert_eq!(said.code, 1, "{command}: {said:?}");
        assert_all(&told(&said.err), "bundle.yaml:");
    }
    let refused = node.admin("/api/v1/apply").file(&file).send();
    assert_eq!(refused.status, 422);
    let error = refused.json()["error"].take();
    assert_eq!(error["kind"], "faults");
    let faults: Vec<Fault> = serde_json::from_value(error["faults"].clone()).expect("faults");
    assert_all(&faults, "");
    // Some of the definitions are right. They are not there: it is all or nothing.
    assert_eq!(node.json(&["get"])["definitions"].as_array().map(Vec::len), Some(0));
    assert_eq!(node.json(&["nodes"])[0]["revision"], 0);
}
