//! What the whole cluster agrees on: the keyspaces, the layout, and cells of whoever uses the cluster.
//!
//! It is the state of group 0, the metadata group, in a keyspace that every replica of that group has.
//! Invariant: effects of group 0 are applied like all others, and then take effect on the node ([`keyspaces`],
//! [`crate::node`]). Not here: how group 0 agrees (`group/`), what callers store.

pub(crate) mod keyspaces;
pub(crate) mod rows;
