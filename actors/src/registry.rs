//! The one list of kinds and of compiled-in services: documentation, forms, checks, imports and tests walk it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use config::budgets::Budgets;
use config::{
    About, Catalog, Checked, Clash, Clear, DefId, Definition, Draft, Family, Fault, KindTag, Name, Params,
    Pointer, Revision, Rules, SmallSet,
};
use sdk::Service;
use serde_json::Value;

use crate::admission::lockout::Lockout;
use crate::kind::{AnyKind, tag_of};
use crate::python::Runtime;
use crate::routes::Mount;
use crate::{channel, connection, job, package, security, service};

/// Every kind of definition.
pub static KINDS: &[&dyn AnyKind] = &[
    &security::admin_token::AdminTokenKind,
    &security::any_of::AnyOf,
    &security::api_key::ApiKey,
    &security::basic::Basic,
    &security::bearer::Bearer,
    &security::vault::Vault,
    &security::jwt::Jwt,
    &security::mtls::Mtls,
    &connection::ftp::FtpKind,
    &connection::http::HttpKind,
    &connection::vault::VaultKind,
    &package::python::PythonPackage,
    &service::native::Native,
    &service::python::PythonService,
    &channel::rest::Rest,
    &job::one_time::OneTime,
    &job::interval::IntervalJob,
    &job::cron::CronJob,
];

/// Every service that comes with the engine.
pub static SERVICES: &[&dyn Service] = &[
    &service::ping::ping,
    &service::jwt::log_in,
    &service::jwt::log_out,
    &service::echo::echo,
    &service::input_logger::input_logger,
    &service::raw_request_logger::raw_request_logger,
];

/// Services that are there to be tried out. A package with a service of the same name takes its place.
pub static EXAMPLES: &[&dyn Service] = &[&service::ftp_handler::ftp_handler, &service::billing::billing];

/// The compiled-in services by name.
pub type Services = HashMap<Name, Arc<dyn Service>>;

/// The kinds and services of a node.
pub struct Registry {
    kinds: BTreeMap<KindTag, &'static dyn AnyKind>,
    /// The compiled-in services.
    pub services: Arc<Services>,
    /// What runs Python; none where nothing is to be run, such as in a check without a node.
    pub python: Option<Arc<Runtime>>,
    /// Where the nodes of a cluster share their rate limits; none on a node that is alone.
    pub budgets: Option<Arc<dyn Budgets>>,
    /// Who was wrong too often on this node.
    pub lockout: Arc<Lockout>,
    implicit: BTreeMap<DefId, Arc<Definition>>,
    /// The channels where people log in for tokens, if there is a definition of those.
    log_in: Vec<Arc<Definition>>,
}

impl Registry {
    /// The engine's own kinds and services, and those of the one who builds a node of their own.
    ///
    /// # Errors
    /// If a service's name is no name, or comes twice.
    pub fn new(kinds: &[&'static dyn AnyKind], services: &[&'static dyn Service]) -> Result<Self, Fault> {
        let kinds = KINDS.iter().chain(kinds).map(|kind| (tag_of(*kind), *kind)).collect();
        let mut registry = Self {
            kinds,
            services: Arc::default(),
            python: None,
            budgets: None,
            lockout: Arc::default(),
            implicit: BTreeMap::new(),
            log_in: Vec::new(),
        };
        registry.log_in =
            service::jwt::channels().into_iter().map(log_in_channel).collect::<Result<_, _>>()?;
        let all = SERVICES.iter().chain(EXAMPLES).chain(services);
        registry.with(all.map(|service| service::native::compiled(*service)))
    }

    /// The same with more services: those that are made for one node, since they work with its parts.
    ///
    /// # Errors
    /// If a service's name is no name, or comes twice.
    pub fn with(mut self, services: impl IntoIterator<Item = Arc<dyn Service>>) -> Result<Self, Fault> {
        let mut by_name = Services::clone(&self.services);
        for service in services {
            let name: Name = service.info().name.parse()?;
            if by_name.insert(name.clone(), service).is_some() {
                return Err(Fault::new(format!("service/{name}"), "two compiled-in services have this name"));
            }
            let definition = native(name);
            self.implicit.insert(definition.id.clone(), Arc::new(definition));
        }
        self.services = Arc::new(by_name);
        Ok(self)
    }

    /// The same with this to run Python.
    pub fn with_python(mut self, runtime: Arc<Runtime>) -> Self {
        self.python = Some(runtime);
        self
    }

    /// The same with this to share rate limits.
    pub fn with_budgets(mut self, budgets: Arc<dyn Budgets>) -> Self {
        self.budgets = Some(budgets);
        self
    }

    /// All kinds, by tag.
    pub fn kinds(&self) -> impl Iterator<Item = (&KindTag, &'static dyn AnyKind)> {
        self.kinds.iter().map(|(tag, kind)| (tag, *kind))
    }

    /// The kind of this tag.
    ///
    /// # Errors
    /// If there is none, with the ones of the family that there are.
    pub fn kind(&self, tag: &KindTag) -> Result<&'static dyn AnyKind, Fault> {
        self.kinds.get(tag).copied().ok_or_else(|| {
            let known = self.kinds.keys().filter(|k| k.family == tag.family).map(|k| k.r#type.as_str());
            let fault = Fault::new("type", format!("there is no {} of type {:?}", tag.family, tag.r#type))
                .hint(format!("this version has no type of {} yet", tag.family.plural()));
            fault.maybe_hint(config::fault::suggest(&tag.r#type, known))
        })
    }

    /// Whether only an admin may write definitions of this kind.
    pub fn guarded(&self, tag: &KindTag) -> bool {
        self.kinds.get(tag).is_some_and(|kind| kind.guarded())
    }

    /// Where a kind keeps its secrets; nowhere, if there is no such kind.
    pub fn secrets(&self, tag: &KindTag) -> &'static [Pointer] {
        self.kinds.get(tag).map(|kind| kind.shape().secrets.as_slice()).unwrap_or_default()
    }

    /// What is wanted, with the services that no definition speaks of: those compiled in, and those of packages.
    pub fn with_implicit(&self, stored: &Catalog) -> Catalog {
        let mut wanted = stored.clone();
        for definition in brought(stored) {
            wanted.definitions.entry(definition.id.clone()).or_insert_with(|| Arc::new(definition));
        }
        for (id, definition) in &self.implicit {
            wanted.definitions.entry(id.clone()).or_insert_with(|| definition.clone());
        }
        let tokens = tag_of(&security::jwt::Jwt);
        if of(stored, Family::Security).any(|definition| definition.enabled && definition.kind == tokens) {
            let enabled = stored.definitions.values().filter(|definition| definition.enabled);
            let taken: BTreeSet<&String> = enabled.flat_map(|definition| &definition.claims).collect();
            for channel in
                self.log_in.iter().filter(|channel| !channel.claims.iter().any(|c| taken.contains(c)))
            {
                wanted.definitions.entry(channel.id.clone()).or_insert_with(|| channel.clone());
            }
        }
        wanted
    }
}

/// A channel that is there without being written.
fn log_in_channel((name, params): (&str, Value)) -> Result<Arc<Definition>, Fault> {
    let kind: &dyn AnyKind = &channel::rest::Rest;
    let wrong = |what: String| Fault::new(format!("channel/{name}"), what);
    let Value::Object(clear) = &params else { return Err(wrong("no parameters".into())) };
    let checked = kind.check(&Clear(clear.clone()));
    Ok(Arc::new(Definition {
        id: DefId::new(Family::Channel, name.parse()?),
        kind: tag_of(kind),
        enabled: true,
        params: serde_json::from_value(params).map_err(|e| wrong(e.to_string()))?,
        needs: checked.needs.into_iter().map(|need| need.id).collect(),
        claims: checked.claims.into_iter().map(|claim| claim.what).collect(),
        changed_at: Revision::ZERO,
    }))
}

/// The definitions of one family, by a glance at the ids alone.
fn of(stored: &Catalog, family: Family) -> impl Iterator<Item = &Arc<Definition>> {
    stored.definitions.iter().filter(move |(id, _)| id.family == family).map(|(_, definition)| definition)
}

/// The services that packages bring along. Of two packages with one service, one is switched off: it comes last.
fn brought(stored: &Catalog) -> impl Iterator<Item = Definition> {
    let packages = || of(stored, Family::Package);
    let (on, off) = (packages().filter(|d| d.enabled), packages().filter(|d| !d.enabled));
    on.chain(off).flat_map(|package| service::python::services_of(package))
}

fn native(name: Name) -> Definition {
    Definition {
        id: DefId::new(Family::Service, name),
        kind: KindTag::new(Family::Service, "native"),
        enabled: true,
        params: Params::default(),
        needs: SmallSet::default(),
        claims: SmallSet::default(),
        changed_at: Revision::ZERO,
    }
}

impl Rules for Registry {
    fn check(&self, draft: &Draft) -> Checked {
        match self.kind(&draft.kind) {
            Err(fault) => Checked { faults: vec![fault], ..Checked::default() },
            Ok(kind) => {
                let mut checked = kind.check(&draft.params);
                let known = |name: &Name| self.services.contains_key(name);
                if draft.kind.to_string() == service::native::TAG && !known(&draft.id.name) {
                    let fault = Fault::new("name", "no service of this name is compiled into this node");
                    let names = self.services.keys().map(Name::as_str);
                    checked
                        .faults
                        .push(fault.maybe_hint(config::fault::suggest(draft.id.name.as_str(), names)));
                }
                checked
            }
        }
    }

    fn implicit(&self, catalog: &Catalog) -> BTreeSet<DefId> {
        brought(catalog).map(|definition| definition.id).chain(self.implicit.keys().cloned()).collect()
    }

    fn scope<'c>(&self, claim: &'c str) -> &'c str {
        Mount::scope_of_claim(claim).unwrap_or(claim)
    }

    /// A service of a package must not hide one that is compiled in. Two paths can conflict in a router though their texts
    /// differ: they are entered here as they are in the routes, shard by shard and in the order of the paths.
    fn check_claims(&self, claims: &BTreeMap<&str, &DefId>) -> Vec<Clash> {
        let mut clashes = Vec::new();
        let mut mounted: BTreeMap<(&str, &str), Vec<(&str, &DefId)>> = BTreeMap::new();
        for (claim, id) in claims {
            if let Some(place) = Mount::place_of_claim(claim) {
                mounted.entry(place).or_default().push((claim, id));
            } else if let Some(name) = service::python::claimed(claim) {
                let gives_way = EXAMPLES.iter().any(|example| example.info().name == name);
                if !gives_way && self.services.contains_key(&*service::canonical(name)) {
                    let fault = Fault::new("", format!("a service {name:?} is compiled into the node"))
                        .hint("give the class another name");
                    clashes.push(clash(claim, id, fault));
                }
            }
        }
        let mut routers: HashMap<&str, matchit::Router<()>> = HashMap::new();
        for ((host, pattern), channels) in &mounted {
            let Some((claim, _)) = channels.first() else { continue };
            let fault = match routers.entry(self.scope(claim)).or_default().insert(*pattern, ()) {
                Ok(()) => continue,
                Err(matchit::InsertError::Conflict { with }) => {
                    let other = mounted.get(&(host, with.as_str())).and_then(|channels| channels.first());
                    let other = other.map_or(with.clone(), |(_, id)| id.to_string());
                    Fault::new("", format!("some requests would fit both this path and that of {other}"))
                        .hint("begin one of them with a literal segment of its own")
                }
                Err(error) => Fault::new("", error.to_string()),
            };
            clashes.extend(channels.iter().map(|(claim, id)| clash(claim, id, fault.clone())));
        }
        clashes
    }
}

fn clash(claim: &str, id: &DefId, fault: Fault) -> Clash {
    Clash { id: id.clone(), about: About::Claim(claim.to_owned()), fault }
}
