//! What each part of a comparison found, as a table.

use hallpass_benches::table::{Table, percent, ratio};

use crate::latency::Latency;
use crate::memory::Footprint;
use crate::throughput::Point;

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
