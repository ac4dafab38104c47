//! The trait that each kind of definition implements, and the form of it that the registry holds.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use config::budgets::Budgets;
use config::{
    Checked, Claim, Clear, Clock, DefId, Fault, Keyring, KindTag, Name, Need, References, Sessions, Want,
};
use schemars::JsonSchema;
use sdk::task::Tasks;
use sdk::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::admission::lockout::Lockout;
use crate::check;
use crate::gate::Gate;
use crate::health::Health;
use crate::meter::Meter;
use crate::part::{KEEP_SECRETS, Part};
use crate::python::Runtime;
use crate::registry::Registry;
use crate::running::{Parts, Running};
use crate::shape::{self, Shape};

/// One kind of definition: its parameters, their rules, and how it starts. One file, one registry line.
#[async_trait]
pub trait Kind: Send + Sync + 'static {
    /// Family and type, such as `channel.rest`.
    const TAG: &'static str;

    /// Whether only an admin may write definitions of this kind: those that give rights over nodes.
    const GUARDED: bool = false;

    /// The parameters. Their doc comments are the users' documentation; `deny_unknown_fields` is expected.
    type Params: DeserializeOwned + Serialize + JsonSchema + Send + Sync;

    /// Whether its parts have no life of their own: they begin at once, and nothing is to be probed or ended. Such a part
    /// has no actor, so that there can be a great many of them; every verb is understood all the same.
    const LIGHT: bool = false;

    /// The parameters of a typical definition.
    fn example() -> Self::Params;

    /// Faults that the types alone do not show. Places are names of parameters.
    fn check(_params: &Self::Params) -> Vec<Fault> {
        Vec::new()
    }

    /// The definitions that these parameters refer to.
    fn needs(_params: &Self::Params) -> Vec<Need> {
        Vec::new()
    }

    /// What those that these parameters refer to must be able to do.
    fn wants(_params: &Self::Params) -> Vec<Want> {
        Vec::new()
    }

    /// What a definition can do for those that refer to it; none: nothing is checked.
    fn offers(_params: &Self::Params) -> Option<Vec<&'static str>> {
        None
    }

    /// What a definition holds alone among the enabled ones.
    fn claims(_params: &Self::Params) -> Vec<Claim> {
        Vec::new()
    }

    /// The parameter that says when it does its last work, and that moment, where the parameters alone tell. Something new
    /// whose end has passed would never do anything: that is a mistake of its writer.
    fn end(_params: &Self::Params) -> Option<(&'static str, DateTime<Utc>)> {
        None
    }

    /// What a definition holds alone that only a look into it shows, such as the services in files. The node that takes
    /// a change asks this, once and before it commits; the others start from the answer.
    ///
    /// # Errors
    /// Everything that is wrong with it; places are names of parameters.
    async fn inspect(
        _id: &DefId,
        _params: Self::Params,
        _registry: &Registry,
    ) -> Result<Vec<Claim>, Vec<Fault>> {
        Ok(Vec::new())
    }

    /// Starts a part. What it needs is running already.
    async fn start(params: Self::Params, start: Start) -> Result<Part>;
}

/// What a kind is given to start a part.
pub struct Start {
    /// The definition's id.
    pub id: DefId,
    /// Its gate; calls of connections pass it.
    pub gate: Arc<Gate>,
    /// Its meter.
    pub meter: Arc<Meter>,
    /// Its health, for kinds whose other side can be away.
    pub health: Health,
    /// Time.
    pub clock: Clock,
    /// For background work.
    pub tasks: Tasks,
    /// What runs Python; none on a node that runs no packages, such as one that only checks.
    pub python: Option<Arc<Runtime>>,
    /// Where the nodes of a cluster share their rate limits; none on a node that is alone.
    pub budgets: Option<Arc<dyn Budgets>>,
    /// Who was wrong too often.
    pub lockout: Arc<Lockout>,
    /// Who has logged in.
    pub sessions: Arc<dyn Sessions>,
    pub(crate) keyring: Keyring,
    pub(crate) parts: Parts,
    /// What it needs and is switched off.
    pub(crate) off: Vec<DefId>,
    pub(crate) services: Arc<crate::registry::Services>,
}

impl Start {
    /// A running part that this one needs.
    ///
    /// # Errors
    /// If it does not run: it is switched off, or failed to start.
    pub fn part(&self, id: &DefId) -> Result<Arc<Running>> {
        self.parts.get(id).cloned().ok_or_else(|| Error::unavailable(format!("{id} does not run")))
    }

    /// Keys of this definition for a purpose, 32 bytes each, the same on every node of the cluster and nowhere else: the
    /// first is for making things, all of them for reading what was made before the sealing keys were rotated.
    pub fn keys(&self, purpose: &str) -> Vec<Zeroizing<[u8; 32]>> {
        self.keyring.shared_by_each(&format!("{purpose} of {}", self.id))
    }

    /// Whether what it needs is switched off: nobody has forgotten it, and it is not expected to run.
    pub fn is_off(&self, id: &DefId) -> bool {
        self.off.contains(id)
    }

    /// A compiled-in service.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn compiled_in(&self, name: &Name) -> Result<Arc<dyn sdk::Service>> {
        let found = self.services.get(name).cloned();
        found.ok_or_else(|| Error::not_found(format!("no service {name:?} is compiled into this node")))
    }
}

/// A kind as the registry holds it.
#[async_trait]
pub trait AnyKind: Send + Sync + 'static {
    /// Family and type.
    fn tag(&self) -> &'static str;
    /// See [`Kind::GUARDED`].
    fn guarded(&self) -> bool;
    /// What its parameters look like.
    fn shape(&self) -> &'static Shape;
    /// Checks parameters and says what they refer to.
    fn check(&self, params: &Clear) -> Checked;
    /// What is wrong with parameters in which the values of all references are.
    fn faults(&self, params: &Clear) -> Vec<Fault>;
    /// What parameters that are right bring along. See [`Kind::inspect`].
    ///
    /// # Errors
    /// Everything that is wrong with it.
    async fn inspect(
        &self,
        id: &DefId,
        params: &Clear,
        registry: &Registry,
    ) -> Result<Vec<Claim>, Vec<Fault>>;
    /// See [`Kind::end`]; none for parameters that are wrong.
    fn end(&self, params: &Clear) -> Option<(&'static str, DateTime<Utc>)>;
    /// See [`Kind::LIGHT`].
    fn light(&self) -> bool;
    /// Starts a part.
    async fn start(&self, params: Clear, start: Start) -> Result<Part>;
}

#[async_trait]
impl<K: Kind> AnyKind for K {
    fn tag(&self) -> &'static str {
        K::TAG
    }

    fn guarded(&self) -> bool {
        K::GUARDED
    }

    fn shape(&self) -> &'static Shape {
        shape::of::<K>()
    }

    fn check(&self, params: &Clear) -> Checked {
        let Shape { schema, example, secrets } = shape::of::<K>();
        let secrets = secrets.clone();
        // What a reference leads to is not known yet: the kind sees the word for a secret that is kept.
        let references = References::among(params, &secrets);
        let masked = references.masked(params);
        let mut checked = match check::read::<K::Params>(&masked, schema, example) {
            Err(mut broken) => {
                let (mut more, mut needs) = match &broken.rest {
                    Some(rest) => (K::check(rest), K::needs(rest)),
                    None => (Vec::new(), Vec::new()),
                };
                more.retain(|fault| broken.is_sound(&fault.at));
                needs.retain(|need| broken.is_sound(&need.at));
                broken.faults.append(&mut more);
                Checked { faults: broken.faults, needs, secrets, ..Checked::default() }
            }
            Ok(read) => Checked {
                faults: K::check(&read),
                needs: K::needs(&read),
                claims: K::claims(&read),
                wants: K::wants(&read),
                offers: K::offers(&read),
                secrets,
            },
        };
        checked.needs.extend(references.needs());
        checked.wants.extend(references.needs().map(|Need { at, id }| Want {
            at,
            id,
            ability: KEEP_SECRETS,
        }));
        checked.faults.extend(references.faults);
        checked
    }

    fn faults(&self, params: &Clear) -> Vec<Fault> {
        let Shape { schema, example, .. } = shape::of::<K>();
        match check::read::<K::Params>(params, schema, example) {
            Ok(read) => K::check(&read),
            Err(broken) => broken.faults,
        }
    }

    async fn inspect(
        &self,
        id: &DefId,
        params: &Clear,
        registry: &Registry,
    ) -> Result<Vec<Claim>, Vec<Fault>> {
        match serde_json::from_value(Value::Object(params.0.clone())) {
            Ok(params) => K::inspect(id, params, registry).await,
            Err(_) => Ok(Vec::new()), // the check has more to say about that
        }
    }

    fn end(&self, params: &Clear) -> Option<(&'static str, DateTime<Utc>)> {
        K::end(&serde_json::from_value(Value::Object(params.0.clone())).ok()?)
    }

    fn light(&self) -> bool {
        K::LIGHT
    }

    async fn start(&self, params: Clear, start: Start) -> Result<Part> {
        let params = serde_json::from_value(Value::Object(params.0)).map_err(|e| {
            Error::internal(format!("{}: the stored parameters do not fit this version: {e}", start.id))
        })?;
        K::start(params, start).await
    }
}

/// The tag of a kind, parsed.
pub fn tag_of(kind: &dyn AnyKind) -> KindTag {
    match kind.tag().parse() {
        Ok(tag) => tag,
        // The contract test starts every kind of the registry, so this cannot ship.
        Err(fault) => panic!("{}: {fault}", kind.tag()),
    }
}
