//! Clocks that are wrong.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::scenario::length;
use crate::stage::flow::Mix;
use crate::stage::{Layout, SOON};
use crate::support::guard;
use crate::support::service::Service;
use crate::support::wait;
use crate::world::{Plan, World};

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
        world.is_calm();
        world.wait_until_shared();
    }
    world.end();
}

/// By how many seconds the processes' clock is off, one after the other.
const JUMPS: [i64; 4] = [-86_400, TEN_YEARS, -TEN_YEARS, 0];
const TEN_YEARS: i64 = 315_360_000;

/// The wall clock of all processes jumps by a day back, by ten years forth and back, and home again, while events flow;
/// one process is started anew while it is wrong. That is a matter of `processedAt`, of logs, and of what metrics measure
/// from a record's time.
///
/// The sandbox does not look at how old a signature is. The real service refuses keys and tokens of more than 15 minutes
/// from now with 401 or 403, which `signed_out` plays; Kafka's brokers ask for no time here. Nor do waits go by the wall
/// clock here: see [`wall_clock_set_back`].
///
/// The dead-letter topic gives letters the broker's time. By default a letter has the process's time, and Kafka refuses
/// what is more than an hour ahead (`message.timestamp.after.max.ms`): then the partition waits, and says so.
#[test]
fn wall_clock_jumps() {
    let clock = Clock::new();
    let mut plan = Plan::new("wall_clock_jumps");
    plan.layout.dead_letter_settings = &[("message.timestamp.type", "LogAppendTime")];
    plan.variables = clock.variables();
    let mut world = plan.begin();
    let until = length(Duration::from_secs(12));
    loop {
        for seconds in JUMPS {
            jump(&mut world, &clock, seconds);
        }
        clock.set(TEN_YEARS);
        let which = world.any();
        world.roll(which);
        world.wait_until_shared();
        world.wait_until_caught_up(SOON);
        clock.set(0);
        if world.age() >= until {
            break;
        }
    }
    end(world);
}

/// The clock is set back by a day, and threads that wait until some time of it wait for so long, as they do on a machine
/// whose clock is set back.
#[test]
#[ignore = "librdkafka 2.12 waits by the wall clock (tinycthread_extra.c): a thread that nobody wakes sleeps for a day"]
fn wall_clock_set_back() {
    let clock = Clock::new();
    let mut plan = Plan::new("wall_clock_set_back");
    plan.variables = clock.variables();
    plan.variables.push(("CLOCK_WAITS", "1".into()));
    let mut world = plan.begin();
    jump(&mut world, &clock, -86_400);
    end(world);
}

/// All clocks jump, and everything goes on.
fn jump(world: &mut World, clock: &Clock, seconds: i64) {
    clock.set(seconds);
    world.faults += 1;
    for process in &world.processes {
        wait_for_clock(process, seconds);
    }
    world.wait_until_caught_up(SOON);
    look_at_metrics(world);
}

fn end(mut world: World) {
    world.is_calm();
    world.wait_until_ready();
    look_at_metrics(&world);
    world.end();
}

/// A wall clock for processes, which is off (`tests/support/clock.c`).
struct Clock {
    dir: TempDir,
    offset: File,
}

impl Clock {
    fn new() -> Self {
        let dir = guard::temp_dir("clock");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/clock.c");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o"]);
        let compiled = cc.arg(dir.path().join("clock.so")).arg(source).output();
        let compiled = compiled.expect("cc, which Rust needs as well");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        let offset = File::create(dir.path().join("offset")).expect("a file in a temporary directory");
        let clock = Self { dir, offset };
        clock.set(0);
        clock
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let of = |(variable, file)| (variable, self.dir.path().join(file).display().to_string());
        [("LD_PRELOAD", "clock.so"), ("CLOCK_OFFSET", "offset")].map(of).into()
    }

    /// In place: processes have it in their memory.
    fn set(&self, seconds: i64) {
        let nanos = seconds * 1_000_000_000;
        self.offset.write_all_at(&nanos.to_ne_bytes(), 0).expect("write to a temporary directory");
    }
}

/// The service says itself that its clock is off by so much: else nothing would be played.
#[track_caller]
fn wait_for_clock(process: &Service, seconds: i64) {
    wait::until_ok(SOON, &format!("a clock that is off by {seconds} s"), || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let page = process.get("/metrics").map_err(|error| error.to_string())?.body;
        let told = page.lines().filter(|line| line.starts_with("streamproc_last_commit_timestamp_seconds{"));
        let told: Vec<f64> = told.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        let off: Vec<_> = told.iter().map(|told| told - now.as_secs_f64() - seconds as f64).collect();
        let is_there = !off.is_empty() && off.iter().all(|off| off.abs() < 60.0);
        if is_there { Ok(()) } else { Err(format!("commits are off that by {off:?} s")) }
    });
}

/// What is measured is a number, and no duration is negative.
#[track_caller]
fn look_at_metrics(world: &World) {
    for process in &world.processes {
        let page = process.get("/metrics").expect("it answers").body;
        for line in page.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let value = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
            assert!(value.is_some_and(|value| value >= 0.0), "{line}");
        }
    }
}
