//! A token for the admin API and the command line, with a name, a role and an end.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use config::{Fault, Role};
use schemars::JsonSchema;
use sdk::Result;
use serde::{Deserialize, Serialize};

use crate::kind::{Kind, Start};
use crate::part::{AdminToken, Guard, Part};

/// A token for the admin listener, beside the one that the first start of a node wrote. `zeugma admin-token create` makes
/// one and shows it once; deleting the definition revokes it, on every node at once. Channels and connections cannot
/// refer to it, and only an admin may write it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// What it allows: `viewer`, `deployer` or `admin`.
    role: Role,
    /// The SHA-256 of the token, in hexadecimal digits. A token is 256 random bits: nobody finds it by trying, so a fast
    /// hash is as safe as a slow one, and each request of the admin API can afford it.
    token_hash: String,
    /// When it ends; left out: when it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<DateTime<Utc>>,
}

/// See the module.
pub struct AdminTokenKind;

#[async_trait]
impl Kind for AdminTokenKind {
    const TAG: &'static str = "security.admin-token";
    const GUARDED: bool = true;
    type Params = Params;

    fn example() -> Params {
        Params {
            role: Role::Deployer,
            token_hash: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824".into(),
            expires: "2027-01-01T00:00:00Z".parse().ok(),
        }
    }

    fn check(params: &Params) -> Vec<Fault> {
        match digest(&params.token_hash) {
            Some(_) => Vec::new(),
            None => vec![
                Fault::new("token_hash", "a SHA-256 is 64 hexadecimal digits")
                    .hint("zeugma admin-token create NAME makes a token and this definition of it"),
            ],
        }
    }

    async fn start(params: Params, start: Start) -> Result<Part> {
        let hash = digest(&params.token_hash)
            .ok_or_else(|| sdk::Error::internal(format!("{} has no hash", start.id)))?;
        let token = AdminToken { role: params.role, hash, expires: params.expires };
        Ok(Part::Security(Guard { admin: Some(token), ..Guard::default() }))
    }
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_64_digits() {
        let faults = |hash: &str| {
            let params = Params { role: Role::Viewer, token_hash: hash.into(), expires: None };
            AdminTokenKind::check(&params).len()
        };
        assert_eq!(faults(&AdminTokenKind::example().token_hash), 0);
        for wrong in ["", "abc", &"x".repeat(64), &"é".repeat(32)] {
            assert_eq!(faults(wrong), 1, "{wrong:?}");
        }
    }
}
