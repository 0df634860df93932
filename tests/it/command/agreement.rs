//! `list` beside `lsipc` and `ipcs`: the same of every object that both show.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use super::make::{objects, perl, shell};
use crate::support::holders;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::warden::Answer;

/// Segments of several sizes, keys and permissions, sets, and queues with messages; some of them
/// by other users where that can be.
const MANY: &str = r#"
    my ($count, @uids) = @ARGV;
    for my $number (1 .. $count) {
        my $uid = $uids[$number % @uids];
        $) = "$uid $uid"; $> = $uid;
        my $key = $number % 7 ? 0x40000000 + $number : 0;
        my $mode = (0600, 0644, 0666, 0400)[$number % 4];
        defined shmget($key, $number * 1000 % 100000 + 1, 01000 | $mode) or die "shmget: $!\n";
        if ($number % 16 == 0) {
            my $id = semget($key ? $key + 0x10000000 : 0, $number % 30 + 1, 01600);
            defined $id or die "semget: $!\n";
            # SETVAL of the first.
            semctl($id, 0, 16, 5) or die "semctl: $!\n";
        }
        if ($number % 32 == 0) {
            my $id = msgget($key ? $key + 0x20000000 : 0, 01600);
            defined $id or die "msgget: $!\n";
            msgsnd($id, pack("l! a*", 1, "x" x $number), 0) or die "msgsnd: $!\n";
        }
        $> = 0; $) = "0 0";
    }
    print "ready 0\n"; sleep 1000;
"#;

#[test]
fn on_4096_segments_with_sets_and_queues_list_says_what_lsipc_and_ipcs_say() {
    sandbox::run(|| {
        let script = "cd /proc/sys/kernel && echo 8192 > shmmni && echo 4096 > msgmni";
        shell(script).expect_code(0);
        let uids: &[&str] =
            if sandbox::has_root() { &["0", "100000", "4000000000", "65534"] } else { &["0"] };
        let (_maker, _) = perl(User::Root, MANY, &[&["4096"], uids].concat());
        let marked = perl(User::Root, DEST, &[]);
        let attached = holders::attach(User::Root, first_with_key());
        let ours = objects(&["list"], 0);
        assert_eq!(count(&ours, "shm"), 4097);
        assert_eq!((count(&ours, "sem"), count(&ours, "msg")), (256, 128));
        for (kind, option) in [("shm", "-m"), ("sem", "-s"), ("msg", "-q")] {
            agrees_with_lsipc(&ours, kind, option);
            agrees_with_ipcs(&ours, kind, option);
        }
        drop((marked, attached));
    });
}

/// A segment that is marked for destruction and stays attached.
const DEST: &str = r#"
    my $id = shmget(0x00f42401, 8192, 01600);
    syscall($SHMAT, $id, 0, 0) != -1 or die "shmat: $!\n";
    shmctl($id, 0, 0) or die "shmctl: $!\n";
    print "ready $id\n"; sleep 1000;
"#;

fn first_with_key() -> i32 {
    let all = crate::support::objects::segments();
    let readable = all.iter().find(|one| one.key == 0x4000_0004);
    readable.expect("a segment that is not marked").id
}

fn count(objects: &[Value], kind: &str) -> usize {
    objects.iter().filter(|one| one["kind"] == kind).count()
}

fn by_id<'a>(objects: &'a [Value], kind: &str) -> BTreeMap<i64, &'a Value> {
    let of_kind = objects.iter().filter(|one| one["kind"] == kind);
    of_kind.map(|one| (one["id"].as_i64().unwrap(), one)).collect()
}

fn agrees_with_lsipc(ours: &[Value], kind: &str, option: &str) {
    let more = match kind {
        "shm" => ",SIZE,NATTCH,STATUS,CPID",
        "sem" => ",NSEMS",
        _ => ",USEDBYTES,MSGS",
    };
    let columns = format!("KEY,ID,OWNER,PERMS,CUID,CGID,UID,GID{more}");
    let mut lsipc = Command::new("lsipc");
    lsipc.args([option, "--json", "--bytes", "--numeric-perms", "-o", &columns]);
    let document = Answer::of(&mut lsipc).expect_code(0).json();
    let rows = document.as_object().unwrap().values().next().unwrap().as_array().unwrap().clone();
    let ours = by_id(ours, kind);
    assert_eq!(ours.len(), rows.len());
    for row in rows {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let one = ours[&text("id").parse().unwrap()];
        let number = |name: &str| one[name].to_string();
        assert_eq!(one["key"], text("key"), "{row} {one}");
        // lsipc 2.38 has no numeric permissions of queues; ipcs has.
        if kind != "msg" {
            assert_eq!(one["perms"], text("perms"), "{row} {one}");
        }
        let ids = ["uid", "gid", "creator_uid", "creator_gid"].map(number);
        assert_eq!(ids, ["uid", "gid", "cuid", "cgid"].map(text), "{row} {one}");
        let owner = one["owner"].as_str().map_or_else(|| number("uid"), str::to_owned);
        assert_eq!(owner, text("owner"), "{row} {one}");
        match kind {
            "shm" => {
                assert_eq!(number("bytes"), text("size"), "{row} {one}");
                assert_eq!(number("nattch"), text("nattch"), "{row} {one}");
                let status = one["status"].as_array().unwrap().iter();
                let status: Vec<&str> = status.map(|word| word.as_str().unwrap()).collect();
                assert_eq!(status.join(","), text("status"), "{row} {one}");
                assert_eq!(one["creator"]["pid"].to_string(), text("cpid"), "{row} {one}");
            }
            "sem" => assert_eq!(number("nsems"), text("nsems"), "{row} {one}"),
            _ => {
                assert_eq!(number("bytes"), text("usedbytes"), "{row} {one}");
                assert_eq!(number("messages"), text("msgs"), "{row} {one}");
            }
        }
    }
}

fn agrees_with_ipcs(ours: &[Value], kind: &str, option: &str) {
    let answer = Answer::of(Command::new("ipcs").arg(option)).expect_code(0);
    let ours = by_id(ours, kind);
    let rows = answer.stdout.lines().filter(|line| line.starts_with("0x"));
    let rows: Vec<Vec<&str>> = rows.map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(ours.len(), rows.len());
    for row in rows {
        let one = ours[&row[1].parse().unwrap()];
        assert_eq!(one["key"], row[0], "{row:?} {one}");
        let perms = one["perms"].as_str().unwrap().trim_start_matches('0');
        assert_eq!(perms, row[3], "{row:?} {one}");
        let fifth = if kind == "sem" { "nsems" } else { "bytes" };
        assert_eq!(one[fifth].to_string(), row[4], "{row:?} {one}");
        if kind == "shm" {
            assert_eq!(one["nattch"].to_string(), row[5], "{row:?} {one}");
        }
    }
}

#[test]
fn columns_rows_and_sums_of_the_table_are_those_of_the_document() {
    sandbox::run(|| {
        let (_maker, _) = perl(User::Root, MANY, &["100", "0"]);
        let ours = objects(&["list"], 0);
        let output = "kind,id,key,bytes,nattch,verdict";
        let script = format!("$1 list --bytes --noheadings --output {output} --sort=-bytes");
        let answer = shell(&script).expect_code(0);
        let lines: Vec<Vec<&str>> =
            answer.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines.len(), ours.len());
        let sizes: Vec<u64> = lines.iter().map(|line| line[3].parse().unwrap_or(0)).collect();
        assert!(sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
        for line in &lines {
            let id: i64 = line[1].parse().unwrap();
            let one = by_id(&ours, line[0])[&id];
            let or_none = |value: &Value| match value {
                Value::Null => "-".to_owned(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let fields = ["key", "bytes", "nattch", "verdict"].map(|name| or_none(&one[name]));
            assert_eq!(fields, [line[2], line[3], line[4], line[5]]);
        }
        let sum: u64 = ours.iter().filter_map(|one| one["bytes"].as_u64()).sum();
        let human = shell("$1 list").expect_code(0).stdout;
        let totals = human.lines().rev().find(|line| line.contains("unrecorded,")).unwrap();
        // All are of a living creator: one verdict, one sum.
        let expected = format!("{} unrecorded, {:.1} KiB", ours.len(), sum as f64 / 1024.0);
        assert!(totals == expected || sum >= 1 << 20, "{totals} {expected}");
    });
}

#[test]
fn only_what_is_asked_for_is_shown() {
    sandbox::run(|| {
        let (_maker, _) = perl(User::Root, MANY, &["64", "0"]);
        let shown = |arguments: &[&str]| objects(&[&["list"], arguments].concat(), 0);
        assert_eq!(shown(&["--kind", "sem"]).len(), 4);
        assert_eq!(shown(&["--kind", "sem,msg"]).len(), 6);
        assert_eq!(shown(&["--owner", "root"]).len(), 70);
        assert_eq!(shown(&["--owner", "100000"]).len(), 0);
        assert_eq!(shown(&["--verdict", "live,stale"]).len(), 0);
        assert_eq!(shown(&["--instance", "none"]).len(), 0);
        for wrong in [
            ["--owner", "no-such-user"],
            ["--kind", "segment"],
            ["--verdict", "dead"],
            ["--output", "size"],
            ["--sort", "size"],
        ] {
            shell(&format!("$1 list {} {}", wrong[0], wrong[1])).expect_code(2);
        }
    });
}
