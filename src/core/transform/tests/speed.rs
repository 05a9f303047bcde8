//! How long an event takes, for a look by hand: `cargo test --lib transform::tests::speed -- --ignored --nocapture`.

use std::fmt::Write;
use std::hint::black_box;
use std::time::Instant;

use super::*;

#[test]
#[ignore = "it measures and asserts nothing"]
fn nanoseconds_for_an_event_of_thirty_numbers() {
    let rules = with(|_| ());
    let stamp = rules.stamp(PROCESSED_NANOS);
    let mut event = String::from(
        r#"{"eventId":"4fa25e6c-50d3-4189-9613-d486b71412df","deviceId":"contoso-device-id-154","createdAt":"2019-05-16T17:16:40.000Z""#,
    );
    for n in 0..30_u64 {
        let fraction = (n + 1).wrapping_mul(6_364_136_223_846_793_005) % 100_000_000_000_000;
        write!(event, ",\"moreData{n}\":{}.{fraction}", n * 7 % 100).unwrap();
    }
    event.push('}');
    let mut body = Vec::new();
    let mut best = [u128::MAX; 2];
    for _ in 0..20 {
        const EVENTS: u128 = 10_000;
        let start = Instant::now();
        for _ in 0..EVENTS {
            black_box(decode(&rules, Some(black_box(event.as_bytes())), Some(ENQUEUED_MILLIS), &stamp))
                .unwrap();
        }
        best[0] = best[0].min(start.elapsed().as_nanos() / EVENTS);
        let document = decode_with(&rules, event.as_bytes()).unwrap();
        let start = Instant::now();
        for _ in 0..EVENTS {
            body.clear();
            document.write_body(black_box(event.as_bytes()), &mut body);
        }
        best[1] = best[1].min(start.elapsed().as_nanos() / EVENTS);
    }
    println!("{} bytes: decode {} ns, write the body {} ns", event.len(), best[0], best[1]);
}
