//! `zeugma.helpers.echo`: answers what it got.

use http::header::CONTENT_TYPE;
use sdk::{Context, Request, Response, Result};

/// Answers the body that it got, byte for byte, with the same content type.
#[sdk::service(name = "zeugma.helpers.echo", namespace = "zeugma.helpers")]
pub async fn echo(_ctx: &Context, request: Request) -> Result<Response> {
    let content_type = request.http.as_ref().and_then(|head| head.headers.get(CONTENT_TYPE)).cloned();
    let response = Response::new(request.raw);
    Ok(match content_type {
        Some(content_type) => response.with_header(CONTENT_TYPE, content_type),
        None => response,
    })
}
