//! One line where a library would write a thousand: a broker that is down is reported by every
//! client for every connection it tries.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A message is said again after so long.
const WINDOW: Duration = Duration::from_secs(30);

/// No more messages are remembered than this, so that it stays small whatever is said.
const REMEMBERED: usize = 256;

/// What was said lately.
#[derive(Debug, Default)]
pub(super) struct Repeats(HashMap<String, Said>);

#[derive(Debug)]
struct Said {
    at: Instant,
    held_back: u64,
}

impl Repeats {
    /// Whether to say a message now, and how many like it were held back since it was last said.
    /// Messages that differ in their numbers alone (ports, times, counts) are alike.
    pub(super) fn hear(&mut self, message: &str, now: Instant) -> Option<u64> {
        let alike = without_numbers(message);
        if let Some(said) = self.0.get_mut(&alike) {
            if now.duration_since(said.at) < WINDOW {
                said.held_back += 1;
                return None;
            }
            let held_back = std::mem::take(&mut said.held_back);
            said.at = now;
            return Some(held_back);
        }
        if self.0.len() >= REMEMBERED {
            self.0.retain(|_, said| now.duration_since(said.at) < WINDOW);
        }
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        self.0.insert(alike, Said { at: now, held_back: 0 });
        Some(0)
    }
}

fn without_numbers(message: &str) -> String {
    let mut alike = String::with_capacity(message.len());
    for letter in message.chars() {
        match letter {
            '0'..='9' if alike.ends_with('#') => {}
            '0'..='9' => alike.push('#'),
            other => alike.push(other),
        }
    }
    alike
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_message_is_said_once_in_a_window_and_then_with_the_count_of_those_held_back() {
        let mut repeats = Repeats::default();
        let start = Instant::now();
        assert_eq!(repeats.hear("broker 1 down after 10 ms", start), Some(0));
        assert_eq!(repeats.hear("broker 2 down after 999 ms", start), None, "alike but for numbers");
        assert_eq!(repeats.hear("broker 1 up", start), Some(0), "another message");
        assert_eq!(repeats.hear("broker 1 down after 10 ms", start + WINDOW / 2), None);
        assert_eq!(repeats.hear("broker 1 down after 10 ms", start + WINDOW), Some(2));
        assert_eq!(repeats.hear("broker 1 down after 10 ms", start + WINDOW * 2), Some(0));
    }

    #[test]
    fn what_is_remembered_stays_small() {
        let mut repeats = Repeats::default();
        let start = Instant::now();
        for n in 0..10_000_u32 {
            let word: String = n.to_string().bytes().map(|b| char::from(b + 49)).collect();
            assert_eq!(repeats.hear(&word, start), Some(0));
        }
        assert!(repeats.0.len() <= REMEMBERED);
    }
}
