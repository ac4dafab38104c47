//! The log: lines for people, or JSON for programs, to standard error.

use std::fmt;
use std::io::IsTerminal as _;

use config::Fault;
use config::settings::{LogFormat, Settings};
use sdk::call::Call;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer, format};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What is said only on request: the demo's FTP server writes all of itself into each line, and what is below the links
/// between nodes tells of each of their ends once more, and of payloads.
const QUIET: &str = "libunftp=off,ractor_cluster=error";

/// Begins to log as the settings say.
///
/// # Errors
/// If the filter is none, or somebody logs already.
pub fn start(settings: &Settings) -> Result<(), Fault> {
    let wrong = |error: &dyn fmt::Display| {
        Fault::new("log", format!("{:?} is not a filter: {error}", settings.log))
            .hint("such as info, or info,zeugma=debug")
    };
    let filter =
        EnvFilter::builder().parse(format!("{QUIET},{}", settings.log)).map_err(|error| wrong(&error))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    let colours = std::io::stderr().is_terminal();
    let begun = match settings.log_format {
        LogFormat::Text => {
            let text = WithCall { inner: format().with_ansi(colours), append: in_text };
            registry.with(lines.with_ansi(colours).event_format(text)).try_init()
        }
        LogFormat::Json => {
            let json = format().json().flatten_event(true).with_current_span(true).with_span_list(false);
            registry.with(lines.json().event_format(WithCall { inner: json, append: in_json })).try_init()
        }
    };
    begun.map_err(|error| Fault::new("log", error.to_string()))
}

/// Writes lines as `inner` does, and behind each the call that it belongs to.
struct WithCall<F> {
    inner: F,
    append: fn(&mut String, &Call),
}

impl<S, N, F> FormatEvent<S, N> for WithCall<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(call) = Call::current() else { return self.inner.format_event(ctx, writer, event) };
        let mut line = String::new();
        self.inner.format_event(ctx, Writer::new(&mut line), event)?;
        line.truncate(line.trim_end_matches('\n').len());
        (self.append)(&mut line, &call);
        writeln!(writer, "{line}")
    }
}

fn in_text(line: &mut String, call: &Call) {
    line.push_str(&format!(" cid={} service={}", call.cid, call.service));
}

/// Into the object that the line is.
fn in_json(line: &mut String, call: &Call) {
    if line.pop() == Some('}') {
        let call = serde_json::json!({"cid": call.cid.as_str(), "service": &*call.service});
        line.push_str(&format!(",\"call\":{call}}}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("nobody panicked").write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    async fn line(subscriber: impl Subscriber + Send + Sync, kept: &Kept) -> String {
        let call = Call { cid: sdk::Cid::new(), service: "get \"customer\"".into() };
        let guard = tracing::subscriber::set_default(subscriber);
        call.scope(async { tracing::info!(n = 7, "said") }).await;
        drop(guard);
        String::from_utf8(std::mem::take(&mut *kept.0.lock().expect("nobody panicked"))).expect("text")
    }

    #[tokio::test]
    async fn each_line_of_a_call_names_the_call() {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).with_ansi(false);
        let text = WithCall { inner: format().with_ansi(false), append: in_text };
        let said = line(tracing_subscriber::registry().with(lines.event_format(text)), &kept).await;
        assert!(said.contains("said n=7 cid=") && said.ends_with(" service=get \"customer\"\n"), "{said}");

        let writer = kept.clone();
        let lines = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).json();
        let json = WithCall { inner: format().json().flatten_event(true), append: in_json };
        let said = line(tracing_subscriber::registry().with(lines.event_format(json)), &kept).await;
        let said: serde_json::Value = serde_json::from_str(&said).expect("one object");
        assert_eq!((&said["n"], &said["call"]["service"]), (&7.into(), &"get \"customer\"".into()));
    }
}
