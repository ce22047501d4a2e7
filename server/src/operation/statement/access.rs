//! What a statement is about, for whoever decides whether it may be carried out.
//!
//! Invariant: what is told here is read from the statement in the same way as what is carried out. A statement about which
//! nothing can be told is refused when it is planned.

use std::sync::Arc;

use stator_model::attribute::RawValue;
use stator_model::item::Item;
use stator_model::partiql::{Returning, Statement};

use super::ranges::bound_to;
use super::read::spelled;
use super::{PreparedStatement, StatementInput, TableWrite};
use crate::catalog::Table;
use crate::operation::page::Source;

/// A statement that can be asked about.
#[derive(Debug)]
pub(crate) struct StatementAccess(PreparedStatement);

/// What it touches in its table.
#[derive(Debug)]
pub(crate) struct Touched<T> {
    /// The names of attributes; one may come twice.
    pub(crate) names: Vec<String>,
    /// What was made of the values of the partition key, for each of its attributes; `None` when all partitions are read.
    pub(crate) partitions: Option<Vec<Vec<T>>>,
}

impl StatementAccess {
    /// Reads a statement; `None` when it will be refused.
    pub(crate) fn of(input: &StatementInput) -> Option<Self> {
        input.clone().prepare().ok().map(Self)
    }

    /// The table, as the statement names it.
    pub(crate) fn table(&self) -> &str {
        self.0.statement.table()
    }

    /// The index that it reads.
    pub(crate) fn index(&self) -> Option<&str> {
        match &self.0.statement {
            Statement::Select(select) | Statement::Exists(select) => select.source.index.as_deref(),
            Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) => None,
        }
    }

    /// What it is.
    pub(crate) fn statement(&self) -> &Statement {
        &self.0.statement
    }

    /// `ReturnValues` of the write that it is; `None` for a read.
    pub(crate) fn return_values(&self) -> Option<&'static str> {
        Some(match &self.0.statement {
            Statement::Select(_) | Statement::Exists(_) => return None,
            Statement::Delete(delete) if delete.returns_old => "ALL_OLD",
            Statement::Insert(_) | Statement::Delete(_) => "NONE",
            Statement::Update(update) => match update.returning {
                None => "NONE",
                Some(Returning::AllOld) => "ALL_OLD",
                Some(Returning::AllNew) => "ALL_NEW",
                Some(Returning::ModifiedOld) => "UPDATED_OLD",
                Some(Returning::ModifiedNew) => "UPDATED_NEW",
            },
        })
    }

    /// What it touches; `make` is called with each value of the partition key. `None` when it will be refused.
    pub(crate) fn touched<T>(
        &self,
        table: &Arc<Table>,
        make: impl FnMut(RawValue<'_>) -> T,
    ) -> Option<Touched<T>> {
        match &self.0.statement {
            Statement::Select(_) => self.read(table, make),
            _ => self.written(table, make),
        }
    }

    fn read<T>(&self, table: &Arc<Table>, mut make: impl FnMut(RawValue<'_>) -> T) -> Option<Touched<T>> {
        let Statement::Select(select) = &self.0.statement else {
            return None;
        };
        let source = Source::of(Arc::clone(table), self.index())?;
        let mut placeholders = self.0.placeholders.clone();
        let condition = select.condition.as_ref();
        let condition = condition
            .map(|condition| spelled(condition, &mut placeholders, &self.0.parameters))
            .transpose()
            .ok()?;
        let mut names = Vec::new();
        let paths = select.paths.iter().flatten();
        names.extend(paths.map(|path| path.top_level().to_owned()));
        names.extend(select.order.iter().map(|order| order.attribute.clone()));
        if let Some(condition) = &condition {
            condition.for_each_path(&mut |path| names.push(path.top_level().to_owned()));
        }
        let mut bound = Vec::new();
        for attribute in source.hash() {
            bound.push(bound_to(condition.clone(), attribute.name));
        }
        let all: Option<Vec<_>> = bound.into_iter().collect();
        let partitions = all.map(|all| {
            let mut partitions: Vec<Vec<T>> = Vec::with_capacity(all.len());
            for ids in all {
                partitions.push(ids.into_iter().map(|id| make(placeholders.value(id))).collect());
            }
            partitions
        });
        Some(Touched { names, partitions })
    }

    fn written<T>(&self, table: &Arc<Table>, mut make: impl FnMut(RawValue<'_>) -> T) -> Option<Touched<T>> {
        let write = TableWrite::of(Arc::clone(table), self.0.clone()).ok()?;
        let mut names = write.stored().map(names_of).unwrap_or_default();
        names.extend(names_of(&write.key));
        write.for_each_name(&mut |name| names.push(name.to_owned()));
        let partition = &table.schema().partition.name;
        let value = write.key.as_ref().get(partition.as_bytes())?;
        Some(Touched {
            names,
            partitions: Some(vec![vec![make(value)]]),
        })
    }
}

fn names_of(item: &Item) -> Vec<String> {
    let names = item.as_ref().attributes().iter();
    names
        .map(|(name, _)| String::from_utf8_lossy(name).into_owned())
        .collect()
}
