//! Tokens: what is let in, what is refused, and how often the store is asked.

mod changes;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use base64::Engine as _;
use chrono::TimeDelta;
use config::StoreError;
use config::sessions::Memory;
use http::header::AUTHORIZATION;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use proptest::prelude::*;
use tokio::sync::broadcast;
use zeroize::Zeroizing;

use super::*;

const TTL: u64 = 100;
const CREDENTIAL: &[u8] = "wéb\nhush".as_bytes();

/// Counts what is asked of it; refuses to answer while it is away.
struct Counted {
    memory: Memory,
    touched: AtomicUsize,
    away: AtomicBool,
}

#[async_trait]
impl Sessions for Counted {
    async fn open(&self, id: &str, ttl: Duration) -> Result<(), StoreError> {
        self.memory.open(id, ttl).await
    }
    async fn touch(&self, id: &str, ttl: Duration) -> Result<bool, StoreError> {
        self.touched.fetch_add(1, Relaxed);
        match self.away.load(Relaxed) {
            true => Err(StoreError::Unavailable("away".into())),
            false => self.memory.touch(id, ttl).await,
        }
    }
    async fn close(&self, id: &str) -> Result<bool, StoreError> {
        self.memory.close(id).await
    }
    fn closed(&self) -> broadcast::Receiver<Arc<str>> {
        self.memory.closed()
    }
}

fn keys(n: u8) -> Vec<Zeroizing<[u8; 32]>> {
    vec![Zeroizing::new([n; 32])]
}

struct Kit {
    tokens: Tokens,
    store: Arc<Counted>,
    clock: Clock,
}

fn kit_with(seal: &[Zeroizing<[u8; 32]>], sign: &[Zeroizing<[u8; 32]>], max_ttl: Option<u64>) -> Kit {
    let clock = Clock::manual(chrono::DateTime::UNIX_EPOCH + TimeDelta::days(20_000));
    let memory = Memory::new(clock.clone());
    let store = Arc::new(Counted { memory, touched: AtomicUsize::new(0), away: AtomicBool::new(false) });
    let tokens = Tokens {
        lockout: Arc::default(),
        security: "browsers".into(),
        username: "wéb".into(),
        credential: Fingerprint::of(CREDENTIAL).expect("random numbers"),
        ttl: Duration::from_secs(TTL),
        max_ttl: max_ttl.map(Duration::from_secs),
        roles: vec!["clerk".into()],
        mint: Mint::new("browsers", seal, sign, CREDENTIAL).expect("keys"),
        budget: None,
        opened: Opened::default(),
        cache: Arc::default(),
        sessions: store.clone(),
        clock: clock.clone(),
        _listening: sdk::task::Tasks::default().endless("nothing", async {}),
    };
    Kit { tokens, store, clock }
}

fn kit() -> Kit {
    kit_with(&keys(1), &keys(2), None)
}

fn head(authorization: &[&str]) -> HttpHead {
    let mut headers = http::HeaderMap::new();
    for value in authorization {
        headers.append(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
    }
    let (method, uri) = (http::Method::GET, "/".parse().expect("a URI"));
    HttpHead {
        method,
        uri,
        headers,
        peer: ([127, 0, 0, 1], 1).into(),
        certificates: None,
        params: Vec::new(),
    }
}

impl Kit {
    async fn token(&self) -> String {
        self.tokens.log_in("wéb", "hush", None).await.expect("sessions are kept").expect("the right password")
    }

    async fn shows(&self, token: &str) -> Result<Caller> {
        self.tokens.check(&head(&[&format!("Bearer {token}")])).await
    }

    async fn is_refused(&self, token: &str) {
        let error = self.shows(token).await.expect_err("refused");
        assert_eq!(error.kind(), sdk::ErrorKind::Unauthenticated);
        assert_eq!(error.to_string(), "a valid token is needed", "always the same words");
        assert_eq!(error.answer_header().expect("a challenge").1, CHALLENGE);
    }
}

#[tokio::test]
async fn whoever_logs_in_is_let_in_with_the_token_and_nothing_of_it_can_be_read() {
    let kit = kit();
    let token = kit.token().await;
    let caller = kit.shows(&token).await.expect("let in");
    assert_eq!((caller.name(), caller.security(), caller.kind()), ("wéb", "browsers", "security.jwt"));
    assert!(caller.has("clerk") && !caller.has("admin"));
    let raw = base64::engine::general_purpose::URL_SAFE.decode(&token).expect("base64");
    for word in ["wéb", "browsers", "clerk", "HS256"] {
        assert!(!raw.windows(word.len()).any(|window| window == word.as_bytes()), "{word}");
    }
    for scheme in ["bearer", "BEARER"] {
        assert!(kit.tokens.check(&head(&[&format!("{scheme} {token}")])).await.is_ok());
    }
}

#[tokio::test]
async fn an_unknown_user_and_a_wrong_password_get_the_same_answer_for_the_same_work() {
    let kit = kit();
    let from = Some([192, 0, 2, 1].into());
    for (n, (user, password)) in
        [("nobody", "hush"), ("wéb", "other"), ("", ""), ("wéb\nhush", ""), ("we\u{301}b", "hush")]
            .into_iter()
            .enumerate()
    {
        let answer = kit.tokens.log_in(user, password, from).await.expect("answers");
        assert!(answer.is_none(), "{user:?} {password:?}");
        assert_eq!(kit.tokens.credential.compared.load(Relaxed), n + 1, "{user:?} {password:?}");
    }
}

#[tokio::test]
async fn two_headers_and_other_schemes_are_refused() {
    let kit = kit();
    let token = kit.token().await;
    let right = format!("Bearer {token}");
    for headers in
        [vec![&*right, &*right], vec!["Bearer x", &*right], vec![&*token], vec![], vec!["Basic eDp5"]]
    {
        assert!(kit.tokens.check(&head(&headers)).await.is_err(), "{}", headers.len());
    }
    for wrong in [format!("{token} "), format!(" {token}"), format!("{token},{token}"), "x".repeat(1 << 20)] {
        kit.is_refused(&wrong).await;
    }
}

#[tokio::test]
async fn a_token_of_another_cluster_or_definition_is_refused() {
    let (kit, other) = (kit(), kit_with(&keys(3), &keys(4), None));
    kit.is_refused(&other.token().await).await;
    // The right seal around a foreign signature, and the other way round.
    for (seal, sign) in [(1, 4), (3, 2)] {
        kit.is_refused(&kit_with(&keys(seal), &keys(sign), None).token().await).await;
    }
    // Sealed and signed with the right keys, but for another definition.
    let claims = claims(&kit);
    let foreign = Claims { iss: "others".into(), ..claims };
    kit.is_refused(&kit.tokens.mint.make(&foreign).expect("a token")).await;
}

fn claims(kit: &Kit) -> Claims {
    let now = kit.tokens.now();
    Claims {
        jti: "id".into(),
        sub: "wéb".into(),
        iss: "browsers".into(),
        under: kit.tokens.mint.under().into(),
        iat: now,
        nbf: now,
        ttl: TTL,
        exp: None,
    }
}

#[tokio::test]
async fn no_other_algorithm_than_ours_is_taken_even_inside_the_right_seal() {
    let kit = kit();
    let claims = claims(&kit);
    kit.store.open("id", Duration::from_secs(TTL)).await.expect("opens");
    let key = EncodingKey::from_secret(&[2; 32]);
    let sealer =
        fernet::Fernet::new(&base64::engine::general_purpose::URL_SAFE.encode([1; 32])).expect("a key");
    let sealed = |jwt: &str| sealer.encrypt(jwt.as_bytes());
    let signed = |algorithm| jsonwebtoken::encode(&Header::new(algorithm), &claims, &key).expect("a token");
    assert!(kit.shows(&sealed(&signed(Algorithm::HS256))).await.is_ok(), "the test makes what we make");
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        kit.is_refused(&sealed(&signed(algorithm))).await;
    }
    let part = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let body = part(&serde_json::to_string(&claims).expect("JSON"));
    let right = signed(Algorithm::HS256);
    let signature = right.rsplit('.').next().expect("three parts");
    for alg in ["none", "None", "NONE", "", "RS256", "ES256", "hs256"] {
        let header = part(&format!(r#"{{"typ":"JWT","alg":"{alg}"}}"#));
        for signature in ["", signature] {
            kit.is_refused(&sealed(&format!("{header}.{body}.{signature}"))).await;
        }
    }
    // A JWT that was not sealed, however well signed.
    kit.is_refused(&right).await;
}

#[tokio::test]
async fn a_token_ends_without_use_slides_with_use_and_never_past_the_hard_limit() {
    let kit = kit_with(&keys(1), &keys(2), Some(3 * TTL));
    let (used, unused) = (kit.token().await, kit.token().await);
    for _ in 0..5 {
        kit.clock.advance(TimeDelta::seconds(TTL as i64 / 2));
        kit.tokens.cache.clear(); // as after the interval, whose clock is another
        assert!(kit.shows(&used).await.is_ok(), "it slides");
    }
    kit.is_refused(&unused).await;
    kit.clock.advance(TimeDelta::seconds(TTL as i64 / 2));
    kit.is_refused(&used).await; // known, and yet past the hard limit
    kit.tokens.cache.clear();
    kit.is_refused(&used).await;
}

#[tokio::test]
async fn a_token_from_the_future_is_refused() {
    let kit = kit();
    kit.store.open("id", Duration::from_secs(TTL)).await.expect("opens");
    for (ahead, fine) in [(30, true), (120, false)] {
        let mut claims = claims(&kit);
        (claims.iat, claims.nbf) = (claims.iat + ahead, claims.nbf + ahead);
        let token = kit.tokens.mint.make(&claims).expect("a token");
        assert_eq!(kit.shows(&token).await.is_ok(), fine, "{ahead} s");
    }
}

#[tokio::test(start_paused = true)]
async fn the_store_is_asked_once_an_interval_whatever_the_load() {
    let kit = kit();
    let token = kit.token().await;
    for _ in 0..1000 {
        kit.shows(&token).await.expect("let in");
    }
    assert_eq!(kit.store.touched.load(Relaxed), 1);
    tokio::time::advance(ASK_EVERY.1 + Duration::from_millis(1)).await;
    for _ in 0..1000 {
        kit.shows(&token).await.expect("let in");
    }
    assert_eq!(kit.store.touched.load(Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn with_the_store_away_a_known_token_counts_for_twice_the_interval_and_an_unknown_one_not_at_all() {
    let kit = kit();
    let (known, unknown) = (kit.token().await, kit.token().await);
    kit.shows(&known).await.expect("let in");
    kit.store.away.store(true, Relaxed);
    tokio::time::advance(ASK_EVERY.1 * 2 - Duration::from_millis(1)).await;
    kit.shows(&known).await.expect("still");
    assert_eq!(kit.shows(&unknown).await.expect_err("unknown").kind(), sdk::ErrorKind::Unavailable);
    tokio::time::advance(Duration::from_millis(2)).await;
    assert_eq!(kit.shows(&known).await.expect_err("too old").kind(), sdk::ErrorKind::Unavailable);
    kit.store.away.store(false, Relaxed);
    kit.shows(&known).await.expect("again");
}

#[tokio::test]
async fn a_logged_out_token_is_refused_at_once_and_so_is_one_that_another_node_ended() {
    let kit = kit();
    let (mine, theirs) = (kit.token().await, kit.token().await);
    for token in [&mine, &theirs] {
        kit.shows(token).await.expect("let in");
    }
    assert!(kit.tokens.log_out(&mine).await.expect("answers"));
    assert!(!kit.tokens.log_out(&mine).await.expect("answers"), "once");
    assert!(!kit.tokens.log_out("x").await.expect("answers"));
    kit.is_refused(&mine).await;
    // The push alone is enough, before the store is asked again.
    let claims = kit.tokens.mint.open(&theirs, kit.tokens.now()).expect("opens");
    kit.store.close(&claims.jti).await.expect("closes");
    kit.shows(&theirs).await.expect("not told yet");
    kit.tokens.cache.end(&claims.jti);
    kit.is_refused(&theirs).await;
    // Told between the answer of the store and the cache: the cache does not take it.
    let late = Known::new(Caller::vouch("x", "x", vec![]), claims, Instant::now());
    assert!(!kit.tokens.cache.put([0; 32], late));
    assert_eq!(kit.tokens.cache.len(), 0);
}

#[tokio::test]
async fn a_rotated_key_logs_nobody_out() {
    let old = kit();
    let token = old.token().await;
    let both = |new: u8, old: u8| [keys(new), keys(old)].concat();
    let mut rotated = kit_with(&both(5, 1), &both(6, 2), None);
    rotated.tokens.sessions = old.store.clone();
    rotated.shows(&token).await.expect("still let in");
    let new = rotated.token().await;
    old.is_refused(&new).await;
    rotated.shows(&new).await.expect("let in");
}

#[tokio::test]
async fn tokens_on_behalf_of_others_keep_within_the_limit() {
    let kit = kit_with(&keys(1), &keys(2), Some(3 * TTL));
    let token = kit.tokens.create("partner", Some(Duration::from_secs(7))).await.expect("a token");
    assert_eq!(kit.shows(&token).await.expect("let in").name(), "partner");
    for (user, ttl) in [("", None), ("a\nb", None), ("a", Some(4 * TTL)), ("a", Some(0))] {
        let error = kit.tokens.create(user, ttl.map(Duration::from_secs)).await.expect_err("refused");
        assert_eq!(error.kind(), sdk::ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn the_cache_is_bounded() {
    let kit = kit();
    for n in 0..40_000_u32 {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&n.to_le_bytes());
        kit.tokens
            .cache
            .put(digest, Known::new(Caller::vouch("x", "x", vec![]), claims(&kit), Instant::now()));
    }
    assert_eq!(kit.tokens.cache.len(), 16 * 1024);
}

#[test]
fn every_changed_character_and_every_shortened_token_is_refused() {
    let kit = runtime().block_on(async { kit() });
    let now = kit.tokens.now();
    let token = kit.tokens.mint.make(&claims(&kit)).expect("a token");
    assert!(kit.tokens.mint.open(&token, now).is_some());
    let bytes = token.as_bytes();
    for at in 0..bytes.len() {
        assert_eq!(kit.tokens.mint.open(&token[..at], now), None, "cut at {at}");
        for bit in 0..7 {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1 << bit;
            let changed = String::from_utf8(changed).expect("ASCII");
            assert_eq!(kit.tokens.mint.open(&changed, now), None, "bit {bit} of {at}");
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_is_sent_is_refused_without_a_panic(text in "\\PC{0,300}", sealed in any::<bool>()) {
        let mint = Mint::new("browsers", &keys(1), &keys(2), CREDENTIAL).expect("keys");
        let key = base64::engine::general_purpose::URL_SAFE.encode([1; 32]);
        let token = if sealed { fernet::Fernet::new(&key).expect("a key").encrypt(text.as_bytes()) } else { text };
        prop_assert_eq!(mint.open(&token, 0), None);
    }
}
