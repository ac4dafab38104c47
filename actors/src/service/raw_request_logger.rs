//! `zeugma.helpers.raw-request-logger`: writes the raw bytes that it got to the log.

use sdk::{Context, Request, Result};

use super::input_logger::shortened;

/// Writes the body to the log as it came, with bytes that are no text escaped, and answers nothing.
#[sdk::service(name = "zeugma.helpers.raw-request-logger", namespace = "zeugma.helpers")]
pub async fn raw_request_logger(ctx: &Context, request: Request) -> Result<()> {
    let text = request.raw.escape_ascii().to_string();
    ctx.logger().info(format_args!("{} bytes: {}", request.raw.len(), shortened(&text)));
    Ok(())
}
