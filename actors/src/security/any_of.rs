//! Several security definitions as one: whoever satisfies one of them is let in.

use std::collections::BTreeSet;
use std::hash::Hasher;
use std::sync::Arc;

use async_trait::async_trait;
use config::{DefId, Family, Fault, Name, Need, Want};
use schemars::JsonSchema;
use sdk::{Admitted, Caller, Error, ErrorKind, HttpHead, Result, Security, Visit};
use serde::{Deserialize, Serialize};

use crate::admission::Rate;
use crate::admission::metered::{Of, metered};
use crate::kind::{Kind, Start};
use crate::part::{CHECK_CALLERS, Guard, Part};

/// How many definitions a group may have: each of them may have to be asked about a request.
const MOST: usize = 32;

/// A group of security definitions. They are asked in the order written, and the first that knows a caller lets them in:
/// with its name, and with its roles.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The names of the definitions.
    members: Vec<Name>,
    /// How often callers may call, by all channels that use this group together, beside what
    /// the members say; left out: as often as they like. One
    /// more is answered 429.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<Rate<Of>>,
}

/// See the module.
pub struct AnyOf;

fn security(name: &Name) -> DefId {
    DefId::new(Family::Security, name.clone())
}

#[async_trait]
impl Kind for AnyOf {
    const TAG: &'static str = "security.any-of";
    type Params = Params;

    fn example() -> Params {
        let members = ["clerk", "partner"].into_iter().filter_map(|name| name.parse().ok()).collect();
        Params { members, rate: None }
    }

    fn check(params: &Params) -> Vec<Fault> {
        let mut faults = Vec::new();
        if params.members.is_empty() || params.members.len() > MOST {
            faults
                .push(Fault::new("members", format!("a group has one member at least, and {MOST} at most")));
        }
        faults.extend(params.rate.iter().flat_map(Rate::check));
        let mut seen = BTreeSet::new();
        let twice = params.members.iter().find(|name| !seen.insert(*name));
        faults.extend(twice.map(|name| Fault::new("members", format!("{name} is there twice"))));
        faults
    }

    fn needs(params: &Params) -> Vec<Need> {
        params.members.iter().map(|name| Need { at: "members".into(), id: security(name) }).collect()
    }

    fn wants(params: &Params) -> Vec<Want> {
        let want = |name| Want { at: "members".into(), id: security(name), ability: CHECK_CALLERS };
        params.members.iter().map(want).collect()
    }

    fn offers(_: &Params) -> Option<Vec<&'static str>> {
        Some(vec![CHECK_CALLERS])
    }

    async fn start(params: Params, start: Start) -> Result<Part> {
        let mut members = Vec::new();
        let mut certificates = false;
        // Who is switched off lets nobody in; the others do.
        for id in params.members.iter().map(security).filter(|id| !start.is_off(id)) {
            match &start.part(&id)?.part {
                Part::Security(Guard { incoming: Some(member), certificates: asks, .. }) => {
                    members.push(member.clone());
                    certificates |= asks;
                }
                _ => return Err(Error::internal(format!("{id} cannot {CHECK_CALLERS}"))),
            }
        }
        Ok(Part::Security(Guard {
            incoming: Some(metered(Arc::new(Group { members }), params.rate.as_ref(), &start)),
            certificates,
            ..Guard::default()
        }))
    }
}

struct Group {
    members: Vec<Arc<dyn Security>>,
}

impl Group {
    /// What is told when nobody knows the caller: that one of them could not be asked, if so; else what the one says
    /// whose secret was tried, or the first.
    fn refusal(&self, head: &HttpHead, refusals: Vec<Error>) -> Error {
        let mut first = None;
        for error in refusals {
            if error.kind() != ErrorKind::Unauthenticated {
                return error;
            }
            first = first.or(Some(error));
        }
        self.guess(head).or(first).unwrap_or_else(|| Error::unauthenticated("nobody is let in here"))
    }
}

#[async_trait]
impl Security for Group {
    fn guess(&self, head: &HttpHead) -> Option<Error> {
        self.members.iter().find_map(|member| member.guess(head))
    }

    /// Of all secrets that are shown: beside one that is right, another must not be tried out unseen.
    fn fingerprint(&self, head: &HttpHead, into: &mut dyn Hasher) -> bool {
        self.members.iter().filter(|member| member.fingerprint(head, into)).count() > 0
    }

    async fn check(&self, head: &HttpHead) -> Result<Caller> {
        let mut refusals = Vec::new();
        for member in &self.members {
            match member.check(head).await {
                Ok(caller) => return Ok(caller),
                Err(error) => refusals.push(error),
            }
        }
        Err(self.refusal(head, refusals))
    }

    async fn admit(&self, head: &HttpHead, visit: &Visit<'_>) -> Result<Admitted> {
        let mut refusals = Vec::new();
        for member in &self.members {
            match member.admit(head, visit).await {
                Ok(admitted) => return Ok(admitted),
                Err(error) => refusals.push(error),
            }
        }
        Err(self.refusal(head, refusals))
    }
}

#[cfg(test)]
mod tests {
    use http::header::WWW_AUTHENTICATE;

    use super::*;

    struct Member(&'static str, ErrorKind);

    #[async_trait]
    impl Security for Member {
        fn guess(&self, _: &HttpHead) -> Option<Error> {
            None
        }

        async fn check(&self, head: &HttpHead) -> Result<Caller> {
            match head.header("who") == Some(self.0) {
                true => Ok(Caller::vouch(self.0, self.0, Vec::new())),
                false => {
                    Err(Error::new(self.1, "no")
                        .header(WWW_AUTHENTICATE, http::HeaderValue::from_static(self.0)))
                }
            }
        }
    }

    async fn asked(members: Vec<Member>, who: &'static str) -> Result<Caller> {
        let members = members.into_iter().map(|member| Arc::new(member) as Arc<dyn Security>).collect();
        let mut headers = http::HeaderMap::new();
        headers.insert("who", http::HeaderValue::from_static(who));
        let (method, uri, peer) = (http::Method::GET, http::Uri::default(), ([127, 0, 0, 1], 1).into());
        let head = HttpHead { method, uri, headers, peer, certificates: None, params: Vec::new() };
        Group { members }.check(&head).await
    }

    #[tokio::test]
    async fn one_that_knows_the_caller_is_enough_and_one_that_is_away_is_no_reason_to_refuse() {
        let no = ErrorKind::Unauthenticated;
        let members = || vec![Member("a", no), Member("b", ErrorKind::Unavailable), Member("c", no)];
        for who in ["a", "b", "c"] {
            assert_eq!(asked(members(), who).await.expect("known").security(), who);
        }
        assert_eq!(asked(members(), "d").await.expect_err("unknown").kind(), ErrorKind::Unavailable);
        let error = asked(vec![Member("a", no), Member("c", no)], "d").await.expect_err("unknown");
        assert_eq!(error.kind(), no);
        assert_eq!(error.answer_header().expect("a challenge").1, "a");
    }

    #[test]
    fn a_group_has_members_each_of_them_once() {
        let check = |names: &[&str]| {
            let members = names.iter().map(|name| name.parse().expect("a name")).collect();
            AnyOf::check(&Params { members, rate: None }).len()
        };
        assert_eq!([check(&["a", "b"]), check(&[]), check(&["a", "b", "a"])], [0, 1, 1]);
    }
}
