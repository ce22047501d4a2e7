//! Statements from their text to the words of the expression language, and the refusals, in tables.

use proptest::prelude::*;

use super::*;
use crate::attribute::ValueRef;
use crate::expression::{self, Placeholders};
use crate::item::ItemWriter;

fn parse(text: &str) -> Statement {
    Statement::parse(text)
        .unwrap_or_else(|error| unreachable!("{text}: {error}"))
        .0
}

fn refusal(text: &str) -> String {
    let error = Statement::parse(text)
        .map(|(statement, _)| statement)
        .unwrap_err();
    assert!(error.position() <= text.len(), "{text}");
    error.to_string()
}

fn condition_of(text: &str) -> Condition {
    let Statement::Select(select) = parse(&format!("SELECT * FROM Tab WHERE {text}")) else {
        unreachable!()
    };
    select.condition.unwrap()
}

/// The condition in the words of the expression language, with what its placeholders stand for.
fn spelled(text: &str, numbers: &[u32]) -> String {
    let condition = condition_of(text);
    let mut placeholders = Placeholders::default();
    let mut starts = Vec::new();
    for number in numbers {
        starts.push(placeholders.values_writer().len());
        placeholders.values_writer().number(&(*number).into());
    }
    let spelled = Speller::new(&mut placeholders, &starts)
        .condition(&condition)
        .unwrap();
    expression::Condition::parse_unbounded(&spelled, &mut placeholders).unwrap();
    placeholders.check_all_used().unwrap();
    resolved(spelled, &placeholders)
}

fn spelled_update(text: &str) -> String {
    let Statement::Update(update) = parse(&format!("UPDATE Tab {text}")) else {
        unreachable!()
    };
    let mut placeholders = Placeholders::default();
    let spelled = Speller::new(&mut placeholders, &[])
        .update(&update.changes)
        .unwrap();
    expression::Update::parse_unbounded(&spelled, &mut placeholders).unwrap();
    placeholders.check_all_used().unwrap();
    resolved(spelled, &placeholders)
}

/// Replaces placeholders by what they stand for.
fn resolved(mut text: String, placeholders: &Placeholders) -> String {
    // Backwards, so that `#q1` is not found in `#q10`.
    let mut names: Vec<_> = placeholders.names().collect();
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    for (placeholder, name) in names {
        text = text.replace(placeholder, name);
    }
    let mut values: Vec<_> = placeholders.values().collect();
    values.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    for (placeholder, value) in values {
        let shown = match value.open() {
            ValueRef::String(text) => format!("'{}'", String::from_utf8_lossy(text)),
            ValueRef::Number(number) => number.format().as_str().to_owned(),
            _ => value.kind().descriptor().to_owned(),
        };
        text = text.replace(placeholder, &shown);
    }
    text
}

#[test]
fn conditions_say_the_same_in_the_expression_language() {
    for (statement, expression) in [
        ("a = 1", "a = 1"),
        ("'x' <> a.\"b c\"[2].d", "'x' <> a.b c[2].d"),
        ("a != -1.50", "a <> -1.5"),
        (
            "a >= +1 AND b < 1e3 OR c <= .5",
            "a >= 1 AND b < 1000 OR c <= 0.5",
        ),
        ("a > 1 AND (b = 1 OR c = 2)", "a > 1 AND (b = 1 OR c = 2)"),
        ("((a = 1)) or ((b = 1 and c = 1))", "a = 1 OR b = 1 AND c = 1"),
        ("NOT a = 1 AND b = 1", "NOT a = 1 AND b = 1"),
        ("NOT (a = 1 AND b = 1)", "NOT (a = 1 AND b = 1)"),
        ("NOT NOT (a = 1 OR b = 1)", "NOT NOT (a = 1 OR b = 1)"),
        (
            "a BETWEEN 1 AND 2 AND b NOT BETWEEN 3 AND 4",
            "a BETWEEN 1 AND 2 AND NOT b BETWEEN 3 AND 4",
        ),
        (
            "a IN [1, 2] OR a NOT IN <<3, 4>> OR a IN (5)",
            "a IN (1, 2) OR NOT a IN (3, 4) OR a IN (5)",
        ),
        ("a IS MISSING", "attribute_not_exists(a)"),
        ("a.b IS NOT MISSING", "NOT attribute_not_exists(a.b)"),
        ("a IS NULL", "attribute_type(a, 'NULL')"),
        ("a IS NOT numeric", "NOT attribute_type(a, 'N')"),
        ("a = NULL", "a = NULL"),
        (
            "BEGINS_WITH(\"a\", 'x') AND contains(b, 1)",
            "begins_with(a, 'x') AND contains(b, 1)",
        ),
        (
            "begins_with(a, 'x') = true AND false = contains(b, 1) AND attribute_type(c, 'S') <> TRUE",
            "begins_with(a, 'x') AND NOT contains(b, 1) AND NOT attribute_type(c, 'S')",
        ),
        (
            "attribute_type(a, 'S') AND size(a.b) > 2",
            "attribute_type(a, 'S') AND size(a.b) > 2",
        ),
        ("a['b'] = [1, {'x': [true]}]", "a.b = L"),
        ("size(a) IN [1]", "size(a) IN (1)"),
        ("\"Select\" = 'it''s' -- the end", "Select = 'it's'"),
    ] {
        assert_eq!(spelled(statement, &[]), expression, "{statement}");
    }
    assert_eq!(spelled("a = ? AND b IN [?, 3]", &[7, 8]), "a = 7 AND b IN (8, 3)");
}

#[test]
fn updates_say_the_same_in_the_expression_language() {
    for (statement, expression) in [
        (
            "SET a = 1, b.c[0] = d SET e = 'x'",
            "SET a = 1, b.c[0] = d, e = 'x'",
        ),
        (
            "REMOVE a SET b = b + 1 REMOVE c[1]",
            "SET b = b + 1 REMOVE a, c[1]",
        ),
        ("SET a = 1 - a", "SET a = 1 - a"),
        ("SET a = b+1+1", "SET a = b + 1 + 1"),
        ("SET a = b - (c - 1 + d) + 2", "SET a = b - c + 1 - d + 2"),
        (
            "SET a = if_not_exists(b, 0) + 1 - c",
            "SET a = if_not_exists(b, 0) + 1 - c",
        ),
        (
            "SET a = LIST_APPEND(if_not_exists(b, []), [1])",
            "SET a = list_append(if_not_exists(b, L), L)",
        ),
        (
            "SET a = set_add(a, <<1, 2>>), b = SET_DELETE(b, <<'x'>>)",
            "ADD a NS DELETE b SS",
        ),
        ("SET a.b = set_add(a.b, <<1>>)", "ADD a.b NS"),
        ("SET a = null SET b = true", "SET a = NULL, b = BOOL"),
    ] {
        assert_eq!(spelled_update(statement), expression, "{statement}");
    }
}

#[test]
fn a_statement_has_its_parts() {
    let Statement::Select(select) =
        parse("select a, b.c[1], \"d\" from \"my.tab\".\"by-x\" where pk = 'a' order by pk desc, sk;")
    else {
        unreachable!()
    };
    let mut item = ItemWriter::with_capacity(64);
    item.writer().name(b"a");
    item.writer().bool(true);
    item.writer().name(b"b");
    let map = item.writer().begin_map();
    item.writer().name(b"c");
    let list = item.writer().begin_list();
    for flag in [true, false] {
        item.writer().element();
        item.writer().bool(flag);
    }
    item.writer().end_list(&list);
    item.writer().end_map(&map);
    let shown = select
        .projection()
        .unwrap()
        .unwrap()
        .apply(item.finish().as_ref());
    let shown: Vec<_> = shown
        .as_ref()
        .iter()
        .map(|(name, value)| {
            (
                String::from_utf8_lossy(name).into_owned(),
                matches!(value.open(), ValueRef::Bool(true)),
            )
        })
        .collect();
    assert_eq!(shown, [("a".to_owned(), true), ("c[1]".to_owned(), false)]);
    assert_eq!(select.source.table, "my.tab");
    assert_eq!(select.source.index.as_deref(), Some("by-x"));
    let order: Vec<_> = select
        .order
        .iter()
        .map(|order| (&*order.attribute, order.descending))
        .collect();
    assert_eq!(order, [("pk", true), ("sk", false)]);

    let (statement, parameters) = Statement::parse(
        "INSERT INTO Tab VALUE {'pk': ?, 'n': -1.50, 'm': {'a': [1, null]}, 's': <<'b', 'a'>>}",
    )
    .unwrap();
    let Statement::Insert(insert) = statement else {
        unreachable!()
    };
    assert_eq!((&*insert.table, parameters), ("Tab", 1));
    let names: Vec<&str> = insert.attributes.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["pk", "n", "m", "s"]);
    assert_eq!(insert.attributes[0].1, Value::Parameter(0));

    let Statement::Update(update) = parse("UPDATE Tab SET a = 1 WHERE pk = 'a' RETURNING MODIFIED OLD *")
    else {
        unreachable!()
    };
    assert_eq!(update.returning, Some(Returning::ModifiedOld));
    let Statement::Delete(delete) = parse("DELETE FROM Tab WHERE pk = 'a' RETURNING ALL OLD *") else {
        unreachable!()
    };
    assert!(delete.returns_old);
    assert!(matches!(
        parse("EXISTS(SELECT * FROM Tab WHERE pk = 'a' AND v = 1)"),
        Statement::Exists(_)
    ));
}

#[test]
fn equalities_that_must_hold_are_found() {
    let condition =
        condition_of("(a = 1 AND (b > 2 AND 'x' = c)) AND (d = 1 OR e = 2) AND f.g = 1 AND h = i");
    let conjuncts = condition.into_conjuncts();
    let found: Vec<Option<&str>> = conjuncts
        .iter()
        .map(|conjunct| conjunct.equality().map(|(name, _)| name))
        .collect();
    assert_eq!(found, [Some("a"), None, Some("c"), None, None, None]);
}

#[test]
fn what_is_not_well_formed_is_told_as_the_parser_of_partiql_tells_it() {
    let (no_change, no_keyword) = ("Expected data manipulation", "Unexpected keyword");
    let (goes_on, no_term) = ("Unexpected token after expression", "Unexpected term");
    let alone =
        "Other expressions may not be present in the select list when '*' is used without dot notation.";
    let no_right_side = "Missing right-hand side expression of infix operator";
    for (text, cause) in [
        ("", no_term),
        (" -- nothing", no_term),
        ("SELEC * FROM Tab", no_change),
        ("NO STATEMENT", goes_on),
        ("UPSERT INTO Tab VALUE {'pk': 1}", goes_on),
        ("SELECT FROM Tab", no_change),
        ("SELECT pk, FROM Tab", no_change),
        ("SELECT pk, WHERE", no_keyword),
        ("SELECT *, a FROM Tab", alone),
        ("SELECT a, * FROM Tab", alone),
        ("SELECT a", "Expected FROM after SELECT list"),
        ("SELECT a.'b' FROM Tab", "Invalid path dot component"),
        ("SELECT a FROM", no_term),
        ("SELECT a FROM Tab.", "Invalid path dot component"),
        ("SELECT a FROM Tab WHERE", no_term),
        ("SELECT a FROM Tab WHERE a =", no_right_side),
        ("SELECT a FROM Tab WHERE a = 1 AND", no_right_side),
        ("SELECT a FROM Tab WHERE a NOT BETWEEN", no_right_side),
        ("SELECT a FROM Tab WHERE a = ;", no_term),
        ("SELECT a FROM Tab WHERE a = /", "Unexpected operator"),
        ("SELECT a FROM Tab WHERE a = WHERE", no_keyword),
        ("SELECT a FROM Tab WHERE a NOT b", goes_on),
        ("SELECT a FROM Tab WHERE a IS TRUE", "Expected type name"),
        ("SELECT a FROM Tab WHERE (a = 1", "Expected RIGHT_PAREN"),
        ("SELECT a FROM Tab WHERE a IN [1", "Expected RIGHT_BRACKET"),
        ("SELECT a FROM Tab WHERE a = 1 b", goes_on),
        (
            "SELECT a FROM Tab; SELECT a FROM Tab",
            "Unexpected token after semicolon. (Only one query is allowed.)",
        ),
        ("INSERT Tab VALUE {'pk': 1}", no_keyword),
        (
            "INSERT INTO 'Tab' VALUE {'pk': 1}",
            "Expected identifier for simple path",
        ),
        ("INSERT INTO Tab-1 VALUE {'pk': 1}", goes_on),
        ("INSERT INTO Tab (pk) VALUES (1)", goes_on),
        (
            "INSERT INTO Tab VALUES {'pk': 1}",
            "Expected LEFT_PAREN for row value constructor",
        ),
        ("INSERT INTO Tab VALUE {'pk' 1}", "Expected COLON"),
        ("INSERT INTO Tab VALUE {'pk': 1", "Expected RIGHT_CURLY"),
        (
            "INSERT INTO Tab VALUE {'pk': <<1}",
            "Expected RIGHT_DOUBLE_ANGLE_BRACKET",
        ),
        ("UPDATE Tab WHERE pk = 1", no_change),
        ("UPDATE Tab-1 SET a = 1 WHERE pk = 1", no_change),
        ("UPDATE Tab ADD n 1 WHERE pk = 1", no_change),
        ("UPDATE Tab SET 'a' = 1", "Expected identifier for simple path"),
        ("UPDATE Tab SET a 1", "Expected '='"),
        ("UPDATE Tab REMOVE a, b WHERE pk = 1", goes_on),
        ("DELETE Tab WHERE pk = 1", "Expected FROM after DELETE"),
        ("DELETE FROM Tab-1 WHERE pk = 1", goes_on),
    ] {
        assert_eq!(
            refusal(text),
            format!("Statement wasn't well formed, can't be processed: {cause}"),
            "{text}"
        );
    }
}

#[test]
fn what_is_not_well_formed_for_a_reason_without_known_words_is_repeated() {
    for text in [
        "x",
        "SELECT a[*] FROM Tab",
        "SELECT a FROM Tab WHERE a = 'x",
        "SELECT é FROM Tab",
        "INSERT INTO 'Tab VALUE",
        "UPDATE Tab SET a = 1 WHERE pk = 1 RETURNING NONE",
    ] {
        assert_eq!(
            refusal(text),
            format!("Statement wasn't well formed, can't be processed: {text}")
        );
    }
}

#[test]
fn what_is_not_supported_is_named_with_its_place() {
    for (text, sentence) in [
        ("CREATE TABLE x", "Unsupported operation: CreateTable"),
        ("INSERT INTO Tab {'pk': 1}", "Unsupported operation: InsertOp"),
        (
            "INSERT INTO Tab VALUE 1",
            "Unsupported format in item expression. Please use struct format {...} to express item values for insert statement. at 1:23:1",
        ),
        (
            "INSERT INTO ttt VALUE ?",
            "Unsupported format in item expression. Please use struct format {...} to express item values for insert statement. at 1:23:1",
        ),
        (
            "INSERT INTO ttt VALUE {pk:'q'}",
            "Tuple keys must be of type String. Actual type: VariableReference under root at 1:24:2",
        ),
        (
            "INSERT INTO ttt VALUE {'pk':'q','pk':'r'}",
            "Duplicate keys in tuple. Key: pk under root at 1:33:4",
        ),
        (
            "INSERT INTO ttt VALUE {'pk':'i2', 'x': <<>>}",
            "Empty bags are not supported at 1:40:2",
        ),
        (
            "INSERT INTO ttt VALUE {'pk':'i2', 'x': <<1,'a'>>}",
            "Unsupported data type in Bag. DynamoDB only supports either numbers or strings in bags",
        ),
        (
            "INSERT INTO ttt VALUE {'pk':'i3', 'x': <<1,1>>}",
            "Input collection contains duplicates",
        ),
        (
            "INSERT INTO ttt VALUE {'pk':'i5', 'x': missing}",
            "Unsupported data type: MISSING under key root at 1:40:7",
        ),
        (
            "INSERT INTO ttt VALUE {'pk':'i6', 'x': 1+1}",
            "Unsupported data type: + under key root at 1:41:1",
        ),
        (
            "INSERT INTO ttt VALUE {'pk':'i5', 'x': y}",
            "Unsupported data type: y under key root at 1:40:1",
        ),
        (
            "INSERT INTO rrr VALUE {'pk':'q','sk':1,'m':{'a':?}}",
            "Unsupported data type: Parameter under key root.a at 1:49:1",
        ),
        (
            "INSERT INTO rrr VALUE {'pk':'q','sk':2,'m':[?]}",
            "Unsupported data type: Parameter under key root.0 at 1:45:1",
        ),
        (
            "INSERT INTO Tab VALUE {'pk':'i1'} RETURNING ALL OLD *",
            "RETURNING is not supported in INSERT",
        ),
        (
            "INSERT INTO Tab.idx VALUE {'pk':'i1'}",
            "This operation is not supported on an index",
        ),
        ("SELECT n AS k FROM ttt", "Aliasing is not supported"),
        ("SELECT * FROM ttt t WHERE t.pk='a'", "Aliasing is not supported"),
        ("SELECT 'n' FROM ttt", "Unexpected path component at 1:8:3"),
        ("SELECT COUNT(*) FROM ttt", "Unexpected path component at 1:8:5"),
        ("SELECT ? FROM ttt", "Unexpected path component at 1:8:1"),
        (
            "SELECT m.a.b, n.a.b FROM ttt",
            "Duplicate identifiers in select clause: b",
        ),
        (
            "SELECT ttt.* FROM ttt",
            "Changing item's hierarchy while reading isn't supported",
        ),
        (
            "SELECT DISTINCT n FROM ttt",
            "Unsupported token in expression: DISTINCT",
        ),
        (
            "SELECT VALUE n FROM ttt",
            "Select projection doesn't support value or pivot keywords",
        ),
        (
            "SELECT l[-1] FROM ttt",
            "List index is not within the allowable range; index: [-1] at 1:11:1",
        ),
        (
            "SELECT n FROM ttt, rrr",
            "Only select from a single table or index is supported.",
        ),
        (
            "SELECT n FROM ttt JOIN rrr ON true",
            "Only select from a single table or index is supported.",
        ),
        ("SELECT n FROM 'ttt'", "Unexpected from source"),
        ("SELECT n FROM a-b", "Unexpected from source"),
        (
            "SELECT n FROM ttt.a.b",
            "A path may contain at most 2 components in the FROM clause",
        ),
        (
            "SELECT pk FROM ttt LIMIT 1",
            "Unsupported clause: LIMIT at 1:26:1",
        ),
        (
            "SELECT pk FROM ttt LIMIT 1",
            "Unsupported clause: LIMIT at 1:26:1",
        ),
        ("SELECT n FROM ttt GROUP BY n", "Unsupported clause: GROUP BY"),
        (
            "SELECT * FROM ttt WHERE EXISTS(SELECT * FROM ttt WHERE pk='a')",
            "Unsupported token in expression: SELECT at 1:32:6",
        ),
        (
            "SELECT * FROM ttt WHERE n",
            "WHERE clause must contain an expression that resolves to a boolean",
        ),
        (
            "SELECT * FROM ttt WHERE n = 1 + 0",
            "Unsupported operator in Condition Expression. Operator: +",
        ),
        (
            "SELECT * FROM ttt WHERE n LIKE 'a%'",
            "Unsupported operator in Condition Expression. Operator: like",
        ),
        (
            "SELECT * FROM ttt WHERE n = MISSING",
            "MISSING must be compared using IS operator",
        ),
        (
            "SELECT * FROM ttt WHERE char_length(n) = 1",
            "Unrecognized function: char_length",
        ),
        (
            "SELECT * FROM ttt WHERE n IN []",
            "IN operator must have a left hand argument of type Variable Reference and right hand argument of type Seq with at least one member",
        ),
        (
            "SELECT * FROM ttt WHERE n IN ?",
            "IN operator must have a left hand argument of type Variable Reference and right hand argument of type Seq with at least one member",
        ),
        (
            "SELECT * FROM ttt WHERE n = 12345678901234567890123456789012345678901",
            "Attempting to store more than 38 significant digits in a Number",
        ),
        (
            "SELECT * FROM ttt WHERE n = 1e200",
            "Number overflow. Attempting to store a number with magnitude larger than supported range",
        ),
        (
            "SELECT * FROM ttt ORDER BY a.b",
            "Argument to ORDER BY must be of type VariableReference. Type: Path",
        ),
        (
            "UPDATE ttt SET c=2*2 WHERE pk='a'",
            "Unsupported operator in Update Expression. Operator: *",
        ),
        (
            "UPDATE ttt SET c=-c WHERE pk='a'",
            "Incorrect number of operands for operator or function; operator or function: -, number of operands: 1",
        ),
        (
            "UPDATE ttt SET s2=set_add(ss,<<'3'>>) WHERE pk='a'",
            "The first argument to SET_ADD must equal the assignment value",
        ),
        (
            "UPDATE ttt SET s2=set_add(s2,3) WHERE pk='a'",
            "The second argument to SET_ADD must be a value with type SET at 1:27:2",
        ),
        (
            "UPDATE ttt SET s2=set_delete(s2) WHERE pk='a'",
            "SET_DELETE must have exactly two arguments at 1:19:10",
        ),
        (
            "UPDATE ttt SET s2=foo(s2) WHERE pk='a'",
            "Unrecognized function: foo",
        ),
        (
            "UPDATE ttt SET s2=size(s2) WHERE pk='a'",
            "The function is not allowed in an update expression; function: size",
        ),
        (
            "SELECT * FROM ttt WHERE list_append(a, b) = 1",
            "The function is not allowed in a condition expression; function: list_append",
        ),
        (
            "UPDATE ttt SET y={'a':x} WHERE pk='a'",
            "Unsupported data type: VariableReference under key root.a at 1:23:1",
        ),
        (
            "UPDATE ttt SET y=1 WHERE pk='a' RETURNING ALL NEW x",
            "Expected '*' after ( MODIFIED | ALL ) ( NEW | OLD ) in RETURNING clause",
        ),
        (
            "UPDATE ttt SET y=1 RETURNING ALL NEW *, ALL OLD *",
            "Invalid syntax with multiple returning elements in RETURNING clause",
        ),
        (
            "DELETE FROM ttt WHERE pk='a' RETURNING ALL NEW *",
            "Invalid returning clause: RETURNING ALL NEW *. Only RETURNING ALL OLD * is allowed in DELETE statements.",
        ),
    ] {
        assert_eq!(refusal(text), sentence, "{text}");
    }
}

#[test]
fn nothing_is_nested_without_bound() {
    for text in [
        "(".repeat(4000),
        "[".repeat(4000),
        "- ".repeat(4000),
        "NOT ".repeat(4000),
        "{'a':".repeat(1500),
        format!("a = {}1", "1 + ".repeat(2000)),
        format!("a = 1{}", " AND a = 1".repeat(700)),
        format!("size({}", "size(".repeat(1000)),
    ] {
        let text = format!("SELECT * FROM Tab WHERE {text}");
        assert!(Statement::parse(&text).is_err());
    }
    let deep = |levels: usize| {
        let value = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        Statement::parse(&format!("INSERT INTO Tab VALUE {{'pk': {value}}}"))
    };
    assert!(deep(31).is_ok());
    assert_eq!(*deep(32).unwrap_err().problem(), Problem::TooDeep);
}

/// Conditions as they are written, each of one of the forms of the grammar.
fn written_condition() -> impl Strategy<Value = String> {
    let path = prop_oneof![
        "[abc]",
        Just("\"a b\".c[3]".to_owned()),
        Just("a['x''y']".to_owned())
    ];
    let value = prop_oneof![
        "-?[0-9]{1,5}(\\.[0-9]{1,3})?",
        "'[a-z é]{0,4}'",
        Just("?".to_owned())
    ];
    let leaf = (path, value).prop_flat_map(|(path, value)| {
        prop_oneof![
            Just(format!("{path} = {value}")),
            Just(format!("{value} <> {path}")),
            Just(format!("{path} IN [{value}, 7]")),
            Just(format!("{path} NOT BETWEEN {value} AND {value}")),
            Just(format!("{path} IS NOT MISSING")),
            Just(format!("size({path}) > 3")),
            Just(format!("contains({path}, {value})")),
        ]
    });
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|members| format!("({})", members.join(" AND "))),
            prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|members| format!("({})", members.join(" OR "))),
            inner.prop_map(|denied| format!("NOT ({denied})")),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_a_statement_or_refused_at_a_place(text in "\\PC*") {
        if let Err(error) = Statement::parse(&text) {
            prop_assert!(error.position() <= text.len() && text.is_char_boundary(error.position()));
        }
    }

    #[test]
    fn any_mix_of_its_words_is_a_statement_or_refused_at_a_place(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "SELECT", "*", "FROM", "Tab", "WHERE", "a", "=", "1", "'x'", "?", "AND", "OR", "NOT", "IN", "[", "]", "(",
                ")", "<<", ">>", "{", "}", ":", ",", ".", "BETWEEN", "IS", "MISSING", "NULL", "INSERT", "INTO", "VALUE",
                "UPDATE", "SET", "REMOVE", "DELETE", "RETURNING", "ALL", "OLD", "size(", "set_add(", "-", "+", "\"é\"",
                "ORDER", "BY", "DESC", "EXISTS", ";", "`1`", "--", "\n",
            ]),
            0..24,
        ),
        start in prop::sample::select(vec!["", "SELECT * FROM Tab WHERE ", "UPDATE Tab SET a = ", "INSERT INTO Tab VALUE "]),
    ) {
        let text = format!("{start}{}", words.join(" "));
        if let Err(error) = Statement::parse(&text) {
            prop_assert!(error.position() <= text.len() && text.is_char_boundary(error.position()));
        }
    }

    #[test]
    fn what_a_condition_says_can_be_said_in_the_expression_language(text in written_condition()) {
        let (statement, parameters) = Statement::parse(&format!("SELECT * FROM Tab WHERE {text}")).unwrap();
        let Statement::Select(Select { condition: Some(condition), .. }) = statement else { unreachable!() };
        let mut placeholders = Placeholders::default();
        placeholders.values_writer().number(&5.into());
        let starts = vec![0; parameters];
        let spelled = Speller::new(&mut placeholders, &starts).condition(&condition).unwrap();
        match expression::Condition::parse_unbounded(&spelled, &mut placeholders) {
            Ok(_) => placeholders.check_all_used().unwrap(),
            // What operators think of their operands is theirs.
            Err(error) => prop_assert!(!error.is_syntactic() || error.to_string().contains("operand"), "{spelled}: {error}"),
        }
        // A parameter that is not there is noticed.
        if parameters > 0 {
            let mut placeholders = Placeholders::default();
            let error = Speller::new(&mut placeholders, &[]).condition(&condition).unwrap_err();
            prop_assert_eq!(error.problem(), &Problem::Parameters);
        }
    }

    #[test]
    fn values_come_back_as_they_were_written(number in -99_999_i64..99_999, text in "\\PC{0,8}", flag: bool) {
        let quoted = text.replace('\'', "''");
        let written = format!("INSERT INTO Tab VALUE {{'n': {number}, 's': '{quoted}', 'b': {flag}, 'l': [{number}, '{quoted}']}}");
        let Statement::Insert(insert) = parse(&written) else { unreachable!() };
        let value = |index: usize| match &insert.attributes[index].1 {
            Value::Literal(literal) => literal.value(),
            Value::Parameter(_) => unreachable!(),
        };
        let number_text = number.to_string();
        let is_number = |value: crate::attribute::RawValue<'_>| matches!(
            value.open(), ValueRef::Number(found) if found.format().as_str() == number_text
        );
        let is_text = |value: crate::attribute::RawValue<'_>| matches!(
            value.open(), ValueRef::String(found) if found == text.as_bytes()
        );
        prop_assert!(is_number(value(0)) && is_text(value(1)));
        prop_assert!(matches!(value(2).open(), ValueRef::Bool(found) if found == flag));
        let ValueRef::List(list) = value(3).open() else { unreachable!() };
        prop_assert!(list.get(0).is_some_and(is_number) && list.get(1).is_some_and(is_text));
    }
}
