//! Services in files of Python: deployed, redeployed under load, taken back, on one node and on several.

mod caches;
mod clusters;
mod older;
mod one_node;
mod refused;
mod watched;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::kit::program::Program;

/// A file with one service, `hello`, that answers this.
fn hello(says: &str) -> String {
    format!(
        "from zeugma import Service\n\n\nclass Hello(Service):\n    \"\"\"Says hello.\"\"\"\n    name = 'hello'\n\n    \
         def handle(self):\n        self.response.payload = '{says}'\n"
    )
}

/// A channel at `/hello`.
fn door() -> Value {
    json!({"channels": [{"name": "hello", "type": "rest", "path": "/hello", "service": "hello"}]})
}

/// Writes a file in a folder, which is made if it is not there.
fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    std::fs::write(path, text).expect("written");
}

/// Requests to `/hello` of a node, several at once, one after the other, until it is told to end.
struct Load {
    done: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn on(node: &Program) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let (done, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let task = || {
            let (client, url) = (client.clone(), format!("{}/hello", node.data));
            let (done, answered) = (done.clone(), answered.clone());
            tokio::spawn(async move {
                let mut wrong = Vec::new();
                while !done.load(Ordering::SeqCst) {
                    match client.get(&url).send().await {
                        Ok(answer) if answer.status() == 200 => {
                            answered.fetch_add(1, Ordering::SeqCst);
                        }
                        Ok(answer) => {
                            let status = answer.status();
                            wrong.push(format!("{status} {}", answer.text().await.unwrap_or_default()));
                        }
                        Err(error) => wrong.push(format!("{error:?}")),
                    }
                }
                wrong
            })
        };
        let tasks = (0..4).map(|_| task()).collect();
        Self { done, answered, tasks }
    }

    /// Waits for so many more answers.
    async fn goes_on(&self, more: usize) {
        let from = self.answered.load(Ordering::SeqCst);
        crate::kit::process::eventually(crate::kit::cluster::SOON, "requests are answered", async || {
            self.answered.load(Ordering::SeqCst) >= from + more
        })
        .await;
    }

    /// Ends it; no request has failed.
    async fn end(self) {
        self.done.store(true, Ordering::SeqCst);
        for task in self.tasks {
            assert_eq!(task.await.expect("it does not panic"), Vec::<String>::new());
        }
        assert!(self.answered.load(Ordering::SeqCst) > 0);
    }
}
