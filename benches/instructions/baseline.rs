//! The counts that are committed, and what is to be said of others beside them.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// By how much a step may differ from the baseline, in percent. Two runs of one build differ by a hundredth of one;
/// the rest is room for what a change elsewhere in the core makes the compiler do otherwise.
pub(crate) const TOLERANCE: f64 = 5.0;

/// How many instructions an event takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// The compiler, the C library, valgrind and the kind of processor: other ones give other counts.
    pub(crate) made_by: String,
    /// In each step.
    pub(crate) instructions_an_event: BTreeMap<String, f64>,
}

/// A step beside its baseline.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Compared<'a> {
    pub(crate) step: &'a str,
    pub(crate) baseline: f64,
    pub(crate) found: f64,
}

impl Counts {
    pub(crate) fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?)
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        Ok(std::fs::write(path, serde_json::to_string_pretty(self)? + "\n")?)
    }

    /// Each of the steps beside the baseline; an error when one of the two has not all of them.
    pub(crate) fn beside<'a>(&self, baseline: &Self, steps: &[&'a str]) -> Result<Vec<Compared<'a>>, String> {
        let of = |counts: &Self, step: &str| counts.instructions_an_event.get(step).copied();
        let compared = steps.iter().map(|step| {
            let both = of(baseline, step).zip(of(self, step));
            let (baseline, found) = both.ok_or_else(|| format!("{step} has no baseline"))?;
            Ok(Compared { step, baseline, found })
        });
        compared.collect()
    }
}

impl Compared<'_> {
    /// In percent of the baseline.
    pub(crate) fn change(&self) -> f64 {
        (self.found - self.baseline) / self.baseline * 100.0
    }

    pub(crate) fn dearer(&self) -> bool {
        self.change() > TOLERANCE
    }

    pub(crate) fn cheaper(&self) -> bool {
        self.change() < -TOLERANCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(steps: &[(&str, f64)]) -> Counts {
        let steps = steps.iter().map(|(step, count)| ((*step).to_owned(), *count));
        Counts { made_by: "a compiler".to_owned(), instructions_an_event: steps.collect() }
    }

    #[test]
    fn more_than_a_twentieth_is_too_much_and_less_is_worth_a_word() {
        let baseline = counts(&[("copy", 200.0), ("decode", 10_000.0), ("group", 1_000.0)]);
        let found = counts(&[("copy", 210.0), ("decode", 10_501.0), ("group", 949.0)]);
        let compared = found.beside(&baseline, &["copy", "decode", "group"]).unwrap();
        let judged: Vec<_> = compared.iter().map(|step| (step.step, step.dearer(), step.cheaper())).collect();
        assert_eq!(judged, [("copy", false, false), ("decode", true, false), ("group", false, true)]);
        assert!((compared[1].change() - 5.01).abs() < 1e-9);
    }

    #[test]
    fn a_step_without_a_baseline_is_said() {
        let error =
            counts(&[("copy", 1.0), ("new", 1.0)]).beside(&counts(&[("copy", 1.0)]), &["copy", "new"]);
        assert_eq!(error, Err("new has no baseline".to_owned()));
    }
}
