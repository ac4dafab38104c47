//! Several security definitions as one: whoever satisfies one of them is let in.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, Hasher, RandomState};
use std::sync::Arc;

use async_trait::async_trait;
use config::{DefId, Family, Fault, Name, Need, Want};
use schemars::JsonSchema;
use sdk::{Admitted, Caller, Error, ErrorKind, HttpHead, Result, Security, Verdict, Visit};
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
            incoming: Some(metered(Arc::new(Group::of(members)), params.rate.as_ref(), &start)),
            certificates,
            ..Guard::default()
        }))
    }
}

struct Group {
    members: Vec<Arc<dyn Security>>,
    hash: RandomState,
}

impl Group {
    fn of(members: Vec<Arc<dyn Security>>) -> Self {
        Self { members, hash: RandomState::new() }
    }

    /// What each member is shown that could be guessed: the same for two who look at the same secret.
    fn shown(&self, head: &HttpHead) -> Vec<Option<u64>> {
        let print = |member: &Arc<dyn Security>| {
            let mut hasher = self.hash.build_hasher();
            member.fingerprint(head, &mut hasher).then(|| hasher.finish())
        };
        self.members.iter().map(print).collect()
    }

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
        let shown = self.shown(head);
        for (n, member) in self.members.iter().enumerate() {
            // Each secret once: a group that is shown one alone looks at it as any of its members does.
            if shown[n].is_some() && !shown[..n].contains(&shown[n]) {
                member.fingerprint(head, into);
            }
        }
        shown.iter().any(Option::is_some)
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
        self.judge(head, visit).await.0
    }

    /// The first member that knows the caller lets them in; those after it are asked only about secrets that nobody has
    /// found right yet, so that none is tried out unseen.
    async fn judge(&self, head: &HttpHead, visit: &Visit<'_>) -> (Result<Admitted>, Verdict) {
        let shown = self.shown(head);
        let (mut admitted, mut refusals) = (None, Vec::new());
        let (mut right, mut wrong) = (Vec::new(), Vec::new());
        for (member, print) in self.members.iter().zip(&shown) {
            if admitted.is_some() && print.is_none_or(|print| right.contains(&print)) {
                continue;
            }
            let (outcome, verdict) = member.judge(head, visit).await;
            match verdict {
                Verdict::Right => right.extend(print),
                Verdict::Wrong | Verdict::Open => wrong.extend(print),
                Verdict::Nothing => {}
            }
            match outcome {
                Ok(caller) => admitted = admitted.or(Some(caller)),
                Err(error) => refusals.push(error),
            }
        }
        let outcome = admitted.ok_or_else(|| self.refusal(head, refusals));
        let away = outcome.as_ref().is_err_and(|error| error.kind() != ErrorKind::Unauthenticated);
        let verdict = if wrong.iter().any(|print| !right.contains(print)) {
            if away { Verdict::Open } else { Verdict::Wrong }
        } else if !right.is_empty() && shown.iter().flatten().all(|print| right.contains(print)) {
            Verdict::Right
        } else {
            Verdict::Nothing
        };
        (outcome, verdict)
    }
}

#[cfg(test)]
mod tests {
    use config::Clock;
    use http::header::WWW_AUTHENTICATE;
    use sdk::task::Tasks;

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

    fn head() -> HttpHead {
        let (method, uri, peer) = (http::Method::GET, http::Uri::default(), ([127, 0, 0, 1], 1).into());
        HttpHead {
            method,
            uri,
            headers: http::HeaderMap::new(),
            peer,
            certificates: None,
            params: Vec::new(),
        }
    }

    async fn asked(members: Vec<Member>, who: &'static str) -> Result<Caller> {
        let members = members.into_iter().map(|member| Arc::new(member) as Arc<dyn Security>).collect();
        let mut head = head();
        head.headers.insert("who", http::HeaderValue::from_static(who));
        Group::of(members).check(&head).await
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

    /// Looks for a secret in a header of this name; away, it cannot be asked.
    struct Key(&'static str, &'static str, bool);

    #[async_trait]
    impl Security for Key {
        fn guess(&self, _: &HttpHead) -> Option<Error> {
            None
        }

        fn fingerprint(&self, head: &HttpHead, into: &mut dyn Hasher) -> bool {
            head.header(self.0).inspect(|shown| into.write(shown.as_bytes())).is_some()
        }

        async fn check(&self, head: &HttpHead) -> Result<Caller> {
            match head.header(self.0) {
                _ if self.2 => Err(Error::unavailable("away")),
                Some(shown) if shown == self.1 => Ok(Caller::vouch(shown, self.1, Vec::new())),
                _ => Err(Error::unauthenticated("no")),
            }
        }
    }

    #[tokio::test]
    async fn what_is_shown_beside_the_secret_that_lets_in_is_judged_too() {
        use Verdict::{Nothing, Open, Right, Wrong};
        let key = |name, secret| Arc::new(Key(name, secret, false)) as Arc<dyn Security>;
        let away = || Arc::new(Key("c", "c", true)) as Arc<dyn Security>;
        let nested = || Arc::new(Group::of(vec![key("a", "1"), key("a", "2")])) as Arc<dyn Security>;
        let token = || Arc::new(Member("t", ErrorKind::Unauthenticated)) as Arc<dyn Security>;
        let two = || vec![key("a", "1"), key("b", "1")];
        let engine: Arc<dyn sdk::engine::Engine> = crate::Live::new(Tasks::default(), Clock::System).now();
        for (members, shown, let_in, expected) in [
            (two(), &[("a", "1")][..], true, Right),
            (two(), &[("b", "1")], true, Right),
            (two(), &[("b", "2")], false, Wrong),
            (two(), &[], false, Nothing),
            (two(), &[("a", "2"), ("b", "1")], true, Wrong),
            (two(), &[("a", "1"), ("b", "2")], true, Wrong),
            (two(), &[("a", "1"), ("b", "1")], true, Right),
            (two(), &[("a", "2"), ("b", "2")], false, Wrong),
            // The same secret is looked at by several.
            (vec![key("a", "1"), key("a", "2")], &[("a", "2")], true, Right),
            (vec![nested(), key("a", "3")], &[("a", "3")], true, Right),
            (vec![nested(), key("b", "3")], &[("a", "5"), ("b", "3")], true, Wrong),
            (vec![key("b", "3"), nested()], &[("a", "1"), ("b", "2")], true, Wrong),
            // A token, which nobody can guess, lets in.
            (vec![token(), key("a", "1")], &[("who", "t"), ("a", "2")], true, Wrong),
            (vec![token(), key("a", "1")], &[("who", "t"), ("a", "1")], true, Right),
            (vec![key("a", "1"), token()], &[("who", "t"), ("a", "2")], true, Wrong),
            (vec![key("a", "1"), away()], &[("a", "2")], false, Open),
            (vec![key("a", "1"), away()], &[("c", "2")], false, Nothing),
            (vec![key("a", "1"), away()], &[("a", "1"), ("c", "2")], true, Nothing),
        ] {
            let mut head = head();
            for (name, value) in shown {
                head.headers.insert(*name, http::HeaderValue::from_static(value));
            }
            let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(9);
            let visit = Visit { cid: sdk::Cid::new(), deadline, engine: &engine };
            let (outcome, verdict) = Group::of(members).judge(&head, &visit).await;
            assert_eq!((outcome.is_ok(), verdict), (let_in, expected), "{shown:?}");
        }
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
