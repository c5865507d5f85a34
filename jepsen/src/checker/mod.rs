//! Judges of histories: one file for each kind of promise. They look at nothing but what clients saw.

pub mod coverage;
pub mod linear;
pub mod logout;
pub mod register;
pub mod revoke;
pub mod set;
pub mod ttl;

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use crate::history::{History, Pair};

/// Findings shown of one kind: the first ones say enough.
const FINDINGS_MAX: usize = 20;

/// Whether a promise was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing that was seen contradicts it.
    Valid,
    /// Something that was seen contradicts it.
    Invalid,
    /// The checker could not tell. Not a pass.
    Unknown,
}

/// A verdict and its reasons.
#[derive(Clone, Debug, Serialize)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// What contradicts the promise, or could not be told, with places in the history.
    pub findings: Vec<String>,
}

impl Judgement {
    /// Invalid if there are findings.
    pub fn of(mut findings: Vec<String>) -> Self {
        let verdict = if findings.is_empty() { Verdict::Valid } else { Verdict::Invalid };
        let more = findings.len().saturating_sub(FINDINGS_MAX);
        if more > 0 {
            findings.truncate(FINDINGS_MAX);
            findings.push(format!("and {more} more"));
        }
        Self { verdict, findings }
    }

    /// Both together: what is invalid in one is invalid.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.verdict = match (self.verdict, other.verdict) {
            (Verdict::Invalid, _) | (_, Verdict::Invalid) => Verdict::Invalid,
            (Verdict::Unknown, _) | (_, Verdict::Unknown) => Verdict::Unknown,
            _ => Verdict::Valid,
        };
        self.findings.extend(other.findings);
        self
    }
}

/// Judges a history of a workload.
pub fn check(workload: &str, history: &History) -> Result<Judgement> {
    let pairs = history.pairs()?;
    match workload {
        "register" => register::check(&pairs),
        "set" => set::check(&pairs),
        "revoke" => revoke::check(&pairs),
        "logout_everywhere" => logout::check(&pairs),
        "ttl" => ttl::check(&pairs, history),
        other => anyhow::bail!("there is no workload {other}"),
    }
}

/// The object an operation is about: values are written `[object, rest]`.
pub(crate) fn object(value: &Value) -> &Value {
    value.get(0).unwrap_or(&Value::Null)
}

/// What is said of it.
pub(crate) fn rest(value: &Value) -> &Value {
    value.get(1).unwrap_or(&Value::Null)
}

/// Pairs by the object they are about, in the order of its name.
pub(crate) fn by_object<'a>(
    pairs: &[Pair<'a>],
) -> std::collections::BTreeMap<String, Vec<Pair<'a>>> {
    let mut parts = std::collections::BTreeMap::<String, Vec<Pair<'a>>>::new();
    for pair in pairs {
        parts.entry(object(&pair.invoke.value).to_string()).or_default().push(*pair);
    }
    parts
}

/// Checks each object's operations for linearizability and says which are not.
pub(crate) fn linear_parts<M: linear::Model>(
    model: &M,
    parts: impl Iterator<Item = (String, Vec<linear::Operation<M::Call>>)>,
) -> Judgement {
    /// Steps for one object; with sixty operations on it, most need a few hundred.
    const BUDGET_STEPS: u64 = 20_000_000;
    let (mut broken, mut untold) = (Vec::new(), Vec::new());
    for (object, operations) in parts {
        match linear::check(model, &operations, &mut { BUDGET_STEPS }) {
            linear::Answer::Linearizable => {}
            linear::Answer::Not { invoked } => broken.push(format!(
                "{object} is not linearizable: no order explains the operation that begins at {invoked}"
            )),
            linear::Answer::Unknown => untold.push(format!("{object}: the search took too many steps")),
        }
    }
    let mut judgement = Judgement::of(broken);
    if judgement.verdict == Verdict::Valid && !untold.is_empty() {
        judgement = Judgement { verdict: Verdict::Unknown, ..Judgement::of(untold) };
    }
    judgement
}
