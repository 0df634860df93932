//! A real Patroni that starts its servers by the script for in-place mode, as `docs/patroni.md`
//! says: Debian's, and a newer one that has `bin_name` (`tests/patroni/fetch`). Each cluster has a
//! loopback address and an etcd of its own.

mod alone;
mod member;
mod site;
mod together;
