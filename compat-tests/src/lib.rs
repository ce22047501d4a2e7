//! A harness for tests that start real `stator` processes, speak to them as clients do, and kill them.
//!
//! It knows nothing of Stator but its command line and the DynamoDB API. A [`Node`] is a process of `stator dev`, a
//! [`Cluster`] several of `stator serve`; a [`Client`] is a connection, an [`Sdk`] a client that tries again as the SDKs
//! do, [`Boto`] boto3 itself, a [`Balancer`] what stands in front of the nodes, [`Links`] are what lies between them, a
//! [`Door`] is where a node is broken from inside; [`load`] writes and reads under faults and checks what was seen, [`chaos`]
//! does all of it at once.

mod access;
mod balancer;
mod boto;
pub mod chaos;
mod client;
mod clock;
mod cluster;
mod door;
mod links;
pub mod load;
mod member;
mod membership;
pub mod moves;
mod node;
mod ports;
mod random;
pub mod rot;
mod sdk;

pub use access::{Access, trusting};
pub use balancer::Balancer;
pub use boto::{Boto, python};
pub use client::{Answer, Client};
pub use clock::{holds_within, now, pause, time_of_day};
pub use cluster::{Cluster, Durability};
pub use door::{Door, Inside};
pub use links::{Condition, Links};
pub use member::{Member, Starting, StatusProbe};
pub use membership::Change;
pub use node::{Node, address, stator};
pub use random::Random;
pub use sdk::{Caller, Failure, Mode, Sdk};

/// What goes wrong in the harness itself; tests only show it.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// A result of the harness.
pub type Result<T> = std::result::Result<T, Error>;
