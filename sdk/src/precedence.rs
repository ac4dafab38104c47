//! Which place wins where an element of the input comes in several of them: the path, the query, the body.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Which wins, the URL or the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ParamsPri {
    /// The parameters of path and query.
    #[default]
    ChannelParamsOverMsg,
    /// The body.
    MsgOverChannelParams,
}

/// Which wins within the URL, the query or the path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UrlParamsPri {
    /// The query.
    #[default]
    QsOverPath,
    /// The path.
    PathOverQs,
}

/// What a channel says about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Precedence {
    /// URL or body.
    pub params: ParamsPri,
    /// Query or path.
    pub url: UrlParamsPri,
}

impl Precedence {
    /// Everything as one document.
    pub fn join(
        self,
        path: Map<String, Value>,
        query: Map<String, Value>,
        body: Map<String, Value>,
    ) -> Map<String, Value> {
        let url = match self.url {
            UrlParamsPri::QsOverPath => over(query, path),
            UrlParamsPri::PathOverQs => over(path, query),
        };
        match self.params {
            ParamsPri::ChannelParamsOverMsg => over(url, body),
            ParamsPri::MsgOverChannelParams => over(body, url),
        }
    }
}

fn over(upper: Map<String, Value>, mut lower: Map<String, Value>) -> Map<String, Value> {
    lower.extend(upper);
    lower
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_order_has_its_winner_and_nothing_is_lost() {
        let of = |value: Value| value.as_object().cloned().unwrap_or_default();
        let who = |params, url| {
            let [path, query, body] =
                ["path", "query", "body"].map(|place| of(json!({"id": place, place: true})));
            let joined = Precedence { params, url }.join(path, query, body);
            assert!(
                ["path", "query", "body"].iter().all(|place| joined[*place] == json!(true)),
                "{joined:?}"
            );
            joined["id"].as_str().map(str::to_owned)
        };
        use {ParamsPri::*, UrlParamsPri::*};
        assert_eq!(who(ChannelParamsOverMsg, QsOverPath).as_deref(), Some("query"));
        assert_eq!(who(ChannelParamsOverMsg, PathOverQs).as_deref(), Some("path"));
        assert_eq!(who(MsgOverChannelParams, QsOverPath).as_deref(), Some("body"));
    }
}
