//! What is asked is what is answered.

use serde_json::{Value, json};
use streamproc::query::{Outcome, QueryError, Request, run};

use super::store::Store;
use super::verify::documents;

async fn ask(store: &Store, request: &Request) -> Result<(Vec<String>, Outcome), QueryError> {
    let mut documents = Vec::new();
    let outcome = run(&store.container, request, |document| {
        documents.push(document.to_owned());
        Ok(())
    });
    let outcome = outcome.await?;
    Ok((documents, outcome))
}

fn everywhere(sql: &str) -> Request {
    Request { sql: sql.into(), ..Request::default() }
}

fn within(key: &str, sql: &str) -> Request {
    Request { partition_key: vec![key.into()], ..everywhere(sql) }
}

async fn filled() -> (Store, Vec<Value>) {
    let store = Store::new(&["/deviceId"], 4).await;
    let documents = documents(10, 200);
    store.fill(documents.clone()).await;
    (store, documents)
}

#[tokio::test]
async fn documents_come_as_they_are_stored() {
    let (store, documents) = filled().await;
    let (lines, outcome) = ask(&store, &everywhere("SELECT * FROM c WHERE c.type = 'CO2'")).await.unwrap();
    let co2: Vec<_> = documents.iter().filter(|document| document["type"] == "CO2").collect();
    assert_eq!(lines.len(), co2.len());
    assert_eq!(outcome.documents as usize, co2.len());
    assert!(outcome.request_units > 0.0 && outcome.pages >= 4 && !outcome.limited, "{outcome:?}");
    for line in &lines {
        let read: Value = serde_json::from_str(line).unwrap();
        let stored = co2.iter().find(|document| document["id"] == read["id"]).unwrap();
        assert_eq!(read["complexData"], stored["complexData"]);
        let number = stored["value"].to_string();
        assert!(line.contains(&format!("\"value\":{number}")), "{number} is not in {line}");
    }
}

#[tokio::test]
async fn answers_are_asked_for_as_text() {
    let (store, _) = filled().await;
    assert!(store.was_asked_for_binary(), "storing is this client's own affair");
    ask(&store, &everywhere("SELECT * FROM c")).await.unwrap();
    ask(&store, &everywhere("SELECT VALUE COUNT(1) FROM c")).await.unwrap();
    assert!(!store.was_asked_for_binary());
}

#[tokio::test]
async fn a_limit_ends_it_early() {
    let (store, _) = filled().await;
    let request = Request { limit: Some(7), ..everywhere("SELECT c.id FROM c") };
    let (lines, outcome) = ask(&store, &request).await.unwrap();
    assert_eq!((lines.len(), outcome.limited), (7, true));
    let request = Request { limit: Some(1000), ..request };
    assert_eq!(ask(&store, &request).await.unwrap().0.len(), 200);
}

#[tokio::test]
async fn order_top_and_offset_are_the_stores() {
    let (store, mut documents) = filled().await;
    documents.sort_by(|a, b| a["id"].as_str().cmp(&b["id"].as_str()));
    let ids: Vec<_> = documents.iter().map(|document| document["id"].to_string()).collect();
    let sql = "SELECT VALUE c.id FROM c ORDER BY c.id OFFSET 3 LIMIT 5";
    let (lines, _) = ask(&store, &everywhere(sql)).await.unwrap();
    assert_eq!(lines, ids[3..8]);
    let (lines, _) = ask(&store, &everywhere("SELECT TOP 3 * FROM c")).await.unwrap();
    assert_eq!(lines.len(), 3);
}

#[tokio::test]
async fn aggregates_over_all_partitions_are_computed_here() {
    let (store, documents) = filled().await;
    let co2: Vec<f64> = documents
        .iter()
        .filter(|document| document["type"] == "CO2")
        .map(|document| document["value"].as_f64().unwrap())
        .collect();
    let (lines, outcome) = ask(&store, &everywhere("SELECT VALUE COUNT(1) FROM c")).await.unwrap();
    assert_eq!((lines, outcome.computed_from), (vec!["200".to_owned()], Some(200)));

    let sql = "SELECT COUNT(1) AS n, MIN(c['value']) AS low, MAX(c['value']) AS high, AVG(c['value']) AS mean, \
               SUM(c['value']) AS total, MAX(c.absent) AS none FROM c WHERE c.type = 'CO2'";
    let (lines, _) = ask(&store, &everywhere(sql)).await.unwrap();
    let answer: Value = serde_json::from_str(&lines[0]).unwrap();
    let total: f64 = co2.iter().sum();
    let expected = json!({
        "n": co2.len(),
        "low": co2.iter().copied().reduce(f64::min),
        "high": co2.iter().copied().reduce(f64::max),
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&answer[name], value, "{name}");
    }
    assert!((answer["total"].as_f64().unwrap() - total).abs() < 1e-6);
    assert!((answer["mean"].as_f64().unwrap() - total / co2.len() as f64).abs() < 1e-9);
    assert_eq!(answer.get("none"), None, "undefined is left out");
}

#[tokio::test]
async fn what_cannot_be_computed_is_refused_with_the_way_out() {
    let (store, _) = filled().await;
    let grouped = "SELECT c.type, COUNT(1) AS n FROM c GROUP BY c.type";
    let error = ask(&store, &everywhere(grouped)).await.unwrap_err();
    assert!(matches!(error, QueryError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("--partition-key"), "{error}");

    let (lines, outcome) = ask(&store, &within("contoso-device-id-3", grouped)).await.unwrap();
    let counted: u64 =
        lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["n"].as_u64().unwrap()).sum();
    assert_eq!((counted, outcome.computed_from), (20, None));
}

#[tokio::test]
async fn a_partition_key_keeps_to_its_partition() {
    let (store, _) = filled().await;
    let (lines, _) =
        ask(&store, &within("contoso-device-id-3", "SELECT VALUE COUNT(1) FROM c")).await.unwrap();
    assert_eq!(lines, ["20"]);
    let (lines, _) = ask(&store, &within("nobody", "SELECT * FROM c")).await.unwrap();
    assert!(lines.is_empty());
    let list = Request { partition_key: vec![json!([1])], ..everywhere("SELECT * FROM c") };
    assert!(matches!(ask(&store, &list).await, Err(QueryError::PartitionKey(_))));
}

#[tokio::test]
async fn a_hierarchical_key_is_given_level_by_level() {
    let store = Store::new(&["/site", "/deviceId"], 3).await;
    let documents = documents(4, 40).into_iter().enumerate().map(|(n, mut document)| {
        document["site"] = format!("site-{}", n % 2).into();
        document
    });
    store.fill(documents).await;
    let ask_keys = async |keys: &[&str]| {
        let partition_key = keys.iter().map(|key| json!(key)).collect();
        let request = Request { partition_key, ..everywhere("SELECT c.id FROM c") };
        ask(&store, &request).await.unwrap().0.len()
    };
    assert_eq!(ask_keys(&["site-0"]).await, 20);
    assert_eq!(ask_keys(&["site-0", "contoso-device-id-2"]).await, 10);
    assert_eq!(ask_keys(&["site-0", "contoso-device-id-1"]).await, 0);
}

#[tokio::test]
async fn a_string_may_stand_in_double_quotes() {
    let (store, _) = filled().await;
    // The store in memory takes them for names; that the service is asked for its plan is what counts.
    let asked = ask(&store, &everywhere("SELECT c[\"id\"] FROM c")).await;
    assert_eq!(asked.unwrap().0.len(), 200);
}

#[tokio::test]
async fn more_partitions_than_the_sdk_asks_at_once_are_asked() {
    let store = Store::new(&["/deviceId"], 150).await;
    store.fill(documents(10, 50)).await;
    assert_eq!(ask(&store, &everywhere("SELECT c.id FROM c")).await.unwrap().0.len(), 50);
    assert_eq!(ask(&store, &everywhere("SELECT VALUE COUNT(1) FROM c")).await.unwrap().0, ["50"]);
    // Five come of each; the limit falls within the second five.
    let seven = Request { limit: Some(7), ..everywhere("SELECT c.id FROM c") };
    assert_eq!(ask(&store, &seven).await.unwrap().0.len(), 7);
}

#[tokio::test]
async fn bad_sql_is_the_stores_to_refuse() {
    let (store, _) = filled().await;
    let error = ask(&store, &everywhere("SELEC * FORM c")).await.unwrap_err();
    let QueryError::Store(error) = error else { panic!("{error}") };
    assert_eq!(u16::from(error.status().status_code()), 400, "{error}");
}

/// One partition is that of a whole key; the first levels of one may lie in many.
#[tokio::test]
async fn aggregates_over_the_first_levels_of_a_key_are_computed_here() {
    let store = Store::new(&["/site", "/deviceId"], 3).await;
    let documents = documents(4, 40).into_iter().enumerate().map(|(n, mut document)| {
        document["site"] = format!("site-{}", n % 2).into();
        document
    });
    store.fill(documents).await;
    let ask_keys = async |keys: &[&str], sql: &str| {
        let partition_key = keys.iter().map(|key| json!(key)).collect();
        ask(&store, &Request { partition_key, ..everywhere(sql) }).await
    };
    let count = "SELECT VALUE COUNT(1) FROM c";
    let (lines, outcome) = ask_keys(&["site-0"], count).await.unwrap();
    assert_eq!((lines, outcome.computed_from), (vec!["20".to_owned()], Some(20)));
    let (lines, outcome) = ask_keys(&["site-0", "contoso-device-id-0"], count).await.unwrap();
    assert_eq!((lines, outcome.computed_from), (vec!["10".to_owned()], None));

    let grouped = "SELECT c.type, COUNT(1) AS n FROM c GROUP BY c.type";
    let refused = ask_keys(&["site-0"], grouped).await.unwrap_err().to_string();
    assert!(refused.contains("every level"), "{refused}");
    assert!(ask_keys(&["site-0", "contoso-device-id-0"], grouped).await.is_ok());
    let too_many = ask_keys(&["site-0", "contoso-device-id-0", "x"], count).await;
    assert!(matches!(too_many, Err(QueryError::TooManyValues { .. })), "{too_many:?}");
}
