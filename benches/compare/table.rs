//! Tables: aligned text for the terminal, Markdown for documents, from the same rows.

use crate::latency::Latency;
use crate::memory::Footprint;
use crate::throughput::Point;

/// A table of text; the first row is the heading.
#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(title: impl Into<String>, heading: &[&str]) -> Self {
        let heading = heading.iter().map(|cell| (*cell).to_owned()).collect();
        Self { title: title.into(), rows: vec![heading] }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// Columns aligned with spaces: words to the left, numbers to the right.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("\n{}\n", self.title);
        for row in &self.rows {
            text.push_str(self.aligned(row, "  ").trim_end());
            text.push('\n');
        }
        text
    }

    /// GitHub's dialect of Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("\n### {}\n\n", self.title);
        for (index, row) in self.rows.iter().enumerate() {
            text.push_str("| ");
            text.push_str(&self.aligned(row, " | "));
            text.push_str(" |\n");
            if index == 0 {
                for column in 0..row.len() {
                    text.push_str(if self.is_words(column) { "|---" } else { "|--:" });
                }
                text.push_str("|\n");
            }
        }
        text
    }

    /// Whether a column holds words: its first cell below the heading starts with a letter.
    fn is_words(&self, column: usize) -> bool {
        let first = self.rows.get(1).and_then(|row| row.get(column)?.chars().next());
        first.is_some_and(char::is_alphabetic) || column == 0
    }

    fn aligned(&self, row: &[String], between: &str) -> String {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let column_cells = self.rows.iter().filter_map(|row| row.get(column));
            let width = column_cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            if self.is_words(column) {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        cells.collect::<Vec<_>>().join(between)
    }
}

/// A closed-loop measurement as a table.
pub(crate) fn throughput(title: &str, points: &[Point]) -> Table {
    let heading = [
        "server",
        "pipeline",
        "server us/request",
        "to Valkey",
        "floor/this",
        "requests/s",
        "server busy",
        "generator busy",
        "saturated",
    ];
    let mut table = Table::new(title, &heading);
    for point in points {
        let median = &point.median;
        table.push(vec![
            point.server.clone(),
            point.pipeline.to_string(),
            format!("{:.2}", median.server_cpu_us),
            ratio(point.to_valkey),
            ratio(point.floor_to_this),
            format!("{:.0}", median.throughput),
            percent(median.server_busy),
            percent(median.generator_busy),
            median.saturated.to_owned(),
        ]);
    }
    table
}

/// Memory as a table.
pub(crate) fn memory(footprints: &[Footprint]) -> Table {
    let heading = ["server", "stored", "bytes each", "without value", "without value and name"];
    let mut table = Table::new("Resident memory; the name is the key, or the user", &heading);
    for footprint in footprints {
        table.push(vec![
            footprint.server.clone(),
            footprint.stored.clone(),
            format!("{:.0}", footprint.each()),
            format!("{:.0}", footprint.over_value()),
            format!("{:.0}", footprint.over_all()),
        ]);
    }
    table
}

/// Latency as a table.
pub(crate) fn latency(latencies: &[Latency]) -> Table {
    let heading = [
        "server",
        "requests/s",
        "p50",
        "p99",
        "p99.9",
        "max",
        "left out",
        "p99.9 to Valkey",
        "load",
    ];
    let title = "Latency in microseconds at fixed rates, from when a request was due";
    let mut table = Table::new(title, &heading);
    for latency in latencies {
        table.push(vec![
            latency.server.clone(),
            format!("{:.0}", latency.rate),
            format!("{:.0}", latency.p50_us),
            format!("{:.0}", latency.p99_us),
            format!("{:.0}", latency.p999_us),
            format!("{:.0}", latency.max_us),
            format!("{:.0} %", latency.left_out_percent),
            ratio(latency.p999_to_valkey),
            latency.load.clone(),
        ]);
    }
    table
}

fn ratio(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new("T", &["server", "us"]);
        table.push(vec!["a".to_owned(), "10.25".to_owned()]);
        assert_eq!(table.text(), "\nT\nserver     us\na       10.25\n");
        assert_eq!(
            table.markdown(),
            "\n### T\n\n| server |    us |\n|---|--:|\n| a      | 10.25 |\n"
        );
    }
}
