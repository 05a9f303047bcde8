//! That all of them do the same work: under the same id each writes the same document, but for `processedAt`.

use std::collections::HashMap;

use serde_json::Value;

use crate::stage::endpoint::Endpoint;

/// Of how many of the bodies that the endpoint has kept one is taken.
const ONE_IN: usize = 20;

/// Some documents of the first run, by id.
pub struct Documents(HashMap<String, Value>);

impl Documents {
    pub fn written_to(endpoint: &Endpoint) -> Self {
        Self(endpoint.bodies().iter().step_by(ONE_IN).flat_map(|body| documents(body)).collect())
    }

    /// Compares what else was written under these ids.
    ///
    /// # Panics
    /// When a document differs, or there is none to compare.
    pub fn compare(&self, endpoint: &Endpoint, name: &str) {
        let bodies = endpoint.bodies();
        let theirs = bodies.iter().flat_map(|body| documents(body));
        let mut compared = 0;
        for (id, document) in theirs {
            if let Some(ours) = self.0.get(&id) {
                assert_eq!(ours, &document, "{name} writes another document");
                compared += 1;
            }
        }
        assert!(
            compared > 0,
            "{name}: none of {} documents is among the first {}",
            self.0.len(),
            bodies.len()
        );
    }
}

/// The documents of a request: of a batch, or the one that is its body.
fn documents(body: &[u8]) -> Vec<(String, Value)> {
    let request: Value = serde_json::from_slice(body).expect("a body is JSON");
    let documents = match request {
        Value::Array(operations) => {
            operations.into_iter().map(|mut operation| operation["resourceBody"].take()).collect()
        }
        document => vec![document],
    };
    let named = documents.into_iter().map(|mut document| {
        document.as_object_mut().expect("a document").remove("processedAt").expect("when it was processed");
        (document["id"].as_str().expect("an id").to_owned(), document)
    });
    named.collect()
}
