//! `billing`: takes a file from an FTP server and posts it to an HTTP server.

use schemars::JsonSchema;
use sdk::{Context, Ftp, Http, Result};
use serde::{Deserialize, Serialize};

/// What to send.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Billing {
    /// The file on the FTP server.
    pub path: String,
}

impl Default for Billing {
    fn default() -> Self {
        Self { path: "/home/api/billing.csv".into() }
    }
}

/// What became of it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Sent {
    /// The file that was sent.
    pub path: String,
    /// How many bytes it has.
    pub size: usize,
    /// The status that the HTTP server answered.
    pub status: u16,
}

/// Takes a file from the FTP server `my.ftp` and posts it to the HTTP connection `ERP`, with the cid as a header.
#[sdk::service(name = "billing", namespace = "zeugma.examples")]
pub async fn billing(ctx: &Context, input: Billing) -> Result<Sent> {
    let file = ctx.connection::<Ftp>("my.ftp")?.get(&input.path).await?;
    let size = file.len();
    let erp = ctx.connection::<Http>("ERP")?;
    let answer =
        erp.post().header("content-type", "application/octet-stream").body(file).send().await?.ok()?;
    ctx.logger().info(format_args!("sent {size} bytes of {}", input.path));
    Ok(Sent { path: input.path, size, status: answer.status.as_u16() })
}
