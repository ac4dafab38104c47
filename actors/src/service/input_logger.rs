//! `zeugma.helpers.input-logger`: writes what it got to the log.

use sdk::{Context, Request, Result};

/// How much of a body goes into one line of the log.
pub(crate) const LOGGED: usize = 10_000;

/// Writes the input to the log, as JSON on one line if it is that, and answers nothing.
#[sdk::service(name = "zeugma.helpers.input-logger", namespace = "zeugma.helpers")]
pub async fn input_logger(ctx: &Context, request: Request) -> Result<()> {
    let text = match request.payload() {
        Ok(value) => value.to_string(),
        Err(_) => String::from_utf8_lossy(&request.raw).into_owned(),
    };
    ctx.logger().info(format_args!(
        "channel {} ({}): {}",
        ctx.channel().name,
        ctx.channel().r#type,
        shortened(&text)
    ));
    Ok(())
}

/// The beginning of a text, with how much is left out.
pub(crate) fn shortened(text: &str) -> std::borrow::Cow<'_, str> {
    if text.len() <= LOGGED {
        return text.into();
    }
    let end = text.floor_char_boundary(LOGGED);
    format!("{}... ({} bytes more)", &text[..end], text.len() - end).into()
}
