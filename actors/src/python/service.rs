//! A service of a package, as the rest of the engine calls it.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::Schema;
use sdk::{Context, Error, Request, Response, Result, Service, ServiceInfo};
use serde_json::Value;

use super::declared::Declared;
use super::pool::Shared;
use super::schema::Shape;
use super::{input, invoke};

/// How often a request is offered to another worker when the one it was for ends before it was sent.
const OFFERS: usize = 3;

/// See the module.
pub(super) struct PythonService {
    name: Arc<str>,
    info: ServiceInfo,
    shape: Option<Shape>,
    declares: bool,
    shared: Arc<Shared>,
}

impl PythonService {
    pub(super) fn new(declared: &Declared, shared: Arc<Shared>) -> Self {
        let namespace = Some(declared.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        let schema = |value: &Option<Value>| Schema::try_from(value.clone()?).ok();
        let info = ServiceInfo {
            input: schema(&declared.input),
            output: schema(&declared.output),
            ..ServiceInfo::new(&declared.name, namespace, &declared.docs)
        };
        let shape = declared.input.as_ref().and_then(Shape::of);
        Self { name: declared.name.as_str().into(), info, shape, declares: declared.input.is_some(), shared }
    }

    fn lost(&self, pid: i32) -> Error {
        let package = &self.shared.load.source.package;
        Error::internal(format!(
            "the process {pid} of package {package} ended while it worked on this request for service {}",
            self.name
        ))
    }
}

#[async_trait]
impl Service for PythonService {
    fn info(&self) -> ServiceInfo {
        self.info.clone()
    }

    fn reads_json(&self) -> bool {
        self.shape.is_some()
    }

    async fn call(&self, ctx: &Context, request: Request) -> Result<Response> {
        let payload = invoke::payload_of(ctx, &request);
        // One that declares nothing looks at the body itself, and a list at the top is for it to read.
        let input = match &self.shape {
            Some(shape) => Some(input::read(shape, &request)?),
            None => None,
        };
        let payload = if self.declares && payload == "raw" { "json" } else { payload };
        // Who is called by a service of a package gets in besides: its caller has a place, and would wait for it for ever.
        let mut place = match invoke::NESTED.try_with(|()| ()) {
            Ok(()) => None,
            Err(_) => Some(self.shared.place(ctx.deadline()).await?),
        };
        for _ in 0..OFFERS {
            let process = self.shared.pick(ctx.deadline()).await?;
            let header = invoke::header(ctx, &self.name, &request, payload, input.as_ref())?;
            match process.begin(ctx, place, &header, &request.raw) {
                Ok(waiting) => {
                    let answer = waiting.answer().await.ok_or_else(|| self.lost(process.pid))?;
                    return invoke::outcome(&self.name, answer);
                }
                Err(back) => place = back,
            }
        }
        Err(Error::unavailable(format!("the workers of package {} end", self.shared.load.source.package)))
    }
}
