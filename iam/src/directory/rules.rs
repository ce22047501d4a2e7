//! Rules of names, paths, tags and sizes.
//!
//! Source: the service models `iam/2010-05-08` and `sts/2011-06-15`, and "IAM and AWS STS quotas" in the IAM User Guide.

use std::collections::BTreeMap;

use super::error::{DirectoryError, ErrorCode};
use super::record::Kind;

/// Most users, groups, roles and managed policies of an account.
pub(super) fn entities_max(kind: Kind) -> (usize, &'static str) {
    match kind {
        Kind::User => (5000, "UsersPerAccount"),
        Kind::Group => (300, "GroupsPerAccount"),
        Kind::Role => (1000, "RolesPerAccount"),
        Kind::Policy => (1500, "PoliciesPerAccount"),
    }
}

/// Most access keys of a user.
pub(super) const KEYS_MAX: usize = 2;
/// Most groups of a user.
pub(super) const GROUPS_MAX: usize = 10;
/// Most policies attached to one user, group or role.
pub(super) const ATTACHED_MAX: usize = 10;
/// Most versions of a managed policy.
pub(super) const VERSIONS_MAX: usize = 5;
/// Most tags of one user, role or policy.
pub(super) const TAGS_MAX: usize = 50;
/// Longest managed policy in characters, white space not counted.
pub(super) const MANAGED_SIZE_MAX: usize = 6144;
/// Longest trust policy in characters, white space not counted.
pub(super) const TRUST_SIZE_MAX: usize = 2048;
/// The longest session of a role in seconds, when nothing else is said.
pub(super) const SESSION_S_DEFAULT: u32 = 3600;

/// The longest that the inline policies of one user, group or role may be together, white space not counted.
pub(super) fn inline_size_max(kind: Kind) -> usize {
    match kind {
        Kind::User => 2048,
        Kind::Group => 5120,
        Kind::Role | Kind::Policy => 10240,
    }
}

/// The size of a document as quotas count it.
pub(super) fn size(document: &str) -> usize {
    document
        .chars()
        .filter(|character| !character.is_whitespace())
        .count()
}

/// Collects what a call violates and tells it in one sentence.
#[derive(Debug, Default)]
pub struct Checks {
    violations: Vec<String>,
    name: Option<String>,
}

impl Checks {
    fn violated(&mut self, value: &str, member: &str, rule: &str) {
        self.violations.push(format!(
            "Value '{value}' at '{member}' failed to satisfy constraint: {rule}"
        ));
    }

    /// A member that must be there; what is returned when it is not is never used.
    pub fn required(&mut self, member: &str, value: Option<String>) -> String {
        value.unwrap_or_else(|| {
            self.violations.push(format!(
                "Value null at '{member}' failed to satisfy constraint: Member must not be null"
            ));
            String::new()
        })
    }

    /// Length in characters.
    pub fn length(&mut self, member: &str, value: &str, least: usize, most: usize) {
        let length = value.chars().count();
        if length < least {
            let rule = format!("Member must have length greater than or equal to {least}");
            self.violated(value, member, &rule);
        } else if length > most {
            let rule = format!("Member must have length less than or equal to {most}");
            self.violated(value, member, &rule);
        }
    }

    /// A number in a range.
    pub fn range(&mut self, member: &str, value: i64, least: i64, most: i64) {
        if value < least {
            let rule = format!("Member must have value greater than or equal to {least}");
            self.violated(&value.to_string(), member, &rule);
        } else if value > most {
            let rule = format!("Member must have value less than or equal to {most}");
            self.violated(&value.to_string(), member, &rule);
        }
    }

    /// A value out of a list.
    pub fn one_of(&mut self, member: &str, value: &str, values: &[&str]) {
        if !values.contains(&value) {
            let rule = format!("Member must satisfy enum value set: [{}]", values.join(", "));
            self.violated(value, member, &rule);
        }
    }

    /// The name of something, at most `most` characters long.
    pub fn name(&mut self, member: &str, value: &str, most: usize) {
        if value.is_empty() {
            return;
        }
        self.length(member, value, 1, most);
        let fits = |character: char| character.is_ascii_alphanumeric() || "_+=,.@-".contains(character);
        if !value.chars().all(fits) {
            self.name.get_or_insert_with(|| {
                format!(
                    "The specified value for {member} is invalid. It must contain only alphanumeric characters and/or \
                     the following: +=,.@_-"
                )
            });
        }
    }

    /// A path: `/`, or printable characters between two slashes.
    pub fn path(&mut self, member: &str, value: &str) {
        self.length(member, value, 1, 512);
        let printable = value.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
        if !(value.starts_with('/') && value.ends_with('/') && printable && value != "//") {
            self.name.get_or_insert_with(|| {
                format!(
                    "The specified value for {member} is invalid. It must begin and end with / and contain only \
                     alphanumeric characters and/or / characters."
                )
            });
        }
    }

    /// A policy document, as far as the service model goes.
    pub fn document(&mut self, member: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        self.length(member, value, 1, 131_072);
        let fits = |character: char| {
            matches!(character, '\t' | '\n' | '\r') || (' '..='\u{ff}').contains(&character)
        };
        if !value.chars().all(fits) {
            self.name
                .get_or_insert_with(|| format!("The specified value for {member} is invalid."));
        }
    }

    /// Notes that the caller is no user that a call without a user's name could be about.
    pub fn must_name_user(&mut self) {
        self.name
            .get_or_insert_with(|| "Must specify userName when calling with non-User credentials".to_owned());
    }

    /// Ends the check.
    ///
    /// # Errors
    /// ValidationError with all that was noted.
    pub fn end(self) -> Result<(), DirectoryError> {
        let message = if self.violations.is_empty() {
            match self.name {
                Some(sentence) => sentence,
                None => return Ok(()),
            }
        } else {
            let count = self.violations.len();
            let plural = if count == 1 { "" } else { "s" };
            format!(
                "{count} validation error{plural} detected: {}",
                self.violations.join("; ")
            )
        };
        Err(DirectoryError::new(ErrorCode::ValidationError, message))
    }
}

/// Tags by key, checked.
///
/// # Errors
/// ValidationError for keys and values that break the rules, InvalidInput for a key that is there twice, also in another
/// case.
pub(super) fn tags(tags: &[(String, String)]) -> Result<BTreeMap<String, String>, DirectoryError> {
    let mut checks = Checks::default();
    let fits = |character: char| {
        character.is_alphanumeric() || character.is_whitespace() || "_.:/=+-@".contains(character)
    };
    for (index, (key, value)) in tags.iter().enumerate() {
        let (key_member, value_member) = (
            format!("tags.{}.member.key", index + 1),
            format!("tags.{}.member.value", index + 1),
        );
        checks.length(&key_member, key, 1, 128);
        checks.length(&value_member, value, 0, 256);
        for (member, text) in [(&key_member, key), (&value_member, value)] {
            if !text.chars().all(fits) {
                let rule = r"Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+";
                checks.violated(text, member, rule);
            }
        }
    }
    checks.end()?;
    let mut by_key = BTreeMap::new();
    for (key, value) in tags {
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(DirectoryError::invalid(
                "aws: prefixed tag key names are not allowed for external use.",
            ));
        }
        let taken = by_key
            .keys()
            .any(|other: &String| other.eq_ignore_ascii_case(key));
        if taken {
            return Err(DirectoryError::invalid(
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
            ));
        }
        by_key.insert(key.clone(), value.clone());
    }
    if by_key.len() > TAGS_MAX {
        return Err(too_many_tags());
    }
    Ok(by_key)
}

pub(super) fn too_many_tags() -> DirectoryError {
    DirectoryError::limit("The number of tags has reached the maximum limit.")
}

#[cfg(test)]
mod tests {
    use super::{Checks, size, tags};

    fn sentence(check: impl FnOnce(&mut Checks)) -> Option<String> {
        let mut checks = Checks::default();
        check(&mut checks);
        checks.end().err().map(|error| error.message)
    }

    #[test]
    fn names_and_paths_have_rules() {
        assert_eq!(
            sentence(|checks| checks.name("userName", "a_b+c=d,e.f@g-9", 64)),
            None
        );
        assert_eq!(
            sentence(|checks| checks.name("userName", "a b", 64)).as_deref(),
            Some(
                "The specified value for userName is invalid. It must contain only alphanumeric characters and/or the \
                 following: +=,.@_-"
            )
        );
        assert_eq!(
            sentence(|checks| checks.name("userName", "abc", 2)).as_deref(),
            Some(
                "1 validation error detected: Value 'abc' at 'userName' failed to satisfy constraint: Member must have \
                 length less than or equal to 2"
            )
        );
        for path in ["/", "/a/", "/a/b-c/"] {
            assert_eq!(sentence(|checks| checks.path("path", path)), None, "{path}");
        }
        for path in ["", "a", "/a", "a/", "//", "/a b/"] {
            assert!(sentence(|checks| checks.path("path", path)).is_some(), "{path}");
        }
    }

    #[test]
    fn all_violations_are_told_at_once() {
        let told = sentence(|checks| {
            checks.required("userName", None);
            checks.range("maxItems", 0, 1, 1000);
        });
        assert_eq!(
            told.as_deref(),
            Some(
                "2 validation errors detected: Value null at 'userName' failed to satisfy constraint: Member must not be \
                 null; Value '0' at 'maxItems' failed to satisfy constraint: Member must have value greater than or \
                 equal to 1"
            )
        );
    }

    #[test]
    fn tags_are_unique_without_regard_to_case() {
        let pair = |key: &str| (key.to_owned(), "v".to_owned());
        assert_eq!(tags(&[pair("a"), pair("b c")]).unwrap().len(), 2);
        assert!(tags(&[pair("a"), pair("A")]).is_err());
        assert!(tags(&[pair("aws:x")]).is_err());
        assert!(tags(&[pair("")]).is_err() && tags(&[pair("a;b")]).is_err());
        let many: Vec<_> = (0..51).map(|number| pair(&format!("k{number}"))).collect();
        assert!(tags(&many[..50]).is_ok() && tags(&many).is_err());
    }

    #[test]
    fn white_space_does_not_count() {
        assert_eq!(size("{ \"a\" :\n\t1 }"), 7);
    }
}
