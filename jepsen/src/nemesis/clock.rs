//! Wrong clocks: a node's wall clock is set off, or jumps, and its elapsed time runs at another speed.
//!
//! The node reads a file for it (`HALLPASS_CLOCK_FILE`), and `TIME` shows from outside that it has.

use std::time::{Duration, Instant};

use anyhow::Result;
use fastrand::Rng;

use crate::cluster::Cluster;

/// The least and the most that a wall clock is off.
const OFF_MILLIS: std::ops::RangeInclusive<i64> = 200..=1500;
/// How fast elapsed time runs, in thousandths. A lease is three tenths shorter than the promise it relies on, so a
/// leader may be slower than its followers by so much.
const RATES: std::ops::RangeInclusive<u64> = 850..=1150;
/// Jumps, before the last one stays.
const JUMPS: usize = 4;
/// From one jump to the next.
const JUMP_PAUSE: Duration = Duration::from_millis(250);
/// How long a node may take to show its clock.
const SHOW_PATIENCE: Duration = Duration::from_secs(2);
/// How exactly it shows it.
const SHOWN_WITHIN_MILLIS: u64 = 150;

/// What was done.
pub(super) struct Wrong {
    pub(super) what: String,
    /// From the smallest offset to the largest, the right time included.
    pub(super) span_millis: u64,
    /// Whether the node showed the last one.
    pub(super) seen: bool,
}

/// Sets a node's clock off; by several jumps, or at once and for good.
pub(super) fn set_wrong(
    jumps: bool,
    cluster: &mut Cluster,
    node: u64,
    random: &mut Rng,
) -> Result<Wrong> {
    let mut off = || if random.bool() { 1 } else { -1 } * random.i64(OFF_MILLIS);
    let mut offsets = vec![off()];
    let mut rate = 1000;
    if jumps {
        offsets.extend((0..JUMPS).map(|_| off()));
    } else {
        rate = random.u64(RATES);
    }
    for (number, offset) in offsets.iter().enumerate() {
        if number > 0 {
            std::thread::sleep(JUMP_PAUSE);
        }
        cluster.node(node).set_clock(*offset, rate)?;
    }
    let last = offsets.last().copied().unwrap_or_default();
    let (low, high) = offsets
        .iter()
        .fold((0, 0), |(low, high), offset| (i64::min(low, *offset), i64::max(high, *offset)));
    let what = if jumps {
        format!("the clock of node {node} jumped to {offsets:?} ms off")
    } else {
        format!("the clock of node {node} is {last} ms off, and runs at {rate} thousandths")
    };
    Ok(Wrong { what, span_millis: low.abs_diff(high), seen: shows(cluster, node, last) })
}

fn shows(cluster: &Cluster, node: u64, offset: i64) -> bool {
    let deadline = Instant::now() + SHOW_PATIENCE;
    while Instant::now() < deadline {
        let shown = cluster.clock_offset(node);
        if shown.is_some_and(|shown| shown.abs_diff(offset) < SHOWN_WITHIN_MILLIS) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}
