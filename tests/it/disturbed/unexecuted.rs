//! What a launcher says to whoever started it: nothing, or why its COMMAND cannot be executed.
//! (What it passes on is in `launcher`.)

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::scene::instance::Instance;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::warden::Answer;

#[test]
fn an_uneventful_run_is_silent() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        for status in [0, 1, 125] {
            let command = ["sh", "-c", &format!("exit {status}")];
            let answer = Answer::of(&mut instance.run(&[], &command)).expect_code(status);
            assert_eq!(answer.stderr, "");
        }
    });
}

#[test]
fn a_command_that_is_not_there_is_127() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        for command in ["no-such-command", "/nowhere/at-all", "./not-here", ""] {
            let mut run = instance.run(&[], &[command]);
            let answer = Answer::of(run.env("PATH", "/usr/bin:/bin")).expect_code(127);
            assert!(answer.stderr.contains("cannot execute"), "{answer:?}");
        }
        instance_is_settled(&instance);
    });
}

#[test]
fn a_command_that_cannot_be_executed_is_126() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let plain = sandbox::scratch().join("plain");
        fs::write(&plain, "no program\n").unwrap();
        let garbled = sandbox::scratch().join("garbled");
        fs::write(&garbled, "no program\n").unwrap();
        fs::set_permissions(&garbled, PermissionsExt::from_mode(0o755)).unwrap();
        for path in [plain.as_path(), garbled.as_path(), sandbox::scratch().as_path()] {
            let command = [path.to_str().unwrap()];
            let answer = Answer::of(&mut instance.run(&[], &command)).expect_code(126);
            assert!(answer.stderr.contains("cannot execute"), "{answer:?}");
        }
        instance_is_settled(&instance);
    });
}

#[test]
fn a_script_without_its_interpreter_is_127() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let script = sandbox::scratch().join("script");
        fs::write(&script, "#!/nowhere/interpreter\n").unwrap();
        fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
        Answer::of(&mut instance.run(&[], &[script.to_str().unwrap()])).expect_code(127);
    });
}

/// What never ran leaves nothing to do.
fn instance_is_settled(instance: &Instance) {
    if instance.ledger().exists() {
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(crate::scene::instance::state(&sweep), "settled");
    }
}
