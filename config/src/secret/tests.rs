//! Secrets are seen nowhere, and open with the right key only.

use super::*;

fn clear(value: Value) -> Clear {
    match value {
        Value::Object(map) => Clear(map),
        _ => Clear::default(),
    }
}

#[test]
fn a_sealed_secret_is_seen_nowhere_and_opens_again() {
    let ring = Keyring::generate();
    let draft = clear(json!({"user": "u", "password": "hush", "more": [{"key": "quiet"}]}));
    let secrets = [Pointer(vec!["password".into()]), Pointer(vec!["more".into(), "*".into(), "key".into()])];
    let sealed = ring.seal(&draft, &secrets, None).expect("seals");
    for seen in [format!("{sealed:?}"), format!("{:?}", serde_json::to_string(&sealed)), format!("{draft:?}")]
    {
        assert!(!seen.contains("hush") && !seen.contains("quiet"), "{seen}");
    }
    assert_eq!(ring.open(&sealed).expect("opens"), draft);
    assert!(Keyring::generate().open(&sealed).is_err(), "another key must not open it");
}

#[test]
fn the_masked_text_keeps_what_is_there() {
    let ring = Keyring::generate();
    let secrets = [Pointer(vec!["password".into()])];
    let first = ring.seal(&clear(json!({"password": "hush"})), &secrets, None).expect("seals");
    let masked = clear(json!({"password": SEALED_TEXT}));
    let kept = ring.seal(&masked, &secrets, Some(&first)).expect("keeps");
    assert_eq!(kept, first);
    assert_eq!(ring.seal(&masked, &secrets, None).expect_err("nothing to keep").len(), 1);
}

#[test]
fn a_new_key_in_front_seals_and_the_old_one_still_opens() {
    let (old, new) = (Fernet::generate_key(), Fernet::generate_key());
    let before = Keyring::parse(&old, "keys").expect("a key");
    let after = Keyring::parse(&format!("{new}\n{old}\n"), "keys").expect("two keys");
    assert_eq!(after.open_text(&before.seal_text("hush")).expect("opens"), "hush");
    assert!(before.open_text(&after.seal_text("hush")).is_err());

    let secrets = [Pointer(vec!["password".into()])];
    let sealed = before.seal(&clear(json!({"password": "hush"})), &secrets, None).expect("seals");
    assert!(before.is_current(&sealed) && !after.is_current(&sealed));
    let masked = clear(json!({"password": SEALED_TEXT}));
    let anew = after.seal(&masked, &secrets, Some(&sealed)).expect("keeps");
    let only_new = Keyring::parse(&new, "keys").expect("a key");
    assert!(after.is_current(&anew) && only_new.open(&anew).is_ok(), "the old key can go");
    assert_eq!(only_new.seal(&masked, &secrets, Some(&sealed)).expect("kept as it is"), sealed);
}
