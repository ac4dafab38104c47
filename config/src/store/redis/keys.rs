//! The names of everything that a cluster keeps in Redis. One hash tag holds them together, so that one script may
//! touch them all.

use crate::name::Name;

/// The keys of one cluster. Several clusters may share a Redis.
#[derive(Clone, Debug)]
pub(super) struct Keys(String);

impl Keys {
    /// Those of this cluster.
    pub(super) fn new(cluster: &Name) -> Self {
        // A brace in the name would end the hash tag early, and make names of two clusters meet.
        let name = cluster.as_str().replace('%', "%25").replace('{', "%7B").replace('}', "%7D");
        Self(format!("{{zeugma:{name}}}:"))
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.0)
    }

    /// HASH: `epoch`, `rev` and `count`, the number of definitions that must be there.
    pub(super) fn head(&self) -> String {
        self.key("head")
    }

    /// HASH: the definitions, id to JSON.
    pub(super) fn objects(&self) -> String {
        self.key("obj")
    }

    /// STREAM: the history. The id of an entry is its revision.
    pub(super) fn log(&self) -> String {
        self.key("log")
    }

    /// There if the commit of this id must not happen any more.
    pub(super) fn void(&self, commit: &str) -> String {
        self.key(&format!("void:{commit}"))
    }

    /// Counts the starts of processes.
    pub(super) fn incarnations(&self) -> String {
        self.key("inc")
    }

    /// HASH: the nodes, name to what each says about itself and when it last did.
    pub(super) fn nodes(&self) -> String {
        self.key("nodes")
    }

    /// HASH: the newest receipt of each node.
    pub(super) fn served(&self) -> String {
        self.key("served")
    }

    /// STREAM: one entry a receipt. Only a hint, which wakes those who wait for one.
    pub(super) fn receipts(&self) -> String {
        self.key("receipts")
    }

    /// The lease of this name.
    pub(super) fn lease(&self, name: &str) -> String {
        self.key(&format!("lease:{name}"))
    }

    /// There as long as this session is.
    pub(super) fn session(&self, id: &str) -> String {
        self.key(&format!("session:{id}"))
    }

    /// STREAM: the sessions that were ended. Only a hint.
    pub(super) fn closed(&self) -> String {
        self.key("closed")
    }

    /// ZSET: the keys of the items of a cache, by their last use. An item's own key begins with this one.
    pub(super) fn cache(&self, name: &str) -> String {
        self.key(&format!("cache:{name}"))
    }

    /// SET: the names of the caches.
    pub(super) fn caches(&self) -> String {
        self.key("caches")
    }

    /// Counts the leases given.
    pub(super) fn fence(&self) -> String {
        self.key("fence")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_two_clusters_never_meet() {
        let keys = |name: &str| Keys::new(&name.parse().expect("a name"));
        assert_eq!(keys("prod").head(), "{zeugma:prod}:head");
        assert_eq!(keys("a}:b").head(), "{zeugma:a%7D:b}:head");
        assert_ne!(keys("a%7D").head(), keys("a}").head());
    }
}
