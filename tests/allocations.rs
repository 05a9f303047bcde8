//! How often an event asks the allocator for memory on its way from Kafka's buffer into a request.

#[path = "../benches/steps/mod.rs"]
mod steps;

use steps::Steps;

const EVENTS: usize = 10_000;

/// So many times an event each step may allocate; twenty events to a request.
const LIMITS: [(&str, f64); 6] = [
    ("copy", 0.01),
    ("decode", 3.01),
    ("group", 0.6),
    ("bodies", 0.2),
    ("request_units", 0.01),
    ("ledger", 0.01),
];

#[test]
fn an_event_allocates_a_few_times_on_its_way() {
    let steps = Steps::new(EVENTS, 500);
    let records = steps.copy();
    let documents = steps.decode(&records);
    let mut lanes = Steps::group(&documents);
    let per_event =
        |step: &mut dyn FnMut()| allocation_counter::measure(step).count_total as f64 / EVENTS as f64;
    let counted = [
        per_event(&mut || drop(steps.copy())),
        per_event(&mut || drop(steps.decode(&records))),
        per_event(&mut || drop(Steps::group(&documents))),
        per_event(&mut || assert_eq!(Steps::bodies(&records, &documents, &mut lanes).1, 500)),
        per_event(&mut || assert!(steps.request_units() > 0.0)),
        per_event(&mut || assert_eq!(steps.ledger().0, EVENTS as i64)),
    ];
    for ((step, limit), counted) in LIMITS.into_iter().zip(counted) {
        println!("{step}: {counted:.3} allocations an event");
        assert!(counted <= limit, "{step}: {counted:.3} allocations an event, over {limit}");
    }
}
