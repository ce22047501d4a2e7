//! The one table from errors of the IAM and STS APIs to their answers: HTTP status, code, sentence.
//!
//! Source: "Common Errors" in the IAM and STS API references. Exhaustive: a new [`IdentityError`] does not compile before
//! it stands here.

use http::StatusCode;
use stator_iam::directory::{DirectoryError, ErrorCode};

use super::Api;
use super::xml::Xml;
use crate::identity::error::IdentityError;
use crate::message;

/// Status, code and sentence of an error.
pub(crate) fn parts(error: &IdentityError) -> (StatusCode, &'static str, String) {
    match error {
        IdentityError::Directory(DirectoryError { code, message }) => {
            (directory_status(*code), code.name(), message.clone())
        }
        IdentityError::Authentication(error) => {
            let (status, code) = authentication(error);
            (status, code, error.to_string())
        }
        IdentityError::Throttling => (
            StatusCode::BAD_REQUEST,
            "Throttling",
            message::THROTTLED.to_owned(),
        ),
        IdentityError::AccessDenied(message) => (StatusCode::FORBIDDEN, "AccessDenied", message.clone()),
        IdentityError::InvalidAction(message) => (StatusCode::BAD_REQUEST, "InvalidAction", message.clone()),
        IdentityError::PackedPolicyTooLarge(message) => {
            (StatusCode::BAD_REQUEST, "PackedPolicyTooLarge", message.clone())
        }
        IdentityError::Body => (
            StatusCode::BAD_REQUEST,
            "MalformedInput",
            "The body of the request cannot be read.".to_owned(),
        ),
        IdentityError::Contended => (
            StatusCode::CONFLICT,
            "ConcurrentModification",
            "Others are changing the same; try again.".to_owned(),
        ),
        IdentityError::Unavailable(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailable",
            "Service is temporarily unavailable; try again".to_owned(),
        ),
        IdentityError::Internal(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "ServiceFailure",
            "The request processing has failed because of an unknown error, exception or failure.".to_owned(),
        ),
    }
}

fn directory_status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::NoSuchEntity => StatusCode::NOT_FOUND,
        ErrorCode::EntityAlreadyExists | ErrorCode::DeleteConflict | ErrorCode::LimitExceeded => {
            StatusCode::CONFLICT
        }
        ErrorCode::MalformedPolicyDocument
        | ErrorCode::InvalidInput
        | ErrorCode::ValidationError
        | ErrorCode::InvalidParameterValue => StatusCode::BAD_REQUEST,
    }
}

/// The names that the query protocol has for what DynamoDB calls otherwise.
fn authentication(error: &stator_iam::Error) -> (StatusCode, &'static str) {
    match error.code() {
        "MissingAuthenticationTokenException" => (StatusCode::FORBIDDEN, "MissingAuthenticationToken"),
        "IncompleteSignatureException" => (StatusCode::BAD_REQUEST, "IncompleteSignature"),
        "UnrecognizedClientException" => (StatusCode::FORBIDDEN, "InvalidClientTokenId"),
        "ExpiredTokenException" => (StatusCode::FORBIDDEN, "ExpiredToken"),
        "AccessDeniedException" => (StatusCode::FORBIDDEN, "AccessDenied"),
        _ => (StatusCode::FORBIDDEN, "SignatureDoesNotMatch"),
    }
}

/// Status and body of the answer.
pub(crate) fn answer(api: Api, error: &IdentityError, request_id: &str) -> (StatusCode, String) {
    let (status, code, message) = parts(error);
    let mut xml = Xml::default();
    xml.root("ErrorResponse", api.namespace(), |xml| {
        xml.element("Error", |xml| {
            let sender = status.is_client_error();
            xml.text("Type", if sender { "Sender" } else { "Receiver" });
            xml.text("Code", code);
            xml.text("Message", &message);
        });
        xml.text("RequestId", request_id);
    });
    (status, xml.into_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_in_xml_and_failures_inside_are_not() {
        let (status, body) = answer(
            Api::Iam,
            &IdentityError::AccessDenied("no <way>".to_owned()),
            "ID",
        );
        assert_eq!(status, 403);
        assert_eq!(
            body,
            "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error><Type>Sender</Type>\
             <Code>AccessDenied</Code><Message>no &lt;way&gt;</Message></Error><RequestId>ID</RequestId></ErrorResponse>"
        );
        let (status, body) = answer(Api::Sts, &IdentityError::Internal("/data/7".to_owned()), "ID");
        assert!(status == 500 && !body.contains("/data") && body.contains("Receiver"));
    }
}
