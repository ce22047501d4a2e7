//! Calls from forms: which members they have, and the rules of the service models for them.

mod entity;
mod key;
mod policy;
mod session;
mod simulate;

use stator_iam::directory::{DirectoryError, Kind};

use super::fields::Fields;
use crate::identity::inline_policy::Owner;

/// A call that is read from a form.
pub(super) trait Decode: Sized {
    /// Reads it. `action` is the name of the call, for what serves several.
    ///
    /// # Errors
    /// ValidationError with all that is wrong, by [`Fields::end`].
    fn decode(action: &'static str, fields: &mut Fields<'_>) -> Self;
}

/// Reads a call and ends the reading.
///
/// # Errors
/// ValidationError with all that is wrong.
pub(super) fn decode<C: Decode>(action: &'static str, mut fields: Fields<'_>) -> Result<C, DirectoryError> {
    let call = C::decode(action, &mut fields);
    fields.end()?;
    Ok(call)
}

/// What a call such as `PutUserPolicy` is about: the first kind that its name has.
fn kind(action: &str) -> Kind {
    [Kind::User, Kind::Group, Kind::Role]
        .into_iter()
        .find(|kind| action.contains(member(*kind).trim_end_matches("Name")))
        .unwrap_or(Kind::Policy)
}

/// The member that names an entity of a kind.
fn member(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "UserName",
        Kind::Group => "GroupName",
        Kind::Role => "RoleName",
        Kind::Policy => "PolicyName",
    }
}

/// The most characters of the name of a new entity.
fn name_max(kind: Kind) -> usize {
    match kind {
        Kind::User | Kind::Role => 64,
        Kind::Group | Kind::Policy => 128,
    }
}

/// The most characters of the name of something that is there: users may be named by more than they can have.
const NAME_MAX: usize = 128;

fn owner(action: &'static str, fields: &mut Fields<'_>) -> Owner {
    let kind = kind(action);
    Owner {
        kind,
        name: fields.name(member(kind), NAME_MAX),
        action,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_call_says_what_it_is_about() {
        for (action, expected) in [
            ("PutUserPolicy", Kind::User),
            ("ListAttachedGroupPolicies", Kind::Group),
            ("DeleteRolePermissionsBoundary", Kind::Role),
            ("TagPolicy", Kind::Policy),
        ] {
            assert_eq!(kind(action), expected, "{action}");
        }
    }
}
