//! The DynamoDB data model.
