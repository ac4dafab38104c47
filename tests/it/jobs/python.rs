//! A service in Python makes a job, which calls a service in Python; and operators use the command line.

use std::time::Duration;

use crate::kit::process::eventually;
use crate::kit::program::Program;

const SOURCE: &str = "from zato.server.service import Service


class MakesJobs(Service):
    name = 'makes-jobs'

    def handle(self):
        made = self.invoke('zato.scheduler.job.create', {
            'cluster_id': self.server.cluster_id,
            'name': 'My Sample',
            'is_active': True,
            'job_type': 'interval_based',
            'service': 'remembers',
            'seconds': 2,
            'extra': 'anything',
        })
        self.response.payload = str(made['name'])


class Remembers(Service):
    name = 'remembers'

    def handle(self):
        text = self.request.raw_request
        text = text.decode('utf8') if isinstance(text, bytes) else text
        self.cache.default.set('told', text)


class Recalls(Service):
    name = 'recalls'

    def handle(self):
        self.response.payload = self.cache.default.get('told') or 'nothing'
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_in_python_makes_a_job_that_fires_at_once_and_every_two_seconds() {
    let node = Program::start(&[]);
    node.write("jobs.py", SOURCE);
    node.good(&["deploy", "jobs.py"]);
    assert_eq!(node.good(&["invoke", "makes-jobs"]), "My Sample");
    eventually(Duration::from_secs(20), "it has fired twice", async || {
        node.good(&["job", "history", "My Sample"]).matches(" done ").count() >= 2
    })
    .await;
    assert_eq!(node.good(&["invoke", "recalls"]), "anything");

    assert!(node.good(&["job", "list"]).contains("My Sample"));
    let shown = node.good(&["job", "show", "My Sample"]);
    assert!(shown.contains("seconds: 2") && shown.contains("yes"), "{shown}");
    assert_eq!(node.good(&["job", "preview", "My Sample", "-n", "3"]).lines().count(), 4);
    let told = node.good(&["job", "deactivate", "My Sample"]);
    assert!(told.starts_with("My Sample is now inactive"), "{told}");
    assert!(node.good(&["job", "preview", "My Sample"]).starts_with("the job is not active"));
    assert!(node.good(&["job", "activate", "My Sample"]).contains("is now active, next slot 2"));
    assert!(node.good(&["job", "run", "My Sample"]).starts_with("My Sample runs, cid "));
}
