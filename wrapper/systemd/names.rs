//! The names of units: which service is meant, and whether it is a template.

use crate::exit;
use crate::units::ask::NoAnswer;

fn refused(status: u8, text: String) -> NoAnswer {
    NoAnswer { status, text }
}

/// The whole name of a service.
pub(super) fn service_name(unit: &str) -> Result<String, NoAnswer> {
    let known = ["service", "socket", "target", "timer", "mount", "path", "slice", "scope"];
    let ending = unit.rsplit_once('.').map(|(_, ending)| ending).filter(|end| known.contains(end));
    let name = match ending {
        Some("service") => unit.to_owned(),
        Some(_) => return Err(refused(exit::USAGE, format!("{unit} is no service"))),
        None => format!("{unit}.service"),
    };
    if !is_valid(&name) {
        let text = format!(
            "{unit} is no name of a unit: letters, digits, backslashes and :-_.@ are all that one \
             may have"
        );
        return Err(refused(exit::USAGE, text));
    }
    Ok(name)
}

/// Checks that it may name one unit (`systemd.unit(5)`). `systemctl` takes others for patterns,
/// which name many, and for paths, which it turns into another name.
fn is_valid(name: &str) -> bool {
    const MOST_BYTES: usize = 255;
    let is_part = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    name.len() <= MOST_BYTES && !name.starts_with(['.', '@']) && name.chars().all(is_part)
}

/// Checks for a template, which stands for units that are made later.
pub(super) fn is_template(name: &str) -> bool {
    name.contains("@.")
}

/// A unit of a template that systemd can tell of; it need not be there.
pub(super) fn instance(template: &str, name: &str) -> String {
    template.replacen("@.", &format!("@{name}."), 1)
}

/// The unit that systemd is asked about: of a template one that need not be there.
pub(super) fn asked(name: &str) -> String {
    if is_template(name) { instance(name, "shmwarden") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_told_from_its_instances() {
        let template = service_name("postgresql@").unwrap();
        assert_eq!(template, "postgresql@.service");
        assert!(is_template(&template) && !is_template("postgresql@15-main.service"));
        assert_eq!(instance(&template, "15-main"), "postgresql@15-main.service");
        assert_eq!(asked(&template), "postgresql@shmwarden.service");
        assert_eq!(asked("a.service"), "a.service");
    }

    #[test]
    fn only_what_names_one_service_is_asked_about() {
        for (given, whole) in [
            ("pg", "pg.service"),
            ("-x", "-x.service"),
            ("postgresql@15-main.service", "postgresql@15-main.service"),
            ("a\\x2db@c\\x2fd", "a\\x2db@c\\x2fd.service"),
        ] {
            assert_eq!(service_name(given).unwrap(), whole);
        }
        let long = "x".repeat(250);
        let hostile = ["*", "pg?", "[a-z]", "../x", "/etc/x.service", "a\nb", "a b", "%n", "\"a\""];
        for given in hostile.into_iter().chain(["", "a\u{1b}[31m", "\u{e9}", "@b", &long]) {
            assert_eq!(service_name(given).unwrap_err().status, exit::USAGE, "{given:?}");
        }
    }
}
