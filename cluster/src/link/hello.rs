//! The greeting before a link: each side says who it is and proves, over fresh nonces, that it knows the cluster's
//! secret. Only then the connection goes to ractor_cluster, whose own challenge has 32 bits and no deadline.
//!
//! `dialer: hello | acceptor: hello | dialer: proof | acceptor: proof`, each as `length: u16 | JSON`. A proof is an HMAC
//! of both hellos, so nobody can change a name, a version or a nonce in between, nor send one side's proof back to it.

use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use config::{Name, Secret};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::envelope::Versions;
use crate::link::socket::Stream;
use crate::link::{Incarnation, Me, NodeId};

/// The form of the greeting itself.
const FORM: u8 = 1;
/// The longest line; real ones are far shorter.
const MAX_LINE: u16 = 2048;

/// What is derived from the cluster's secret. Two clusters with the same secret have different keys.
#[derive(Clone)]
pub(crate) struct Keys {
    hello: Key,
    /// What ractor_cluster compares: not the secret itself, since it keeps it as plain text.
    pub(crate) cookie: String,
}

impl Keys {
    pub(crate) fn new(secret: &Secret, cluster: &Name) -> Self {
        let master = Key::new(HMAC_SHA256, secret.reveal().as_bytes());
        let derive = |purpose: &str| hmac::sign(&master, format!("zeugma {purpose} {cluster}").as_bytes());
        Self {
            hello: Key::new(HMAC_SHA256, derive("hello").as_ref()),
            cookie: hex(derive("cookie").as_ref()),
        }
    }

    fn proof(&self, role: &str, transcript: &[&[u8]]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.hello);
        context.update(role.as_bytes());
        for line in transcript {
            context.update(&(line.len() as u64).to_be_bytes());
            context.update(line);
        }
        context.sign()
    }

    fn proves(&self, role: &str, transcript: &[&[u8]], proof: &str) -> bool {
        let expected = self.proof(role, transcript);
        aws_lc_rs::constant_time::verify_slices_are_equal(hex(expected.as_ref()).as_bytes(), proof.as_bytes())
            .is_ok()
    }
}

/// Who says hello.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    form: u8,
    cluster: Name,
    pub(crate) node: NodeId,
    pub(crate) incarnation: Incarnation,
    /// Whom the dialer wants to talk to; the acceptor repeats its own name.
    to: NodeId,
    versions: Versions,
    nonce: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Hello(Hello),
    Proof(String),
    Refused(Reason),
}

/// Why a greeting is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reason {
    #[error("the cluster has another name")]
    Cluster,
    #[error("the secret of the cluster is another one")]
    Secret,
    #[error("no envelope version is spoken by both")]
    Version,
    #[error("another node has this address")]
    Node,
    #[error("another start of the node is meant")]
    Incarnation,
    #[error("the other side is the one to dial")]
    Direction,
    #[error("the certificate bears another name")]
    Certificate,
    #[error("the greeting makes no sense; perhaps only one side uses TLS")]
    Garbled,
}

/// How a greeting fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HelloError {
    #[error("refused: {0}")]
    Refused(Reason),
    #[error("the other side refuses: {0}")]
    RefusedByPeer(Reason),
    #[error("the connection broke during the greeting: {0}")]
    Io(#[from] std::io::Error),
}

/// The other side, once it has proved itself.
#[derive(Clone, Debug)]
pub(crate) struct Greeted {
    pub(crate) node: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) version: u16,
}

/// What a node needs for greeting.
#[derive(Clone)]
pub(crate) struct Greeter {
    pub(crate) me: Me,
    pub(crate) cluster: Name,
    pub(crate) versions: Versions,
    pub(crate) keys: Keys,
}

impl Greeter {
    /// Greets as the one that dialed: `to`, in exactly this start.
    pub(crate) async fn dial(
        &self,
        stream: &mut dyn Stream,
        to: &NodeId,
        incarnation: Incarnation,
    ) -> Result<Greeted, HelloError> {
        let ours = encode(&Line::Hello(self.hello(to)?))?;
        send(stream, &ours).await?;
        let line = receive(stream).await?;
        let theirs = match decode(&line)? {
            Line::Hello(hello) => hello,
            Line::Refused(reason) => return Err(HelloError::RefusedByPeer(reason)),
            Line::Proof(_) => return Err(HelloError::Refused(Reason::Garbled)),
        };
        let version = self.check(&theirs)?;
        if theirs.node != *to {
            return Err(HelloError::Refused(Reason::Node));
        }
        if theirs.incarnation != incarnation {
            return Err(HelloError::Refused(Reason::Incarnation));
        }
        let transcript = [&ours[..], &line[..]];
        let proof = self.keys.proof("dialer", &transcript);
        send(stream, &encode(&Line::Proof(hex(proof.as_ref())))?).await?;
        match decode(&receive(stream).await?)? {
            Line::Proof(proof) if self.keys.proves("acceptor", &transcript, &proof) => {}
            Line::Proof(_) => return Err(HelloError::Refused(Reason::Secret)),
            Line::Refused(reason) => return Err(HelloError::RefusedByPeer(reason)),
            Line::Hello(_) => return Err(HelloError::Refused(Reason::Garbled)),
        }
        Ok(Greeted { node: theirs.node, incarnation: theirs.incarnation, version })
    }

    /// Greets as the one that was dialed. `judge` may refuse who has proved itself.
    pub(crate) async fn accept(
        &self,
        stream: &mut dyn Stream,
        judge: impl Fn(&NodeId, Incarnation) -> Result<(), Reason>,
    ) -> Result<Greeted, HelloError> {
        let outcome = self.hear(stream, judge).await;
        if let Err(HelloError::Refused(reason)) = &outcome {
            // The other side learns why, if it still listens; the value that was wrong is not repeated.
            drop(send(stream, &encode(&Line::Refused(*reason))?).await);
        }
        outcome
    }

    async fn hear(
        &self,
        stream: &mut dyn Stream,
        judge: impl Fn(&NodeId, Incarnation) -> Result<(), Reason>,
    ) -> Result<Greeted, HelloError> {
        let line = receive(stream).await?;
        let Line::Hello(theirs) = decode(&line)? else {
            return Err(HelloError::Refused(Reason::Garbled));
        };
        let version = self.check(&theirs)?;
        if theirs.to != self.me.node {
            return Err(HelloError::Refused(Reason::Node));
        }
        let ours = encode(&Line::Hello(self.hello(&self.me.node)?))?;
        send(stream, &ours).await?;
        let transcript = [&line[..], &ours[..]];
        match decode(&receive(stream).await?)? {
            Line::Proof(proof) if self.keys.proves("dialer", &transcript, &proof) => {}
            Line::Proof(_) => return Err(HelloError::Refused(Reason::Secret)),
            Line::Refused(reason) => return Err(HelloError::RefusedByPeer(reason)),
            Line::Hello(_) => return Err(HelloError::Refused(Reason::Garbled)),
        }
        judge(&theirs.node, theirs.incarnation).map_err(HelloError::Refused)?;
        let proof = self.keys.proof("acceptor", &transcript);
        send(stream, &encode(&Line::Proof(hex(proof.as_ref())))?).await?;
        Ok(Greeted { node: theirs.node, incarnation: theirs.incarnation, version })
    }

    fn hello(&self, to: &NodeId) -> Result<Hello, HelloError> {
        let mut nonce = [0; 32];
        SystemRandom::new().fill(&mut nonce).map_err(|_| std::io::Error::other("no random numbers"))?;
        Ok(Hello {
            form: FORM,
            cluster: self.cluster.clone(),
            node: self.me.node.clone(),
            incarnation: self.me.incarnation,
            to: to.clone(),
            versions: self.versions,
            nonce: hex(&nonce),
        })
    }

    fn check(&self, theirs: &Hello) -> Result<u16, HelloError> {
        let refused = |reason| Err(HelloError::Refused(reason));
        if theirs.form != FORM || theirs.nonce.len() != 64 {
            return refused(Reason::Garbled);
        }
        if theirs.cluster != self.cluster {
            return refused(Reason::Cluster);
        }
        self.versions.common(theirs.versions).ok_or(HelloError::Refused(Reason::Version))
    }
}

fn encode(line: &Line) -> Result<Vec<u8>, HelloError> {
    serde_json::to_vec(line).map_err(|e| std::io::Error::other(e).into())
}

fn decode(line: &[u8]) -> Result<Line, HelloError> {
    serde_json::from_slice(line).map_err(|_| HelloError::Refused(Reason::Garbled))
}

async fn send(stream: &mut dyn Stream, line: &[u8]) -> Result<(), HelloError> {
    let length = u16::try_from(line.len()).ok().filter(|length| *length <= MAX_LINE);
    let length = length.ok_or(HelloError::Refused(Reason::Garbled))?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(line);
    stream.write_all(&frame).await?;
    Ok(stream.flush().await?)
}

async fn receive(stream: &mut dyn Stream) -> Result<Vec<u8>, HelloError> {
    let length = stream.read_u16().await?;
    if length > MAX_LINE {
        return Err(HelloError::Refused(Reason::Garbled));
    }
    let mut line = vec![0; usize::from(length)];
    stream.read_exact(&mut line).await?;
    Ok(line)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeter(node: &str, cluster: &str, secret: &str, versions: Versions) -> Greeter {
        let cluster: Name = cluster.parse().expect("a name");
        let me = Me { node: node.parse().expect("a name"), incarnation: Incarnation(4) };
        let keys = Keys::new(&Secret::new(secret), &cluster);
        Greeter { me, cluster, versions, keys }
    }

    /// What the dialer and what the acceptor say in the end.
    async fn greet(a: &Greeter, b: &Greeter, incarnation: u64) -> (String, String) {
        let (mut left, mut right) = tokio::io::duplex(4096);
        let to = "b".parse().expect("a name");
        let judge = |node: &NodeId, _| if node.as_str() == "z" { Err(Reason::Direction) } else { Ok(()) };
        let (dialed, accepted) = tokio::join!(
            async {
                let outcome = a.dial(&mut left, &to, Incarnation(incarnation)).await;
                drop(left); // the acceptor must not wait for more
                outcome
            },
            b.accept(&mut right, judge)
        );
        let say = |outcome: Result<Greeted, HelloError>| match outcome {
            Ok(greeted) => format!("{} {} v{}", greeted.node, greeted.incarnation, greeted.version),
            Err(error) => error.to_string(),
        };
        (say(dialed), say(accepted))
    }

    #[tokio::test]
    async fn both_sides_learn_who_the_other_is_or_why_not() {
        let ours = Versions::OURS;
        let newer = Versions { oldest: 8, newest: 9 };
        let a = greeter("a", "blue", "hush", ours);
        let b = greeter("b", "blue", "hush", ours);
        assert_eq!(greet(&a, &b, 4).await, ("b 4 v1".into(), "a 4 v1".into()));
        for (other, incarnation, reason) in [
            (greeter("b", "blue", "quiet", ours), 4, Reason::Secret),
            (greeter("b", "green", "hush", ours), 4, Reason::Cluster),
            (greeter("b", "blue", "hush", newer), 4, Reason::Version),
            (greeter("c", "blue", "hush", ours), 4, Reason::Node),
        ] {
            let (dialed, accepted) = greet(&a, &other, incarnation).await;
            assert_eq!(dialed, HelloError::RefusedByPeer(reason).to_string());
            assert_eq!(accepted, HelloError::Refused(reason).to_string());
        }
        let (dialed, _) = greet(&a, &b, 5).await;
        assert_eq!(dialed, HelloError::Refused(Reason::Incarnation).to_string());
        let (dialed, _) = greet(&greeter("z", "blue", "hush", ours), &b, 4).await;
        assert_eq!(dialed, HelloError::RefusedByPeer(Reason::Direction).to_string());
    }

    #[tokio::test]
    async fn what_is_no_greeting_is_refused() {
        let b = greeter("b", "blue", "hush", Versions::OURS);
        for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x00\x02{}", b"\x00\x05hello"] {
            let (mut left, mut right) = tokio::io::duplex(4096);
            left.write_all(garbage).await.expect("written");
            let outcome = b.accept(&mut right, |_, _| Ok(())).await;
            assert!(matches!(outcome, Err(HelloError::Refused(Reason::Garbled))), "{outcome:?}");
        }
    }
}
