//! `--watch`: a folder whose bundles are applied whenever they change.

use std::path::PathBuf;
use std::time::Duration;

use config::settings::env_var;
use config::{Faults, Note, bundle};

use crate::app::App;
use crate::definitions::{Options, Refused};

/// How often the folder is looked at. Looking is cheap: only what has changed is read.
const EVERY: Duration = Duration::from_secs(1);

/// Watches the folder of the settings, if there is one, until the node stops.
pub fn begin(app: &App) {
    let Some(folder) = app.settings.watch.clone() else { return };
    let (app, mut stopping) = (app.clone(), app.stopping.clone());
    app.tasks.clone().spawn("watch", async move {
        tokio::select! {
            () = watch(app, folder) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    });
}

async fn watch(app: App, folder: PathBuf) {
    tracing::info!(folder = %folder.display(), "watching a folder");
    let paths = [folder];
    let (mut seen, mut applied) = (None, None);
    let mut complaint = None;
    loop {
        let of = paths.clone();
        let stamp = match tokio::task::spawn_blocking(move || bundle::stamp(&of)).await {
            Ok(Ok(stamp)) => Some(stamp),
            // Files come and go while they are looked at. What stays wrong is said once.
            Ok(Err(fault)) => {
                if complaint.as_ref() != Some(&fault) {
                    tracing::warn!(%fault, "the watched folder cannot be looked at");
                }
                complaint = Some(fault);
                None
            }
            Err(error) => {
                tracing::error!(%error, "looking at the watched folder panicked");
                return;
            }
        };
        // A file that is still being written looks different each time: what is applied has stood still for a while.
        if stamp.is_some() && stamp == seen && stamp != applied {
            complaint = None;
            apply(&app, &paths).await;
            applied.clone_from(&stamp);
        }
        seen = stamp;
        tokio::time::sleep(EVERY).await;
    }
}

/// Applies what is there; what is wrong goes to the log, and is tried again when a file changes.
async fn apply(app: &App, paths: &[PathBuf; 1]) {
    let of = paths.clone();
    let read = move || bundle::read_paths(&of).filled(&env_var);
    let outcome = match tokio::task::spawn_blocking(read).await {
        Ok(bundle) => {
            let note =
                Note { author: "zeugma start".into(), reason: Some("--watch".into()), ..Note::default() };
            app.definitions.apply(bundle, Options::default(), note).await
        }
        Err(error) => {
            tracing::error!(%error, "reading the watched folder panicked");
            return;
        }
    };
    match outcome {
        Ok(outcome) if outcome.changes.is_empty() => {}
        Ok(outcome) => {
            let (revision, changes) = (outcome.revision, outcome.changes.len());
            tracing::info!(%revision, changes, "applied the watched folder");
        }
        Err(Refused::Faults(Faults(faults))) => {
            for fault in faults {
                tracing::warn!(%fault, "the watched folder is not applied");
            }
        }
        Err(refused) => tracing::warn!(%refused, "the watched folder is not applied"),
    }
}
