//! Is a run worth a verdict? One in which little was done, whose fault never took hold, or whose end nobody could read
//! is rejected: that nothing was found there says nothing.

use crate::history::{History, Kind, NEMESIS};

/// What a run has to come to.
#[derive(Clone, Copy, Debug)]
pub struct Minimum {
    /// Operations that ended `ok`, per second of the loaded time.
    pub ok_per_second: f64,
    /// Faults that took hold.
    pub faults: usize,
}

/// How many client operations ended in each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Happened.
    pub ok: usize,
    /// Did not happen.
    pub fail: usize,
    /// Unknown.
    pub info: usize,
}

/// Counts ends.
pub fn ends(history: &History) -> Ends {
    let mut ends = Ends::default();
    for op in history.ops.iter().filter(|op| op.process != NEMESIS) {
        match op.kind {
            Kind::Ok => ends.ok += 1,
            Kind::Fail => ends.fail += 1,
            Kind::Info => ends.info += 1,
            Kind::Invoke => {}
        }
    }
    ends
}

/// Faults, and how many of them took hold: each says so when it is over.
pub fn faults(history: &History) -> (usize, usize) {
    let over = |held: &str| {
        let nemesis = history.ops.iter().filter(|op| op.process == NEMESIS);
        nemesis
            .filter(|op| op.value.get("held").and_then(|value| value.as_str()) == Some(held))
            .count()
    };
    (over("installed") + over("skipped") + over("indeterminate"), over("installed"))
}

/// Why a run is to be rejected; empty when it is not.
pub fn rejections(
    loaded: Ends,
    (tried, held): (usize, usize),
    load_seconds: f64,
    minimum: Minimum,
) -> Vec<String> {
    let mut reasons = Vec::new();
    let rate = loaded.ok as f64 / load_seconds;
    if rate < minimum.ok_per_second {
        reasons.push(format!(
            "{rate:.1} operations a second were ok; {} are required",
            minimum.ok_per_second
        ));
    }
    if held < minimum.faults {
        reasons
            .push(format!("of {tried} faults {held} took hold; {} are required", minimum.faults));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Op, Process};

    #[test]
    fn a_run_in_which_little_happened_is_rejected() {
        let line = |process, kind, value| Op {
            index: 0,
            time: 0,
            process,
            kind,
            f: "f".into(),
            value,
            node: 0,
            error: None,
        };
        let nothing = serde_json::Value::Null;
        let mut ops = vec![line(Process::Client(1), Kind::Ok, nothing); 20];
        ops.push(line(NEMESIS, Kind::Info, serde_json::json!({"held": "indeterminate"})));
        let history = History { ops };
        let minimum = |ok_per_second, faults| Minimum { ok_per_second, faults };
        let rejections = |minimum| rejections(ends(&history), faults(&history), 2.0, minimum);
        assert!(rejections(minimum(10.0, 0)).is_empty());
        assert_eq!(rejections(minimum(10.5, 0)).len(), 1);
        assert_eq!(rejections(minimum(10.5, 1)).len(), 2);
        assert_eq!(ends(&history), Ends { ok: 20, fail: 0, info: 0 });
    }
}
