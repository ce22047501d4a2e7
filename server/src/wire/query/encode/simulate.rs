//! Results of simulations.

use stator_iam::policy::Position;

use super::{Encode, page};
use crate::identity::page::Page;
use crate::identity::simulate::Evaluation;
use crate::wire::query::xml::Xml;

impl Encode for Page<Evaluation> {
    fn encode(&self, _: &str, xml: &mut Xml) {
        page(xml, "EvaluationResults", self, |xml, evaluation| {
            xml.text("EvalActionName", &evaluation.action);
            xml.text("EvalResourceName", &evaluation.resource);
            xml.text("EvalDecision", evaluation.decision);
            xml.list("MatchedStatements", &evaluation.matched, |xml, matched| {
                xml.text("SourcePolicyId", &matched.policy);
                xml.text("SourcePolicyType", matched.kind);
                position(xml, "StartPosition", matched.start);
                position(xml, "EndPosition", matched.end);
            });
            xml.list("MissingContextValues", &evaluation.missing, |xml, key| {
                xml.escaped(key);
            });
            if let Some(allowed) = evaluation.boundary {
                xml.element("PermissionsBoundaryDecisionDetail", |xml| {
                    xml.boolean("AllowedByPermissionsBoundary", allowed);
                });
            }
        });
    }
}

fn position(xml: &mut Xml, name: &str, position: Position) {
    xml.element(name, |xml| {
        xml.text("Line", &position.line.to_string());
        xml.text("Column", &position.column.to_string());
    });
}
