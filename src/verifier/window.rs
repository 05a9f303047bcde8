//! The stored events by the minute they were stored in.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

const MINUTE: i64 = 60;

/// One minute of stored time, or a stretch of minutes in which nothing was stored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Window {
    /// When it begins.
    pub start: DateTime<Utc>,
    /// How many minutes it spans: one, unless nothing was stored in it.
    pub minutes: u64,
    /// Events stored in it.
    pub events: u64,
    /// The seconds between its first and its last event, and before and after them where other
    /// windows say that storing went on: 60 except in the first and the last window.
    pub seconds: u64,
    /// Events a second.
    pub rate: f64,
    /// Whether the rate counts: the first and the last window are cut off by begin and end.
    pub judged: bool,
    /// Stored minus enqueued, on average, in seconds.
    pub latency: Option<f64>,
    /// Processed minus enqueued, on average, in seconds.
    pub processing: Option<f64>,
}

/// How fast events were stored, where it can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// Events a second: of the slowest complete minute, or of the whole time.
    pub events_per_second: f64,
    /// How many complete minutes there are; 0 when the whole time is judged as one.
    pub complete_minutes: u64,
    /// The seconds that were judged.
    pub seconds: u64,
}

/// Counts events into minutes.
#[derive(Debug, Default)]
pub(super) struct Windows {
    minutes: BTreeMap<i64, Minute>,
    /// The first and the last second in which something was stored.
    span: Option<(i64, i64)>,
}

#[derive(Debug, Default)]
struct Minute {
    events: u64,
    latency: Mean,
    processing: Mean,
}

#[derive(Debug, Default)]
struct Mean {
    sum_millis: i64,
    count: u64,
}

impl Mean {
    fn add(&mut self, millis: i64) {
        self.sum_millis = self.sum_millis.saturating_add(millis);
        self.count += 1;
    }

    fn seconds(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum_millis as f64 / self.count as f64 / 1000.0)
    }
}

impl Windows {
    /// An event was stored in this second, so long (in milliseconds) after it was enqueued, and
    /// processed so long after.
    pub(super) fn add(&mut self, stored_at: i64, latency: Option<i64>, processing: Option<i64>) {
        let (first, last) = self.span.unwrap_or((stored_at, stored_at));
        self.span = Some((first.min(stored_at), last.max(stored_at)));
        let minute = self.minutes.entry(stored_at.div_euclid(MINUTE)).or_default();
        minute.events += 1;
        if let Some(millis) = latency {
            minute.latency.add(millis);
        }
        if let Some(millis) = processing {
            minute.processing.add(millis);
        }
    }

    /// The first and the last second in which something was stored.
    pub(super) fn span(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        self.span.map(|(first, last)| (time(first), time(last)))
    }

    /// Every window in order, those in which nothing was stored too.
    pub(super) fn list(&self) -> Vec<Window> {
        let Some((first, last)) = self.span else { return Vec::new() };
        let (first_minute, last_minute) = (first.div_euclid(MINUTE), last.div_euclid(MINUTE));
        let mut windows = Vec::new();
        let mut next = first_minute;
        for (&number, minute) in &self.minutes {
            if number > next {
                windows.push(nothing(next, number));
            }
            let (begin, end) = (number * MINUTE, (number + 1) * MINUTE);
            let seconds = (end.min(last + 1) - begin.max(first)) as u64;
            windows.push(Window {
                start: time(begin),
                minutes: 1,
                events: minute.events,
                seconds,
                rate: minute.events as f64 / seconds as f64,
                judged: number != first_minute && number != last_minute,
                latency: minute.latency.seconds(),
                processing: minute.processing.seconds(),
            });
            next = number + 1;
        }
        windows
    }

    /// The rate that counts: that of the slowest complete minute; without one, that of all events
    /// over the time from the first to the last.
    pub(super) fn rate(&self) -> Option<Rate> {
        let (first, last) = self.span?;
        let windows = self.list();
        let complete = || windows.iter().filter(|window| window.judged);
        let slowest = complete().map(|window| window.rate).min_by(f64::total_cmp);
        let complete_minutes = complete().map(|window| window.minutes).sum();
        Some(if let Some(events_per_second) = slowest {
            Rate { events_per_second, complete_minutes, seconds: complete_minutes * MINUTE as u64 }
        } else {
            let events: u64 = windows.iter().map(|window| window.events).sum();
            let seconds = (last - first).max(1) as u64;
            Rate { events_per_second: events as f64 / seconds as f64, complete_minutes: 0, seconds }
        })
    }
}

/// The minutes before `end` from `begin` on, without an event.
fn nothing(begin: i64, end: i64) -> Window {
    let minutes = (end - begin) as u64;
    Window {
        start: time(begin * MINUTE),
        minutes,
        events: 0,
        seconds: minutes * MINUTE as u64,
        rate: 0.0,
        judged: true,
        latency: None,
        processing: None,
    }
}

fn time(seconds_since_1970: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds_since_1970, 0).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// So many events in each second of a range.
    fn steady(windows: &mut Windows, seconds: std::ops::Range<i64>, each: u64) {
        for second in seconds {
            for _ in 0..each {
                windows.add(second, None, None);
            }
        }
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn the_first_and_the_last_minute_are_not_judged_when_there_are_more() {
        let mut windows = Windows::default();
        steady(&mut windows, 50..60, 1); // slow, but cut off
        steady(&mut windows, 60..120, 10);
        steady(&mut windows, 120..180, 8);
        steady(&mut windows, 180..190, 1);
        let judged: Vec<_> = windows.list().iter().map(|window| window.judged).collect();
        assert_eq!(judged, [false, true, true, false]);
        let rate = windows.rate().unwrap();
        assert!(close(rate.events_per_second, 8.0), "{rate:?}");
        assert_eq!(rate.complete_minutes, 2);
    }

    #[test]
    fn without_a_complete_minute_the_whole_time_is_judged() {
        let mut windows = Windows::default();
        steady(&mut windows, 50..71, 10);
        let rate = windows.rate().unwrap();
        assert_eq!((rate.complete_minutes, rate.seconds), (0, 20));
        assert!(close(rate.events_per_second, 10.5), "{rate:?}");
    }

    #[test]
    fn all_in_one_second_is_that_many_a_second() {
        let mut windows = Windows::default();
        steady(&mut windows, 5..6, 7);
        assert!(close(windows.rate().unwrap().events_per_second, 7.0));
    }

    #[test]
    fn a_cut_off_minute_shows_the_rate_of_the_seconds_it_covers() {
        let mut windows = Windows::default();
        steady(&mut windows, 50..70, 10);
        let rates: Vec<_> = windows.list().iter().map(|window| (window.seconds, window.rate)).collect();
        assert_eq!(rates, [(10, 10.0), (10, 10.0)]);
    }

    #[test]
    fn minutes_without_an_event_are_a_window_of_rate_zero() {
        let mut windows = Windows::default();
        steady(&mut windows, 0..60, 10);
        steady(&mut windows, 300..360, 10);
        let list = windows.list();
        assert_eq!(list.iter().map(|window| window.minutes).collect::<Vec<_>>(), [1, 4, 1]);
        assert!(close(windows.rate().unwrap().events_per_second, 0.0), "a standstill is a rate of 0");
    }

    #[test]
    fn latencies_are_averaged_by_the_minute() {
        let mut windows = Windows::default();
        windows.add(0, Some(1000), Some(10));
        windows.add(59, Some(2000), None);
        windows.add(60, None, None);
        let list = windows.list();
        assert_eq!(list.iter().map(|w| w.latency).collect::<Vec<_>>(), [Some(1.5), None]);
        assert_eq!(list.iter().map(|w| w.processing).collect::<Vec<_>>(), [Some(0.01), None]);
    }

    #[test]
    fn nothing_stored_is_no_window_and_no_rate() {
        assert!(Windows::default().list().is_empty());
        assert!(Windows::default().rate().is_none());
    }

    proptest! {
        /// Against counting every minute from the first to the last by itself.
        #[test]
        fn windows_are_what_counting_each_minute_gives(stored in prop::collection::vec(0_i64..900, 1..100)) {
            let mut windows = Windows::default();
            for &second in &stored {
                windows.add(second, None, None);
            }
            let (first, last) = (*stored.iter().min().unwrap() / 60, *stored.iter().max().unwrap() / 60);
            let slow: Vec<usize> = (first..=last).map(|m| stored.iter().filter(|s| **s / 60 == m).count()).collect();
            let mut listed = Vec::new();
            for window in windows.list() {
                prop_assert_eq!(window.start.timestamp(), (first + listed.len() as i64) * 60);
                listed.extend(std::iter::repeat_n(window.events as usize, window.minutes as usize));
            }
            prop_assert_eq!(&listed, &slow);
            let rate = windows.rate().unwrap();
            if slow.len() > 2 {
                let slowest = slow[1..slow.len() - 1].iter().min().unwrap();
                prop_assert!(close(rate.events_per_second, *slowest as f64 / 60.0));
                prop_assert_eq!(rate.complete_minutes as usize, slow.len() - 2);
            } else {
                prop_assert_eq!(rate.complete_minutes, 0);
            }
        }
    }
}
