//! The plan of what is taken, what is not, and why: objects that belong together are taken
//! together, or not at all. Pure.
//!
//! A main segment is the only way to its server's list, and that the only way to what it names:
//! whoever takes the one takes them all, or a leak that the next start would clean becomes one
//! that nothing cleans.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Reason, Scene, uids};
use crate::engine::postgres;
use crate::ledger::record::{How, Role};
use crate::object::Identity;
use crate::snapshot::subject::{Kind, Subject};
use crate::sys::shm::Row;

/// An object that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// The object.
    pub subject: Subject<'a>,
    /// By a filter, or by its number or name.
    pub how: How,
}

/// The judgement on an object.
#[derive(Debug, Clone)]
pub struct Proposal<'a> {
    /// The object.
    pub subject: Subject<'a>,
    /// The identity it is recognised by.
    pub identity: Identity,
    /// By a filter, or by its number or name.
    pub how: How,
    /// Its role for its server.
    pub role: Role,
    /// Set where it was not asked for, and comes along with what was.
    pub along: bool,
    /// The proposal that it belongs to: an index.
    pub leader: Option<usize>,
    /// The reason against taking it.
    pub against: Option<Reason>,
    /// Set where its server is proven dead, so that processes of its users may live.
    pub proven: bool,
}

/// The judgement on all that is asked for.
#[derive(Debug)]
pub struct Plan<'a> {
    /// In the order of the wishes, then what comes along.
    pub proposals: Vec<Proposal<'a>>,
    /// Unattached segments whose first bytes have to be read (`Snapshot::with_unattached`)
    /// before the plan counts.
    pub unread: Vec<i32>,
}

/// The words on a list that is not understood.
const UNKNOWN_LIST: &str = "it is a server's list in a form that this shmwarden does not know";

/// A key of an object within one look.
type Number = (Kind, i32, Vec<u8>);

struct Planning<'a, 'b> {
    scene: &'b Scene<'a>,
    min_age: Option<Duration>,
    prior: &'b dyn Fn(Subject<'a>) -> Option<Reason>,
    proposals: Vec<Proposal<'a>>,
    known: BTreeMap<Number, usize>,
}

/// Judges what is asked for and what belongs to it. `prior` tells what is known against an object
/// from elsewhere. Without `min_age` they were judged before, when they were recorded: then neither
/// their age matters, nor that a list has been removed since.
#[must_use]
pub fn plan<'a>(
    scene: &Scene<'a>,
    wishes: &[Wish<'a>],
    min_age: Option<Duration>,
    prior: &dyn Fn(Subject<'a>) -> Option<Reason>,
) -> Plan<'a> {
    let (proposals, known) = (Vec::new(), BTreeMap::new());
    let mut planning = Planning { scene, min_age, prior, proposals, known };
    for wish in wishes {
        planning.add(wish.subject, wish.how, Role::Other, None);
    }
    let wished = planning.proposals.len();
    for at in 0..wished {
        planning.add_list_of(at);
    }
    for at in 0..planning.proposals.len() {
        planning.add_listed_by(at);
    }
    planning.proposals.iter_mut().skip(wished).for_each(|one| one.along = true);
    planning.refuse_what_belongs_elsewhere();
    planning.refuse_without_birth();
    let leaders = planning.leaders_unread();
    planning.together_or_not_at_all();
    let mut unread = planning.unread();
    if unread.is_empty() {
        unread = leaders;
    }
    Plan { unread, proposals: planning.proposals }
}

impl<'a> Planning<'a, '_> {
    /// Adds an object, or says more of one that is there.
    fn add(&mut self, subject: Subject<'a>, how: How, role: Role, leader: Option<usize>) {
        let leading = leader.and_then(|at| self.proposals.get(at));
        let proven = leading.is_some_and(|leading| leading.proven);
        let known = self.known.get(&number(subject)).and_then(|at| self.proposals.get_mut(*at));
        if let Some(known) = known {
            if leader.is_some() {
                (known.role, known.leader) = (role, known.leader.or(leader));
            }
            if proven {
                known.proven = true;
                known.against =
                    known.against.take().filter(|why| !matches!(why, Reason::UserLives(..)));
            }
            return;
        }
        let against = self.against(subject, how);
        let user_lives = matches!(against, Some(Reason::UserLives(..)));
        let proven = proven || (user_lives && self.scene.is_proven_dead(subject));
        let against = against.filter(|_| !(proven && user_lives));
        let identity = subject.identity();
        self.known.insert(number(subject), self.proposals.len());
        let one = Proposal { subject, identity, how, role, along: false, leader, against, proven };
        self.proposals.push(one);
    }

    /// Returns the reason against one object, whatever else is taken.
    fn against(&self, subject: Subject<'a>, how: How) -> Option<Reason> {
        let first = (self.prior)(subject);
        let first = first.filter(|prior| how != How::Named || !prior.is_waived_by_name());
        first.or_else(|| self.scene.against(subject, how, self.min_age))
    }

    /// The list that a main segment leads to.
    fn add_list_of(&mut self, at: usize) {
        let Some(one) = self.proposals.get_mut(at) else { return };
        let Some(header) = self.scene.lists.main(one.subject) else { return };
        one.role = Role::Main;
        if header.control == 0 {
            return;
        }
        let (how, own) = (one.how, uids(one.subject));
        let lists = &self.scene.lists;
        let may_be = |list: &Subject<'a>| {
            lists.main(*list).is_none() && uids(*list).iter().any(|uid| own.contains(uid))
        };
        let found = lists.with_handle(header.control);
        let found: Vec<Subject<'a>> = found.into_iter().filter(may_be).collect();
        if found.is_empty() && how != How::Named && one.against.is_none() && self.min_age.is_some()
        {
            let list = postgres::posix_name(header.control).lossy();
            one.against = Some(Reason::ListElsewhere(format!("/dev/shm/{list}")));
        }
        let unknown = self.scene.lists.unknown_of(&[header.control], self.scene.look);
        if let (Some(unknown), Some(one)) = (unknown, self.proposals.get_mut(at)) {
            one.against.get_or_insert(unknown);
        }
        for list in found {
            self.add(list, how, Role::Control, Some(at));
        }
    }

    /// Adds what a list names.
    fn add_listed_by(&mut self, at: usize) {
        let Some(one) = self.proposals.get_mut(at) else { return };
        let Some(list) = self.scene.lists.is_list(one.subject) else { return };
        one.role = Role::Control;
        let (how, leader, own) = (one.how, one.leader.unwrap_or(at), uids(one.subject));
        let Some(named) = self.scene.lists.named_by(list) else {
            one.against.get_or_insert(Reason::UnknownLayout(UNKNOWN_LIST.to_owned()));
            return;
        };
        if let Some(unknown) = self.scene.lists.unknown_named_by(list, self.scene.look) {
            one.against.get_or_insert(unknown);
        }
        for named in named {
            if uids(named).iter().any(|uid| own.contains(uid)) {
                self.add(named, how, Role::Dynamic, Some(leader));
            } else if let Some(one) = self.proposals.get_mut(at) {
                let foreign = Box::new(Reason::NotYours(named.owner().0));
                one.against.get_or_insert(Reason::GroupStays(named.to_string(), foreign));
            }
        }
    }

    /// Refuses what a dead server's next start would clean: it is not taken piece by piece.
    fn refuse_what_belongs_elsewhere(&mut self) {
        let lists = &self.scene.lists;
        for one in self.proposals.iter_mut().filter(|one| one.leader.is_none()) {
            let why = match one.role {
                Role::Control => {
                    let main = lists.leading_to(one.subject);
                    main.map(|main| Reason::MainStays(Subject::Shm(main).to_string()))
                }
                Role::Main => None,
                Role::Dynamic | Role::Other => lists.naming(one.subject).map(|list| {
                    let main =
                        lists.leading_to_list(list).map(|main| Subject::Shm(main).to_string());
                    let list = list.identity.to_string();
                    Reason::ListedByDead(list.clone(), main.unwrap_or(list))
                }),
            };
            if let Some(why) = why {
                one.against.get_or_insert(why);
            }
        }
    }

    /// A file without a birth time goes only with the main segment that leads to it, and if it was
    /// not changed after the last process of that server had ended.
    fn refuse_without_birth(&mut self) {
        let death = |one: &Proposal<'_>| match one.subject {
            Subject::Shm(row) if one.role == Role::Main && row.dtime > 0 => Some(row.dtime),
            _ => None,
        };
        let deaths: Vec<Option<i64>> = self.proposals.iter().map(death).collect();
        for one in &mut self.proposals {
            let Identity::Posix(file) = &one.identity else { continue };
            let Some((changed, _)) = file.birth.only_changed() else { continue };
            match one.leader.and_then(|leader| deaths.get(leader).copied().flatten()) {
                Some(death) if changed <= death => {}
                Some(_) => drop(one.against.get_or_insert(Reason::ChangedSince)),
                None => drop(one.against.get_or_insert(Reason::NoIdentity)),
            }
        }
    }

    /// Segments that nobody has attached, and that may be what leads to something that was asked
    /// for: to be read as what is taken itself. A list stays where one of them has to be left
    /// alone. When a ledger is settled, all that was asked when it was written.
    fn leaders_unread(&mut self) -> Vec<i32> {
        let (look, mut users, mut lists) = (self.scene.look, BTreeMap::new(), Vec::new());
        for (at, one) in self.proposals.iter().enumerate() {
            let taken = matches!(one.against, None | Some(Reason::ListedByDead(..)));
            let alone = taken && one.leader.is_none() && self.min_age.is_some();
            if alone && one.role != Role::Main && is_perhaps_listed(one.subject) {
                users.extend(uids(one.subject).into_iter().map(|uid| (uid, one.how)));
                lists.push((at, one.role == Role::Control));
            }
        }
        let mut unread = Vec::new();
        // A main segment has a key; what cannot be one is not attached for a look.
        let alone = |row: &&Row| {
            row.nattch == 0 && row.perm.key != 0 && !look.headers.contains_key(&row.id)
        };
        for row in look.segments.seen().filter(alone).filter(|_| !users.is_empty()) {
            let subject = Subject::Shm(row);
            let wanted = uids(subject).iter().find_map(|uid| users.get(uid).copied());
            let Some(how) = wanted else { continue };
            let Some(against) = self.against(subject, how) else {
                unread.push(row.id);
                continue;
            };
            // Where that is for want of sight it may lead to whatever a filter takes.
            let wanted = self.scene.wanted(subject).filter(|_| how != How::Named);
            let unseen = matches!(wanted, Some(Reason::PidsElsewhere));
            for &(at, is_list) in &lists {
                let one = self.proposals.get_mut(at).filter(|_| is_list || unseen);
                let its = |one: &&mut Proposal<'_>| {
                    uids(one.subject).iter().any(|uid| uids(subject).contains(uid))
                };
                if let Some(one) = one.filter(its) {
                    let why = Reason::MayLead(subject.to_string(), Box::new(against.clone()));
                    one.against.get_or_insert(why);
                }
            }
        }
        unread
    }

    /// Keeps all of a group where one of it has to stay.
    fn together_or_not_at_all(&mut self) {
        let mut stays: BTreeMap<usize, (String, Reason)> = BTreeMap::new();
        for (at, one) in self.proposals.iter().enumerate() {
            if let Some(against) = &one.against {
                let group = one.leader.unwrap_or(at);
                stays.entry(group).or_insert_with(|| (one.subject.to_string(), against.clone()));
            }
        }
        for (at, one) in self.proposals.iter_mut().enumerate() {
            let group = one.leader.unwrap_or(at);
            if let (Some((what, why)), None) = (stays.get(&group), &one.against) {
                one.against = Some(Reason::GroupStays(what.clone(), Box::new(why.clone())));
            }
        }
    }

    fn unread(&self) -> Vec<i32> {
        let look = self.scene.look;
        // One of whose users a process lives is taken only where its header proves more.
        let looked_into = |one: &&Proposal<'a>| match &one.against {
            None => true,
            Some(Reason::UserLives(..)) => {
                one.how != How::Named && self.scene.may_look_into(one.subject)
            }
            Some(_) => false,
        };
        let taken = self.proposals.iter().filter(looked_into);
        let ids = taken.filter_map(|one| match one.subject {
            Subject::Shm(row) => Some(row.id).filter(|id| !look.headers.contains_key(id)),
            _ => None,
        });
        ids.collect()
    }
}

/// Checks that a list, or what one names, can look like this object.
fn is_perhaps_listed(subject: Subject<'_>) -> bool {
    match subject {
        Subject::Shm(row) => row.perm.key != 0,
        Subject::Posix(file) => postgres::is_posix_name(&file.name.0),
        Subject::Sem(_) | Subject::Msg(_) => false,
    }
}

fn number(subject: Subject<'_>) -> Number {
    let name = match subject {
        Subject::Posix(file) => file.name.0.clone(),
        _ => Vec::new(),
    };
    (subject.kind(), subject.id().unwrap_or(-1), name)
}
