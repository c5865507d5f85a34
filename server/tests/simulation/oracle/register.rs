//! Keys that are stored and read: linearizable, as every value is stored once.
//!
//! The exact test for that case (Gibbons and Korach, 1997): the requests about one value span a zone of
//! time. Where all of them overlap it is a *backward* zone, from the last beginning to the first end with
//! nothing certain outside; otherwise the value was certainly there from the first end to the last
//! beginning. Two values cannot both certainly be there, nor can one come and go within another's zone.

use std::collections::BTreeMap;

use crate::history::{Action, Answer, Moment, Record};

struct Zone {
    value: Option<u64>,
    first_end: Moment,
    last_beginning: Moment,
}

impl Zone {
    fn forward(&self) -> bool {
        self.first_end < self.last_beginning
    }

    fn span(&self) -> (Moment, Moment) {
        if self.forward() {
            (self.first_end, self.last_beginning)
        } else {
            (self.last_beginning, self.first_end)
        }
    }

    fn add(&mut self, record: &Record) {
        self.first_end = self.first_end.min(record.ended());
        self.last_beginning = self.last_beginning.max(record.asked);
    }
}

pub(super) fn judge(records: &[Record], wrongs: &mut Vec<String>) {
    // By key, the zone of each value; the first is of "nothing stored".
    let mut keys: BTreeMap<u8, BTreeMap<Option<u64>, (Zone, bool)>> = BTreeMap::new();
    for record in records {
        if let Action::Set { key, value } = record.action {
            let zone = Zone { value: Some(value), first_end: Moment::MAX, last_beginning: 0 };
            let (zone, known) =
                keys.entry(key).or_default().entry(Some(value)).or_insert((zone, false));
            zone.add(record);
            *known = record.answered.is_some();
        }
    }
    for record in records {
        let (Action::Get { key }, Some(Answer::Stored(value))) = (&record.action, record.answer())
        else {
            continue;
        };
        let zones = keys.entry(*key).or_default();
        if value.is_none() {
            // As if stored before everything.
            let zone = Zone { value: None, first_end: 0, last_beginning: 0 };
            zones.entry(None).or_insert((zone, true));
        }
        let Some((zone, known)) = zones.get_mut(value) else {
            wrongs.push(format!("key {key} had a value that nobody stored: {record:?}"));
            continue;
        };
        *known = true;
        zone.add(record);
    }
    for (key, zones) in &keys {
        // A write without an answer that nobody saw proves nothing.
        let zones: Vec<&Zone> =
            zones.values().filter(|(_, known)| *known).map(|(zone, _)| zone).collect();
        judge_key(*key, &zones, wrongs);
    }
    judge_order(records, wrongs);
}

fn judge_key(key: u8, zones: &[&Zone], wrongs: &mut Vec<String>) {
    for (position, one) in zones.iter().enumerate() {
        for other in zones.iter().skip(position + 1) {
            let ((start, end), (other_start, other_end)) = (one.span(), other.span());
            let clash = match (one.forward(), other.forward()) {
                (true, true) => start < other_end && other_start < end,
                (true, false) => start < other_start && other_end < end,
                (false, true) => other_start < start && end < other_end,
                (false, false) => false,
            };
            if clash {
                wrongs.push(format!(
                    "key {key}: {:?} was there from {start} to {end} and {:?} from {other_start} to {other_end}",
                    one.value, other.value
                ));
            }
        }
    }
}

/// No read ends before what it saw was asked for.
fn judge_order(records: &[Record], wrongs: &mut Vec<String>) {
    let mut stored: BTreeMap<(u8, u64), Moment> = BTreeMap::new();
    for record in records {
        if let Action::Set { key, value } = record.action {
            stored.insert((key, value), record.asked);
        }
    }
    for record in records {
        if let (Action::Get { key }, Some(Answer::Stored(Some(value)))) =
            (&record.action, record.answer())
            && stored.get(&(*key, *value)).is_some_and(|asked| *asked > record.ended())
        {
            wrongs.push(format!("key {key} had a value before it was stored: {record:?}"));
        }
    }
}
