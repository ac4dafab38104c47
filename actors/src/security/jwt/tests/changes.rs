//! What ends tokens that are there already: a change of the definition, and too many of them.

use super::*;

#[tokio::test]
async fn with_another_user_name_or_password_no_token_of_before_counts() {
    let old = kit();
    let (token, other) = (old.token().await, old.tokens.create("partner", None).await.expect("a token"));
    let both = |new: u8, old: u8| [keys(new), keys(old)].concat();
    for (seal, sign) in [(keys(1), keys(2)), (both(5, 1), both(6, 2))] {
        for (credential, counts) in
            [(CREDENTIAL, true), (b"web\nhush", false), ("wéb\nhush!".as_bytes(), false)]
        {
            let mut new = kit_with(&seal, &sign, None);
            new.tokens.mint = Mint::new("browsers", &seal, &sign, credential).expect("keys");
            new.tokens.sessions = old.store.clone();
            for token in [&token, &other] {
                assert_eq!(new.shows(token).await.is_ok(), counts);
                assert_eq!(
                    new.tokens.mint.open(token, new.tokens.now()).is_some(),
                    counts,
                    "to log out with"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_limit_that_is_set_later_holds_for_tokens_that_are_there_already() {
    let old = kit();
    let token = old.token().await;
    let mut new = kit_with(&keys(1), &keys(2), Some(TTL));
    (new.tokens.sessions, new.tokens.clock) = (old.store.clone(), old.clock.clone());
    new.shows(&token).await.expect("not over yet");
    old.clock.advance(TimeDelta::seconds(TTL as i64 - 1));
    for kit in [&new, &old] {
        kit.tokens.cache.clear(); // and so prolongs the session
        kit.shows(&token).await.expect("not over yet");
    }
    old.clock.advance(TimeDelta::seconds(1));
    new.is_refused(&token).await; // known
    new.tokens.cache.clear();
    new.is_refused(&token).await;
    old.shows(&token).await.expect("without a limit it goes on");
}

#[tokio::test]
async fn with_too_many_log_ins_the_oldest_ends_and_no_token_on_behalf_of_others() {
    let mut kit = kit();
    kit.tokens.opened = Opened::of(2);
    let other = kit.tokens.create("partner", None).await.expect("a token");
    let tokens = [kit.token().await, kit.token().await];
    for token in &tokens {
        kit.shows(token).await.expect("let in");
    }
    let third = kit.token().await;
    kit.is_refused(&tokens[0]).await;
    for token in [&tokens[1], &third, &other] {
        kit.shows(token).await.expect("let in");
    }
}
