//! Where ledgers are: what the commands of root find that are told of none, and what they say of
//! places that could not be looked at.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::make::{objects, objects_for, verdict};
use crate::scene::asked::Asked;
use crate::scene::instance::{Instance, SOON, need_root};
use crate::scene::stand_in::StandIn;
use crate::support::objects::{create_segment, segment};
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::skip;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::{self, Answer};

const OWNER: User = User::Other(47_310);
const STRANGER: User = User::Other(47_320);
const PEERS: User = User::Other(47_330);

fn mount(arguments: &[&str]) {
    sandbox::assert_inside();
    need_root("to mount");
    assert!(Command::new("mount").args(arguments).status().unwrap().success(), "{arguments:?}");
}

/// Gives users accounts with homes of their own, in this sandbox alone; gives the default place of
/// the first back, which is not made yet.
fn accounts(users: &[User]) -> PathBuf {
    let mut passwd = fs::read_to_string("/etc/passwd").unwrap();
    let mut places = Vec::new();
    for user in users {
        let (uid, gid) = user.ids();
        let home = PathBuf::from(format!("/var/lib/home{uid}"));
        user.make_directory(&home);
        passwd.push_str(&format!("user{uid}:x:{uid}:{gid}::{}:/bin/sh\n", home.display()));
        places.push(home.join(".local/state/shmwarden"));
    }
    let copy = sandbox::scratch().join("passwd");
    fs::write(&copy, passwd).unwrap();
    fs::set_permissions(&copy, PermissionsExt::from_mode(0o644)).unwrap();
    mount(&["--bind", copy.to_str().unwrap(), "/etc/passwd"]);
    places.remove(0)
}

/// Makes a directory of a user below his home, and gives all on the way to him.
fn make(user: User, place: &Path) {
    fs::create_dir_all(place).unwrap();
    let below_home = |step: &&Path| step.starts_with("/var/lib") && *step != Path::new("/var/lib");
    place.ancestors().filter(below_home).for_each(|step| user.own(step));
}

/// What a dead server of a user left, recorded in a ledger in this directory: its segment.
fn crashed(user: User, place: &Path) -> (Instance, i32) {
    make(user, place);
    let instance = Instance::at(user, &place.join("server.ledger"));
    let server = StandIn::start(&instance, 0);
    let id = server.segment();
    instance.wait_recorded(1);
    server.kill_all();
    (instance, id)
}

fn pair(verdict: &str, code: &str) -> (String, String) {
    (verdict.to_owned(), code.to_owned())
}

/// `/etc/shmwarden` of this sandbox alone, with this file of places: an `/etc` in which the
/// machine's own shines through.
fn list_places(text: &str) -> PathBuf {
    let (old, new) = (Path::new("/var/lib/etc"), sandbox::scratch().join("etc"));
    fs::create_dir_all(old).unwrap();
    fs::create_dir_all(new.join("shmwarden")).unwrap();
    for entry in fs::read_dir("/etc").unwrap() {
        let name = entry.unwrap().file_name();
        if name != "shmwarden" {
            std::os::unix::fs::symlink(old.join(&name), new.join(&name)).unwrap();
        }
    }
    mount(&["--rbind", "/etc", old.to_str().unwrap()]);
    mount(&["--bind", new.to_str().unwrap(), "/etc"]);
    let file = PathBuf::from("/etc/shmwarden/places");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    file
}

/// The places that a document says were looked at: path and source.
fn looked(document: &Value) -> Vec<(String, String)> {
    let all = document["looked"].as_array().unwrap().iter();
    let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    all.map(|one| (text(one, "path"), text(one, "source"))).collect()
}

#[test]
fn every_command_of_root_finds_the_ledger_in_a_users_default_place() {
    sandbox::on_host(|| {
        let place = accounts(&[OWNER]);
        let (instance, id) = crashed(OWNER, &place);
        let number = id.to_string();
        assert_eq!(verdict(&objects(&["list"], 0), id), pair("stale", "dead"));
        let list = warden::answer(User::Root, &["list"]).expect_code(0).stdout;
        let said = format!("looked for in /var/lib/shmwarden, {}", place.display());
        assert!(list.contains(&said), "{list}");
        let who = warden::answer(User::Root, &["who", &number]).expect_code(1).stdout;
        assert!(who.contains("stale of server"), "{who}");
        let adopt = ["adopt", "--dry-run", "--min-age", "0s", &number];
        let adopt = &objects(&adopt, 77)[0];
        assert_eq!(adopt["reason_code"], "recorded", "{adopt}");
        let history = warden::answer(User::Root, &["history"]).expect_code(0).stdout;
        assert!(history.contains(instance.path()), "{history}");
        let doctor = warden::answer(User::Root, &["doctor", "--json"]).json();
        let leak = doctor["leaks"].as_array().unwrap().iter().find(|leak| leak["uid"] == 47_310);
        assert_eq!(leak.expect("its leak")["instance"], "server", "{doctor:#}");
        assert!(looked(&doctor).contains(&(place.display().to_string(), "user".to_owned())));
        let dry = warden::answer(User::Root, &["sweep", "--dry-run"]).expect_code(0).stdout;
        assert!(dry.contains("server: would-remove") && dry.contains(&said), "{dry}");
        let sweep = warden::answer(User::Root, &["sweep", "--json"]).expect_code(0).json();
        assert_eq!((&sweep["removed"], &sweep["kept"]), (&1.into(), &0.into()), "{sweep:#}");
        assert_eq!(segment(id), None);
    });
}

#[test]
fn name_and_data_find_a_ledger_in_a_users_place_too() {
    sandbox::run(|| {
        let place = accounts(&[OWNER]);
        make(OWNER, &place);
        // His living process shows that he may have ledgers.
        let instance = Instance::at(OWNER, &place.join("web.ledger"));
        let server = StandIn::start(&instance, 0);
        instance.wait_recorded(1);
        let of = |words: &[&str], code| warden::answer(User::Root, words).expect_code(code);
        let history = of(&["history", "--json", "--name", "web"], 0).json();
        assert_eq!(history["ledger"], instance.path());
        let sweep = of(&["sweep", "--json", "--name", "web"], 75).json();
        assert_eq!(sweep["ledgers"][0]["path"], instance.path());
        let none = of(&["sweep", "--json", "--name", "nothing"], 0).json();
        assert_eq!(none["ledgers"][0]["state"], "missing");
        of(&["history", "--name", "nothing"], 66);
        server.kill_all();
    });
}

/// A unit's options, as `systemctl show` tells them, without a systemd.
fn units(text: &str) -> String {
    mount(&["-t", "tmpfs", "run", "/run"]);
    fs::create_dir_all("/run/systemd/system").unwrap();
    let tools = sandbox::scratch().join("tools");
    fs::create_dir_all(&tools).unwrap();
    fs::write(tools.join("answer"), text).unwrap();
    let script = format!("#!/bin/sh\nexec cat {}/answer\n", tools.display());
    fs::write(tools.join("systemctl"), script).unwrap();
    fs::set_permissions(tools.join("systemctl"), PermissionsExt::from_mode(0o755)).unwrap();
    format!("{}:/usr/bin:/bin", tools.display())
}

#[test]
fn units_say_where_their_ledgers_are() {
    sandbox::on_host(|| {
        need_root("to act as another user");
        let places = ["/var/lib/a", "/var/lib/b", "/var/lib/c/shmwarden"].map(Path::new);
        let ids = places.map(|place| crashed(OWNER, place).1);
        let path = units(
            "Id=a.service\nExecStart={ path=/usr/bin/shmwarden ; argv[]=/usr/bin/shmwarden run \
             --ledger /var/lib/a/server.ledger -- /bin/x ; ignore_errors=no }\n\nId=b.service\n\
             Environment=SHMWARDEN_LEDGER=/var/lib/b/server.ledger\n\nId=c.service\n\
             StateDirectory=c/shmwarden\n",
        );
        let list = || {
            let mut list = warden::command(User::Root, &["list", "--json"]);
            Answer::of(list.env("PATH", &path)).expect_code(0).json()
        };
        let document = list();
        let objects = document["objects"].as_array().unwrap();
        for id in ids {
            assert_eq!(verdict(objects, id), pair("stale", "dead"), "{id} of {ids:?}");
        }
        let units = looked(&document).into_iter().filter(|(_, source)| source == "unit");
        assert_eq!(units.count(), 3, "{document:#}");
        let mut sweep = warden::command(User::Root, &["sweep", "--json"]);
        let sweep = Answer::of(sweep.env("PATH", &path)).expect_code(0).json();
        assert_eq!(sweep["removed"], 3);
    });
}

#[test]
fn what_systemd_does_not_tell_is_said_and_nothing_is_an_orphan_then() {
    sandbox::on_host(|| {
        need_root("to act as another user");
        let id = create_segment(OWNER, 5, 4096);
        let path = units("");
        let tools = sandbox::scratch().join("tools");
        fs::write(tools.join("systemctl"), "#!/bin/sh\necho no bus >&2; exit 1\n").unwrap();
        let mut list = warden::command(User::Root, &["list", "--json"]);
        let answer = Answer::of(list.env("PATH", &path)).expect_code(0);
        let all = answer.json()["objects"].as_array().unwrap().clone();
        assert_eq!(verdict(&all, id), pair("unrecorded", "ledger-unread"));
        assert!(answer.stderr.contains("that units name"), "{answer:?}");
        assert_eq!(verdict(&objects(&["list", "--dir", "/var/lib"], 0), id).1, "creator-dead");
    });
}

#[test]
fn a_ledger_that_a_living_launcher_holds_open_is_found_wherever_it_is() {
    sandbox::on_host(|| {
        need_root("to act as another user");
        let place = Path::new("/var/lib/odd/place");
        make(OWNER, place);
        let instance = Instance::at(OWNER, &place.join("a book"));
        let server = StandIn::start(&instance, 0);
        instance.wait_recorded(1);
        let id = server.segment();
        assert_eq!(verdict(&objects(&["list"], 0), id), pair("live", "live"));
        let history = warden::answer(User::Root, &["history", "--json"]).expect_code(0).json();
        assert_eq!(history["ledger"], instance.path());
        server.kill_all();
        // Nobody has it open any more, and nothing says where it is.
        assert_eq!(verdict(&objects(&["list"], 0), id).0, "orphan");
    });
}

#[test]
fn a_path_of_another_mount_namespace_is_not_taken_for_the_file_of_that_name_here() {
    sandbox::on_host(|| {
        need_root("to mount");
        let foreign = create_segment(OWNER, 77, 4096);
        // The launcher's own /var/lib/there is another file system; here lies another's ledger.
        let there = Path::new("/var/lib/there");
        make(User::Root, there);
        fs::write(there.join("server.ledger"), "somebody's file\n").unwrap();
        let script = "mount -t tmpfs own /var/lib/there && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "bash", "-c", script, "bash"]).arg(warden::binary());
        command.args(["run", "--ledger", "/var/lib/there/server.ledger", "--"]);
        command.args(crate::scene::stand_in::words(0));
        let server = StandIn::spawn(command);
        let answer = warden::answer(User::Root, &["list", "--json"]).expect_code(0);
        let all = answer.json()["objects"].as_array().unwrap().clone();
        // Root's launcher may have recorded anything.
        assert_eq!(verdict(&all, foreign), pair("unrecorded", "ledger-unread"));
        assert!(answer.stderr.contains("in another mount namespace"), "{answer:?}");
        assert!(!answer.stderr.contains("is not a ledger"), "{answer:?}");
        server.kill_all();
        assert_eq!(verdict(&objects(&["list"], 0), foreign), pair("orphan", "creator-dead"));
    });
}

#[test]
fn a_file_of_places_is_followed_by_root_alone() {
    sandbox::on_host(|| {
        need_root("to act as another user");
        let (one, other) = (Path::new("/var/lib/odd/one"), Path::new("/var/lib/odd/other"));
        let (first, second) = (crashed(OWNER, one).1, crashed(OWNER, other).1);
        list_places("# ours\n\n/var/lib/odd/one\n/var/lib/odd/other/server.ledger\n");
        let all = objects(&["list"], 0);
        assert_eq!(verdict(&all, first), pair("stale", "dead"));
        assert_eq!(verdict(&all, second), pair("stale", "dead"));
        let history = warden::answer(User::Root, &["history", "--json"]).expect_code(0).json();
        assert_eq!(history["ledgers"].as_array().unwrap().len(), 2);
        // His own they are, but he has not been told of them.
        assert_eq!(verdict(&objects_for(OWNER, &["list"], 0), first).0, "orphan");
        let sweep = warden::answer(User::Root, &["sweep", "--json"]).expect_code(0).json();
        assert_eq!(sweep["removed"], 2);
    });
}

#[test]
fn a_file_of_places_that_others_could_have_written_is_refused_and_said() {
    sandbox::on_host(|| {
        need_root("to act as another user");
        let place = Path::new("/var/lib/odd/place");
        let id = crashed(OWNER, place).1;
        let file = list_places("/var/lib/odd/place\n");
        let refused = |why: &str| {
            let answer = warden::answer(User::Root, &["list", "--json"]).expect_code(77);
            assert!(answer.stderr.contains(why), "{why}: {answer:?}");
            assert!(answer.stderr.contains("/etc/shmwarden/places"), "{answer:?}");
            let all = answer.json()["objects"].as_array().unwrap().clone();
            assert_eq!(verdict(&all, id), pair("unrecorded", "ledger-unread"), "{why}");
            let doctor = warden::answer(User::Root, &["doctor", "--json"]).expect_code(1).json();
            let found = doctor["findings"].as_array().unwrap().iter();
            let ids: Vec<_> = found.map(|one| one["id"].as_str().unwrap()).collect();
            assert!(ids.contains(&"ledger-place"), "{doctor:#}");
            warden::answer(User::Root, &["sweep"]).expect_code(77);
            assert!(segment(id).is_some());
        };
        fs::set_permissions(&file, PermissionsExt::from_mode(0o664)).unwrap();
        refused("may be written by others");
        fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
        OWNER.own(&file);
        refused("belongs to user 47310 and not to root");
        User::Root.own(&file);
        OWNER.own(file.parent().unwrap());
        refused("its directory belongs to user 47310");
        User::Root.own(file.parent().unwrap());
        fs::write(&file, "odd/place\n").unwrap();
        refused("line 1 is no absolute path");
        fs::rename(&file, file.with_extension("old")).unwrap();
        std::os::unix::fs::symlink("places.old", &file).unwrap();
        refused("symbolic link");
        fs::remove_file(&file).unwrap();
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        refused("not a regular file");
        fs::remove_file(&file).unwrap();
        assert_eq!(verdict(&objects(&["list"], 0), id).0, "orphan", "nobody says where");
    });
}

#[test]
fn what_was_named_and_is_not_there_ends_with_66_and_a_default_place_need_not_be_there() {
    sandbox::run(|| {
        create_segment(User::Root, 5, 4096);
        let answer = |words: &[&str], code| warden::answer(User::Root, words).expect_code(code);
        for option in [["--ledger", "/var/lib/none/a.ledger"], ["--dir", "/var/lib/none"]] {
            for command in [&["list"][..], &["who", "0x5"], &["doctor"]] {
                let said = answer(&[command, &option].concat(), 66);
                assert!(command[0] == "doctor" || said.stderr.contains(option[1]), "{said:?}");
            }
        }
        answer(&["history", "/var/lib/none/a.ledger"], 66);
        let sweep = answer(&["sweep", "--json", "/var/lib/none/a.ledger"], 0);
        assert_eq!(sweep.json()["ledgers"][0]["state"], "missing");
        assert!(sweep.stderr.contains("nor its directory"), "{sweep:?}");
        fs::create_dir_all("/var/lib/there").unwrap();
        let first = answer(&["sweep", "/var/lib/there/a.ledger"], 0);
        assert_eq!(first.stderr, "", "a first start's hook");
        let sweep = answer(&["sweep", "--dir", "/var/lib/none"], 0);
        assert!(sweep.stderr.contains("there is no directory /var/lib/none"), "{sweep:?}");
        for words in [&["list"][..], &["sweep"], &["history"], &["doctor"]] {
            assert_eq!(answer(words, 0).stderr, "", "{words:?}");
        }
        list_places("/var/lib/none\n");
        let list = answer(&["list"], 66);
        let said = "/var/lib/none, which /etc/shmwarden/places names, is not there";
        assert!(list.stderr.contains(said), "{list:?}");
        assert!(answer(&["sweep"], 0).stderr.contains(said));
    });
}

#[test]
fn what_may_be_in_a_place_that_cannot_be_read_is_no_orphan_and_no_filter_takes_it() {
    sandbox::on_host(|| {
        let place = accounts(&[OWNER, STRANGER]);
        make(OWNER, &place);
        let id = create_segment(OWNER, 5, 4096);
        let other = create_segment(STRANGER, 6, 4096);
        assert_eq!(verdict(&objects(&["list"], 0), id), pair("orphan", "creator-dead"));
        fs::set_permissions(&place, PermissionsExt::from_mode(0o000)).unwrap();
        let answer = warden::answer(User::Root, &["list", "--json"]).expect_code(77);
        let all = answer.json()["objects"].as_array().unwrap().clone();
        assert_eq!(verdict(&all, id), pair("unrecorded", "ledger-unread"));
        assert_eq!(verdict(&all, other), pair("orphan", "creator-dead"), "no word of his counts");
        let said = format!("{} (Permission denied) could not be looked at", place.display());
        assert!(answer.stderr.contains(&said), "{answer:?}");
        let list = warden::answer(User::Root, &["list", "--owner", "47310"]).stdout;
        assert!(!list.contains("nothing to be done"), "{list}");
        let adopt = |words: &[&str]| {
            let ledger = ["--yes", "--min-age", "0s", "--ledger", "/var/lib/adopted.ledger"];
            let all = objects(&[&["adopt"], words, &ledger].concat(), 77);
            let words = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
            let pair = |one: &Value| (words(one, "outcome"), words(one, "reason_code"));
            all.iter().find(|one| one["id"] == id).map(pair)
        };
        assert_eq!(adopt(&[]), Some(pair("refused", "ledger-unread")));
        // Who names the very object may know better.
        let named = adopt(&[&id.to_string()]).unwrap();
        assert_eq!(named.0, "adopted");
    });
}

#[test]
fn a_damaged_ledger_of_a_user_makes_nothing_of_his_an_orphan() {
    sandbox::on_host(|| {
        let place = accounts(&[OWNER]);
        let (instance, id) = crashed(OWNER, &place);
        let other = create_segment(STRANGER, 6, 4096);
        let mut bytes = instance.bytes();
        bytes[20] ^= 1;
        fs::write(instance.ledger(), bytes).unwrap();
        let all = objects(&["list"], 65);
        assert_eq!(verdict(&all, id), pair("unrecorded", "ledger-unread"));
        assert_eq!(verdict(&all, other), pair("orphan", "creator-dead"));
    });
}

#[test]
fn a_users_link_leads_root_no_further_than_that_user() {
    sandbox::on_host(|| {
        let place = accounts(&[OWNER]);
        make(OWNER, place.parent().unwrap());
        let closed = Path::new("/var/lib/closed");
        fs::create_dir_all(closed).unwrap();
        fs::set_permissions(closed, PermissionsExt::from_mode(0o700)).unwrap();
        fs::write(closed.join("secret.ledger"), "root's own\n").unwrap();
        std::os::unix::fs::symlink(closed, &place).unwrap();
        create_segment(OWNER, 5, 4096);
        let answer = warden::answer(User::Root, &["list", "--json"]).expect_code(77);
        assert!(!answer.stderr.contains("secret"), "{answer:?}");
    });
}

/// A ledger of a stranger's that says of a living server's segment, and of an orphan, that they
/// are a dead server's of his.
#[test]
fn what_a_strangers_ledger_says_of_objects_of_others_counts_for_nothing() {
    sandbox::on_host(|| {
        let place = accounts(&[STRANGER, OWNER]);
        let (instance, id) = crashed(OWNER, Path::new("/var/lib/odd"));
        make(STRANGER, &place);
        let forged = place.join("forged.ledger");
        fs::copy(instance.ledger(), &forged).unwrap();
        STRANGER.own(&forged);
        fs::remove_file(instance.ledger()).unwrap();
        create_segment(STRANGER, 9, 4096);
        let all = objects(&["list"], 0);
        assert_eq!(verdict(&all, id).0, "orphan");
        let sweep = warden::answer(User::Root, &["sweep", "--json"]).json();
        assert_eq!(sweep["removed"], 0, "{sweep:#}");
        assert!(segment(id).is_some());
        let words = ["adopt", "--yes", "--min-age", "0s", "--owner", "47310"];
        let adopted = objects(&[&words[..], &["--ledger", "/var/lib/adopted.ledger"]].concat(), 0);
        assert_eq!(adopted[0]["outcome"], "adopted", "{adopted:?}");
    });
}

#[test]
fn the_hook_of_a_unit_sweeps_that_units_ledgers_alone() {
    sandbox::run(|| {
        let place = accounts(&[OWNER]);
        let other = crashed(OWNER, &place).1;
        let own = crashed(User::Root, Path::new("/var/lib/shmwarden/unit")).1;
        let mut hook = warden::command(User::Root, &["sweep", "--json"]);
        hook.env("STATE_DIRECTORY", "/var/lib/shmwarden/unit");
        let sweep = Answer::of(&mut hook).expect_code(0).json();
        let paths: Vec<_> = sweep["ledgers"].as_array().unwrap().iter().collect();
        assert_eq!(paths.len(), 1, "{sweep:#}");
        assert_eq!(segment(own), None);
        assert!(segment(other).is_some());
    });
}

#[test]
fn an_ordinary_user_is_shown_his_own_places_and_told_that_others_are_closed_to_him() {
    sandbox::on_host(|| {
        let place = accounts(&[OWNER, STRANGER]);
        let own = crashed(OWNER, &place).1;
        // The directory of a service of his (StateDirectory=shmwarden/%N).
        let service = crashed(OWNER, Path::new("/var/lib/shmwarden/unit")).1;
        User::Root.own(Path::new("/var/lib/shmwarden"));
        let theirs = create_segment(STRANGER, 6, 4096);
        let all = objects_for(OWNER, &["list"], 0);
        assert_eq!(verdict(&all, own), pair("stale", "dead"));
        assert_eq!(verdict(&all, service), pair("stale", "dead"));
        let reason = |all: &[Value], id: i32| {
            let one = all.iter().find(|one| one["id"] == id).unwrap();
            one["reason"].as_str().unwrap().to_owned()
        };
        assert!(reason(&all, theirs).starts_with("in no ledger that you may read; "));
        let all = objects_for(STRANGER, &["list"], 0);
        assert!(reason(&all, own).starts_with("in no ledger that you may read; "));
        assert!(reason(&all, theirs).starts_with("in no ledger; "));
        let sweep = warden::answer(STRANGER, &["sweep", "--json"]).expect_code(0).json();
        assert_eq!(sweep["ledgers"].as_array().unwrap().len(), 0, "{sweep:#}");
    });
}

/// The peer's ledger lies where only its living launcher tells.
#[test]
fn what_a_living_server_of_another_place_uses_stays_in_roots_sweep() {
    sandbox::on_host(|| {
        need_root("to act as another user");
        let place = accounts(&[PEERS]);
        make(PEERS, &place);
        let generic = ["--engine", "generic", "--linger", "0s"];
        let instance = Instance::at(PEERS, &place.join("first.ledger"));
        let mut first = Asked::start(&instance, &generic);
        let id =
            first.ask("my $id = shmget(7001, 4096, 01600); shmread($id, my $b, 0, 1); $id + 0");
        instance.wait_recorded(1);
        make(PEERS, Path::new("/var/lib/odd"));
        let other = Instance::at(PEERS, Path::new("/var/lib/odd/peer.ledger"));
        let mut peer = Asked::start(&other, &generic);
        let uses = format!(
            "child(sub {{ for (1 .. 40) {{ shmread({id}, my $b, 0, 1); \
             select undef, undef, undef, 0.1 }} exec 'true' }})"
        );
        let child = peer.ask(&uses);
        wait_until("the peer's ledger has it as used", SOON, || other.count("used") == 1);
        processes::wait_end(child, SOON);
        first.kill_all();
        let sweep = || {
            let words = ["sweep", "--json", "--include-clean"];
            let sweep = warden::answer(User::Root, &words).expect_code(0).json();
            let all = sweep["ledgers"].as_array().unwrap().clone();
            let its = all.iter().find(|one| one["path"] == instance.path()).unwrap();
            its["objects"][0]["reason_code"].as_str().unwrap().to_owned()
        };
        assert_eq!(sweep(), "used-elsewhere");
        peer.kill_all();
        assert_eq!(sweep(), "dead");
        assert_eq!(segment(id), None);
    });
}

/// A FUSE mount whose daemon never answers, in a user's default place.
#[test]
fn a_mount_that_does_not_answer_holds_up_nobody() {
    sandbox::on_host(|| {
        let place = accounts(&[OWNER, STRANGER]);
        make(OWNER, &place);
        let id = create_segment(OWNER, 5, 4096);
        let other = create_segment(STRANGER, 6, 4096);
        let script = format!(
            "import os, ctypes, time\nfd = os.open('/dev/fuse', os.O_RDWR)\n\
             options = f'fd={{fd}},rootmode=40000,user_id=47310,group_id=47310'.encode()\n\
             libc = ctypes.CDLL(None, use_errno=True)\n\
             assert libc.mount(b'dead', b'{}', b'fuse', 0, options) == 0\n\
             print('ready', flush=True)\ntime.sleep(1000)\n",
            place.display()
        );
        if !Path::new("/dev/fuse").exists() {
            skip("needs /dev/fuse");
        }
        let mut python = Command::new("python3");
        python.args(["-c", &script]).stdout(std::process::Stdio::null());
        let daemon = Process::spawn(&mut python);
        let is_mounted = || {
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
            mounts.contains(" fuse ")
        };
        wait_until("it is mounted", SOON, is_mounted);
        for words in [&["list", "--json"][..], &["sweep"], &["history"], &["doctor", "--json"]] {
            let begun = std::time::Instant::now();
            let answer = warden::answer(User::Root, words);
            assert!(begun.elapsed() < SOON, "{words:?}: {:?}", begun.elapsed());
            if words[0] == "list" {
                let all = answer.json()["objects"].as_array().unwrap().clone();
                assert_eq!(verdict(&all, id), pair("unrecorded", "ledger-unread"), "{answer:?}");
                assert_eq!(verdict(&all, other).0, "orphan");
            }
        }
        processes::kill(daemon.pid(), nix::sys::signal::Signal::SIGKILL);
    });
}
