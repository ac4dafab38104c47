//! `zeugma.service.upload-package`: deploys a file of services, as programs do that were written for the system that many
//! users come from.

use actors::package::python::TYPE;
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use config::{DefId, Family, KindTag, Name};
use schemars::{JsonSchema, schema_for};
use sdk::input::Decoder;
use sdk::{Context, Error, Request, Response, Result, Service, ServiceInfo};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Management, note, options};

/// A file to be deployed.
#[derive(Deserialize, JsonSchema)]
struct Upload {
    /// The name of the file, such as `billing.py`. The package is called like it, without the end.
    payload_name: String,
    /// What is in it, in base64.
    payload: String,
}

/// What was deployed.
#[derive(Serialize, JsonSchema)]
struct Uploaded {
    /// The revision that has it.
    package_id: u64,
}

/// See the module.
pub(super) struct UploadPackage(pub(super) Management);

#[async_trait]
impl Service for UploadPackage {
    fn info(&self) -> ServiceInfo {
        let info = ServiceInfo::new(
            "zeugma.service.upload-package",
            Some("zeugma.service"),
            "Deploys a file of Python with services in it, on every node.",
        );
        ServiceInfo { input: Some(schema_for!(Upload)), output: Some(schema_for!(Uploaded)), ..info }
    }

    async fn call(&self, ctx: &Context, request: Request) -> Result<Response> {
        let Upload { payload_name, payload } = Decoder::new().decode(&request)?;
        let wrong = |at: &str, what: String| Error::invalid("this cannot be deployed").detail(at, what);
        let bytes = STANDARD.decode(payload.split_whitespace().collect::<String>());
        let bytes = bytes.map_err(|error| wrong("payload", format!("it is no base64: {error}")))?;
        let text = String::from_utf8(bytes).map_err(|_| wrong("payload", "it is not UTF-8 text".into()))?;
        let file = payload_name.rsplit(['/', '\\']).next().unwrap_or_default();
        let name = file.strip_suffix(".py").filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| wrong("payload_name", "it does not end in .py".into()))?;
        let name: Name = name.parse().map_err(|fault: config::Fault| wrong("payload_name", fault.message))?;
        let definitions = self.0.definitions()?;
        let (id, kind) = (DefId::new(Family::Package, name), KindTag::new(Family::Package, TYPE));
        let given = Map::from_iter([("files".to_owned(), json!({ file: Value::String(text) }))]);
        let draft = definitions.over(id, kind, given).await?;
        let outcome = definitions.apply(vec![draft], options(ctx, None), note(ctx)).await?;
        Response::json(&Uploaded { package_id: outcome.revision.0 })
    }
}
