//! The routes of one host, in shards by the text that their paths begin with: a change builds the shards that it
//! touches anew, and shares the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::Name;
use foldhash::fast::RandomState;
use imbl::shared_ptr::DefaultSharedPtr;
use matchit::{Match, Router};

use crate::engine::Route;

/// The channels that share a host and a path. Those that say more come first: a verb before any, Accept before any.
pub(super) type Shared = Vec<Arc<Route>>;

/// The routes of one host, or of any.
#[derive(Clone, Default)]
pub(super) struct Paths {
    shards: imbl::GenericHashMap<Arc<str>, Arc<Shard>, RandomState, DefaultSharedPtr>,
    /// How many slashes the longest key of a shard holds at most: no path is tried at more places, however many it has.
    deepest: usize,
    count: usize,
    /// The keys of shards with routes that could not be entered.
    conflicting: BTreeSet<Arc<str>>,
}

/// Routes whose paths have one key.
#[derive(Default)]
struct Shard {
    routes: Vec<Arc<Route>>,
    router: Router<Shared>,
    refused: Vec<(Name, String)>,
}

/// What becomes of the routes of one shard.
#[derive(Default)]
pub(super) struct Edit<'a> {
    /// Whose routes go.
    pub(super) gone: BTreeSet<&'a Name>,
    /// The routes that come.
    pub(super) new: Vec<&'a Arc<Route>>,
}

/// The key of a pattern's shard: all of it, if it is literal, or else up to the last slash before its first brace.
/// Patterns with different keys never conflict, and where a path fits several, the longest key wins: that is what a router
/// of all of them does as well, since it prefers literal text.
pub(super) fn key(pattern: &str) -> &str {
    match pattern.find(['{', '}']) {
        None => pattern,
        Some(brace) => pattern[..brace].rfind('/').map_or("", |slash| &pattern[..=slash]),
    }
}

impl Shard {
    fn of(routes: Vec<Arc<Route>>) -> Self {
        let name = |route: &Arc<Route>| route.running.id().name.clone();
        let mut groups: BTreeMap<&str, Shared> = BTreeMap::new();
        for route in &routes {
            groups.entry(&route.channel.mount().pattern).or_default().push(route.clone());
        }
        let (mut router, mut refused) = (Router::new(), Vec::new());
        for (pattern, mut shared) in groups {
            shared.sort_by_key(|route| {
                let mount = route.channel.mount();
                (mount.method.is_none(), mount.accept.is_none(), name(route))
            });
            let names: Vec<Name> = shared.iter().map(name).collect();
            if let Err(error) = router.insert(pattern, shared) {
                refused.extend(names.into_iter().map(|name| (name, error.to_string())));
            }
        }
        Self { routes, router, refused }
    }
}

impl Paths {
    /// Changes the shard of this key.
    pub(super) fn edit(&mut self, key: &str, edit: Edit<'_>) {
        let before = self.shards.get(key).map(|shard| shard.routes.as_slice()).unwrap_or_default();
        self.count -= before.len();
        let stay = before.iter().filter(|route| !edit.gone.contains(&route.running.id().name));
        let routes: Vec<Arc<Route>> = stay.chain(edit.new).cloned().collect();
        self.conflicting.remove(key);
        if routes.is_empty() {
            self.shards.remove(key);
            return;
        }
        self.count += routes.len();
        self.deepest = self.deepest.max(key.matches('/').count());
        let (key, shard) = (Arc::<str>::from(key), Shard::of(routes));
        if !shard.refused.is_empty() {
            self.conflicting.insert(key.clone());
        }
        self.shards.insert(key, Arc::new(shard));
    }

    /// How many routes there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The channels whose routes could not be entered, with the reason.
    pub(super) fn refused(&self) -> impl Iterator<Item = &(Name, String)> {
        self.conflicting.iter().filter_map(|key| self.shards.get(key)).flat_map(|shard| &shard.refused)
    }

    /// What is at a path.
    pub(super) fn at<'p>(&self, path: &'p str) -> Option<Match<'_, 'p, &Shared>> {
        let within = |key: &str| self.shards.get(key).and_then(|shard| shard.router.at(path).ok());
        if let Some(found) = within(path) {
            return Some(found);
        }
        let mut head = match path.match_indices('/').nth(self.deepest) {
            Some((beyond, _)) => &path[..beyond],
            None => path,
        };
        while let Some(slash) = head.rfind('/') {
            if let Some(found) = within(&path[..=slash]) {
                return Some(found);
            }
            head = &path[..slash];
        }
        None
    }
}
