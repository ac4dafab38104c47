//! Bundles on the way from files to a node: variables filled in here, and faults told with the places in the files.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use config::bundle::{self, Bundle};
use config::settings::env_var;
use config::{Draft, Family, Fault};
use serde_json::{Map, Value};

use super::exit::{Exit, Stop};

/// Which bundles.
#[derive(Debug, Args)]
pub(super) struct Files {
    /// A bundle, or a folder of them; - reads standard input. Several are one bundle
    #[arg(short, long = "file", value_name = "FILE|DIR", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
}

impl Files {
    /// Reads them, and fills in `${NAME}` from the environment.
    pub(super) fn read(&self) -> Result<Bundle, Stop> {
        let (stdin, paths): (Vec<_>, Vec<_>) =
            self.files.iter().cloned().partition(|path| path == Path::new("-"));
        let mut bundle = bundle::read_paths(&paths);
        if !stdin.is_empty() {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            bundle = bundle.and(Bundle::read(&text, Some("stdin")));
        }
        if bundle == Bundle::default() {
            return Err(Stop::new(Exit::Failed, "the bundle holds no definition")
                .hint("a bundle is a family and, under it, a list: channels: [{name: ..., type: ...}]"));
        }
        Ok(bundle.filled(&env_var).with_sources())
    }
}

/// The bundle as it is sent.
pub(super) fn written(drafts: &[Draft]) -> String {
    bundle::write_json(drafts.iter().map(definition))
}

fn definition(draft: &Draft) -> (Family, Map<String, Value>) {
    let mut written = Map::new();
    written.insert("name".into(), draft.id.name.as_str().into());
    written.insert("type".into(), draft.kind.r#type.clone().into());
    written.insert("enabled".into(), draft.enabled.into());
    written.extend(draft.params.0.clone());
    (draft.id.family, written)
}

/// Faults of the node are at places of the bundle that it was sent: here they get those of the files.
pub(super) fn placed(mut stop: Stop, drafts: &[Draft]) -> Stop {
    for fault in &mut stop.faults {
        let path = fault.at.split_once(' ').filter(|(place, _)| is_position(place));
        let path = path.map_or(fault.at.as_str(), |(_, path)| path);
        let about = |draft: &&Draft| {
            let rest = path.strip_prefix(&draft.id.to_string());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        // A name may hold dots, and so begin like another one: the longest that fits is meant.
        if let Some(draft) = drafts.iter().filter(about).max_by_key(|draft| draft.id.name.as_str().len()) {
            fault.at = format!("{}{path}", draft.place);
        }
    }
    // The node was sent the definitions in the order of their names; people read them in that of the files.
    let order = |fault: &Fault| {
        drafts.iter().position(|draft| fault.at.starts_with(&draft.at())).unwrap_or(usize::MAX)
    };
    stop.faults.sort_by_cached_key(order);
    stop
}

fn is_position(text: &str) -> bool {
    text.split_once(':').is_some_and(|(line, column)| {
        [line, column].iter().all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn a_fault_of_the_node_gets_the_place_in_the_file() {
        let drafts =
            bundle::parse("channels:\n- {name: a, type: t}\n- {name: a.path, type: t}", Some("b.yaml"))
                .expect("a bundle");
        let faults = ["1:9 channel/a.path", "1:9 channel/a.path.x", "channel/b", "1:2 other"];
        let faults = faults.map(|at| Fault::new(at, "")).to_vec();
        let placed = placed(Stop { faults, ..Stop::failed("") }, &drafts);
        let at: Vec<_> = placed.faults.iter().map(|fault| fault.at.as_str()).collect();
        assert_eq!(
            at,
            ["b.yaml:3:3 channel/a.path", "b.yaml:3:3 channel/a.path.x", "channel/b", "1:2 other"]
        );
    }

    #[test]
    fn what_is_sent_reads_back_to_the_same() {
        let text = "connections: [{name: c, type: t, password: 'a$${b', enabled: false}]";
        let read = |text: &str| {
            bundle::substitute(bundle::parse(text, None).expect("a bundle"), &|_| None).expect("filled in")
        };
        let drafts = read(text);
        let mut back = read(&written(&drafts));
        back[0].place = drafts[0].place.clone();
        assert_eq!(back, drafts);
    }
}
