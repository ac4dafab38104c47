//! `ftp-handler`: stores each request, byte for byte, as a file of its own on an FTP server.

use schemars::JsonSchema;
use sdk::{Context, ErrorKind, Ftp, Request, Response, Result};
use serde::{Deserialize, Serialize};

/// The connection that files go to.
const CONNECTION: &str = "my.ftp";
/// The folder that files go to; it is made if it is not there.
const FOLDER: &str = "/home/api";

/// Where a request went.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Stored {
    /// The file on the FTP server.
    pub path: String,
    /// How many bytes it has.
    pub size: u64,
}

/// Stores the raw request on the FTP server `my.ftp`, as `/home/api/request.<time>-<cid>`.
///
/// The time is UTC and written without characters that file systems refuse; the cid makes the name the only one, so
/// that no request overwrites another.
#[sdk::service(name = "ftp-handler", namespace = "zeugma.examples")]
pub async fn ftp_handler(ctx: &Context, request: Request) -> Result<Response> {
    let ftp = ctx.connection::<Ftp>(CONNECTION)?;
    let time = ctx.now().format("%Y%m%dT%H%M%S%.6fZ");
    let path = format!("{FOLDER}/request.{time}-{}", ctx.cid());
    let size = match ftp.put(&path, request.raw.clone()).await {
        // Servers answer an upload into a folder that is missing in several ways, and another request may be making the
        // folder right now. The name is this request's own: to try again stores nothing twice.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Upstream) => {
            make_folder(&ftp).await;
            ftp.put(&path, request.raw).await?
        }
        outcome => outcome?,
    };
    ctx.logger().info(format_args!("stored {size} bytes at {path}"));
    Response::json(&Stored { path, size })
}

/// Makes the folder and those above it, as far as they are not there; what a server says of one that is, differs.
async fn make_folder(ftp: &Ftp) {
    for end in FOLDER.match_indices('/').skip(1).map(|(i, _)| i).chain([FOLDER.len()]) {
        drop(ftp.make_dir(&FOLDER[..end]).await);
    }
}
