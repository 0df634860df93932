//! The keys of DSS (`dss_shm.h CM_SHM_MAKE_KEY`): a family by instance number. Its own script
//! (`dss_clear.sh`) removes the whole range; here the ledger decides.

use crate::scene::instance::Instance;
use crate::scene::stand_in::StandIn;
use crate::support::objects::{create_segment, segment, segments};
use crate::support::sandbox;
use crate::support::user::User;

/// `((_SHM_KEY << 8) + INST_ID) & 0xFFFF) << 16 | block`.
fn key(shm_key: u32, instance: u32, block: u32) -> u32 {
    ((((shm_key << 8) + instance) & 0xffff) << 16) | (block & 0xffff)
}

/// Two servers of one user and one instance number, as after a copied configuration; the first
/// key is one whose sign bit is set.
#[test]
fn of_one_family_of_keys_only_what_is_recorded_goes() {
    sandbox::run(|| {
        let first = key(200, 3, 1);
        assert_eq!(first, 0xc803_0001);
        let instance = Instance::new(User::Server);
        let mut server = StandIn::start(&instance, first);
        server.create_another();
        instance.wait_recorded(2);
        let bystanders = [key(200, 3, 3), key(200, 3, 20548)];
        let bystanders = bystanders.map(|key| create_segment(User::Server, key, 4096));
        assert_eq!(segment(server.segment()).unwrap().key, first);
        server.kill_all();
        // They have keys, and nobody saw the server end.
        let sweep = instance.sweep(&["--include-clean"]).expect_code(0).json();
        assert_eq!(sweep["removed"], 2, "{sweep}");
        assert_eq!(sweep["ledgers"][0]["objects"][0]["key"], "0xc8030001");
        let left: Vec<i32> = segments().iter().map(|segment| segment.id).collect();
        assert_eq!(left, bystanders);
    });
}
