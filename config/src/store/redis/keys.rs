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

    /// What all keys begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.0
    }

    /// HASH: the states of the jobs of a bucket, by name.
    pub(super) fn jobs(&self, bucket: u16) -> String {
        self.key(&format!("jobs:{bucket}"))
    }

    /// HASH: the runs of a bucket that are under way, by name and slot.
    pub(super) fn runs(&self, bucket: u16) -> String {
        self.key(&format!("runs:{bucket}"))
    }

    /// ZSET: the history of a job, by slot.
    pub(super) fn slots(&self, name: &Name) -> String {
        self.key(&format!("slots:{name}"))
    }

    /// HASH: the numbers of jobs, by name; and under the empty name, the last one given.
    pub(super) fn numbers(&self) -> String {
        self.key("job-numbers")
    }

    /// Counts the changes of jobs beside the catalog.
    pub(super) fn job_changes(&self) -> String {
        self.key("job-changes")
    }

    /// There as long as this session is.
    pub(super) fn session(&self, id: &str) -> String {
        self.key(&format!("session:{id}"))
    }

    /// STREAM: the sessions that were ended. Only a hint.
    pub(super) fn closed(&self) -> String {
        self.key("closed")
    }

    /// HASH: what is left of this budget.
    pub(super) fn budget(&self, name: &str) -> String {
        self.key(&format!("budget:{name}"))
    }

    /// ZSET: the keys of the items of a cache, by their last use. An item's own key begins with this one.
    pub(super) fn cache(&self, name: &str) -> String {
        self.key(&format!("cache:{name}"))
    }

    /// SET: the names of the caches.
    pub(super) fn caches(&self) -> String {
        self.key("caches")
    }

    /// STREAM: a journal.
    pub(super) fn journal(&self, name: &str) -> String {
        self.key(&format!("journal:{name}"))
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
