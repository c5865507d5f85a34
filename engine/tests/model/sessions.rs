//! The model's sessions.

use hallpass_engine::{Cap, Op, Outcome, Refusal, SessionBrief, SessionHash, Stamp};

use super::{Alias, Answer, Bytes, Model, Session};

impl Model {
    fn taken(&self, id: &SessionHash) -> bool {
        self.sessions.contains_key(id) || self.aliases.contains_key(id)
    }

    fn live(&self, id: &SessionHash) -> Result<SessionHash, Refusal> {
        self.resolve(id).ok_or(Refusal::NoSession)
    }

    fn brief(&self, id: SessionHash) -> Outcome {
        let session = &self.sessions[&id];
        Outcome::Session(SessionBrief {
            handle: id,
            created: Stamp::from_millis(session.created),
            expires: Stamp::from_millis(session.expires()),
        })
    }

    fn touched(&mut self, id: &SessionHash) -> &mut Session {
        let now = self.now;
        let session = self.sessions.get_mut(id).expect("resolved before");
        session.seen = session.seen.max(now);
        session
    }

    /// What a validation with touch does; whose session it is.
    pub fn validate(&mut self, id: &SessionHash, touch: bool) -> Option<Bytes> {
        let id = self.resolve(id)?;
        if touch {
            self.touched(&id);
        }
        Some(self.sessions[&id].user.clone())
    }

    pub(super) fn apply_session(&mut self, op: &Op<'_>) -> Answer {
        Ok(match op {
            Op::SessionCreate { .. } => return self.create(op),
            Op::SessionSave { id, data, version } => {
                let id = self.live(id)?;
                let current = self.sessions[&id].version;
                if version.is_some_and(|version| version != current) {
                    return Err(Refusal::VersionMismatch(current));
                }
                let session = self.touched(&id);
                (session.data, session.version) = (data.to_vec(), current + 1);
                Outcome::Integer(i64::from(current) + 1)
            }
            Op::SessionMeta { id, fields } => {
                let id = self.live(id)?;
                let session = self.touched(&id);
                set_fields(&mut session.meta, fields.pairs());
                Outcome::Integer(i64::from(session.version))
            }
            Op::SessionTouch { id } => Outcome::Flag(self.validate(id, true).is_some()),
            Op::SessionReauthenticate { id } => {
                let (id, now) = (self.live(id)?, self.now);
                self.touched(&id).authenticated = now;
                self.brief(id)
            }
            Op::SessionRotate { id, new_id, grace_millis } => {
                let id = self.live(id)?;
                if self.taken(new_id) {
                    return Err(Refusal::SessionExists);
                }
                let session = self.touched(&id).clone();
                self.sessions.remove(&id);
                if *grace_millis > 0 {
                    let deadline = Stamp::from_millis(self.now + grace_millis).millis();
                    let created = session.created;
                    self.aliases.insert(id, Alias { target: *new_id, created, deadline });
                }
                self.sessions.insert(*new_id, session);
                self.brief(*new_id)
            }
            Op::SessionRevoke { ids } => Outcome::Integer(self.revoke(ids, None)),
            Op::SessionRevokeOwned { user, ids } => Outcome::Integer(self.revoke(ids, Some(user))),
            Op::SessionRevokeUser { user, except } => {
                Outcome::Integer(self.revoke_user(user, *except))
            }
            Op::SessionRevokeAll => {
                let owned = self.keys.values().filter(|held| held.owner.is_some()).count();
                let live = owned + self.sessions.len();
                self.keys.retain(|_, held| held.owner.is_none());
                self.sessions.clear();
                self.drawn += 1;
                Outcome::Integer(live as i64)
            }
            _ => unreachable!("{op:?}"),
        })
    }

    fn create(&mut self, op: &Op<'_>) -> Answer {
        let Op::SessionCreate { id, user, limits, data, meta, cap } = op else { unreachable!() };
        if self.taken(id) {
            return Err(Refusal::SessionExists);
        }
        if let Some(Cap { sessions_max, evict }) = *cap {
            let mut live = self.sessions_of(user);
            if live.len() >= sessions_max as usize && !evict {
                return Err(Refusal::SessionLimit(sessions_max));
            }
            live.sort_by_key(|id| (self.sessions[id].created, *id));
            let surplus = (live.len() + 1).saturating_sub(sessions_max as usize);
            for oldest in &live[..surplus] {
                self.sessions.remove(oldest);
            }
            self.forget_users();
        }
        let mut fields = Vec::new();
        set_fields(&mut fields, meta.pairs());
        self.own(user);
        let session = Session {
            user: user.to_vec(),
            created: self.now,
            seen: self.now,
            authenticated: self.now,
            limits: *limits,
            data: data.to_vec(),
            meta: fields,
            version: 1,
        };
        self.sessions.insert(*id, session);
        Ok(self.brief(*id))
    }

    fn revoke(&mut self, ids: &[SessionHash], user: Option<&[u8]>) -> i64 {
        let mut revoked = 0;
        let targets: Vec<_> = ids.iter().filter_map(|id| self.resolve(id)).collect();
        for id in targets {
            let fits = |session: &Session| user.is_none_or(|user| session.user == user);
            if self.sessions.get(&id).is_some_and(fits) {
                self.sessions.remove(&id);
                revoked += 1;
            }
        }
        revoked
    }

    fn revoke_user(&mut self, user: &[u8], except: Option<SessionHash>) -> i64 {
        self.drawn += 1;
        let live = self.count_of(user);
        let kept = except.and_then(|id| self.resolve(&id));
        self.keys.retain(|_, held| held.owner.as_deref() != Some(user));
        self.sessions.retain(|id, session| session.user != user || Some(*id) == kept);
        if self.count_of(user) > 0 {
            self.generations.insert(user.to_vec(), self.drawn);
        }
        (live - self.count_of(user)) as i64
    }
}

fn set_fields<'a>(
    meta: &mut Vec<(Bytes, Bytes)>,
    pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) {
    for (name, value) in pairs {
        match meta.iter_mut().find(|(known, _)| known == name) {
            Some(field) => field.1 = value.to_vec(),
            None => meta.push((name.to_vec(), value.to_vec())),
        }
    }
    meta.retain(|(_, value)| !value.is_empty());
}
