//! A drop-in for a unit, with the reason for each line; and what has to be done beside it.

mod reasons;

use std::fmt::Write;

use serde_json::{Value, json};

use super::{guard, mark, names};
use crate::finding::Finding;
use crate::render::json::SCHEMA;
use crate::render::text::escaped;
use crate::units::cluster::Cluster;
use crate::units::{ExecLine, Way};

/// The file name of the drop-in. What is in a file of this name is written anew each time.
pub(crate) const FILE_NAME: &str = "shmwarden.conf";

/// What a drop-in says that adds nothing.
const NOTHING: &str = "# Nothing to add: the unit has all of it.\n";

/// A drop-in to be.
#[derive(Debug)]
pub(crate) struct DropIn {
    /// The unit, with its ending.
    pub(crate) unit: String,
    /// The path of shmwarden.
    pub(crate) program: String,
    /// The integration.
    pub(crate) way: Way,
    /// The commands that the unit starts, as written there.
    pub(crate) starts: Vec<ServerStart>,
    /// Set where those have the prefix already, and need none that is better.
    pub(crate) is_prefixed: bool,
    /// Set where the unit takes notifications of any of its processes.
    pub(crate) passes_all: bool,
    /// Set where the unit has a state directory for shmwarden.
    pub(crate) has_state: bool,
    /// Set where it sweeps before the start.
    pub(crate) has_pre: bool,
    /// Set where it records after the start.
    pub(crate) has_record: bool,
    /// Set where it sweeps after the stop.
    pub(crate) has_post: bool,
    /// The name that the server's lines bear in the journal, where the unit gives none.
    pub(crate) identifier: Option<String>,
    /// The cluster that pg_ctlcluster starts in this unit.
    pub(crate) cluster: Option<Cluster>,
}

/// A command by which a unit starts the server.
#[derive(Debug)]
pub(crate) struct ServerStart {
    /// The server's own command line, with the unit's marks.
    pub(crate) line: ExecLine,
    /// The path of this program, its sub-command and options, where the unit starts it already.
    pub(crate) ours: Option<(String, String)>,
}

/// Returns the path of a unit's drop-in.
pub(super) fn path_for(unit: &str) -> String {
    format!("/etc/systemd/system/{unit}.d/{FILE_NAME}")
}

impl DropIn {
    /// Returns the path where it belongs.
    pub(super) fn path(&self) -> String {
        path_for(&self.unit)
    }

    /// The script that stands for the server's program: pg_ctl -p takes a path and no options.
    pub(super) fn script(&self) -> Option<(String, String)> {
        let cluster = self.cluster.as_ref()?;
        let program = guard::for_shell(&self.program);
        Some((cluster.script(), guard::of_program(&program, &cluster.binary())))
    }

    /// Checks that the unit has all of it already.
    pub(super) fn adds_nothing(&self) -> bool {
        self.text().ends_with(NOTHING)
    }

    /// Returns what is left to do beside the drop-in.
    pub(super) fn steps(&self) -> Vec<String> {
        let Some((cluster, (path, text))) = self.cluster.as_ref().zip(self.script()) else {
            return Vec::new();
        };
        if cluster.is_done {
            return Vec::new();
        }
        let lines: Vec<&str> = text.lines().collect();
        vec![
            format!("make the script {path} (mode 0755) of these lines: {}", lines.join(" | ")),
            format!("in {}: pg_ctl_options = '-p {path}'", cluster.configuration),
        ]
    }

    /// The whole drop-in.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        self.head(&mut text);
        let before = text.len();
        self.state_directory(&mut text);
        self.before_start(&mut text);
        self.start(&mut text);
        self.after_start(&mut text);
        self.after_stop(&mut text);
        if text.len() == before {
            text.push_str(NOTHING);
        }
        mark::marked(&text)
    }

    fn head(&self, text: &mut String) {
        let unit = escaped(&self.unit);
        let what = match self.way {
            Way::Prefix => "shmwarden in front of the server",
            Way::InPlace => "shmwarden beside the server, which stays the main process",
            Way::Record => "shmwarden in the hooks alone: no process of it stays in the service",
        };
        let _ = writeln!(text, "# {unit}: {what}.");
        let _ = writeln!(
            text,
            "# It removes the shared memory that the server leaves when it is killed."
        );
        let _ = writeln!(text, "#");
        let _ = writeln!(text, "# Belongs into {}", escaped(&self.path()));
        let _ =
            writeln!(text, "# Takes effect after systemctl daemon-reload, with the next start.");
        if names::is_template(&self.unit) {
            let _ = writeln!(text, "# For every unit of this template, those made later too.");
        }
        if let Some((cluster, (path, script))) = self.cluster.as_ref().zip(self.script()) {
            let _ = writeln!(text, "#\n# What else it takes, and --install puts in place:");
            let _ = writeln!(text, "# - {path}, mode 0755, owned by root, in which pg_ctl");
            let _ =
                writeln!(text, "#   finds the server; a script, as pg_ctl -p takes no options:");
            for line in script.lines() {
                let _ = writeln!(text, "#       {line}");
            }
            let _ = writeln!(text, "# - in {}:", escaped(&cluster.configuration));
            let _ = writeln!(text, "#       pg_ctl_options = '-p {path}'");
        }
        text.push_str("\n[Service]\n");
    }

    fn state_directory(&self, text: &mut String) {
        // The server's user keeps its ledgers in its home: pg_ctlcluster empties the environment.
        if self.has_state || self.cluster.is_some() {
            return;
        }
        comment(text, &reasons::STATE_DIRECTORY);
        text.push_str("StateDirectory=shmwarden/%N\n");
    }

    fn before_start(&self, text: &mut String) {
        if self.has_pre {
            return;
        }
        comment(text, &reasons::BEFORE_START);
        let _ = writeln!(text, "ExecStartPre={}", self.sweep());
    }

    fn start(&self, text: &mut String) {
        if self.way == Way::Record || self.is_prefixed || self.cluster.is_some() {
            return;
        }
        comment(text, &reasons::START);
        text.push_str("ExecStart=\n");
        for start in &self.starts {
            let _ = writeln!(text, "ExecStart={}", self.prefixed(start));
        }
        if let Some(name) = &self.identifier {
            comment(text, &reasons::IDENTIFIER);
            let _ = writeln!(text, "SyslogIdentifier={name}");
        }
    }

    fn prefixed(&self, start: &ServerStart) -> String {
        let ServerStart { line, ours } = start;
        let (program, options) = match (ours, self.way) {
            (Some((program, options)), _) => (program.clone(), options.clone()),
            (None, Way::InPlace) => (self.program.clone(), "run --in-place".to_owned()),
            (None, _) if self.passes_all => {
                (self.program.clone(), "run --notify-access all".to_owned())
            }
            (None, _) => (self.program.clone(), "run".to_owned()),
        };
        let (marks, rest) = (&line.marks, &line.rest);
        let script = guard::of_unit(&guard::for_shell(&program), &options);
        // Variables are put into arguments, which it becomes, and not into a program's path.
        let has_variables = !marks.contains(':');
        let script = guard::for_unit(&script, has_variables);
        let path = match has_variables {
            true => line.path.replace('$', "$$"),
            false => line.path.clone(),
        };
        let text = format!("{marks}/bin/sh -c {script} {path} {rest}");
        printable(text.trim_end_matches([' ', '\t']))
    }

    fn after_start(&self, text: &mut String) {
        if self.way != Way::Record || self.has_record {
            return;
        }
        comment(text, &reasons::RECORD);
        let program = self.quoted_program();
        let _ = writeln!(text, "ExecStartPost={}{program} record --pid $MAINPID", self.marks());
    }

    fn after_stop(&self, text: &mut String) {
        if self.has_post {
            return;
        }
        match self.way {
            Way::Prefix => comment(text, &reasons::AFTER_PREFIX),
            Way::InPlace => comment(text, &reasons::AFTER_IN_PLACE),
            Way::Record => comment(text, &reasons::AFTER_RECORD),
        }
        let _ = writeln!(text, "ExecStopPost={}", self.sweep());
    }

    fn sweep(&self) -> String {
        let program = self.quoted_program();
        let place = match &self.cluster {
            Some(cluster) => format!(" --dir {}", quoted(&cluster.ledgers).replace('$', "$$")),
            None => String::new(),
        };
        format!("{}{program} sweep{place}", self.marks())
    }

    /// `-`, and the user as whom the server is started.
    fn marks(&self) -> String {
        let marks = self.starts.first().map_or("", |start| start.line.marks.as_str());
        let user: String = marks.chars().filter(|mark| "+!".contains(*mark)).collect();
        format!("-{user}")
    }

    fn quoted_program(&self) -> String {
        quoted(&self.program)
    }

    /// The answer as one document.
    pub(crate) fn document(&self, findings: &[Finding]) -> Value {
        let mut files = vec![json!({
            "path": self.path(),
            "mode": "0644",
            "text": self.text(),
        })];
        if let Some((path, text)) = self.script() {
            files.push(json!({ "path": path, "mode": "0755", "text": text }));
        }
        json!({
            "schema": SCHEMA,
            "unit": self.unit,
            "way": self.way.word(),
            "files": files,
            "steps": self.steps(),
            "findings": findings,
        })
    }
}

fn comment(text: &mut String, lines: &[&str]) {
    for line in lines {
        let _ = writeln!(text, "# {line}");
    }
}

/// A path as a word of a command line in a unit (`systemd.syntax(7)`, `systemd.unit(5)`). As an
/// argument, not as the program, it needs its `$` doubled.
fn quoted(path: &str) -> String {
    let path = path.replace('%', "%%");
    if path.contains(|c: char| c.is_whitespace() || "\"'\\;".contains(c)) {
        format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        path
    }
}

/// A command line of a unit with what a terminal would act on written as systemd's `\xNN`, which
/// is the same to it, quoted or not.
fn printable(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        if c == '\t' || "\"'\\".contains(c) || c.escape_debug().eq([c]) {
            out.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests;
