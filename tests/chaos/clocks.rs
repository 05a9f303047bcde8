//! Clocks that are wrong.

use std::time::Duration;

use crate::scenario::length;
use crate::stage::Layout;
use crate::stage::flow::Mix;
use crate::world::Plan;

/// The beginning of 1970, 1999, 2026 and 2100, and the end of 9999, in no order.
const TIMES: [i64; 5] = [1, 4_102_444_800_000, 915_148_800_000, 253_402_300_799_999, 1_767_225_600_000];

/// Producers' clocks jump by decades, forth and back, from one record to the next: that is a matter of `enqueuedAt` and
/// of the measured latency, and of nothing else.
#[test]
fn record_times_jump() {
    let plan = Plan::new("record_times_jump");
    let plan = Plan {
        layout: Layout {
            // Else Kafka refuses what is ahead, and deletes what is long ago.
            topic_settings: &[
                ("message.timestamp.after.max.ms", "9223372036854775807"),
                ("retention.ms", "-1"),
            ],
            ..plan.layout
        },
        mix: Mix { times: &TIMES, ..plan.mix },
        ..plan
    };
    let mut world = plan.begin();
    let until = length(Duration::from_secs(6));
    while world.age() < until {
        world.pass(Duration::from_secs(3));
        let which = world.any();
        world.roll(which);
        world.wait_until_shared();
    }
    world.end();
}
