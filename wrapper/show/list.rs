//! `shmwarden list`: every IPC object, who it belongs to, and the verdict on it.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use shmwarden::judge::status::{Judged, Kind};
use shmwarden::snapshot::Snapshot;

use super::columns::{self, COLUMNS, Column, Needs};
use super::list_output::{self, Looks};
use super::prometheus;
use crate::cli::Common;
use crate::exit::{self, Ending};
use crate::host::{kernel, limit};
use crate::interrupts::{Interrupts, Second};
use crate::render;
use crate::render::output_file;
use crate::render::screen::Screen;
use crate::render::shown::Shown;
use crate::servers;
use crate::show::args::{Format, ListArgs};
use crate::view::{View, Wanted};

/// Puts the cursor into the corner, and blanks what is left of a line, and of the screen.
const HOME: &str = "\x1b[H";
const END_OF_LINE: &str = "\x1b[K\n";
const END_OF_SCREEN: &str = "\x1b[J";

/// The objects that are asked for; an empty list asks for all.
struct Filter<'a> {
    args: &'a ListArgs,
    owners: BTreeSet<u32>,
}

/// `shmwarden list`.
pub(crate) fn run(args: &ListArgs, common: &Common) -> Ending {
    let owners: Result<BTreeSet<u32>, String> =
        args.owner.iter().map(|name| crate::view::uid(name)).collect();
    let owners = match owners {
        Ok(owners) => owners,
        Err(name) => {
            log::error!("there is no user {}", render::text::safe(&name));
            return Ending::Status(exit::USAGE);
        }
    };
    let filter = Filter { args, owners };
    let watch = args.watch.map(|pause| (pause, Interrupts::catch(Second::Ends)));
    loop {
        let status = match once(&filter, common) {
            Ok(Some(status)) => status,
            // Whoever read it has gone.
            Ok(None) => return Ending::Status(0),
            Err(status) => return Ending::Status(status),
        };
        let Some((pause, interrupts)) = &watch else {
            return Ending::Status(status);
        };
        interrupts.pause(Duration::from_millis(100).max(*pause), &[]);
        if let Some(signal) = interrupts.signal() {
            return Ending::Signal(signal);
        }
    }
}

/// One listing; the status that it calls for, `None` where nobody reads it any more.
fn once(filter: &Filter<'_>, common: &Common) -> Result<Option<u8>, u8> {
    let args = filter.args;
    let to_file = args.output_file.is_some();
    let screen = if to_file { Screen::default() } else { Screen::of_stdout(common) };
    let columns = columns(args, common);
    let format = if common.json { Format::Json } else { args.format };
    // The limits are of all objects, whichever are asked for.
    let all = format == Format::Prometheus;
    let kind = |kind| all || args.kind.is_empty() || args.kind.contains(&kind);
    let needs = |what| columns.iter().any(|column| column.needs == what);
    let holders = args.holders || needs(Needs::Holders);
    let wanted = Wanted {
        sets: kind(Kind::Sem),
        queues: kind(Kind::Msg),
        files: kind(Kind::Posix),
        maps: holders,
        owners: true,
        details: format == Format::Json || needs(Needs::Details),
        ledgers: format == Format::Prometheus,
        ..Wanted::default()
    };
    let mut view = View::take(&args.ledgers, wanted).map_err(|error| {
        log::error!("{error}");
        exit::status_of(&error)
    })?;
    if holders {
        let kinds = Kind::ALL.into_iter().filter(|one| kind(*one)).collect();
        view = view.with_uses(&kinds, &[]);
    }
    view.look_for_robbery();
    view = view.later(Snapshot::with_servers);
    let servers = servers::find(&view);
    view.exposed = servers::exposed(&view, &servers);
    let shown = Shown::of(&view, holders);
    let mut objects = view.judge();
    let limits = all.then(|| limit::table(&kernel::look(), &view.look, &objects));
    if filter.is_any() {
        objects.retain(|one| filter.takes(one, &shown));
    }
    if let Some((column, descending)) = args.sort {
        objects = sorted(objects, &shown, column, descending);
    }
    let text = match format {
        Format::Json => {
            let document = list_output::document(&objects, &shown);
            render::json_text(&document, args.watch.is_some())
        }
        Format::Prometheus => {
            prometheus::text(&objects, &shown, &limits.unwrap_or_default(), &servers)
        }
        Format::Table => {
            let looks = Looks {
                columns,
                in_bytes: args.bytes,
                headings: !args.noheadings,
                all_places: common.verbose,
                complete: !filter.is_any(),
                screen,
            };
            let text = list_output::text(&objects, &shown, &looks);
            on_screen(text, screen, args.watch.is_some())
        }
    };
    match &args.output_file {
        Some(path) => write(path, &text).map(|()| Some(view.status)),
        None => print(&text, view.status),
    }
}

fn write(path: &Path, text: &str) -> Result<(), u8> {
    output_file::replace(path, text).map_err(|error| {
        log::error!("cannot replace {}: {error}", render::text::safe(&path.to_string_lossy()));
        match error.kind() {
            io::ErrorKind::PermissionDenied => exit::PERMISSION,
            _ => exit::FAILED,
        }
    })
}

fn print(text: &str, status: u8) -> Result<Option<u8>, u8> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Some(status)),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(None),
        Err(error) => {
            log::error!("cannot write the result: {error}");
            Err(exit::FAILED)
        }
    }
}

/// The text; watched on a terminal, over what was there before and no more than fits.
fn on_screen(text: String, screen: Screen, watched: bool) -> String {
    let Some((_, rows)) = screen.size.filter(|_| watched) else {
        return text;
    };
    let fit = rows.saturating_sub(1);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.len() > fit {
        let more = lines.len() + 1 - fit.max(1);
        lines.truncate(fit.saturating_sub(1));
        lines.push(format!("and {more} more lines"));
    }
    let body: String = lines.iter().map(|line| format!("{line}{END_OF_LINE}")).collect();
    format!("{HOME}{body}{END_OF_SCREEN}")
}

fn columns(args: &ListArgs, common: &Common) -> Vec<&'static Column> {
    if !args.output.is_empty() {
        return args.output.clone();
    }
    let usual = COLUMNS.iter().filter(|column| column.is_usual);
    let holders = columns::column(columns::HOLDERS).filter(|_| args.holders);
    let reason = columns::column(columns::REASON).filter(|_| common.verbose);
    usual.chain(holders).chain(reason).collect()
}

impl Filter<'_> {
    fn is_any(&self) -> bool {
        let args = self.args;
        let words = args.owner.len() + args.instance.len();
        args.kind.len() + args.verdict.len() + words > 0
    }

    fn takes(&self, one: &Judged<'_>, shown: &Shown<'_>) -> bool {
        let args = self.args;
        let kind = args.kind.is_empty() || args.kind.contains(&one.subject.kind());
        let verdict = args.verdict.is_empty() || args.verdict.contains(&one.verdict);
        let owner = args.owner.is_empty() || self.owners.contains(&one.subject.owner().0);
        let instance = args.instance.is_empty()
            || shown
                .instance(one.account)
                .is_some_and(|name| args.instance.iter().any(|wanted| wanted == name));
        kind && verdict && owner && instance
    }
}

/// Sorted by a column; equals stay in the order of the tables.
fn sorted<'a>(
    objects: Vec<Judged<'a>>,
    shown: &Shown<'_>,
    column: &Column,
    descending: bool,
) -> Vec<Judged<'a>> {
    let keyed = objects.into_iter();
    let keyed = keyed.map(|one| (column.order(&one, shown), one));
    let mut keyed: Vec<((u64, String), Judged<'a>)> = keyed.collect();
    keyed.sort_by(|(a, _), (b, _)| if descending { b.cmp(a) } else { a.cmp(b) });
    keyed.into_iter().map(|(_, one)| one).collect()
}
