//! Calls that are not answered yet.
//!
//! Invariant: a call that is never answered, because it panics or because its client goes away, is written down like one that
//! failed inside: it may have taken effect.

use std::sync::Arc;

use http::request::Parts;
use stator_iam::Principal;

use super::{App, Trail, operation, query};
use crate::identity::error::IdentityError;
use crate::request_id::RequestId;
use crate::wire::error::ApiError;
use crate::wire::query::Api;
use crate::wire::query::form::Form;

/// An operation of DynamoDB's API.
pub(in crate::http) struct Pending<'a> {
    app: &'a App,
    parts: &'a Parts,
    id: RequestId,
    pub(in crate::http) trail: Trail,
    is_answered: bool,
}

impl<'a> Pending<'a> {
    pub(in crate::http) fn new(app: &'a App, parts: &'a Parts, id: RequestId) -> Self {
        Self {
            app,
            parts,
            id,
            trail: Trail::default(),
            is_answered: false,
        }
    }

    /// Writes it down with its answer.
    pub(in crate::http) fn answered(mut self, result: &Result<Vec<u8>, ApiError>) {
        self.is_answered = true;
        operation(self.app, self.parts, &self.trail, result, self.id);
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            let unknown = Err(ApiError::Internal("not answered".to_owned()));
            operation(self.app, self.parts, &self.trail, &unknown, self.id);
        }
    }
}

/// A call of the IAM or STS API.
pub(in crate::http) struct PendingCall<'a> {
    app: &'a App,
    parts: &'a Parts,
    call: (Api, &'a Form),
    id: RequestId,
    /// Who has proved to have sent it.
    pub(in crate::http) principal: Option<Arc<Principal>>,
    is_answered: bool,
}

impl<'a> PendingCall<'a> {
    pub(in crate::http) fn new(app: &'a App, parts: &'a Parts, call: (Api, &'a Form), id: RequestId) -> Self {
        Self {
            app,
            parts,
            call,
            id,
            principal: None,
            is_answered: false,
        }
    }

    /// Writes it down with its answer.
    pub(in crate::http) fn answered(mut self, result: &Result<String, IdentityError>) {
        self.is_answered = true;
        self.write(result);
    }

    fn write(&self, result: &Result<String, IdentityError>) {
        let principal = self.principal.as_deref();
        query(self.app, self.parts, self.call, principal, (result, self.id));
    }
}

impl Drop for PendingCall<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.write(&Err(IdentityError::Internal("not answered".to_owned())));
        }
    }
}
