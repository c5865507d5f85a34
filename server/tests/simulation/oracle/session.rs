//! Sessions: each begins once and ends once, and nothing brings it back.
//!
//! For every sighting of a session, and every look that did not find it, the rule asks whether something
//! explains it: a request to begin it that was asked early enough, a request to end it that may
//! have taken effect in time. A request whose effect is excluded by a sighting explains nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::ClockErrors;
use crate::clock::BEGINNING_MILLIS;
use crate::history::{Action, Answer, Cap, Moment, Record, Seen};

/// The life of one session, as the history tells it.
#[derive(Default)]
struct Life<'a> {
    user: u8,
    /// The request that begins it: a creation or a rotation.
    begin: Option<&'a Record>,
    /// When it ends by itself, if it was told; `None` also without a limit.
    expires: Option<u64>,
    may_expire: bool,
    /// Whether a limit on the user's sessions may end it.
    evictable: bool,
    /// Requests that end it if they take effect while it lives.
    ends: Vec<&'a Record>,
    saves: Vec<&'a Record>,
    sightings: Vec<Sighting>,
}

/// A look at a session.
#[derive(Clone, Copy)]
struct Sighting {
    asked: Moment,
    ended: Moment,
    node: u64,
    /// The stamp it was looked at.
    at: u64,
    alive: bool,
    /// What was in it, when that was looked at.
    seen: Option<Seen>,
}

impl Life<'_> {
    /// From when on it certainly had begun: that was answered, or somebody had seen it.
    fn begun_by(&self, begin: &Record) -> Moment {
        let answered = if refused(begin) { Moment::MAX } else { begin.ended() };
        let seen = self.sightings.iter().filter(|sighting| sighting.alive);
        seen.map(|sighting| sighting.ended).min().unwrap_or(Moment::MAX).min(answered)
    }
}

pub(super) fn judge(records: &[Record], clocks: ClockErrors, wrongs: &mut Vec<String>) {
    let mut lives = lives_of(records);
    add_ends(records, &mut lives);
    add_sightings(records, &mut lives, wrongs);
    for record in records {
        judge_stamp(record, clocks, wrongs);
        judge_deadline(record, clocks, wrongs);
    }
    for (session, life) in &lives {
        judge_answers(*session, life, wrongs);
        for sighting in &life.sightings {
            if let Some(wrong) = judge_sighting(life, sighting) {
                let Sighting { asked, ended, node, .. } = sighting;
                let state = if sighting.alive { "alive" } else { "not there" };
                wrongs.push(format!(
                    "session {session} of user {} was {state} on node {node} ({asked} to {ended}): {wrong}",
                    life.user
                ));
            }
        }
        judge_versions(*session, life, wrongs);
    }
    judge_rotations(records, wrongs);
}

fn lives_of(records: &[Record]) -> BTreeMap<u32, Life<'_>> {
    let mut lives: BTreeMap<u32, Life<'_>> = BTreeMap::new();
    let mut capped: BTreeMap<u8, bool> = BTreeMap::new();
    for record in records {
        match &record.action {
            Action::Create { session, user, lifetime_seconds, cap } => {
                let expires = match record.answer() {
                    Some(Answer::Made { expires }) => Some(*expires),
                    _ => None,
                };
                let life = Life {
                    user: *user,
                    begin: Some(record),
                    expires: expires.filter(|_| *lifetime_seconds > 0),
                    may_expire: *lifetime_seconds > 0,
                    ..Life::default()
                };
                lives.insert(*session, life);
                *capped.entry(*user).or_default() |= matches!(cap, Some(Cap { evict: true, .. }));
            }
            Action::Rotate { session, to } => {
                // A rotation is asked for after the creation, so what it inherits is known.
                let Some(old) = lives.get(session) else { continue };
                let expires = match record.answer() {
                    Some(Answer::Made { expires }) => Some(*expires),
                    _ => old.expires,
                };
                let life = Life {
                    user: old.user,
                    begin: Some(record),
                    expires: expires.filter(|_| old.may_expire),
                    may_expire: old.may_expire,
                    ..Life::default()
                };
                lives.insert(*to, life);
            }
            _ => {}
        }
    }
    for life in lives.values_mut() {
        life.evictable = capped.get(&life.user).copied().unwrap_or_default();
    }
    lives
}

fn add_ends<'a>(records: &'a [Record], lives: &mut BTreeMap<u32, Life<'a>>) {
    for record in records {
        match &record.action {
            Action::Revoke { session } | Action::Rotate { session, .. } => {
                if let Some(life) = lives.get_mut(session) {
                    life.ends.push(record);
                }
            }
            Action::RevokeUser { user, except } => {
                for (session, life) in lives.iter_mut() {
                    if life.user == *user && Some(*session) != *except {
                        life.ends.push(record);
                    }
                }
            }
            Action::Save { session, .. } => {
                if let Some(life) = lives.get_mut(session) {
                    life.saves.push(record);
                }
            }
            _ => {}
        }
    }
}

fn add_sightings(
    records: &[Record],
    lives: &mut BTreeMap<u32, Life<'_>>,
    wrongs: &mut Vec<String>,
) {
    for record in records {
        let (asked, ended, node) = (record.asked, record.ended(), record.node);
        match (&record.action, record.answer()) {
            (Action::Look { session }, Some(Answer::Seen { at, session: seen })) => {
                let Some(life) = lives.get_mut(session) else { continue };
                if seen.is_some_and(|seen| seen.user != life.user) {
                    wrongs.push(format!("session {session} is another user's: {record:?}"));
                }
                let (at, alive, seen) = (*at, seen.is_some(), *seen);
                life.sightings.push(Sighting { asked, ended, node, at, alive, seen });
            }
            (Action::List { user }, Some(Answer::Listed { at, sessions, count })) => {
                if *count != sessions.len() as u64 {
                    wrongs.push(format!("the count is not the list's: {record:?}"));
                }
                add_list(lives, *user, sessions, record, *at, wrongs);
            }
            (Action::Save { session, .. }, Some(Answer::Number(_))) => {
                if let Some(life) = lives.get_mut(session) {
                    let at = 0;
                    life.sightings.push(Sighting {
                        asked,
                        ended,
                        node,
                        at,
                        alive: true,
                        seen: None,
                    });
                }
            }
            _ => {}
        }
    }
}

fn add_list(
    lives: &mut BTreeMap<u32, Life<'_>>,
    user: u8,
    listed: &BTreeSet<u32>,
    record: &Record,
    at: u64,
    wrongs: &mut Vec<String>,
) {
    let (asked, ended, node) = (record.asked, record.ended(), record.node);
    for session in listed {
        if lives.get(session).is_none_or(|life| life.user != user) {
            wrongs.push(format!("session {session} is listed and nobody made it: {record:?}"));
        }
    }
    for (session, life) in lives.iter_mut().filter(|(_, life)| life.user == user) {
        let alive = listed.contains(session);
        life.sightings.push(Sighting { asked, ended, node, at, alive, seen: None });
    }
}

/// Stamps are of the clocks there are.
fn judge_stamp(record: &Record, clocks: ClockErrors, wrongs: &mut Vec<String>) {
    let at = match record.answer() {
        Some(Answer::Seen { at, .. } | Answer::Listed { at, .. }) => *at,
        _ => return,
    };
    let earliest = (BEGINNING_MILLIS + record.asked).saturating_add_signed(clocks.least);
    let latest = (BEGINNING_MILLIS + record.ended()).saturating_add_signed(clocks.most);
    if !(earliest..=latest).contains(&at) {
        wrongs.push(format!("read at {at}, not between {earliest} and {latest}: {record:?}"));
    }
}

/// A session's deadline is its limit from its beginning on, by the clocks there are.
fn judge_deadline(record: &Record, clocks: ClockErrors, wrongs: &mut Vec<String>) {
    let (Action::Create { lifetime_seconds, .. }, Some(Answer::Made { expires })) =
        (&record.action, record.answer())
    else {
        return;
    };
    if *lifetime_seconds == 0 {
        return;
    }
    let limit = BEGINNING_MILLIS + u64::from(*lifetime_seconds) * 1000;
    let earliest = (limit + record.asked).saturating_add_signed(clocks.least);
    let latest = (limit + record.ended()).saturating_add_signed(clocks.most);
    if !(earliest..=latest).contains(expires) {
        wrongs.push(format!("ends at {expires}, not from {earliest} to {latest}: {record:?}"));
    }
}

/// Whether an answer says that the request did not do what it is for.
fn refused(record: &Record) -> bool {
    matches!(record.answer(), Some(Answer::Refused(_)))
}

/// Whether a request to end sessions ended none: it explains no end.
fn ended_none(record: &Record) -> bool {
    refused(record) || matches!(record.answer(), Some(Answer::Number(0)))
}

fn judge_sighting(life: &Life<'_>, sighting: &Sighting) -> Option<String> {
    let begin = life.begin?;
    if sighting.alive {
        judge_alive(life, begin, sighting)
    } else {
        judge_dead(life, begin, sighting)
    }
}

fn judge_alive(life: &Life<'_>, begin: &Record, sighting: &Sighting) -> Option<String> {
    if refused(begin) {
        return Some(format!("its beginning was refused: {begin:?}"));
    }
    if begin.asked > sighting.ended {
        return Some(format!("it was begun later: {begin:?}"));
    }
    if let Some(expires) = life.expires
        && sighting.at >= expires
    {
        return Some(format!("it had expired at {expires}, and this was at {}", sighting.at));
    }
    // A single revoke that was answered has ended it, or it was dead before, or not there yet: only when
    // the revoke may have come before the beginning does it leave the session alive.
    let begun_by = life.begun_by(begin);
    let ended = life.ends.iter().find(|end| {
        let before = end.ended() < sighting.asked && !refused(end);
        before && end.asked > begun_by
    });
    if let Some(end) = ended {
        return Some(format!("it had ended: {end:?}"));
    }
    let rotated = life.ends.iter().find(|end| {
        matches!(end.action, Action::Rotate { .. })
            && matches!(end.answer(), Some(Answer::Made { .. }))
            && end.ended() < sighting.asked
    });
    if let Some(end) = rotated {
        return Some(format!("it had another name: {end:?}"));
    }
    // Once it was not there after its beginning, it is gone for good. By expiry it may be there again for
    // a node whose clock is behind, which its deadline above judges.
    let missed = life.sightings.iter().find(|other| {
        let gone = !other.alive && other.ended < sighting.asked;
        let expired = life.may_expire && life.expires.is_none_or(|expires| other.at >= expires);
        gone && other.asked > begun_by && !expired
    });
    missed.map(|other| format!("it was not there on node {} at {}", other.node, other.ended))
}

fn judge_dead(life: &Life<'_>, begin: &Record, sighting: &Sighting) -> Option<String> {
    if life.begun_by(begin) >= sighting.asked {
        return None;
    }
    let expired = match life.expires {
        Some(expires) => sighting.at >= expires,
        None => life.may_expire,
    };
    if expired || life.evictable {
        return None;
    }
    let survived =
        |end: &Record| life.sightings.iter().any(|other| other.alive && other.asked > end.ended());
    let explained = life
        .ends
        .iter()
        .filter(|end| end.asked <= sighting.ended && end.ended() >= begin.asked)
        .any(|end| !ended_none(end) && !survived(end));
    if explained {
        return None;
    }
    Some(format!("nothing ended it, and it was begun: {begin:?}"))
}

/// A request that was answered as if the session did, or did not, live.
fn judge_answers(session: u32, life: &Life<'_>, wrongs: &mut Vec<String>) {
    for end in life.ends.iter().filter(|end| matches!(end.action, Action::Revoke { .. })) {
        let first = life.ends.iter().find(|other| {
            matches!(other.action, Action::Revoke { .. })
                && other.answer() == Some(&Answer::Number(1))
                && other.asked < end.asked
        });
        if let (Some(first), Some(Answer::Number(1))) = (first, end.answer()) {
            wrongs.push(format!("session {session} was ended twice: {first:?} and {end:?}"));
        }
    }
}

/// A session's versions follow its saves.
fn judge_versions(session: u32, life: &Life<'_>, wrongs: &mut Vec<String>) {
    let mut values: BTreeMap<u32, u64> = BTreeMap::new();
    let mut known: Vec<(u32, Moment, Moment, String)> = Vec::new();
    for save in &life.saves {
        if let (Some(Answer::Number(version)), Action::Save { value, .. }) =
            (save.answer(), &save.action)
        {
            let version = *version as u32;
            if values.insert(version, *value).is_some() {
                wrongs.push(format!("session {session} was saved twice as version {version}"));
            }
            known.push((version, save.asked, save.ended(), format!("{save:?}")));
        }
    }
    let saved: BTreeMap<u64, Moment> = life
        .saves
        .iter()
        .filter_map(|save| match save.action {
            Action::Save { value, .. } => Some((value, save.asked)),
            _ => None,
        })
        .collect();
    for sighting in &life.sightings {
        let Some(seen) = sighting.seen else { continue };
        let text = format!("{seen:?} on node {} at {}", sighting.node, sighting.ended);
        if seen.value != 0 {
            match saved.get(&seen.value) {
                Some(asked) if *asked <= sighting.ended => {}
                // A rotated session keeps what was saved under its old name.
                None if matches!(
                    life.begin.map(|begin| &begin.action),
                    Some(Action::Rotate { .. })
                ) => {}
                _ => wrongs.push(format!("session {session} held what nobody saved: {text}")),
            }
        }
        if values.get(&seen.version).is_some_and(|value| *value != seen.value) {
            wrongs.push(format!("session {session}: another value of this version: {text}"));
        }
        known.push((seen.version, sighting.asked, sighting.ended, text));
    }
    for (version, asked, _, text) in &known {
        for (earlier, _, ended, earlier_text) in &known {
            if ended < asked && earlier > version {
                wrongs.push(format!("session {session} ran back: {earlier_text}, then {text}"));
            }
        }
    }
}

/// A session is given another name once.
fn judge_rotations(records: &[Record], wrongs: &mut Vec<String>) {
    let mut rotated: BTreeMap<u32, &Record> = BTreeMap::new();
    for record in records {
        if let (Action::Rotate { session, .. }, Some(Answer::Made { .. })) =
            (&record.action, record.answer())
            && let Some(other) = rotated.insert(*session, record)
        {
            wrongs.push(format!("session {session} was renamed twice: {other:?} and {record:?}"));
        }
    }
}
