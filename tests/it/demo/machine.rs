//! The story in the machine's own tables (here the sandbox's), where others have objects too.

use nix::sys::signal::Signal;

use super::stage::{Before, claims_of, without_namespaces};
use crate::kernel::instance::need_root;
use crate::opengauss::gauss::{FIRST_KEY, Gauss, PORT, mark};
use crate::support::calls::sets;
use crate::support::objects::segments;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::warden::Answer;

/// A real openGauss on the port of the story would take both away: they bear its marks and the
/// keys that the stand-in tries first, nobody has them attached, and their server is dead.
#[test]
fn what_an_opengauss_of_the_same_user_and_port_left_is_not_reclaimed() {
    sandbox::run(|| {
        need_root("to act as the server's user");
        let mut other = Gauss::alone(User::Server, PORT, &[]);
        let (theirs, marked) = other.belongings();
        other.end(Signal::SIGKILL);
        let before = (segments(), sets());
        assert_eq!(before.0[0].key, FIRST_KEY);
        let marks = marked.iter().map(|&set| mark(set)).collect::<Vec<_>>();
        let around = Before::look();
        let answer = Answer::of(&mut without_namespaces(&["--stand-in", "--json"]));
        let claims = claims_of(&answer);
        assert_eq!(answer.json()["namespaces"], "machine");
        assert!(claims.iter().any(|claim| claim == "run takes it for an openGauss"), "{claims:?}");
        around.assert_again(theirs.len(), marked.len());
        assert_eq!((segments(), sets()), before);
        assert_eq!(marked.iter().map(|&set| mark(set)).collect::<Vec<_>>(), marks);
    });
}
