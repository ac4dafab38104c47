//! The kind of a service that is compiled into the node. It runs without a definition; one is needed to switch it off, or to
//! say who may call it.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use sdk::{Context, Request, Response, Result, Service, ServiceInfo};
use serde::{Deserialize, Serialize};

use crate::kind::{Kind, Start};
use crate::part::Part;
use crate::service::requiring;

/// The tag of the kind.
pub(crate) const TAG: &str = "service.native";

/// A compiled-in service: `enabled: false` switches it off, and `require` says who may call it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Roles, all of which callers must have, through whichever channel or service they come; others are answered 403.
    /// Jobs and operators need none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    require: Vec<String>,
}

/// See the module.
pub struct Native;

#[async_trait]
impl Kind for Native {
    const TAG: &'static str = TAG;
    type Params = Params;

    fn example() -> Params {
        Params { require: Vec::new() }
    }

    async fn start(params: Params, start: Start) -> Result<Part> {
        Ok(Part::Service(requiring(start.compiled_in(&start.id.name)?, &params.require)))
    }
}

/// A service that the program itself holds, as the registry keeps it.
pub(crate) fn compiled(service: &'static dyn Service) -> Arc<dyn Service> {
    Arc::new(Compiled(service))
}

struct Compiled(&'static dyn Service);

#[async_trait]
impl Service for Compiled {
    fn info(&self) -> ServiceInfo {
        self.0.info()
    }

    fn reads_json(&self) -> bool {
        self.0.reads_json()
    }

    fn requires(&self) -> &[String] {
        self.0.requires()
    }

    async fn call(&self, ctx: &Context, request: Request) -> Result<Response> {
        self.0.call(ctx, request).await
    }
}
