//! Reading the members of a call from its form, with the rules that the service models have for them.

use stator_iam::directory::{Checks, DirectoryError, ErrorCode};

use super::form::Form;
use crate::identity::page::{ITEMS_DEFAULT, PageRequest, read_marker};

/// The members of a call, and what is wrong with them.
pub(super) struct Fields<'f> {
    form: &'f Form,
    checks: Checks,
    marker: Option<DirectoryError>,
}

/// The name of a member in sentences: `userName` for `UserName`.
fn camel(name: &str) -> String {
    let mut characters = name.chars();
    match characters.next() {
        Some(first) => first.to_ascii_lowercase().to_string() + characters.as_str(),
        None => String::new(),
    }
}

impl<'f> Fields<'f> {
    pub(super) fn new(form: &'f Form) -> Self {
        Self {
            form,
            checks: Checks::default(),
            marker: None,
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// ValidationError with all that is wrong.
    pub(super) fn end(self) -> Result<(), DirectoryError> {
        self.checks.end()?;
        self.marker.map_or(Ok(()), Err)
    }

    /// A member that must be there.
    pub(super) fn required(&mut self, name: &str) -> String {
        self.checks
            .required(&camel(name), self.form.get(name).map(str::to_owned))
    }

    pub(super) fn optional(&mut self, name: &str) -> Option<String> {
        self.form.get(name).map(str::to_owned)
    }

    /// The name of something; `most` is the most characters that it may have.
    pub(super) fn name(&mut self, name: &str, most: usize) -> String {
        let value = self.required(name);
        if self.form.get(name).is_some() {
            self.checks.length(&camel(name), &value, 1, usize::MAX);
        }
        self.checks.name(&camel(name), &value, most);
        value
    }

    pub(super) fn optional_name(&mut self, name: &str, most: usize) -> Option<String> {
        let value = self.optional(name)?;
        self.checks.length(&camel(name), &value, 1, usize::MAX);
        self.checks.name(&camel(name), &value, most);
        Some(value)
    }

    /// A path, `/` when there is none.
    pub(super) fn path(&mut self, name: &str) -> String {
        self.optional_path(name).unwrap_or_else(|| "/".to_owned())
    }

    pub(super) fn optional_path(&mut self, name: &str) -> Option<String> {
        let value = self.optional(name)?;
        self.checks.path(&camel(name), &value);
        Some(value)
    }

    /// What paths have to begin with, `/` when nothing is said.
    pub(super) fn path_prefix(&mut self) -> String {
        let value = self.optional("PathPrefix").unwrap_or_else(|| "/".to_owned());
        self.checks.length("pathPrefix", &value, 1, 512);
        value
    }

    pub(super) fn document(&mut self, name: &str) -> String {
        let value = self.required(name);
        self.checks.document(&camel(name), &value);
        value
    }

    pub(super) fn arn(&mut self, name: &str) -> String {
        let value = self.required(name);
        if self.form.get(name).is_some() {
            self.checks.length(&camel(name), &value, 20, 2048);
        }
        value
    }

    pub(super) fn optional_arn(&mut self, name: &str) -> Option<String> {
        let value = self.optional(name)?;
        self.checks.length(&camel(name), &value, 20, 2048);
        Some(value)
    }

    /// A whole number in a range.
    pub(super) fn number(&mut self, name: &str, least: u32, most: u32) -> Option<u32> {
        let text = self.optional(name)?;
        let Ok(number) = text.parse::<i64>() else {
            self.malformed(format!("{name} must be a whole number."));
            return None;
        };
        self.checks
            .range(&camel(name), number, i64::from(least), i64::from(most));
        u32::try_from(number).ok()
    }

    pub(super) fn boolean(&mut self, name: &str) -> bool {
        match self.form.get(name) {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                self.malformed(format!("{name} must be true or false."));
                false
            }
        }
    }

    pub(super) fn one_of(&mut self, name: &str, values: &[&str]) -> Option<String> {
        let value = self.optional(name)?;
        self.checks.one_of(&camel(name), &value, values);
        Some(value)
    }

    /// A text with a length.
    pub(super) fn text(&mut self, name: &str, least: usize, most: usize) -> Option<String> {
        let value = self.optional(name)?;
        self.checks.length(&camel(name), &value, least, most);
        Some(value)
    }

    pub(super) fn tags(&mut self) -> Vec<(String, String)> {
        self.form.pairs("Tags", "Key", "Value")
    }

    pub(super) fn list(&mut self, name: &str) -> Vec<String> {
        self.form.list(name)
    }

    pub(super) fn form(&self) -> &'f Form {
        self.form
    }

    /// `Marker` and `MaxItems`.
    pub(super) fn page(&mut self) -> PageRequest {
        let items_max = self.number("MaxItems", 1, 1000);
        let marker = self.optional("Marker");
        let after = marker.as_deref().and_then(read_marker);
        if marker.is_some() && after.is_none() {
            self.malformed("Invalid Marker.".to_owned());
        }
        PageRequest {
            after,
            items_max: items_max.map_or(ITEMS_DEFAULT, |items| usize::try_from(items).unwrap_or(1)),
        }
    }

    fn malformed(&mut self, message: String) {
        self.marker.get_or_insert(DirectoryError {
            code: ErrorCode::ValidationError,
            message,
        });
    }
}
