//! Requests that vaultrs does not know: log-ins by GitHub and LDAP, and any other.

use http::Method;
use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use rustify::errors::ClientError;
use serde_json::{Value, json};

/// Any request.
pub(super) struct Any {
    pub(super) method: RequestMethod,
    /// What follows `/v1/`.
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) body: Option<Value>,
}

impl Any {
    /// A GET.
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self { method: RequestMethod::GET, path: path.into(), query: None, body: None }
    }

    /// Of this verb; none, if Vault has no such.
    pub(super) fn of(method: &Method, path: &str, body: Option<Value>) -> Option<Self> {
        let method = match method.as_str() {
            "GET" => RequestMethod::GET,
            "POST" => RequestMethod::POST,
            "PUT" => RequestMethod::PUT,
            "PATCH" => RequestMethod::PATCH,
            "DELETE" => RequestMethod::DELETE,
            "LIST" => RequestMethod::LIST,
            _ => return None,
        };
        Some(Self { method, path: path.to_owned(), query: None, body })
    }
}

impl Endpoint for Any {
    type Response = Value;
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.path.clone()
    }

    fn method(&self) -> RequestMethod {
        self.method.clone()
    }

    fn query(&self) -> Result<Option<String>, ClientError> {
        Ok(self.query.clone())
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        Ok(self.body.as_ref().map(|body| body.to_string().into_bytes()))
    }
}

/// Logs in with a personal token of GitHub.
pub(super) struct GithubLogin<'a> {
    pub(super) mount: &'a str,
    pub(super) token: &'a str,
}

impl Endpoint for GithubLogin<'_> {
    type Response = ();
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        format!("auth/{}/login", self.mount)
    }

    fn method(&self) -> RequestMethod {
        RequestMethod::POST
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        Ok(Some(json!({"token": self.token}).to_string().into_bytes()))
    }
}

/// Logs in with what a directory knows.
pub(super) struct LdapLogin<'a> {
    pub(super) mount: &'a str,
    pub(super) username: &'a str,
    pub(super) password: &'a str,
}

impl Endpoint for LdapLogin<'_> {
    type Response = ();
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        format!("auth/{}/login/{}", self.mount, self.username)
    }

    fn method(&self) -> RequestMethod {
        RequestMethod::POST
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        Ok(Some(json!({"password": self.password}).to_string().into_bytes()))
    }
}
