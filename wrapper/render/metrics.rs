//! Numbers in Prometheus's text format (prometheus.io, "Exposition formats"): how a metric is
//! written, and those that several commands print.

use std::collections::BTreeMap;

use super::text;
use crate::servers::Covered;

/// Label values, in the order of the metric's labels.
pub(crate) type Labels = Vec<String>;

/// A metric: its name, what it tells, its labels.
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) labels: &'static [&'static str],
}

const SERVERS: Metric = Metric {
    name: "shmwarden_servers",
    help: "Database servers that live, by what covers them.",
    labels: &["covered_by"],
};
const UNCOVERED: Metric = Metric {
    name: "shmwarden_servers_uncovered",
    help: "Database servers whose memory stays for good if they are killed.",
    labels: &[],
};

/// The servers of this host: so many that each word stands for.
pub(crate) fn of_servers(counts: &BTreeMap<Covered, u64>, out: &mut String) {
    let rows = counts.iter().map(|(covered, count)| (vec![covered.word().to_owned()], *count));
    write(&SERVERS, &rows.collect(), out);
    let uncovered = counts.get(&Covered::None).copied().unwrap_or(0);
    write(&UNCOVERED, &BTreeMap::from([(vec![], uncovered)]), out);
}

/// All of a metric in one piece, as the format demands. All are gauges: a ledger forgets its oldest
/// runs, and a counter must not shrink.
pub(crate) fn write(metric: &Metric, rows: &BTreeMap<Labels, u64>, out: &mut String) {
    if rows.is_empty() {
        return;
    }
    let name = metric.name;
    out.push_str(&format!("# HELP {name} {}\n# TYPE {name} gauge\n", metric.help));
    for (values, value) in rows {
        let labels = metric.labels.iter().zip(values);
        let labels: Vec<String> =
            labels.map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
        let labels =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        out.push_str(&format!("{name}{labels} {value}\n"));
    }
}

/// A label value. The format knows three escapes only; what a terminal would act on is first made
/// as harmless as everywhere else, so that the file may be shown.
fn escaped(value: &str) -> String {
    text::escaped(value).replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_label_stays_one_line_within_its_quotes() {
        let metric = Metric { name: "a", help: "b", labels: &["l"] };
        let mut out = String::new();
        let hostile = "x\"y\\z\n\u{1b}[31m\u{e9}";
        write(&metric, &BTreeMap::from([(vec![hostile.to_owned()], 7)]), &mut out);
        let line = out.lines().nth(2).unwrap();
        assert_eq!(line, "a{l=\"x\\\"y\\\\\\\\z\\\\n\\\\u{1b}[31m\u{e9}\"} 7");
        assert_eq!(out.lines().count(), 3);
    }
}
