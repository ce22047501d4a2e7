//! Document paths: an attribute, and the way into it by map keys and list indexes.
//!
//! Invariant: a [`Path`] begins with a name. Sets of paths and what they pick are the part of [`super::tree`].

use std::fmt;

use super::error::ExpressionError;
use crate::attribute::{RawValue, ValueRef};
use crate::item::ItemRef;

/// Most elements of a path.
///
/// Source: Amazon DynamoDB Developer Guide, "Quotas: nested attribute depth".
pub(super) const PATH_ELEMENTS_MAX: usize = 32;

/// Greatest list index that an expression may name.
///
/// Source: the service's answers in floci-io/floci issue 3073.
pub(crate) const INDEX_MAX: u32 = u32::MAX - 1;

/// One step of a path below its first name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Element {
    /// `.name`: an entry of a map.
    Name(Box<str>),
    /// `[index]`: an element of a list, counted from 0.
    Index(u32),
}

/// A document path, such as `a.b[2].c`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    top: Box<str>,
    below: Vec<Element>,
}

impl Path {
    /// The path of a whole attribute.
    pub fn attribute(name: &str) -> Self {
        Self {
            top: name.into(),
            below: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, element: Element) {
        self.below.push(element);
    }

    /// The error of a path with more elements than the API allows.
    pub(crate) fn depth_error(&self) -> Option<ExpressionError> {
        let levels = self.below.len() + 1;
        (levels > PATH_ELEMENTS_MAX).then_some(ExpressionError::PathTooDeep { levels })
    }

    /// The name of the attribute into which the path leads.
    pub fn top_level(&self) -> &str {
        &self.top
    }

    /// The elements below the attribute.
    pub fn below(&self) -> &[Element] {
        &self.below
    }

    /// The names in the path: of the attribute, and of the entries of maps on the way.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let below = self.below.iter().filter_map(|element| match element {
            Element::Name(name) => Some(&**name),
            Element::Index(_) => None,
        });
        std::iter::once(&*self.top).chain(below)
    }

    /// True when the path names a whole attribute.
    pub fn is_attribute(&self) -> bool {
        self.below.is_empty()
    }

    /// What an item has at this path.
    pub fn resolve<'a>(&self, item: ItemRef<'a>) -> Option<RawValue<'a>> {
        let mut value = item.get(self.top.as_bytes())?;
        for element in &self.below {
            value = match (element, value.open()) {
                (Element::Name(name), ValueRef::Map(map)) => map.get(name.as_bytes())?,
                (Element::Index(index), ValueRef::List(list)) => list.get(usize::try_from(*index).ok()?)?,
                _ => return None,
            };
        }
        Some(value)
    }

    /// How this path stands to another one.
    pub fn relation(&self, other: &Self) -> Relation {
        if self.top != other.top {
            return Relation::Apart;
        }
        for (own, other) in self.below.iter().zip(&other.below) {
            match (own, other) {
                (Element::Name(own), Element::Name(other)) if own == other => {}
                (Element::Index(own), Element::Index(other)) if own == other => {}
                (Element::Name(_), Element::Name(_)) | (Element::Index(_), Element::Index(_)) => {
                    return Relation::Apart;
                }
                _ => return Relation::Conflict,
            }
        }
        Relation::Overlap
    }
}

/// How two paths stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// They lead to places of which none contains the other.
    Apart,
    /// They are equal, or one leads into what the other names.
    Overlap,
    /// One takes for a list what the other takes for a map.
    Conflict,
}

impl fmt::Display for Path {
    /// The form in which DynamoDB's messages show a path: `[a, b, [2], c]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}", self.top)?;
        for element in &self.below {
            match element {
                Element::Name(name) => write!(f, ", {name}")?,
                Element::Index(index) => write!(f, ", [{index}]")?,
            }
        }
        f.write_str("]")
    }
}
