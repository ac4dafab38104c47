//! Compression of answers, as far as the caller accepts it, and of requests, within the limit of the body.

use std::io::Read as _;
use std::io::Write as _;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, VARY};
use http::{HeaderValue, Method, Response, StatusCode};
use sdk::{Error, ErrorKind, HttpHead, Result};

/// Shorter answers are sent as they are: compressing them saves less than it costs.
const WORTH_IT: usize = 1024;
/// Longer ones are compressed on a thread of their own, so that other requests do not wait.
const LONG: usize = 64 * 1024;

/// A compression that is spoken here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Coding {
    Brotli,
    Gzip,
}

impl Coding {
    fn of(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "br" => Some(Self::Brotli),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            _ => None,
        }
    }

    fn name(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        })
    }

    /// Quick rather than small: the levels that such proxies use for what is made on the fly.
    fn compress(self, body: &[u8]) -> std::io::Result<Vec<u8>> {
        let out = Vec::with_capacity(body.len() / 3);
        match self {
            Self::Gzip => {
                let mut gzip = flate2::write::GzEncoder::new(out, flate2::Compression::new(4));
                gzip.write_all(body)?;
                gzip.finish()
            }
            Self::Brotli => {
                let mut brotli = brotli::CompressorWriter::new(out, 4096, 4, 20);
                brotli.write_all(body)?;
                brotli.flush()?;
                Ok(brotli.into_inner())
            }
        }
    }
}

/// Compresses an answer if the caller accepts that and it is worth it.
pub async fn apply(head: &HttpHead, mut response: Response<Bytes>) -> Response<Bytes> {
    let headers = response.headers();
    let has_body = !matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !has_body
        || response.body().len() < WORTH_IT
        || headers.contains_key(CONTENT_ENCODING)
        || !headers.get(CONTENT_TYPE).is_some_and(is_compressible)
    {
        return response;
    }
    response.headers_mut().append(VARY, HeaderValue::from_static("accept-encoding"));
    if head.method == Method::HEAD {
        return response;
    }
    let Some(coding) = accepted(head) else { return response };
    let body = response.body().clone();
    let compressed = if body.len() > LONG {
        tokio::task::spawn_blocking(move || coding.compress(&body))
            .await
            .map_err(std::io::Error::other)
            .flatten()
    } else {
        coding.compress(&body)
    };
    match compressed {
        Ok(smaller) if smaller.len() < response.body().len() => {
            response.headers_mut().insert(CONTENT_ENCODING, coding.name());
            response.headers_mut().remove(CONTENT_LENGTH);
            if let Some(tag) = response.headers_mut().remove(ETAG) {
                // The bytes are others now, so the tag can only be a weak one (RFC 9110, 8.8.1).
                let weak = tag.to_str().ok().filter(|t| !t.starts_with("W/")).map(|t| format!("W/{t}"));
                let weak = weak.and_then(|t| HeaderValue::from_str(&t).ok()).unwrap_or(tag);
                response.headers_mut().insert(ETAG, weak);
            }
            *response.body_mut() = smaller.into();
        }
        Ok(_) => {}
        Err(error) => tracing::error!(%error, "an answer could not be compressed and is sent as it is"),
    }
    response
}

/// The caller's preferred one among ours (RFC 9110, 12.5.3); with equal weight br, which is smaller.
fn accepted(head: &HttpHead) -> Option<Coding> {
    let mut best: Option<(f32, Coding)> = None;
    for value in head.headers.get_all(ACCEPT_ENCODING) {
        for item in value.to_str().ok()?.split(',') {
            let mut parts = item.split(';');
            let name = parts.next().unwrap_or_default();
            let weight = parts.find_map(|p| p.trim().strip_prefix("q=")).map_or(Ok(1.0), str::parse::<f32>);
            let (Some(coding), Ok(weight)) = (Coding::of(name), weight) else { continue };
            let better = best.is_none_or(|(w, c)| weight > w || (weight == w && c == Coding::Gzip));
            if weight > 0.0 && better {
                best = Some((weight, coding));
            }
        }
    }
    best.map(|(_, coding)| coding)
}

fn is_compressible(content_type: &HeaderValue) -> bool {
    let Some(mime) = content_type.to_str().ok().and_then(|t| t.parse::<mime::Mime>().ok()) else {
        return false;
    };
    let textual = [mime::JSON, mime::XML, mime::JAVASCRIPT];
    mime.type_() == mime::TEXT
        || textual.contains(&mime.subtype())
        || mime.suffix().is_some_and(|suffix| textual.contains(&suffix))
}

/// A request's body as it was before it was compressed. At most `limit` bytes come out, so that a small body cannot
/// become a large one unseen.
///
/// # Errors
/// Unsupported media for another compression; too large; invalid if it is broken.
pub(crate) fn decompressed(head: &HttpHead, body: &Bytes, limit: usize) -> Result<Bytes> {
    let Some(encoding) = head.header(CONTENT_ENCODING).filter(|e| !e.trim().eq_ignore_ascii_case("identity"))
    else {
        return Ok(body.clone());
    };
    let unknown =
        || Error::new(ErrorKind::UnsupportedMedia, "the body may be compressed with gzip or br only");
    let coding = Coding::of(encoding).ok_or_else(unknown)?;
    let mut out = Vec::new();
    let ceiling = limit as u64 + 1;
    let read = match coding {
        Coding::Gzip => flate2::read::MultiGzDecoder::new(&body[..]).take(ceiling).read_to_end(&mut out),
        Coding::Brotli => brotli::Decompressor::new(&body[..], 4096).take(ceiling).read_to_end(&mut out),
    };
    read.map_err(|e| Error::invalid(format!("the body is not valid {encoding}")).because(e))?;
    if out.len() > limit {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("the body is longer than {limit} bytes once decompressed"),
        ));
    }
    Ok(out.into())
}
