//! PutResourcePolicy, GetResourcePolicy and DeleteResourcePolicy.

use super::Decode;
use super::reader::{Decoded, Reader};
use crate::operation::delete_resource_policy::DeleteResourcePolicy;
use crate::operation::get_resource_policy::GetResourcePolicy;
use crate::operation::put_resource_policy::PutResourcePolicy;

impl Decode for PutResourcePolicy {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "ResourceArn" => request.resource_arn = reader.text()?,
                "Policy" => request.policy = reader.text()?,
                "ExpectedRevisionId" => request.expected_revision = reader.text()?,
                "ConfirmRemoveSelfResourceAccess" => request.confirms = reader.boolean()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}

impl Decode for GetResourcePolicy {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "ResourceArn" => request.resource_arn = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}

impl Decode for DeleteResourcePolicy {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "ResourceArn" => request.resource_arn = reader.text()?,
                "ExpectedRevisionId" => request.expected_revision = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}
