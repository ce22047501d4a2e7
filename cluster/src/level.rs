//! Consistency levels: how many replicas an operation waits for. How a client names one is not known here.

/// How many replicas have to take part before an operation is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsistencyLevel {
    /// One replica: for reads, any that is near; its state may lag behind.
    One,
    /// A majority: reads see every acknowledged write.
    Quorum,
    /// Every replica.
    All,
}
