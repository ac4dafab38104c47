//! Names, parsed once: families, kinds, definition ids and revisions.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, suggest};

/// The longest name accepted, in bytes: it becomes part of paths, metrics labels and log lines.
pub const MAX_NAME: usize = 200;

/// A name in the words of a JSON schema: no control characters, and white space only inside.
const NAME_PATTERN: &str =
    r"^[^\s\u0000-\u001f\u007f-\u009f]([^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f])?$";

/// The name of a definition. It may hold spaces, dots and slashes, but no control characters, and does not begin
/// or end with white space.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = NAME_PATTERN, "maxLength" = MAX_NAME))]
pub struct Name(std::sync::Arc<str>);

impl Name {
    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = Fault;
    fn from_str(text: &str) -> Result<Self, Fault> {
        let fault = |message: String, hint: &str| Err(Fault::new("name", message).hint(hint));
        if text.is_empty() {
            return fault("the name is empty".into(), "give each definition a name");
        }
        if text.len() > MAX_NAME {
            return fault(
                format!("the name is {} bytes long", text.len()),
                "at most 200 bytes: it is part of paths, metrics and log lines",
            );
        }
        if text.chars().any(char::is_control) {
            return fault(format!("the name {text:?} holds a control character"), "use printable characters");
        }
        if text.trim() != text {
            return fault(format!("the name {text:?} begins or ends with white space"), "trim it");
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for Name {
    type Error = Fault;
    fn try_from(text: String) -> Result<Self, Fault> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.to_string()
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// What a definition is for. A name is unique within its family. The order is the one in which an export lists them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Who may call, or how we log in elsewhere.
    Security,
    /// A named way to the outside.
    Connection,
    /// Files that services are in.
    Package,
    /// What does the work.
    Service,
    /// Where requests come in.
    Channel,
    /// What runs at a time.
    Job,
    /// A published API specification.
    Spec,
}

impl Family {
    /// Every family, in the order of a bundle.
    pub const ALL: [Self; 7] = [
        Self::Security,
        Self::Connection,
        Self::Package,
        Self::Service,
        Self::Channel,
        Self::Job,
        Self::Spec,
    ];

    /// The word used in ids, the API and the command line.
    pub fn singular(self) -> &'static str {
        match self {
            Self::Security => "security",
            Self::Connection => "connection",
            Self::Package => "package",
            Self::Service => "service",
            Self::Channel => "channel",
            Self::Job => "job",
            Self::Spec => "spec",
        }
    }

    /// The key under which a bundle lists the family.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Security => "security",
            Self::Connection => "connections",
            Self::Package => "packages",
            Self::Service => "services",
            Self::Channel => "channels",
            Self::Job => "jobs",
            Self::Spec => "specs",
        }
    }

    /// The type of a definition that names none, for a family whose definitions are all of one type.
    pub fn only_type(self) -> Option<&'static str> {
        match self {
            Self::Spec => Some("api"),
            Self::Security | Self::Connection | Self::Package | Self::Service | Self::Channel | Self::Job => {
                None
            }
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.singular())
    }
}

impl FromStr for Family {
    type Err = Fault;
    /// Accepts the singular and the plural.
    fn from_str(text: &str) -> Result<Self, Fault> {
        Self::ALL.into_iter().find(|f| f.singular() == text || f.plural() == text).ok_or_else(|| {
            Fault::new(text, format!("there is no family {text:?}"))
                .maybe_hint(suggest(text, Self::ALL.iter().map(|f| f.plural())))
        })
    }
}

/// One definition: family and name, written `family/name`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct DefId {
    /// What it is for.
    pub family: Family,
    /// Its name within the family.
    pub name: Name,
}

impl DefId {
    /// An id from its two parts.
    pub fn new(family: Family, name: Name) -> Self {
        Self { family, name }
    }
}

impl FromStr for DefId {
    type Err = Fault;
    fn from_str(text: &str) -> Result<Self, Fault> {
        let (family, name) = text.split_once('/').ok_or_else(|| {
            Fault::new("id", format!("{text:?} is not an id"))
                .hint("write family/name, such as channel/orders")
        })?;
        Ok(Self { family: family.parse()?, name: name.parse()? })
    }
}

impl TryFrom<String> for DefId {
    type Error = Fault;
    fn try_from(text: String) -> Result<Self, Fault> {
        text.parse()
    }
}

impl From<DefId> for String {
    fn from(id: DefId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for DefId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.family, self.name)
    }
}

impl fmt::Debug for DefId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Family and type, written `family.type`, such as `channel.rest`. Whether such a kind exists, the registry knows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct KindTag {
    /// The family part.
    pub family: Family,
    /// The type part, as a bundle's `type:` names it.
    pub r#type: String,
}

impl KindTag {
    /// A tag from its two parts.
    pub fn new(family: Family, r#type: impl Into<String>) -> Self {
        Self { family, r#type: r#type.into() }
    }
}

impl FromStr for KindTag {
    type Err = Fault;
    fn from_str(text: &str) -> Result<Self, Fault> {
        let (family, r#type) = text.split_once('.').ok_or_else(|| {
            Fault::new("kind", format!("{text:?} is not a kind"))
                .hint("write family.type, such as channel.rest")
        })?;
        Ok(Self { family: family.parse()?, r#type: r#type.into() })
    }
}

impl TryFrom<String> for KindTag {
    type Error = Fault;
    fn try_from(text: String) -> Result<Self, Fault> {
        text.parse()
    }
}

impl From<KindTag> for String {
    fn from(tag: KindTag) -> Self {
        tag.to_string()
    }
}

impl fmt::Display for KindTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.family, self.r#type)
    }
}

impl fmt::Debug for KindTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The number of the last change of everything. It only grows; zero is the empty catalog.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    /// Before the first change.
    pub const ZERO: Self = Self(0);

    /// The one after this.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
