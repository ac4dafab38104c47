//! Reading a body, never more of it than allowed and not for longer than that.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use sdk::{Error, ErrorKind, Result};

/// The longest body: a bundle of some ten thousand definitions.
pub(super) const LIMIT: usize = 16 << 20;
/// How long the caller may take to send it.
const TIME: Duration = Duration::from_secs(60);

/// Refuses a body that says itself that it is too long, before any of it is read.
pub(super) fn check_length(headers: &HeaderMap) -> Result<()> {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match length.and_then(|text| text.parse::<u64>().ok()) {
        Some(length) if length > LIMIT as u64 => Err(too_large()),
        _ => Ok(()),
    }
}

/// Reads a body.
pub(super) async fn collect<B: Buf>(body: impl Stream<Item = Result<B, warp::Error>>) -> Result<Bytes> {
    let all = async {
        let mut all = BytesMut::new();
        let mut body = std::pin::pin!(body);
        while let Some(piece) = body.next().await {
            let piece =
                piece.map_err(|error| Error::invalid("the body broke off").because(error.to_string()))?;
            if all.len() + piece.remaining() > LIMIT {
                return Err(too_large());
            }
            let mut piece = piece;
            all.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
        }
        Ok(all.freeze())
    };
    let late = |_| Error::invalid(format!("the body did not come within {TIME:?}"));
    tokio::time::timeout(TIME, all).await.map_err(late)?
}

fn too_large() -> Error {
    Error::new(ErrorKind::TooLarge, format!("the body is longer than {} MiB", LIMIT >> 20))
}
