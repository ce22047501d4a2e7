//! What requests need to be permitted, and whether they are: from an operation to actions, resources and keys of
//! conditions, and from the decisions of `iam` to AccessDeniedException.
//!
//! A request is authorized when it has been decoded and before it is validated. Invariant: no operation without an
//! [`Authorize`], which `http/dispatch.rs` asks for; what a request does is told from the same members, by the same
//! parsers, as it is done. Where those refuse a request, what they would tell does not count, because nothing is done.
//! Not here: who a principal is and which policies it has (`iam`), the wording of denials (`iam`).
//!
//! Source of actions, resources and keys: Service Authorization Reference, "Actions, resources, and condition keys for
//! Amazon DynamoDB".

mod backup;
mod batch;
mod bulk;
mod control;
mod facts;
mod item;
mod judge;
mod page;
mod resource;
mod resource_policy;
mod statement;
mod stream;
mod tags;
mod transaction;
mod transfer;

pub(crate) use judge::{Caller, Judge};

use crate::wire::error::ApiError;

/// A request that says what it needs to be permitted.
pub(crate) trait Authorize {
    /// Asks for everything that the request needs.
    ///
    /// # Errors
    /// AccessDeniedException for the first thing that is not permitted.
    fn authorize(&mut self, judge: &Judge<'_>) -> impl Future<Output = Result<(), ApiError>> + Send;
}
