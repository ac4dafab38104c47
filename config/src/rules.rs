//! What the catalog asks about a definition of a kind that it does not know: the seam to the registry of kinds.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::Catalog;
use crate::definition::Draft;
use crate::fault::Fault;
use crate::name::DefId;

/// A path inside parameters, one element per level; `*` stands for every element.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Pointer(pub Vec<String>);

/// A definition that another one refers to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Need {
    /// The parameter that refers to it.
    pub at: String,
    /// What it refers to.
    pub id: DefId,
}

/// What a definition that is referred to must be able to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Want {
    /// The parameter that refers to it.
    pub at: String,
    /// What it refers to.
    pub id: DefId,
    /// What it must be able to do, in words that follow "cannot".
    pub ability: &'static str,
}

/// Something that only one enabled definition can hold, such as a route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The parameter it comes from.
    pub at: String,
    /// What is held, in words that a person understands: `route GET /orders`.
    pub what: String,
}

/// What is wrong with a definition only because of others.
#[derive(Clone, PartialEq, Debug)]
pub struct Clash {
    /// The definition.
    pub id: DefId,
    /// What of it.
    pub about: About,
    /// What is wrong; its place is left to whoever knows where the definition was written.
    pub fault: Fault,
}

/// The side of a definition that clashes with others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum About {
    /// Something that it refers to.
    Need(DefId),
    /// Something that it holds.
    Claim(String),
    /// It refers to itself through others.
    Circle,
}

/// What a kind says about a draft of its own.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Checked {
    /// What is wrong with it; places are relative to the definition.
    pub faults: Vec<Fault>,
    /// What it refers to.
    pub needs: Vec<Need>,
    /// What it holds alone.
    pub claims: Vec<Claim>,
    /// Where its secrets are.
    pub secrets: Vec<Pointer>,
    /// What those that it refers to must be able to do.
    pub wants: Vec<Want>,
    /// What it can do for those that refer to it; none: its kind does not say, and nothing is checked.
    pub offers: Option<Vec<&'static str>>,
}

/// The registry of kinds, as the catalog sees it.
pub trait Rules: Send + Sync {
    /// Checks one draft by its kind; an unknown kind is a fault.
    fn check(&self, draft: &Draft) -> Checked;

    /// Definitions that are there without being written: the services compiled in, and what definitions of this catalog
    /// bring along.
    fn implicit(&self, catalog: &Catalog) -> BTreeSet<DefId>;

    /// The part of a claim that says which others it can conflict with: those with the same, and no others.
    fn scope<'c>(&self, claim: &'c str) -> &'c str;

    /// Checks claims for conflicts that two texts alone do not show: all those of some scopes, of which each is looked at by
    /// itself. Keyed by what is held.
    fn check_claims(&self, claims: &BTreeMap<&str, &DefId>) -> Vec<Clash>;
}
