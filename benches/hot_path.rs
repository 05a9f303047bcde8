//! How long each step of an event takes, by criterion: `cargo bench --bench hot_path`. The times are of a
//! micro-batch of 10,000 events; criterion's throughput is by event.

#![allow(missing_docs, reason = "criterion's macros make functions")]

mod steps;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use steps::Steps;

const EVENTS: usize = 10_000;

fn hot_path(criterion: &mut Criterion) {
    let steps = Steps::new(EVENTS, 500);
    let records = steps.copy();
    let documents = steps.decode(&records);
    let mut group = criterion.benchmark_group("10,000 events of a kilobyte, 500 devices");
    group.throughput(Throughput::Elements(EVENTS as u64)).sample_size(20);
    group.bench_function("copy", |bencher| bencher.iter_with_large_drop(|| steps.copy()));
    group.bench_function("decode", |bencher| bencher.iter_with_large_drop(|| steps.decode(&records)));
    group.bench_function("group", |bencher| bencher.iter_with_large_drop(|| Steps::group(&documents)));
    group.bench_function("bodies", |bencher| {
        bencher.iter_batched_ref(
            || Steps::group(&documents),
            |lanes| Steps::bodies(&records, &documents, lanes),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("request_units", |bencher| bencher.iter(|| steps.request_units()));
    group.bench_function("ledger", |bencher| bencher.iter(|| steps.ledger()));
    group.finish();
}

criterion_group!(benches, hot_path);
criterion_main!(benches);
