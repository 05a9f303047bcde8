//! Folding the arguments of aggregates, with the store's own meaning.
//!
//! - An argument that a document does not have is undefined, and leaves every aggregate as it is.
//! - COUNT counts the others, null too.
//! - SUM and AVG of anything but numbers are undefined.
//! - MIN and MAX compare across kinds: null before booleans, numbers, strings; an array or object
//!   makes them undefined.
//! - SUM, AVG, MIN and MAX of nothing are undefined.
//!
//! The rules are those of the pages on aggregate functions in Microsoft's documentation of Cosmos
//! DB's query language; what those leave open is taken from Microsoft's emulator and SDKs.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::shape::{Fold, Function};

/// The aggregates of a query over the documents seen so far.
pub(super) struct Folding {
    states: Vec<State>,
}

impl Folding {
    pub(super) fn new(fold: &Fold) -> Self {
        Self { states: fold.aggregates.iter().map(|aggregate| State::new(aggregate.function)).collect() }
    }

    /// The arguments of one document, `{"a0": ..., "a1": ...}`, as the projection asks for them.
    pub(super) fn add(&mut self, arguments: &Map<String, Value>) {
        for (index, state) in self.states.iter_mut().enumerate() {
            if let Some(argument) = arguments.get(&format!("a{index}")) {
                state.add(argument);
            }
        }
    }

    /// The answer, as the store would write it; none when it is an undefined bare value.
    pub(super) fn answer(&self, fold: &Fold) -> Option<String> {
        if fold.value {
            return self.states.first()?.value().map(|value| value.to_string());
        }
        let fields = fold.aggregates.iter().zip(&self.states).filter_map(|(aggregate, state)| {
            Some(format!("{}:{}", Value::from(aggregate.name.as_str()), state.value()?))
        });
        Some(format!("{{{}}}", fields.collect::<Vec<_>>().join(",")))
    }
}

enum State {
    Count(u64),
    Sum(Numbers),
    Avg(Numbers),
    /// The smallest or the largest, and which of the two it is.
    Extreme {
        best: Option<Value>,
        comparable: bool,
        wanted: Ordering,
    },
}

impl State {
    fn new(function: Function) -> Self {
        let extreme = |wanted| Self::Extreme { best: None, comparable: true, wanted };
        match function {
            Function::Count => Self::Count(0),
            Function::Sum => Self::Sum(Numbers::default()),
            Function::Avg => Self::Avg(Numbers::default()),
            Function::Min => extreme(Ordering::Less),
            Function::Max => extreme(Ordering::Greater),
        }
    }

    fn add(&mut self, argument: &Value) {
        match self {
            Self::Count(count) => *count += 1,
            Self::Sum(numbers) | Self::Avg(numbers) => numbers.add(argument),
            Self::Extreme { best, comparable, wanted } => {
                *comparable &= !matches!(argument, Value::Array(_) | Value::Object(_));
                if best.as_ref().is_none_or(|best| compare(argument, best) == *wanted) {
                    *best = Some(argument.clone());
                }
            }
        }
    }

    fn value(&self) -> Option<Value> {
        match self {
            Self::Count(count) => Some((*count).into()),
            Self::Sum(numbers) => numbers.sum().map(number),
            Self::Avg(numbers) => numbers.sum().map(|sum| number(sum / numbers.count as f64)),
            Self::Extreme { best, comparable, .. } => best.clone().filter(|_| *comparable),
        }
    }
}

#[derive(Default)]
struct Numbers {
    sum: f64,
    count: u64,
    others: bool,
}

impl Numbers {
    fn add(&mut self, argument: &Value) {
        match argument.as_f64() {
            Some(number) => {
                self.sum += number;
                self.count += 1;
            }
            None => self.others = true,
        }
    }

    fn sum(&self) -> Option<f64> {
        (self.count > 0 && !self.others).then_some(self.sum)
    }
}

/// A double as Cosmos DB writes it: whole numbers without a fraction.
fn number(double: f64) -> Value {
    /// Up to here every whole number is a double of its own.
    const WHOLE: f64 = 9_007_199_254_740_992.0;
    if double.fract() == 0.0 && double.abs() <= WHOLE {
        Value::from(double as i64)
    } else {
        Value::from(double)
    }
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => {
            a.as_f64().unwrap_or(f64::NAN).total_cmp(&b.as_f64().unwrap_or(f64::NAN))
        }
        _ => kind(a).cmp(&kind(b)),
    }
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}
