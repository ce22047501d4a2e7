//! The doer on tokio's clock.
