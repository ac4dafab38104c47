//! Paths as they are compared: one spelling for all that mean the same (RFC 3986, 6.2.2).

use std::borrow::Cow;
use std::fmt::Write as _;

/// The one spelling of a path: what need not be escaped is not, the rest with digits in upper case, and letters beyond
/// ASCII as browsers send them. Slashes stay as they are: an escaped one is none.
pub(super) fn canonical(path: &str) -> Cow<'_, str> {
    if path.bytes().all(|byte| byte.is_ascii() && byte != b'%') {
        return path.into();
    }
    let mut canonical = String::with_capacity(path.len() + 8);
    let mut rest = path.as_bytes();
    while let Some((first, mut after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high * 16 + low),
            _ => None,
        };
        if escaped.is_some() {
            after = &after[2..];
        }
        match escaped.unwrap_or(*first) {
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => canonical.push(byte.into()),
            byte if escaped.is_some() || !byte.is_ascii() => drop(write!(canonical, "%{byte:02X}")), // into memory
            byte => canonical.push(byte.into()),
        }
        rest = after;
    }
    canonical.into()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_for_all_that_mean_the_same() {
        for (path, expected) in [
            ("/a/b-c", "/a/b-c"),
            ("/k\u{e4}se", "/k%C3%A4se"),
            ("/k%c3%a4se", "/k%C3%A4se"),
            ("/%61%2Db", "/a-b"),
            ("/a%2fb%2Fc", "/a%2Fb%2Fc"),
            ("/100%", "/100%"),
            ("/%zz/%4", "/%zz/%4"),
            ("/a+b/(c)", "/a+b/(c)"),
            ("/%25", "/%25"),
        ] {
            assert_eq!(canonical(path), expected);
            assert_eq!(canonical(expected), expected, "it is its own");
        }
    }
}
