//! How fast one partition key range is written to, learned from its throttled answers.
//!
//! Cosmos DB divides a container's request units evenly over its physical partitions, and each answers 429
//! by itself when its part of the second is spent. Whoever just waits as long as the answer says is
//! throttled again with everything that waited alike; so each range has a rate here:
//!
//! - none, until the range has throttled;
//! - then what the range served in the second before, and soon more, for it may have been asked for little;
//! - a little less whenever it throttles again, and much less if it serves much less than that;
//! - more with the time since: slowly at first, where the limit is likely, then faster and faster, so that
//!   a container given more request units is used soon;
//! - soon what it was, after it was lowered while the range served nothing at all: that was no sign of how much
//!   it serves.
//!
//! Requests that were on their way when the rate was lowered say nothing about the lower rate. Neither does
//! a partition key that is throttled twice in a row, while no other is: the range serves the others.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long the range may serve more than its rate after a pause.
const BURST: Duration = Duration::from_millis(100);

/// Over how long what is served is measured. The service counts by seconds, and a second may hold no more
/// than one or two large batches.
const MEASURED: Duration = Duration::from_secs(2);

/// The second in which the range throttled for the first time: before it, nothing is known.
const FIRST_MEASURED: Duration = Duration::from_secs(1);

/// The shortest time over which what is served is a measure.
const SHORTEST_MEASURED: Duration = Duration::from_millis(250);

/// What a throttled answer takes from the rate.
const CUT: f64 = 0.03;

/// Below this part of the rate, what is served is the better guess.
const FAR_BELOW: f64 = 0.7;

/// No cut leaves less than this part of the rate: what was asked for may have been little.
const DEEPEST_CUT: f64 = 0.25;

/// The growth of the rate in a second, as a part of it, when it was lowered just now.
const GROWTH: f64 = 0.002;

/// How long until the growth is twice as fast.
const DOUBLING: Duration = Duration::from_secs(5);

/// The fastest growth in a second.
const FASTEST_GROWTH: f64 = 0.3;

/// The growth in a second while nothing speaks against it.
const QUICK_GROWTH: f64 = 0.7;

/// After so long without a throttled answer there is no rate any more.
const FORGOTTEN: Duration = Duration::from_mins(2);

/// The lowest rate, in request units a second.
const LOWEST: f64 = 40.0;

/// The longest wait before one looks again.
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// The pace of one partition key range. It begins as that of one that has not throttled yet.
#[derive(Debug, Default)]
pub struct Pace {
    limit: Option<Limit>,
    /// When the range wants to be asked again.
    closed_until: Option<Instant>,
    /// What was served lately: when, and how many request units.
    served: VecDeque<(Instant, f64)>,
    /// Counts the cuts.
    cuts: u32,
    /// Which partition key was throttled last, by its hash.
    throttled: Option<u64>,
}

#[derive(Debug)]
struct Limit {
    /// Request units a second.
    rate: f64,
    balance: f64,
    updated: Instant,
    throttled: Instant,
    /// Up to which rate it grows quickly: there is no measure yet, or what lowered it from there was none.
    quick_to: f64,
    /// Whether anything was served at this rate.
    has_served: bool,
    /// Until when the range was closed, when it was last lowered while nothing was served.
    blind: Option<Instant>,
}

/// A request that has been let through: for which partition key, by its hash, what it is expected to cost, and
/// after how many cuts.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    key: u64,
    expected: f64,
    cuts: u32,
}

impl Pace {
    /// The rate in request units a second, if there is one.
    pub fn rate(&self) -> Option<f64> {
        self.limit.as_ref().map(|limit| limit.rate)
    }

    /// How long a request has to wait before it asks again; nothing if it may start.
    pub fn wait(&mut self, now: Instant) -> Option<Duration> {
        self.refill(now);
        if let Some(until) = self.closed_until {
            if now < until {
                return Some((until - now).min(LONGEST_WAIT));
            }
            self.closed_until = None;
        }
        let limit = self.limit.as_ref().filter(|limit| limit.balance < 0.0)?;
        let wait = Duration::try_from_secs_f64(-limit.balance / limit.rate).unwrap_or(LONGEST_WAIT);
        Some(wait.clamp(Duration::from_millis(1), LONGEST_WAIT))
    }

    /// Lets a request through that is expected to cost so many request units. `key` is a hash of its
    /// partition key.
    pub fn start(&mut self, key: u64, expected: f64, now: Instant) -> Started {
        self.refill(now);
        if let Some(limit) = &mut self.limit {
            limit.balance -= expected;
        }
        Started { key, expected, cuts: self.cuts }
    }

    /// Whether the rate was lowered since the request was let through: if it was not sent yet, it should wait
    /// anew.
    pub fn is_outdated(&self, started: Started) -> bool {
        started.cuts != self.cuts
    }

    /// It was answered, and has cost so many request units; or, at no cost, it was not sent at all.
    pub fn served(&mut self, started: Started, request_units: f64, now: Instant) {
        self.give_back(started.expected - request_units, now);
        if request_units > 0.0 {
            self.served.push_back((now, request_units));
            if !self.is_outdated(started)
                && let Some(limit) = &mut self.limit
            {
                limit.has_served = true;
            }
        }
        while self.served.front().is_some_and(|(then, _)| now.duration_since(*then) > MEASURED) {
            self.served.pop_front();
        }
    }

    /// It was too much, and wants to be asked again after a while. Gives whether that is so of the whole
    /// range; else it has to wait by itself.
    pub fn throttled(&mut self, started: Started, retry_after: Duration, now: Instant) -> bool {
        self.served(started, 0.0, now);
        if self.throttled.replace(started.key) == Some(started.key) {
            return false;
        }
        let until = now + retry_after;
        self.closed_until = Some(self.closed_until.map_or(until, |before| before.max(until)));
        if self.is_outdated(started) {
            return true;
        }
        self.cuts = self.cuts.wrapping_add(1);
        let blind = self.limit.as_ref().and_then(|limit| limit.blind);
        let served = |period: Duration| {
            // Seconds in which nothing was served are no measure.
            let since = blind.map(|blind| now.saturating_duration_since(blind).max(SHORTEST_MEASURED));
            let period = since.map_or(period, |since| since.min(period));
            let lately = self.served.iter().filter(|(then, _)| now.duration_since(*then) <= period);
            lately.map(|(_, request_units)| request_units).sum::<f64>() / period.as_secs_f64()
        };
        let (rate, quick_to, blind) = match &self.limit {
            None => (served(FIRST_MEASURED), f64::INFINITY, None),
            Some(limit) => {
                let served = served(MEASURED);
                let rate = if served < FAR_BELOW * limit.rate {
                    served.max(DEEPEST_CUT * limit.rate)
                } else {
                    (1.0 - CUT) * limit.rate
                };
                if limit.has_served {
                    (rate, 0.0, limit.blind)
                } else {
                    (rate, limit.quick_to.max(limit.rate), self.closed_until)
                }
            }
        };
        self.limit = Some(Limit {
            rate: rate.max(LOWEST),
            balance: self.limit.as_ref().map_or(0.0, |limit| limit.balance.min(0.0)),
            updated: now,
            throttled: now,
            quick_to,
            has_served: false,
            blind,
        });
        true
    }

    fn give_back(&mut self, request_units: f64, now: Instant) {
        self.refill(now);
        if let Some(limit) = &mut self.limit {
            limit.balance += request_units;
        }
    }

    fn refill(&mut self, now: Instant) {
        let Some(limit) = &mut self.limit else { return };
        let since = |then: Instant| now.saturating_duration_since(then);
        if since(limit.throttled) > FORGOTTEN {
            self.limit = None;
            return;
        }
        // Nothing is served while the range is closed, and nothing is saved up.
        let passed = match self.closed_until {
            Some(until) => now.saturating_duration_since(limit.updated.max(until)),
            None => since(limit.updated),
        };
        let age = since(limit.throttled).as_secs_f64();
        let growth = (GROWTH * (age / DOUBLING.as_secs_f64()).exp2()).min(FASTEST_GROWTH);
        let grown = |growth| limit.rate * (1.0 + growth * since(limit.updated).as_secs_f64().min(1.0));
        limit.rate =
            if limit.rate < limit.quick_to { grown(QUICK_GROWTH).min(limit.quick_to) } else { grown(growth) };
        limit.updated = now;
        let most = limit.rate * BURST.as_secs_f64();
        limit.balance = (limit.balance + limit.rate * passed.as_secs_f64()).min(most);
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use super::*;

    /// A physical partition: tumbling seconds, and 429 until the next one when a second is spent, or again and
    /// again while there is nothing to spend.
    struct Service {
        request_units: f64,
        window: Instant,
        spent: f64,
    }

    impl Service {
        fn ask(&mut self, charge: f64, now: Instant) -> Result<(), Duration> {
            let second = Duration::from_secs(1);
            if now - self.window >= second {
                (self.window, self.spent) = (now, 0.0);
            }
            if self.request_units == 0.0 {
                return Err(Duration::from_millis(50));
            }
            if self.spent >= self.request_units {
                return Err((self.window + second - now).max(Duration::from_millis(1)));
            }
            self.spent += charge;
            Ok(())
        }
    }

    /// What happened in a second.
    #[derive(Clone, Copy, Debug, Default)]
    struct Second {
        served: f64,
        requests: u32,
        throttled: u32,
    }

    /// As many requests of so many request units as the pace lets through, up to 64 at a time, over
    /// `provisioned.len()` seconds, each of which has its own limit.
    fn trace(charge: f64, latency: Duration, provisioned: &[f64]) -> Vec<Second> {
        let begin = Instant::now();
        let mut service = Service { request_units: 0.0, window: begin, spent: 0.0 };
        let mut pace = Pace::default();
        let (mut asked, mut answers) = (Vec::new(), BinaryHeap::new());
        let mut seconds = vec![Second::default(); provisioned.len()];
        let mut now = begin;
        loop {
            while answers.peek().is_some_and(|Reverse((at, _))| *at <= now) {
                let Some(Reverse((_, number))) = answers.pop() else { break };
                let (started, refused): (Started, Option<Duration>) = asked[number];
                match refused {
                    None => pace.served(started, charge, now),
                    Some(retry_after) => assert!(pace.throttled(started, retry_after, now)),
                }
            }
            let second = (now - begin).as_secs() as usize;
            let Some(limit) = provisioned.get(second) else { return seconds };
            service.request_units = *limit;
            let mut next = answers.peek().map(|Reverse((at, _))| *at);
            if answers.len() < 64 {
                let Some(wait) = pace.wait(now) else {
                    let started = pace.start(asked.len() as u64, charge, now);
                    let refused = service.ask(charge, now).err();
                    seconds[second].requests += 1;
                    seconds[second].throttled += u32::from(refused.is_some());
                    seconds[second].served += if refused.is_none() { charge } else { 0.0 };
                    let takes = if refused.is_none() { latency } else { latency / 4 };
                    answers.push(Reverse((now + takes, asked.len())));
                    asked.push((started, refused));
                    continue;
                };
                next = Some(next.map_or(now + wait, |next| next.min(now + wait)));
            }
            now = next.expect("something is under way").max(now + Duration::from_micros(10));
        }
    }

    fn summary(seconds: &[Second]) -> (f64, f64) {
        let served: f64 = seconds.iter().map(|second| second.served).sum();
        let requests: u32 = seconds.iter().map(|second| second.requests).sum();
        let throttled: u32 = seconds.iter().map(|second| second.throttled).sum();
        (served / seconds.len() as f64, f64::from(throttled) / f64::from(requests))
    }

    #[test]
    fn what_is_provisioned_is_used_and_few_requests_are_throttled() {
        for provisioned in [1_875.0, 3_750.0, 10_000.0] {
            for charge in [7.5, 75.0, 750.0] {
                for latency in [2, 10, 100].map(Duration::from_millis) {
                    let seconds = trace(charge, latency, &[provisioned; 180]);
                    let most = 64.0 * charge / latency.as_secs_f64();
                    let (served, throttled) = summary(&seconds[60..]);
                    println!(
                        "{provisioned} RU/s, {charge} RU, {latency:?}: {served:.0} RU/s, {throttled:.3}"
                    );
                    assert!(served >= 0.95 * provisioned.min(most), "{served} of {provisioned} RU/s");
                    assert!(throttled <= 0.05, "{throttled} of the requests of {charge} RU at {provisioned}");
                }
            }
        }
    }

    #[test]
    fn a_pace_does_not_swing() {
        let seconds = trace(75.0, Duration::from_millis(10), &[5_000.0; 120]);
        let far = seconds[30..].iter().filter(|second| !(4_500.0..=5_500.0).contains(&second.served)).count();
        assert_eq!(far, 0, "{seconds:?}");
    }

    #[test]
    fn when_less_is_provisioned_the_pace_follows_within_seconds() {
        let provisioned = [[10_000.0; 60], [2_500.0; 60]].concat();
        let seconds = trace(75.0, Duration::from_millis(10), &provisioned);
        let (served, throttled) = summary(&seconds[60..70]);
        assert!(served >= 0.95 * 2_500.0 && throttled <= 0.1, "{served} RU/s, {throttled}: {seconds:?}");
        let (served, throttled) = summary(&seconds[70..]);
        assert!(served >= 0.95 * 2_500.0 && throttled <= 0.05, "{served} RU/s, {throttled}: {seconds:?}");
    }

    #[test]
    fn when_more_is_provisioned_it_is_used_within_a_minute() {
        let provisioned = [[2_500.0; 60], [10_000.0; 60], [10_000.0; 60]].concat();
        let seconds = trace(75.0, Duration::from_millis(10), &provisioned);
        let (served, throttled) = summary(&seconds[120..]);
        assert!(served >= 9_500.0 && throttled <= 0.05, "{served} RU/s, {throttled}: {seconds:?}");
    }

    #[test]
    fn after_seconds_in_which_nothing_was_served_the_pace_is_soon_what_it_was() {
        for charge in [7.5, 75.0, 750.0] {
            for seconds in [1, 3, 30] {
                let provisioned = [vec![5_000.0; 60], vec![0.0; seconds], vec![5_000.0; 60]].concat();
                let after = trace(charge, Duration::from_millis(10), &provisioned).split_off(60 + seconds);
                let full = after.iter().position(|second| second.served >= 0.95 * 5_000.0);
                let (served, throttled) = summary(&after[10..]);
                println!(
                    "{charge} RU, {seconds} s: full after {full:?}, then {served:.0} RU/s, {throttled:.3}"
                );
                assert!(full.is_some_and(|full| full <= 10), "{full:?}: {after:?}");
                assert!(
                    served >= 0.95 * 5_000.0 && throttled <= 0.05,
                    "{served} RU/s, {throttled}: {after:?}"
                );
            }
        }
    }

    #[test]
    fn a_key_that_is_throttled_alone_slows_nobody_for_long() {
        let mut now = Instant::now();
        let mut pace = Pace::default();
        for turn in 0..60 {
            let started = pace.start(1, 100.0, now);
            assert_eq!(pace.throttled(started, Duration::from_millis(100), now), turn == 0);
            now += Duration::from_millis(250);
            if pace.wait(now).is_none() {
                let started = pace.start(2, 0.0, now);
                pace.served(started, 0.0, now);
            }
        }
        assert!(pace.rate() > Some(20_000.0), "{:?}", pace.rate());
    }

    #[test]
    fn what_throttled_long_ago_is_forgotten() {
        let mut now = Instant::now();
        let mut pace = Pace::default();
        let started = pace.start(1, 10.0, now);
        assert!(pace.throttled(started, Duration::from_millis(10), now));
        assert_eq!(pace.rate(), Some(LOWEST));
        now += FORGOTTEN + Duration::from_secs(1);
        assert_eq!((pace.wait(now), pace.rate()), (None, None));
    }

    #[test]
    fn requests_that_were_on_their_way_lower_the_rate_once() {
        let now = Instant::now();
        let mut pace = Pace::default();
        let sent: Vec<_> = (0..64).map(|key| pace.start(key, 100.0, now)).collect();
        for started in &sent[..32] {
            pace.served(*started, 100.0, now);
        }
        for started in &sent[32..] {
            assert!(pace.throttled(*started, Duration::from_millis(10), now));
        }
        assert_eq!(pace.rate(), Some(3_200.0));
    }

    #[test]
    fn a_range_that_never_throttles_has_no_rate() {
        let now = Instant::now();
        let mut pace = Pace::default();
        let started = pace.start(1, 1e9, now);
        pace.served(started, 1e9, now);
        assert_eq!((pace.wait(now), pace.rate()), (None, None));
    }
}
