//! What those who administer nodes may do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an admin token allows. Each role may do what the ones before it may.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// To look: definitions with their secrets masked, nodes, actors, history, metrics.
    Viewer,
    /// To change definitions, deploy services, tell actors what to do, call services.
    Deployer,
    /// Everything: to give and revoke admin tokens, to see secrets in clear, to decide about a store that lost data.
    Admin,
}

impl Role {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Deployer => "deployer",
            Self::Admin => "admin",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Viewer, Self::Deployer, Self::Admin];
        let found = all.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is no role: viewer, deployer or admin"))
    }
}

/// Somebody who showed an admin token, as the history and the audit log name them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Principal {
    /// The name of the token; `admin.token` for the one that the first start of a node wrote.
    pub token: String,
    /// What it allows.
    pub role: Role,
    /// The address that they came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}
