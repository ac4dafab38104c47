//! The variables of the engine's environment that the code of others gets to see: those that are named, and no others.

use std::ffi::{OsStr, OsString};

use serde::{Deserialize, Serialize};

use super::layers::PREFIX;

/// What programs need to run at all, to find files, certificates and proxies, and to know the language and the time zone.
const ALWAYS: &[&str] = &[
    "PATH",
    "LD_LIBRARY_PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_*",
    "TZ",
    "TMPDIR",
    "VIRTUAL_ENV",
    "PYTHON*",
    "SSL_CERT_*",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "*_proxy",
    "*_PROXY",
];
/// Those among them that would put other code in the place of ours, or of the interpreter's own.
const ONLY_IF_NAMED: &[&str] = &["PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME"];

/// Names of variables, as a list; a `*` at the end of one stands for anything.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Passed(Vec<String>);

impl TryFrom<Vec<String>> for Passed {
    type Error = String;
    fn try_from(names: Vec<String>) -> Result<Self, String> {
        let wrong = |name: &&String| {
            let stem = name.strip_suffix('*').unwrap_or(name);
            name.is_empty() || stem.contains(['*', '=', '\0', ' ']) || stem.starts_with(PREFIX)
        };
        match names.iter().find(wrong) {
            Some(name) => Err(format!("{name:?} is no variable that can be passed on")),
            None => Ok(Self(names)),
        }
    }
}

impl Passed {
    /// Whether the code of others sees a variable. It never sees those of the engine.
    fn lets(&self, name: &OsStr) -> bool {
        let Some(name) = name.to_str() else { return false };
        let named = self.0.iter().any(|pattern| matches(pattern, name));
        let always = ALWAYS.iter().any(|pattern| matches(pattern, name)) && !ONLY_IF_NAMED.contains(&name);
        (named || always) && !name.starts_with(PREFIX)
    }

    /// Those of these variables that it sees.
    pub(super) fn of(
        &self,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Vec<(OsString, OsString)> {
        variables.filter(|(name, _)| self.lets(name)).collect()
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
        (Some(begin), _) => name.starts_with(begin),
        (None, Some(end)) => name.ends_with(end),
        (None, None) => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(passed: &[&str], there: &[&str]) -> Vec<String> {
        let passed = passed.iter().map(ToString::to_string).collect::<Vec<_>>();
        let passed = Passed::try_from(passed).expect("names");
        let there = there.iter().map(|name| ((*name).into(), "x".into()));
        passed.of(there).into_iter().filter_map(|(name, _)| name.into_string().ok()).collect()
    }

    #[test]
    fn what_is_not_named_is_not_seen() {
        let there = [
            "PATH",
            "AWS_SECRET_ACCESS_KEY",
            "LC_ALL",
            "DATABASE_URL",
            "PYTHONHASHSEED",
            "PYTHONPATH",
            "https_proxy",
            "NO_PROXY",
            "SSL_CERT_FILE",
            "HOMER",
            "ZEUGMA_KEYS",
        ];
        let always = ["PATH", "LC_ALL", "PYTHONHASHSEED", "https_proxy", "NO_PROXY", "SSL_CERT_FILE"];
        assert_eq!(seen(&[], &there), always);
        assert_eq!(seen(&["AWS_*"], &there[..2]), ["PATH", "AWS_SECRET_ACCESS_KEY"]);
        assert_eq!(seen(&["DATABASE_URL", "PYTHONPATH"], &there[3..6]).len(), 3);
        assert_eq!(seen(&["*"], &there).len(), there.len() - 1, "all but the engine's own");
    }

    #[test]
    fn the_engine_s_own_cannot_be_named() {
        for name in ["ZEUGMA_KEYS", "ZEUGMA_*", "", "A=B", "*A", "A B"] {
            assert!(Passed::try_from(vec![name.to_owned()]).is_err(), "{name}");
        }
    }
}
