//! The kind of a service that a Python package brings along. It runs without a definition of its own; one is needed only
//! to switch it off.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use config::{DefId, Definition, Family, KindTag, Name, Need, SmallSet};
use schemars::JsonSchema;
use sdk::{Context, Error, Request, Response, Result, Service, ServiceInfo};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::kind::{Kind, Start};
use crate::part::Part;
use crate::running::Running;
use crate::service::requiring;

/// The type of the kind, within its family.
const TYPE: &str = "python";
/// What a package claims for each of its services, before the service's name.
const CLAIM: &str = "service ";

/// The service of a package. What it does, the package's files say; `enabled: false` switches this one off.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The package that it is in.
    package: Name,
    /// Roles, all of which callers must have beside those that the package requires; others are answered 403. Jobs and
    /// operators need none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    require: Vec<String>,
}

/// See the module.
pub struct PythonService;

#[async_trait]
impl Kind for PythonService {
    const TAG: &'static str = "service.python";
    type Params = Params;

    fn example() -> Params {
        Params {
            package: "billing".parse().unwrap_or_else(|_| unreachable!("\"billing\" is a name")),
            require: Vec::new(),
        }
    }

    fn needs(params: &Params) -> Vec<Need> {
        vec![Need { at: "package".into(), id: DefId::new(Family::Package, params.package.clone()) }]
    }

    async fn start(params: Params, start: Start) -> Result<Part> {
        let package = start.part(&DefId::new(Family::Package, params.package.clone()))?;
        let Part::Package(found) = &package.part else {
            return Err(Error::internal(format!("{} is no package", package.id())));
        };
        let name = &start.id.name;
        let service = found
            .service(name.as_str())
            .ok_or_else(|| Error::not_found(format!("there is no service {name:?} in {}", package.id())))?;
        let mut roles = params.require;
        roles.extend_from_slice(found.requires());
        Ok(Part::Service(requiring(Arc::new(Packaged { service, _package: package.clone() }), &roles)))
    }
}

/// A service and the package it is in, which goes on running for as long as a request may use the service.
struct Packaged {
    service: Arc<dyn Service>,
    _package: Arc<Running>,
}

impl Service for Packaged {
    fn info(&self) -> ServiceInfo {
        self.service.info()
    }

    fn reads_json(&self) -> bool {
        self.service.reads_json()
    }

    /// Written out, so that the future of the service is handed on as it is, without another one around it.
    fn call<'s, 'c, 'f>(
        &'s self,
        ctx: &'c Context,
        request: Request,
    ) -> Pin<Box<dyn Future<Output = Result<Response>> + Send + 'f>>
    where
        's: 'f,
        'c: 'f,
        Self: 'f,
    {
        self.service.call(ctx, request)
    }
}

/// What a package claims for a service of this name: that no other package has one.
pub(crate) fn claim(name: &Name) -> String {
    format!("{CLAIM}{name}")
}

/// The name of the service that this claim is for, if it is for one.
pub fn claimed(claim: &str) -> Option<&str> {
    claim.strip_prefix(CLAIM)
}

/// The definitions of the services that a package brings along.
pub(crate) fn services_of(package: &Definition) -> impl Iterator<Item = Definition> {
    let names = package.claims.iter().filter_map(|claim| claimed(claim)?.parse::<Name>().ok());
    names.filter_map(|name| {
        Some(Definition {
            id: DefId::new(Family::Service, name),
            kind: KindTag::new(Family::Service, TYPE),
            enabled: package.enabled,
            params: serde_json::from_value(json!({ "package": package.id.name })).ok()?,
            needs: SmallSet::from_iter([package.id.clone()]),
            claims: SmallSet::default(),
            changed_at: package.changed_at,
        })
    })
}
