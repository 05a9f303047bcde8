//! What is recognized, what it becomes, and what it is folded to.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::aggregate::Folding;
use super::shape::{Fold, Function, Shape, shape};

fn fold(sql: &str) -> Fold {
    match shape(sql) {
        Shape::Fold(fold) => fold,
        other => panic!("{sql} is {other:?}"),
    }
}

/// Folds arguments that stand for those of every document; `null` of Rust's is undefined.
fn answer(sql: &str, arguments: &[Option<Value>]) -> Option<String> {
    let fold = fold(sql);
    let mut folding = Folding::new(&fold);
    for argument in arguments {
        let document = argument.iter().map(|value| ("a0".to_owned(), value.clone())).collect::<Map<_, _>>();
        folding.add(&document);
    }
    folding.answer(&fold)
}

#[test]
fn a_query_without_an_aggregate_goes_to_the_store() {
    for sql in [
        "SELECT * FROM c WHERE c.type = 'CO2'",
        "SELECT TOP 5 * FROM c ORDER BY c._ts DESC OFFSET 1 LIMIT 2",
        "SELECT DISTINCT c.type FROM c",
        "SELECT c.count, c.sum FROM c WHERE c.max > 1",
        "SELECT 'COUNT(1)', \"GROUP BY\" FROM c -- COUNT(1)",
        "SELECT udf.sum(c.a) FROM c",
        "SELECT (SELECT VALUE COUNT(1) FROM t IN c.tags) AS n FROM c",
        "SELECT c.id, ARRAY(SELECT t.a, MAX(t.b) FROM t IN c.tags GROUP BY t.a) FROM c",
        "SELECT * FROM c WHERE EXISTS(SELECT VALUE COUNT(1) FROM t IN c.tags)",
        "not SQL at all",
        "SELECT COUNT(1 FROM 'c",
        "",
    ] {
        assert_eq!(shape(sql), Shape::Plain, "{sql}");
    }
}

#[test]
fn a_plain_aggregate_asks_for_its_argument() {
    let table = [
        ("SELECT COUNT(1) FROM c", "SELECT 1 AS a0 FROM c"),
        ("SELECT VALUE COUNT(1) FROM c", "SELECT 1 AS a0 FROM c"),
        ("select value count(*) from c", "SELECT 1 AS a0 from c"),
        (
            "SELECT AVG(c['value']) AS mean FROM c WHERE c.type = 'CO2'",
            "SELECT c['value'] AS a0 FROM c WHERE c.type = 'CO2'",
        ),
        (
            "SELECT MIN(c.a), MAX(ABS(c['b']) + 1) top FROM rawdata AS c",
            "SELECT c.a AS a0, ABS(c['b']) + 1 AS a1 FROM rawdata AS c",
        ),
        (
            "SELECT SUM(c.a) FROM rawdata c WHERE EXISTS(SELECT 1 FROM t IN c.x ORDER BY t)",
            "SELECT c.a AS a0 FROM rawdata c WHERE EXISTS(SELECT 1 FROM t IN c.x ORDER BY t)",
        ),
        (
            "SELECT COUNT(1) FROM c WHERE c.group = 1 AND c['order'] = 2",
            "SELECT 1 AS a0 FROM c WHERE c.group = 1 AND c['order'] = 2",
        ),
    ];
    for (sql, projection) in table {
        assert_eq!(fold(sql).projection, projection, "{sql}");
    }
}

#[test]
fn an_aggregate_has_its_own_name_or_its_place() {
    let fold = fold("SELECT COUNT(1), SUM(c.a) AS total, MAX(c.b) most FROM c");
    let named: Vec<_> = fold.aggregates.iter().map(|a| (a.function, a.name.as_str())).collect();
    assert_eq!(named, [(Function::Count, "$1"), (Function::Sum, "total"), (Function::Max, "most")]);
    assert!(!fold.value);
}

#[test]
fn everything_else_with_an_aggregate_is_refused() {
    for sql in [
        "SELECT c.type, COUNT(1) FROM c",
        "SELECT COUNT(1), c.type FROM c",
        "SELECT COUNT(1) + 1 FROM c",
        "SELECT VALUE COUNT(1) AS n FROM c",
        "SELECT VALUE COUNT(1), SUM(c.a) FROM c",
        "SELECT VALUE {n: COUNT(1)} FROM c",
        "SELECT COUNT() FROM c",
        "SELECT SUM(*) FROM c",
        "SELECT SUM(c.a, c.b) FROM c",
        "SELECT SUM(MAX(c.a)) FROM c",
        "SELECT SUM((SELECT VALUE 1)) FROM c",
        "SELECT COUNT(1)",
        "SELECT COUNT(1) AS FROM c",
        "SELECT DISTINCT COUNT(1) FROM c",
        "SELECT TOP 1 COUNT(1) FROM c",
        "SELECT COUNT(1) FROM c.tags",
        "SELECT COUNT(1) FROM t IN c.tags",
        "SELECT COUNT(1) FROM c JOIN t IN c.tags",
        "SELECT COUNT(1) FROM c x JOIN t IN x.tags",
        "SELECT COUNT(1) FROM c WHERE",
        "SELECT COUNT(1) FROM c ORDER BY c.a",
        "SELECT COUNT(1) FROM c WHERE c.a > 1 ORDER BY c.a",
        "SELECT COUNT(1) FROM c WHERE c.a > 1 OFFSET 0 LIMIT 1",
        "SELECT COUNT(1) FROM c WHERE c.a > COUNT(1)",
        "SELECT * FROM c WHERE c.a = MAX(c.b)",
    ] {
        assert!(
            matches!(shape(sql), Shape::Refused(reason) if reason.contains("more than")),
            "{sql}: {:?}",
            shape(sql)
        );
    }
    for sql in ["SELECT c.type FROM c GROUP BY c.type", "SELECT c.type, COUNT(1) FROM c group  by c.type"] {
        assert_eq!(shape(sql), Shape::Refused("GROUP BY"), "{sql}");
    }
    for sql in ["SELECT COUNTIF(c.a) FROM c", "SELECT VALUE MAKELIST(c.a) FROM c"] {
        assert!(matches!(shape(sql), Shape::Refused(reason) if reason.contains("other than")), "{sql}");
    }
}

/// A function, its argument in each document, and its value.
type Row<'a> = (&'a str, &'a [Option<Value>], Option<&'a str>);

#[test]
fn aggregates_mean_what_the_store_means() {
    let (one, two, half) = (Some(json!(1)), Some(json!(2)), Some(json!(0.5)));
    let (null, text, undefined) = (Some(json!(null)), Some(json!("a")), None::<Value>);
    let list = Some(json!([1]));
    let numbers = [one.clone(), two.clone(), undefined];
    let mixed = [null.clone(), one.clone(), text.clone(), Some(json!(true))];
    let table: [Row<'_>; 20] = [
        ("COUNT", &numbers, Some("2")),
        ("COUNT", &mixed, Some("4")),
        ("COUNT", &[], Some("0")),
        ("SUM", &numbers, Some("3")),
        ("SUM", &[one.clone(), half.clone()], Some("1.5")),
        ("SUM", &mixed, None),
        ("SUM", &[None], None),
        ("SUM", &[], None),
        ("AVG", &numbers, Some("1.5")),
        ("AVG", &[one.clone(), null.clone()], None),
        ("AVG", &[], None),
        ("MIN", &numbers, Some("1")),
        ("MIN", &mixed, Some("null")),
        ("MIN", &[two.clone(), half.clone(), None], Some("0.5")),
        ("MIN", &[], None),
        ("MAX", &numbers, Some("2")),
        ("MAX", &mixed, Some("\"a\"")),
        ("MAX", &[one.clone(), Some(json!(false))], Some("1")),
        ("MAX", &[text, list], None),
        ("MAX", &[], None),
    ];
    for (function, arguments, expected) in table {
        let sql = format!("SELECT VALUE {function}(c.x) FROM c");
        assert_eq!(answer(&sql, arguments).as_deref(), expected, "{function} of {arguments:?}");
    }
}

#[test]
fn an_undefined_aggregate_is_left_out_of_the_object() {
    assert_eq!(answer("SELECT SUM(c.a) AS \u{e9}t\u{e9} FROM c", &[]), Some("{}".into()));
    assert_eq!(answer("SELECT COUNT(c.a) AS n FROM c", &[Some(json!(1))]), Some(r#"{"n":1}"#.into()));
}

proptest! {
    /// Nothing that can be typed makes it panic, and what is folded keeps FROM and WHERE as typed.
    #[test]
    fn whatever_is_typed_is_one_of_the_three(words in prop::collection::vec(prop::sample::select(vec![
        "SELECT", "VALUE", "COUNT", "SUM", "(", ")", "1", "c", ".", "a", ",", "AS", "FROM", "WHERE", "GROUP",
        "BY", "'x'", "=", "*", "[", "]", "{", "}", "ORDER", "IN", "JOIN",
    ]), 0..16)) {
        let sql = words.join(" ");
        if let Shape::Fold(fold) = shape(&sql) {
            let from = &sql[sql.find("FROM").unwrap()..];
            prop_assert!(fold.projection.ends_with(from), "{} became {}", sql, fold.projection);
            prop_assert!(matches!(shape(&fold.projection), Shape::Plain), "{}", fold.projection);
        }
    }

    /// Sums and means of whole numbers are those of the list.
    #[test]
    fn sums_are_those_of_the_list(numbers in prop::collection::vec(-1000_i64..1000, 1..50)) {
        let arguments: Vec<_> = numbers.iter().map(|n| Some(json!(n))).collect();
        let sum: i64 = numbers.iter().sum();
        prop_assert_eq!(answer("SELECT VALUE SUM(c.a) FROM c", &arguments), Some(sum.to_string()));
        let mean: f64 = answer("SELECT VALUE AVG(c.a) FROM c", &arguments).unwrap().parse().unwrap();
        prop_assert!((mean - sum as f64 / numbers.len() as f64).abs() < 1e-9);
        let least = numbers.iter().min().unwrap().to_string();
        prop_assert_eq!(answer("SELECT VALUE MIN(c.a) FROM c", &arguments), Some(least));
    }
}
