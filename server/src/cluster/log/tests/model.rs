//! The log as simply as it can be said, and random schedules of what is done to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use fastrand::Rng;

use super::super::{Log, Recovered};
use super::all;

/// Everything a log holds, but for the commit marker, which is lazy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) vote: Option<Bytes>,
    pub(super) purged: Option<(u64, Bytes)>,
    pub(super) entries: BTreeMap<u64, Bytes>,
    pub(super) next: u64,
}

/// One thing done to a log.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Append(Vec<Bytes>),
    /// From so many before the end.
    Truncate(u64),
    /// So many from the beginning, which may be more than there are.
    Purge(u64),
    Vote,
    Committed,
    Batch,
}

/// A schedule that does a little of everything.
pub(super) fn schedule(random: &mut Rng, steps: usize) -> Vec<Step> {
    let mut schedule: Vec<_> = (0..steps).map(|_| step(random)).collect();
    schedule.push(Step::Batch);
    schedule
}

fn step(random: &mut Rng) -> Step {
    match random.u8(..20) {
        0..7 => {
            let payload = |random: &mut Rng| {
                let length =
                    if random.u8(..8) == 0 { random.usize(..900) } else { random.usize(..60) };
                (0..length).map(|_| random.u8(..)).collect()
            };
            Step::Append((0..random.usize(1..4)).map(|_| payload(random)).collect())
        }
        7..9 => Step::Truncate(random.u64(1..4)),
        9..11 => Step::Purge(random.u64(..6)),
        11..13 => Step::Vote,
        13..14 => Step::Committed,
        _ => Step::Batch,
    }
}

/// A log driven by steps, beside the model of every moment.
pub(super) struct Driven {
    pub(super) log: Log,
    /// The model after each change; the first is what was there at the beginning.
    pub(super) states: Vec<Model>,
    /// How many changes were acknowledged.
    acknowledged: Arc<AtomicUsize>,
    pub(super) committed: u64,
    /// The commit marker that must have become durable.
    pub(super) committed_at_least: u64,
    serial: u64,
}

impl Driven {
    pub(super) fn new(log: Log, beginning: Model, committed: u64) -> Self {
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let states = vec![beginning];
        Self {
            log,
            states,
            acknowledged,
            committed,
            committed_at_least: committed,
            serial: committed,
        }
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::SeqCst)
    }

    pub(super) fn newest(&self) -> &Model {
        self.states.last().expect("there is a first")
    }

    /// Does steps until the log fails or all are done; true when it did not fail.
    pub(super) fn run(&mut self, steps: &[Step]) -> bool {
        for step in steps {
            self.step(step);
            if self.log.failure().is_some() {
                return false;
            }
            self.compare();
        }
        true
    }

    fn step(&mut self, step: &Step) {
        let mut model = self.newest().clone();
        self.serial += 1;
        let mark = Bytes::from(format!("{:08}", self.serial));
        let before = self.states.len() - 1;
        let after = before + if let Step::Append(payloads) = step { payloads.len() } else { 1 };
        let acknowledged = Arc::clone(&self.acknowledged);
        let done = move |result: Result<(), _>| {
            if result.is_ok() {
                let acknowledged = acknowledged.swap(after, Ordering::SeqCst);
                assert_eq!(acknowledged, before, "completions come in order");
            }
        };
        match step {
            Step::Append(payloads) => {
                let entries: Vec<_> = (model.next..).zip(payloads.iter().cloned()).collect();
                self.log.append(entries.clone(), done);
                // A part of the entries may become durable, if it is a prefix.
                for (index, payload) in entries {
                    model.next = index + 1;
                    model.entries.insert(index, payload);
                    self.states.push(model.clone());
                }
                return;
            }
            Step::Truncate(back) => {
                let first = model.purged.as_ref().map_or(0, |(index, _)| index + 1);
                let from = model.next.saturating_sub(*back).max(first);
                self.log.truncate_from(from, done);
                model.entries.split_off(&from);
                model.next = model.next.min(from);
            }
            Step::Purge(count) => {
                let first = model.purged.as_ref().map_or(0, |(index, _)| index + 1);
                let through = first + count;
                self.log.purge_through(through, mark.clone(), done);
                model.entries = model.entries.split_off(&(through + 1));
                model.purged = Some((through, mark));
                model.next = model.next.max(through + 1);
            }
            Step::Vote => {
                self.log.save_vote(mark.clone(), done);
                model.vote = Some(mark);
            }
            Step::Committed => {
                self.committed = self.serial;
                let _ = self.log.save_committed(mark);
                return;
            }
            Step::Batch => {
                let (committed, before) = (self.committed, self.log.statistics().records);
                self.log.write_batch();
                if self.log.statistics().records > before {
                    self.committed_at_least = committed;
                }
                return;
            }
        }
        self.states.push(model);
    }

    /// What callers see is what was done, written or not.
    fn compare(&self) {
        let model = self.newest();
        assert_eq!(self.log.vote(), model.vote);
        assert_eq!(self.log.purged(), model.purged);
        assert_eq!(self.log.bounds().end, model.next);
        let expected: Vec<_> = model.entries.clone().into_iter().collect();
        assert_eq!(all(&self.log), expected);
    }
}

/// The model of a log just opened, and its commit marker's number.
pub(super) fn found(log: &Log, recovered: &Recovered) -> (Model, u64) {
    let entries: BTreeMap<_, _> = all(log).into_iter().collect();
    let bounds = entries.keys().next().copied().zip(entries.keys().last().copied());
    assert_eq!(recovered.entries, bounds);
    let (vote, purged) = (recovered.vote.clone(), recovered.purged.clone());
    let committed = recovered.committed.as_deref().map_or(0, |committed| {
        std::str::from_utf8(committed).unwrap().parse().expect("a marker that was saved")
    });
    (Model { vote, purged, entries, next: log.bounds().end }, committed)
}
