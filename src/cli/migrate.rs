//! `zeugma migrate`: from a node that kept its definitions in a file to a cluster that keeps them in Redis.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use config::settings::{Environment, Flags, Settings};
use config::store::embedded::Embedded;
use config::store::redis::Redis;
use config::store::{Entry, Op};
use config::{Catalog, Clock, Definition, Keyring, Secret, Store as _};

use super::exit::{Exit, Stop};
use super::output::print;

/// How many revisions are read at once.
const PAGE: usize = 500;
/// How long the node's copy may take to be written.
const FLUSH: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// Where the definitions are: embedded
    #[arg(long, value_name = "STORE", value_parser = ["embedded"], default_value = "embedded")]
    from: String,
    /// Where they are to be: redis://HOST:PORT, with nothing of this cluster in it yet
    #[arg(long, value_name = "STORE", value_parser = secret)]
    to: Secret,
    /// The cluster that they are to belong to
    #[arg(long, value_name = "NAME", default_value = "zeugma")]
    cluster: String,
    /// The data folder of the node, which must not be running
    #[arg(long, value_name = "DIR", default_value = "zeugma-data")]
    data: PathBuf,
    /// The file of the keys that seal secrets in the cluster; else what `start --store` would take
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

impl Migrate {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        let environment = Environment::of_process();
        let failed = |error: &dyn std::fmt::Display| Stop::failed(error.to_string());
        let before = Flags { data: Some(self.data.clone()), ..Flags::default() };
        let after = Flags {
            store: Some(self.to),
            cluster: Some(self.cluster),
            key_file: self.key_file,
            ..before.clone()
        };
        if !self.data.join("definitions.redb").exists() {
            return Err(Stop::failed(format!("{} holds no definitions", self.data.display()))
                .hint("name the data folder of the node with --data"));
        }
        let before = Settings::load(None, &environment, &before)?;
        let after = Settings::load(None, &environment, &after)?;
        let old = before.keyring(&environment).map_err(|e| failed(&e))?;
        let new = after.keyring(&environment).map_err(|e| failed(&e))?;

        let store = Embedded::open(&self.data, Clock::System).map_err(|e| failed(&e))?;
        let mut catalog = Catalog::clone(&*store.load().await.map_err(|e| failed(&e))?);
        let all = catalog.definitions.iter();
        let all = all.map(|(id, definition)| Ok((id.clone(), Arc::new(resealed(definition, &old, &new)?))));
        catalog.definitions = all.collect::<Result<_, Stop>>()?;
        let mut history: Vec<Entry> = Vec::new();
        loop {
            let from = history.last().map(|entry: &Entry| entry.revision);
            let page = store.history(from, PAGE).await.map_err(|e| failed(&e))?;
            if page.is_empty() {
                break;
            }
            history.extend(page);
        }
        history.reverse();
        for op in history.iter_mut().flat_map(|entry| &mut entry.ops) {
            let Op { before, after, .. } = op;
            for definition in [before, after].into_iter().flatten() {
                *definition = resealed(definition, &old, &new)?;
            }
        }

        let redis = Redis::open(&after.store, &after.cluster, &self.data, Clock::System).await;
        let redis = redis.map_err(|e| failed(&e))?;
        redis.import(&catalog, &history).await.map_err(|e| failed(&e))?;
        redis.flush(FLUSH).await;
        print(&format!(
            "{} definitions and {} revisions are in {} now, at revision {}\nstart the node with --store, and others \
             with it; {} keeps what was there",
            catalog.definitions.len(),
            history.len(),
            redis.describe(),
            catalog.revision,
            self.data.join("definitions.redb").display()
        ))
    }
}

/// The same definition, its secrets sealed with the keys of the cluster.
fn resealed(definition: &Definition, old: &Keyring, new: &Keyring) -> Result<Definition, Stop> {
    let params =
        new.resealed(&definition.params, old).map_err(|e| Stop::failed(format!("{}: {e}", definition.id)))?;
    Ok(Definition { params, ..definition.clone() })
}
