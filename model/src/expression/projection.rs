//! Projection expressions: which parts of an item an answer shows.
//!
//! Invariant: the paths of a [`Projection`] are apart from each other. Keys that an answer shows in any case are the
//! caller's.
//!
//! Rules: Amazon DynamoDB Developer Guide, "Projection expressions".

use super::error::ExpressionError;
use super::lexer::TokenKind;
use super::parser::{Bounds, Language, Parser};
use super::path::Path;
use super::placeholders::Placeholders;
use super::tree::PathTree;
use crate::item::{Item, ItemRef, ItemWriter};

/// A parsed projection.
#[derive(Debug, Clone)]
pub struct Projection {
    paths: Vec<Path>,
    tree: PathTree<()>,
    /// The names under which what is found is shown, if not at its place.
    names: Option<Vec<String>>,
}

impl Projection {
    /// Parses a projection expression.
    ///
    /// # Errors
    /// [`ExpressionError`] when the text is not one, or two of its paths get in each other's way.
    pub fn parse(text: &str, placeholders: &mut Placeholders) -> Result<Self, ExpressionError> {
        Self::parse_within(Bounds::Api, text, placeholders)
    }

    /// Parses a projection that this program has made: it may be longer than the API allows.
    ///
    /// # Errors
    /// [`ExpressionError`] when the text is no projection, or two of its paths get in each other's way.
    pub fn parse_unbounded(text: &str, placeholders: &mut Placeholders) -> Result<Self, ExpressionError> {
        Self::parse_within(Bounds::None, text, placeholders)
    }

    fn parse_within(
        bounds: Bounds,
        text: &str,
        placeholders: &mut Placeholders,
    ) -> Result<Self, ExpressionError> {
        let parser = Parser::new(text, placeholders, Language::Condition, bounds);
        let mut parser = parser.map_err(ExpressionError::without_size)?;
        let mut paths = Vec::new();
        loop {
            paths.extend(parser.target()?);
            if !parser.accept(TokenKind::Comma) {
                break;
            }
        }
        parser.finish()?;
        Self::of_paths(paths)
    }

    /// The projection that shows these paths.
    ///
    /// # Errors
    /// [`ExpressionError`] when two of the paths get in each other's way.
    pub fn of_paths(paths: Vec<Path>) -> Result<Self, ExpressionError> {
        let tree = PathTree::new(paths.iter().map(|path| (path, ())))?;
        let names = None;
        Ok(Self { paths, tree, names })
    }

    /// The projection that shows what is at each path under a name, as an attribute. No two names may be equal.
    ///
    /// # Errors
    /// [`ExpressionError`] when two of the paths get in each other's way.
    pub fn named(named: Vec<(String, Path)>) -> Result<Self, ExpressionError> {
        let (names, paths): (_, Vec<_>) = named.into_iter().unzip();
        // Of two paths in each other's way the second one is named first, as DynamoDB does here.
        let tree = PathTree::new(paths.iter().rev().map(|path| (path, ())))?;
        let names = Some(names);
        Ok(Self { paths, tree, names })
    }

    /// The paths, in the order of the text.
    pub fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// What of an item the projection shows: sub-paths of one attribute together in one map, list elements in ascending
    /// order without gaps. An item that has nothing at any path gives an empty item.
    pub fn apply(&self, item: ItemRef<'_>) -> Item {
        let Some(names) = &self.names else {
            return self.tree.pick(item, &|()| true);
        };
        let mut shown = ItemWriter::with_capacity(128);
        for (name, path) in names.iter().zip(&self.paths) {
            if let Some(value) = path.resolve(item) {
                shown.writer().name(name.as_bytes());
                shown.writer().raw(value);
            }
        }
        shown.finish()
    }
}
