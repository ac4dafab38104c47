//! Caches: what a service remembers on one node, the services of all nodes see.

use crate::kit::cluster::Cluster;
use crate::kit::program::Program;

const REMEMBER: &str = "from zeugma import Service


class Remember(Service):
    name = 'remember'

    def handle(self):
        self.cache.default.set('word', self.request.raw_request.decode('utf8'))


class Recall(Service):
    name = 'recall'

    def handle(self):
        self.response.payload = self.cache.default.get('word') or 'nothing'
";

fn deploy(node: &Program) {
    node.write("memory.py", REMEMBER);
    node.good(&["deploy", "memory.py"]);
    assert_eq!(node.good(&["invoke", "recall"]), "nothing");
    node.good(&["invoke", "remember", "--payload", "seven"]);
    assert_eq!(node.good(&["invoke", "recall"]), "seven");
}

#[test]
fn a_node_of_its_own_remembers_in_memory() {
    deploy(&Program::start(&[]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nodes_of_a_cluster_share_what_they_remember() {
    let cluster = Cluster::of(2).await;
    deploy(cluster.node(1));
    assert_eq!(cluster.node(2).good(&["invoke", "recall"]), "seven");
}
