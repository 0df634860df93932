//! Asks the judges of a world, and tells what `sweep`, `list` and `adopt` say of each object.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use shmwarden::attribute::{self, Suspect};
use shmwarden::judge::status::{self, Account, Judged, Status, Unlooked, Whose};
use shmwarden::judge::unowned::{Plan, Proposal, Scene, Wish, plan};
use shmwarden::judge::{self, Action, Life, PeerWord, Reason, life};
use shmwarden::ledger::peers::Peer;
use shmwarden::ledger::record::{End, How, Record};
use shmwarden::ledger::{Book, Entry};
use shmwarden::object::Identity;
use shmwarden::snapshot::Snapshot;
use shmwarden::snapshot::subject::{Kind as SubjectKind, Subject};

use super::{Kind, Ledger, Look, Mapped, Role, Says, Thing, World, build};

/// Rounds in which what is read leads to more that is to be read.
const ROUNDS: usize = 6;
const MIN_AGE: Duration = Duration::from_secs(3600);

/// What `sweep` makes of one ledger.
pub struct Swept {
    pub state: &'static str,
    pub actions: Vec<Action>,
    /// What it was told by.
    pub look: Snapshot,
}

/// An object as a line names it.
pub type Number = (Kind, i32, String);

/// One line of what each command says.
pub fn line(seed: u64, world: &World) -> String {
    let mut line = format!("{seed}");
    for at in 0..world.ledgers.len() {
        let swept = sweep(world, at);
        let known = recorded(world, at);
        write!(line, " | sweep {at} {}:", swept.state).unwrap();
        let mut all: Vec<String> =
            swept.actions.iter().map(|action| told(action, &known)).collect();
        all.sort();
        all.iter().for_each(|one| write!(line, " {one};").unwrap());
    }
    let look = listing(world);
    let accounts = accounts(world, &look);
    line.push_str(" | list:");
    for one in status::statuses(&look, &accounts, &unlooked(world)) {
        let (status, why) = (one.verdict.word(), one.why.code());
        write!(line, " {}={status} {why};", shown(&number(one.subject))).unwrap();
    }
    line.push_str(" | adopt:");
    let adopting = Adopting::of(world);
    for (number, code) in adopting.by_filter() {
        write!(line, " {}={code};", shown(&number)).unwrap();
    }
    line.push_str(" | named:");
    for (number, proposals) in adopting.by_name() {
        write!(line, " {}", shown(&number)).unwrap();
        proposals.iter().for_each(|code| write!(line, "={code}").unwrap());
        line.push(';');
    }
    line
}

/// The word and code on an action, with the number that the ledger gave the object itself.
fn told(action: &Action, known: &BTreeSet<u64>) -> String {
    let (object, identity, what) = match action {
        Action::Remove(removal) => (Some(removal.object()), removal.identity(), "remove".into()),
        Action::Keep(kept) => (kept.object, &kept.identity, format!("keep {}", kept.reason.code())),
        Action::Forget(object) => (Some(object.number), &object.identity, "forget".into()),
    };
    let of = match object {
        Some(object) if known.contains(&object) => object.to_string(),
        Some(_) => "+".to_owned(),
        None => "?".to_owned(),
    };
    format!("{of}:{}={what}", shown(&number_of(identity)))
}

fn shown((kind, id, name): &Number) -> String {
    match kind {
        Kind::Shm => format!("shm{id}"),
        Kind::Sem => format!("sem{id}"),
        Kind::Msg => format!("msg{id}"),
        Kind::Posix => format!("/{name}"),
    }
}

/// The objects that a ledger's own lines number.
pub fn recorded(world: &World, at: usize) -> BTreeSet<u64> {
    let lines = world.ledgers[at].lines.iter();
    let object = lines.filter_map(|line| match line.says {
        Says::Object { object, .. } | Says::Adopted { object, .. } => Some(object),
        _ => None,
    });
    object.collect()
}

/// What `sweep` does between its look and its first removal.
pub fn sweep(world: &World, at: usize) -> Swept {
    let mut book = build::book(&world.ledgers[at]);
    if book.is_of_adopted() {
        return sweep_adopted(world, at, book);
    }
    let mut look = build::snapshot(world);
    let policy = build::policy(world, at);
    let seen = life::judge(&book, &look, &policy);
    if !matches!(seen, Life::Live(_)) {
        close(&mut book, &look);
    }
    let state = match &seen {
        Life::Void => "void",
        Life::Live(_) => "live",
        Life::Unseen(_) => "unseen",
        Life::Dead(_) => "dead",
    };
    if matches!(seen, Life::Live(_) | Life::Unseen(_)) {
        let actions = judge::decide(&book, &look, &seen, &[], &policy);
        return Swept { state, actions, look };
    }
    let suspects = attribute_all(world, &mut book, &mut look);
    let seen = life::judge(&book, &look, &policy);
    let mut actions = judge::decide(&book, &look, &seen, &suspects, &policy);
    spare(&mut actions, &book, &build::peers(world, at), &look);
    Swept { state, actions, look }
}

fn spare(actions: &mut [Action], book: &Book, peers: &[Peer], look: &Snapshot) {
    let words: Vec<PeerWord<'_>> = peers
        .iter()
        .map(|peer| PeerWord { path: &peer.path, uid: peer.uid, book: peer.book.as_ref() })
        .collect();
    judge::spare_used_elsewhere(actions, book, &words, look);
}

/// Notes the end of every run that is over.
fn close(book: &mut Book, look: &Snapshot) {
    let over: Vec<u64> = book
        .open_runs()
        .filter(|run| life::is_over(book, run, look))
        .map(|run| run.start.run)
        .collect();
    for run in over {
        note(book, look, Record::End { run, end: End::Unknown });
    }
}

/// Reads what is wanted and records what is proven, until nothing new is, and gives back what is
/// only suspected.
fn attribute_all(world: &World, book: &mut Book, look: &mut Snapshot) -> Vec<Suspect> {
    let mut suspects = Vec::new();
    for _ in 0..ROUNDS {
        read_unattached(world, look, &attribute::headers_wanted(book, look));
        for list in attribute::controls_wanted(book, look) {
            let is_it = |thing: &&Thing| build::identity(thing).has_number_of(&list);
            world.things.iter().filter(is_it).for_each(|thing| build::read_list(look, thing));
        }
        let look = &*look;
        for again in attribute::roles(book, look) {
            note(book, look, Record::Object(again));
        }
        let (found, doubtful) = attribute::after_death(book, look);
        suspects = doubtful;
        for new in found {
            note(book, look, Record::Object(new));
        }
    }
    suspects
}

fn note(book: &mut Book, look: &Snapshot, record: Record) {
    let entry = Entry { seq: book.seq + 1, at: look.now, forks: None, record };
    let noted = book.apply(&entry);
    assert!(noted.is_ok(), "{noted:?}: {entry:?}");
}

fn sweep_adopted(world: &World, at: usize, book: Book) -> Swept {
    let mut look = complete(world, build::snapshot(world));
    let mut actions = Vec::new();
    for _ in 0..ROUNDS {
        let unread;
        (actions, unread) = judge::adopted::decide(&book, &look, &build::policy(world, at));
        if unread.is_empty() {
            break;
        }
        read_unattached(world, &mut look, &unread);
        actions.clear();
    }
    spare(&mut actions, &book, &build::peers(world, at), &look);
    Swept { state: "adopted", actions, look }
}

/// A look with all that can be read without attaching anything.
fn complete(world: &World, mut look: Snapshot) -> Snapshot {
    for thing in &world.things {
        match thing.kind {
            Kind::Shm if thing.nattch > 0 && world.segments_were_read => {
                match is_mapped_here(world, thing) {
                    true => build::read(&mut look, thing),
                    false => build::add_unread(&mut look, thing),
                }
            }
            Kind::Posix if thing.name.starts_with("PostgreSQL.") => {
                build::read(&mut look, thing);
            }
            _ => {}
        }
    }
    look
}

fn is_mapped_here(world: &World, thing: &Thing) -> bool {
    world.processes.iter().any(|process| {
        let maps = match &process.maps {
            Some(Look::Here(maps)) if !process.is_unread && !process.has_ended => maps,
            _ => return false,
        };
        let here = process.same_ipc == Some(true);
        here && maps.iter().any(|(mapped, _)| *mapped == Mapped::Segment(thing.id))
    })
}

fn read_unattached(world: &World, look: &mut Snapshot, ids: &[i32]) {
    let segments = world.things.iter().filter(|thing| thing.kind == Kind::Shm);
    for thing in segments.filter(|thing| ids.contains(&thing.id)) {
        build::read(look, thing);
    }
}

/// A look as `list` takes it: of what is written, the ledgers' own lists that need no attach.
pub fn listing(world: &World) -> Snapshot {
    let mut look = build::snapshot(world);
    for ledger in world.ledgers.iter().filter(|ledger| !ledger.is_closed) {
        let lists = ledger.lines.iter().filter_map(|line| match &line.says {
            Says::Object { role: Role::Control, thing, .. } => Some(thing),
            _ => None,
        });
        let number = |thing: &Thing| (thing.kind, thing.id, thing.name.clone());
        let lists: Vec<Number> = lists.map(number).collect();
        for thing in world.things.iter().filter(|thing| lists.contains(&number(thing))) {
            if thing.kind == Kind::Posix || is_mapped_here(world, thing) {
                build::read_list(&mut look, thing);
            }
        }
    }
    look
}

pub fn accounts(world: &World, look: &Snapshot) -> Vec<Account> {
    let mut accounts = Vec::new();
    for (at, ledger) in world.ledgers.iter().enumerate() {
        let book = build::book(ledger);
        if ledger.is_closed || !status::is_of_interest(&book, &look.place) {
            continue;
        }
        let mut account = Account::new(book.clone(), look, None, world.pid);
        if !account.lives() && ledger.locked_by.is_some() {
            account = Account::new(book, look, ledger.locked_by, world.pid);
        }
        account.source = (build::path(at), ledger.owner);
        accounts.push(account);
    }
    accounts
}

/// The ledgers that could not be read.
pub fn unlooked(world: &World) -> Vec<Unlooked> {
    let closed = world.ledgers.iter().enumerate().filter(|(_, ledger)| ledger.is_closed);
    let unlooked = |(at, ledger): (usize, &Ledger)| Unlooked {
        place: build::path(at).to_string_lossy().into_owned(),
        whose: Whose::User(ledger.owner),
    };
    closed.map(unlooked).collect()
}

/// All that `adopt` asks once.
pub struct Adopting<'a> {
    world: &'a World,
    look: Snapshot,
    prior: BTreeMap<Number, Reason>,
    min_age: Duration,
}

impl<'a> Adopting<'a> {
    pub fn of(world: &'a World) -> Self {
        Self { min_age: MIN_AGE, ..Self::by(world, &listing(world)) }
    }

    /// The same of whatever age, where this was looked at before.
    pub fn by(world: &'a World, listing: &Snapshot) -> Self {
        let accounts = accounts(world, listing);
        let look = complete(world, listing.clone());
        let judged = status::statuses(listing, &accounts, &unlooked(world));
        let unlooked = unlooked(world);
        let against =
            |one: &Judged<'_>| Some((number(one.subject), against(one, &accounts, &unlooked)?));
        let prior = judged.iter().filter_map(against).collect();
        Self { world, look, prior, min_age: Duration::ZERO }
    }

    /// What a filter that takes all makes of each object.
    pub fn by_filter(&self) -> Vec<(Number, &'static str)> {
        let all: Vec<Number> = Subject::all(&self.look).map(number).collect();
        self.ask(&all, How::Adopted).0
    }

    /// A look with all that `adopt` reads for a filter that takes all.
    pub fn read(world: &World) -> Snapshot {
        let adopting = Adopting::by(world, &listing(world));
        let all: Vec<Number> = Subject::all(&adopting.look).map(number).collect();
        adopting.ask(&all, How::Adopted).1
    }

    /// What becomes of each object where it alone is named, itself and then what comes along.
    pub fn by_name(&self) -> Vec<(Number, Vec<&'static str>)> {
        let all = Subject::all(&self.look).map(number);
        let of = |number: Number| {
            let (codes, _) = self.ask(std::slice::from_ref(&number), How::Named);
            (number, codes.into_iter().map(|(_, code)| code).collect())
        };
        all.map(of).collect()
    }

    fn ask(&self, wanted: &[Number], how: How) -> (Vec<(Number, &'static str)>, Snapshot) {
        let known = |subject: Subject<'_>| self.prior.get(&number(subject)).cloned();
        let wanted: BTreeSet<&Number> = wanted.iter().collect();
        let mut read = None;
        for _ in 0..ROUNDS {
            let look = read.as_ref().unwrap_or(&self.look);
            let scene = Scene::of(look, &[self.world.pid]);
            let wishes = Subject::all(look).filter(|one| wanted.contains(&number(*one)));
            let wishes: Vec<Wish<'_>> = wishes.map(|subject| Wish { subject, how }).collect();
            let Plan { proposals, unread } = plan(&scene, &wishes, Some(self.min_age), &known);
            if unread.is_empty() {
                let codes = proposals.iter().map(|one| (number(one.subject), code(one)));
                return (codes.collect(), look.clone());
            }
            let mut more = look.clone();
            read_unattached(self.world, &mut more, &unread);
            read = Some(more);
        }
        (Vec::new(), self.look.clone())
    }
}

/// As the program words it (`wrapper/adopt/select.rs`).
fn code(one: &Proposal<'_>) -> &'static str {
    match &one.against {
        Some(against) => against.code(),
        None if one.along => "belongs",
        None if one.how == How::Named => "named",
        None => "no-user",
    }
}

/// What the ledgers have against taking an object, as the program has it
/// (`wrapper/adopt/select.rs`).
fn against(one: &Judged<'_>, accounts: &[Account], unlooked: &[Unlooked]) -> Option<Reason> {
    let said = one.why.to_string();
    let lives = one.account.and_then(|at| accounts.get(at)).is_some_and(Account::lives);
    match (one.account, &one.why, one.verdict) {
        (None, ..) | (_, _, Status::Changed) => {
            let unlooked = unlooked.iter().find(|place| place.concerns(one.subject));
            unlooked.map(|unlooked| Reason::LedgerUnread(unlooked.place.clone()))
        }
        (_, Reason::Used, _) if !lives => Some(Reason::Suspect(said)),
        (_, Reason::PidReused | Reason::Unlisted, Status::Unrecorded) if !lives => {
            Some(Reason::Suspect(said))
        }
        _ => Some(Reason::Recorded(said)),
    }
}

pub fn number(subject: Subject<'_>) -> Number {
    let kind = match subject.kind() {
        SubjectKind::Shm => Kind::Shm,
        SubjectKind::Sem => Kind::Sem,
        SubjectKind::Msg => Kind::Msg,
        SubjectKind::Posix => Kind::Posix,
    };
    let name = match subject {
        Subject::Posix(file) => file.name.lossy(),
        _ => String::new(),
    };
    (kind, subject.id().unwrap_or(-1), name)
}

pub fn number_of(identity: &Identity) -> Number {
    match identity {
        Identity::Shm(segment) => (Kind::Shm, segment.id, String::new()),
        Identity::Sem(set) => (Kind::Sem, set.id, String::new()),
        Identity::Msg(queue) => (Kind::Msg, queue.id, String::new()),
        Identity::Posix(file) => (Kind::Posix, -1, file.name.lossy()),
    }
}
