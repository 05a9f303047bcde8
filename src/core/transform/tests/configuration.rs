//! Which rules can be compiled, and what is said of the others.

use super::*;
use crate::config::Ttl;

fn refused(change: impl FnOnce(&mut Event)) -> String {
    let mut event = Event::default();
    change(&mut event);
    let error = Rules::compile(&event).expect_err("it was taken").to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

#[track_caller]
fn assert_says(error: &str, key: &str, what: &str) {
    assert!(error.starts_with(&format!("{key}: ")) && error.contains(what), "{error}");
}

#[test]
fn the_defaults_are_taken_and_paths_are_read_with_and_without_a_slash() {
    let rules = with(|event| event.partition_key = names(&["deviceId", "/tenant", "site/name"]));
    assert_eq!(rules.partition_key_paths().collect::<Vec<_>>(), ["/deviceId", "/tenant", "/site/name"]);
    // Names that only look alike.
    with(|event| {
        event.partition_key = names(&["a/b/c", "a/b/d", "a/e"]);
        event.timestamps = names(&["_Ts", "ID", "created/at"]);
    });
}

#[test]
fn an_empty_name_is_refused() {
    assert_says(&refused(|event| event.id.clear()), "event.id", "empty name");
    assert_says(&refused(|event| event.timestamps.push(String::new())), "event.timestamps", "empty name");
    for path in ["", "/", "//a", "a/", "a//b"] {
        let error = refused(|event| event.partition_key = names(&[path]));
        assert_says(&error, "event.partition_key", "none of them empty");
    }
}

#[test]
fn a_container_has_one_to_three_paths_apart_from_each_other() {
    let key = "event.partition_key";
    assert_says(&refused(|event| event.partition_key.clear()), key, "0 paths");
    assert_says(&refused(|event| event.partition_key = names(&["a", "b", "c", "d"])), key, "4 paths");
    assert_says(&refused(|event| event.partition_key = names(&["a", "/a"])), key, "\"/a\" stands twice");
    for paths in [["a", "a/b"], ["a/b/c", "/a/b"]] {
        assert_says(&refused(|event| event.partition_key = names(&paths)), key, "one lies inside the other");
    }
    assert_says(&refused(|event| event.partition_key = names(&["/\"a/b\""])), key, "quotation marks");
    for path in ["eventId/x", "id/x", "createdAt/x"] {
        assert_says(&refused(|event| event.partition_key = names(&[path])), key, "is no object");
    }
}

#[test]
fn what_the_service_writes_itself_decides_nothing() {
    for name in ["enqueuedAt", "processedAt"] {
        let what = "is written by the service";
        assert_says(&refused(|event| event.id = name.into()), "event.id", what);
        assert_says(&refused(|event| event.timestamps.push(name.into())), "event.timestamps", what);
        for path in [name.to_owned(), format!("/{name}/x")] {
            let error = refused(|event| event.partition_key = vec![path]);
            assert_says(&error, "event.partition_key", "would make a second document");
        }
    }
    // Not if the service does not write it.
    with(|event| {
        event.enqueued_at.clear();
        event.processed_at.clear();
        event.partition_key = names(&["enqueuedAt"]);
        event.timestamps = names(&["processedAt"]);
    });
}

#[test]
fn added_fields_have_names_of_their_own() {
    let error = refused(|event| event.processed_at = "enqueuedAt".into());
    assert_says(&error, "event.processed_at", "is event.enqueued_at already");
    for (name, what) in
        [("id", "the document's id"), ("ttl", "number of seconds"), ("_etag", "keeps for itself")]
    {
        assert_says(&refused(|event| event.enqueued_at = name.into()), "event.enqueued_at", what);
        assert_says(&refused(|event| event.processed_at = name.into()), "event.processed_at", what);
    }
}

#[test]
fn the_id_is_no_timestamp() {
    assert_says(&refused(|event| event.timestamps.push("id".into())), "event.timestamps", "is the id");
    assert_says(&refused(|event| event.timestamps.push("eventId".into())), "event.timestamps", "is the id");
    assert_says(
        &refused(|event| event.timestamps.push("createdAt".into())),
        "event.timestamps",
        "stands twice",
    );
}

#[test]
fn system_fields_and_a_refused_ttl_decide_nothing() {
    for name in crate::core::transform::SYSTEM_FIELDS {
        let what = "keeps for itself";
        assert_says(&refused(|event| event.id = name.into()), "event.id", what);
        assert_says(&refused(|event| event.timestamps.push(name.into())), "event.timestamps", what);
        assert_says(
            &refused(|event| event.partition_key = vec![format!("{name}/x")]),
            "event.partition_key",
            what,
        );
    }
    with(|event| event.partition_key = names(&["device/_ts"]));

    assert_says(
        &refused(|event| event.timestamps.push("ttl".into())),
        "event.timestamps",
        "number of seconds",
    );
    let what = "needed and refused";
    assert_says(&refused(|event| (event.id, event.ttl) = ("ttl".into(), Ttl::Refuse)), "event.id", what);
    let error = refused(|event| (event.partition_key, event.ttl) = (names(&["ttl"]), Ttl::Refuse));
    assert_says(&error, "event.partition_key", what);
    with(|event| event.partition_key = names(&["ttl"]));
}
