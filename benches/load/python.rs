//! The same work in Python: behind the engine, and behind two servers that people know, with as many processes each.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use zeugma::app::Node;

use super::counterparts::nodes;

/// How many worker processes each of them has.
const PROCESSES: usize = 2;

/// What these variants are, after those in Rust.
pub const VARIANTS: [(&str, &str); 4] = [
    ("python", "REST channel, Python service, `def handle`"),
    ("python-async", "REST channel, Python service, `async def handle`"),
    ("fastapi", "FastAPI on uvicorn (httptools, uvloop)"),
    ("gunicorn", "Flask on gunicorn with gevent"),
];

const SERVICE: &str = "
from zeugma import Service, Bool, Int

class Customer(Service):
    name = 'customer'
    input = Int('cust_id'), Bool('-verbose'), '-note'
    output = Int('id'), 'name', Bool('verbose'), 'note'

    KIND handle(self):
        request = self.request.input
        payload = self.response.payload
        payload.id = request.cust_id
        payload.name = 'Customer'
        payload.verbose = request.verbose
        payload.note = request.note
";

const FASTAPI: &str = "
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()

class Lookup(BaseModel):
    cust_id: int
    verbose: bool = False
    note: str = ''

class Customer(BaseModel):
    id: int
    name: str
    verbose: bool
    note: str

@app.post('/customer')
def customer(input: Lookup) -> Customer:
    return Customer(id=input.cust_id, name='Customer', verbose=input.verbose, note=input.note)
";

const FLASK: &str = "
from flask import Flask, jsonify, request

app = Flask(__name__)

@app.post('/customer')
def customer():
    body = request.get_json()
    found = {'id': int(body['cust_id']), 'name': 'Customer', 'verbose': bool(body.get('verbose')),
             'note': str(body.get('note', ''))}
    return jsonify(found)
";

/// Whether this one is served by a program that is not ours.
pub fn is_rival(variant: &str) -> bool {
    ["fastapi", "gunicorn"].contains(&variant)
}

/// Where `tests/servers.sh frameworks` puts them.
fn programs() -> PathBuf {
    nodes::servers().join("frameworks/bin")
}

/// Whether the others are there to be compared with.
pub fn are_rivals_there() -> bool {
    programs().join("uvicorn").exists()
}

/// Becomes the other server.
pub fn serve_rival(variant: &str) {
    let folder = std::env::temp_dir().join(format!("zeugma-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("app.py"), if variant == "fastapi" { FASTAPI } else { FLASK })
        .expect("written");
    let port = nodes::free_port().to_string();
    let address = format!("127.0.0.1:{port}");
    println!("{address}");
    let processes = PROCESSES.to_string();
    let mut command = if variant == "fastapi" {
        let mut command = Command::new(programs().join("uvicorn"));
        command.args(["app:app", "--port", &port, "--workers", &processes, "--log-level", "warning"]);
        command.arg("--no-access-log");
        command
    } else {
        let mut command = Command::new(programs().join("gunicorn"));
        command.args(["app:app", "--bind", &address, "--workers", &processes, "-k", "gevent"]);
        command.args(["--log-level", "warning", "--keep-alive", "600"]);
        command
    };
    let error = command.current_dir(folder).exec();
    panic!("{command:?}: {error}");
}

/// Deploys the service and its channel.
pub async fn deploy(node: &Node, variant: &str) {
    let kind = if variant == "python" { "def" } else { "async def" };
    let bundle = serde_json::json!({
        "packages": [{"name": "customer", "type": "python", "workers": PROCESSES,
                      "files": {"customer.py": SERVICE.replace("KIND", kind)}}],
        "channels": [{"name": "c", "type": "rest", "path": "/customer", "method": "POST", "service": "customer",
                      "data_format": "json"}],
    });
    super::serve::apply(node, &bundle.to_string()).await;
}
