//! What a certificate says about who has it.

use std::fmt::Write as _;

use x509_parser::asn1_rs::Tag;
use x509_parser::prelude::{
    AttributeTypeAndValue, FromDer as _, GeneralName, RelativeDistinguishedName, X509Certificate, X509Name,
    oid_registry,
};

/// See the module.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Names {
    /// The whole subject, as it is written in parameters; none if it holds what is no text.
    pub(super) subject: Option<String>,
    pub(super) common: Vec<String>,
    pub(super) dns: Vec<String>,
    pub(super) emails: Vec<String>,
    pub(super) uris: Vec<String>,
}

impl Names {
    /// Reads them; none if this is no certificate.
    pub(super) fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        let common = subject.iter_common_name().filter_map(|name| name.as_str().ok()).map(Into::into);
        let mut names = Self { subject: written(subject), common: common.collect(), ..Self::default() };
        let alternative = certificate.subject_alternative_name().ok()?;
        for name in alternative.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::DNSName(name) => names.dns.push((*name).into()),
                GeneralName::RFC822Name(name) => names.emails.push((*name).into()),
                GeneralName::URI(name) => names.uris.push((*name).into()),
                _ => {}
            }
        }
        Some(names)
    }

    /// By what whoever has it is known.
    pub(super) fn name(&self) -> Option<&str> {
        let all = [&self.common, &self.dns, &self.emails, &self.uris];
        let first = all.into_iter().flatten().map(String::as_str).find(|name| !name.is_empty());
        first.or(self.subject.as_deref())
    }
}

/// A name as text: parts in the order of the certificate, with `, ` between them and ` + ` within one. Values are escaped
/// as in RFC 4514, so that different names are never the same text.
fn written(name: &X509Name<'_>) -> Option<String> {
    let part = |part: &RelativeDistinguishedName<'_>| {
        let attributes: Option<Vec<String>> = part.iter().map(attribute).collect();
        attributes.map(|attributes| attributes.join(" + "))
    };
    let parts: Option<Vec<String>> = name.iter().map(part).collect();
    parts.map(|parts| parts.join(", "))
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let alone = vec![RelativeDistinguishedName::new(vec![attribute.clone()])];
    let text = X509Name::new(alone, &[]).to_string_with_registry(oid_registry()).ok()?;
    let (kind, value) = text.split_once('=')?; // no kind holds one
    let is_text = attribute.as_str().is_ok()
        || matches!(
            attribute.attr_value().tag(),
            Tag::VisibleString
                | Tag::GeneralString
                | Tag::ObjectDescriptor
                | Tag::GraphicString
                | Tag::T61String
                | Tag::VideotexString
                | Tag::BmpString
        );
    Some(if is_text { format!("{kind}={}", escaped(value)) } else { format!("{kind}=#{value}") })
}

fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for (at, c) in value.char_indices() {
        let (first, last) = (at == 0, at + c.len_utf8() == value.len());
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', c]),
            '#' if first => text.push_str("\\#"),
            ' ' if first || last => text.push_str("\\ "),
            c if c.is_control() => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(text, "\\{byte:02X}"); // a text takes everything
                }
            }
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};

    use super::*;

    fn subject(parts: Vec<(DnType, DnValue)>) -> Option<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind, value);
        }
        let certificate = params.self_signed(&KeyPair::generate().expect("a key")).expect("signed");
        Names::of(certificate.der()).expect("a certificate").subject
    }

    #[test]
    fn a_value_that_looks_like_several_parts_is_one() {
        let two = vec![
            (DnType::CommonName, DnValue::from("partner")),
            (DnType::OrganizationName, DnValue::from("Example")),
        ];
        assert_eq!(subject(two).as_deref(), Some("CN=partner, O=Example"));
        for (value, written) in [
            ("partner, O=Example", r"CN=partner\, O=Example"),
            ("partner + O=Example", r"CN=partner \+ O=Example"),
            (r"partner\", r"CN=partner\\"),
            (" #partner ", r"CN=\ #partner\ "),
            ("#04", r"CN=\#04"),
            ("a\n\u{85}<\"b\">;é=", r#"CN=a\0A\C2\85\<\"b\"\>\;é="#),
            (" ", r"CN=\ "),
        ] {
            let text = subject(vec![(DnType::CommonName, DnValue::Utf8String(value.into()))]);
            assert_eq!(text.as_deref(), Some(written), "{value:?}");
        }
        let wide = DnValue::BmpString(rcgen::string::BmpString::try_from("a, b").expect("text"));
        assert_eq!(subject(vec![(DnType::CommonName, wide)]).as_deref(), Some(r"CN=a\, b"));
        let other = DnValue::UniversalString(rcgen::string::UniversalString::try_from("a").expect("text"));
        assert_eq!(subject(vec![(DnType::CommonName, other)]).as_deref(), Some("CN=#00000061"));
    }
}
