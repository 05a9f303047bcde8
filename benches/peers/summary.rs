//! The runs of one peer as a median and a range, and all of them as a table.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::run::Measured;

#[derive(Serialize)]
pub struct Summary {
    name: &'static str,
    runs: Vec<Measured>,
}

/// A column: its title, where its figure stands, how it is written.
type Column = (&'static str, fn(&Measured) -> f64, usize);

const COLUMNS: [Column; 7] = [
    ("events/s", |one| one.events_per_second, 0),
    ("us CPU/event", |one| one.cpu_micros_per_event, 1),
    ("from first write", |one| one.cpu_micros_per_event_writing, 1),
    ("second half", |one| one.cpu_micros_per_event_second_half, 1),
    ("docs/request", |one| one.documents_per_request, 1),
    ("peak MB", |one| one.peak_resident_bytes as f64 / 1e6, 0),
    ("s to start", |one| one.seconds_to_start, 1),
];

impl Summary {
    pub fn new(name: &'static str) -> Self {
        Self { name, runs: Vec::new() }
    }

    pub fn add(&mut self, run: Measured) {
        self.runs.push(run);
    }

    /// The least, the median and the most of a figure.
    fn spread(&self, figure: fn(&Measured) -> f64) -> [f64; 3] {
        let mut figures: Vec<f64> = self.runs.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        [figures[0], figures[figures.len() / 2], figures[figures.len() - 1]]
    }
}

/// Up to three lines for each: the medians, the ranges, and how many times those of `against` the medians are.
pub fn table(summaries: &[Summary], against: &str) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header([""].into_iter().chain(COLUMNS.iter().map(|(title, ..)| *title)));
    let base = summaries.iter().find(|summary| summary.name == against);
    for summary in summaries {
        let line = |title: String, cell: &dyn Fn(&Column) -> String| -> Vec<String> {
            [title].into_iter().chain(COLUMNS.iter().map(cell)).collect()
        };
        let mut lines = vec![line(summary.name.to_owned(), &|(_, figure, digits)| {
            format!("{:.digits$}", summary.spread(*figure)[1])
        })];
        if summary.runs.len() > 1 {
            lines.push(line(format!("  least to most of {}", summary.runs.len()), &|(_, figure, digits)| {
                let [least, _, most] = summary.spread(*figure);
                format!("{least:.digits$} - {most:.digits$}")
            }));
        }
        if let Some(base) = base.filter(|base| base.name != summary.name) {
            lines.push(line(format!("  ÷ {against}"), &|(_, figure, _)| {
                format!("{:.2}", summary.spread(*figure)[1] / base.spread(*figure)[1])
            }));
        }
        // One row of several lines, so that no rule is drawn between them.
        let column = |at: usize| lines.iter().map(|line| line[at].as_str()).collect::<Vec<_>>().join("\n");
        table.add_row((0..=COLUMNS.len()).map(column));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
