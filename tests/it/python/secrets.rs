//! Secrets of a Vault, as services in Python read and write them. The server is a real OpenBao.

use super::{deploy, json, restarts};
use crate::kit::program::Program;
use crate::kit::vault::Bao;

const WORK: &str = r#"
from zeugma import NotFound, Service

class Secrets(Service):
    name = 'json-secrets'
    def handle(self):
        vault = self.outgoing.vault['v']
        assert vault.name == self.out.vault.get('v').name
        found = {'before': vault.read('secret/team/app'), 'field': vault.field('secret/team/app', 'key')}
        vault.write('secret/team/other', {'a': 'b', 'n': 1})
        found['written'] = vault.read('secret/team/other')
        found['names'] = vault.list('secret/team')
        vault.delete('secret/team/other')
        try:
            vault.read('secret/team/other')
        except NotFound as error:
            found['gone'] = error.status
        vault.ping()
        self.response.payload = found

class Older(Service):
    name = 'json-older'
    def handle(self):
        client = self.out.vault.get('v').client
        client.write('kv1/older', word='x', number=5)
        self.response.payload = [client.read('kv1/older')['data'], client.list('kv1')['data']['keys'], client.read('kv1/none'),
                                 client.delete('kv1/older'), client.read('kv1/older'), client.is_authenticated()]

class Coroutine(Service):
    name = 'json-coroutine'
    async def handle(self):
        vault = self.outgoing.vault['v']
        self.response.payload = [await vault.field('secret/team/app', 'key'), await vault.client.read('secret/none')]

class Refused(Service):
    name = 'json-refused'
    def handle(self):
        self.response.payload = self.outgoing.vault['weak'].read('secret/team/app')

class Nowhere(Service):
    name = 'json-nowhere'
    def handle(self):
        self.response.payload = self.outgoing.vault['nobody'].read('secret/team/app')
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_read_and_write_secrets_and_never_see_the_token() {
    let mut bao = Bao::start().await;
    bao.put("team/app", json!({"key": "Gehe1mnis"})).await;
    let weak = bao.token(json!({"policies": ["default"]})).await;
    let node = Program::start(&[]);
    node.apply(&json!({"connections": [
        {"name": "v", "type": "vault", "url": bao.url(), "token": "root"},
        {"name": "weak", "type": "vault", "url": bao.url(), "token": weak},
    ]}));
    deploy(&node, WORK, &["--workers", "1"]);
    let expected = json!({
        "before": {"key": "Gehe1mnis"}, "field": "Gehe1mnis", "written": {"a": "b", "n": 1}, "names": ["app", "other"],
        "gone": 404,
    });
    assert_eq!(node.curl("/json-secrets").send().ok().json(), expected);
    let older = node.curl("/json-older").send().ok().json();
    assert_eq!(older[0]["word"], "x");
    assert_eq!(
        older.as_array().expect("a list")[1..],
        [json!(["older"]), json!(null), json!(null), json!(null), json!(true)]
    );
    assert_eq!(node.curl("/json-coroutine").send().ok().json(), json!(["Gehe1mnis", null]));

    let refused = node.curl("/json-refused").send();
    assert_eq!(refused.status, 502, "{}", refused.text());
    assert_eq!(node.curl("/json-nowhere").send().status, 503);
    bao.go();
    let away = node.curl("/json-secrets").send();
    assert!([502, 503, 504].contains(&away.status), "{}", away.text());
    for text in [refused.text(), away.text(), node.log()] {
        assert!(!text.contains(&weak) && !text.contains("Gehe1mnis"), "{text}");
    }
    assert_eq!(restarts(&node), 0);
}
