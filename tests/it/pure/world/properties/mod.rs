//! What holds in every world, whatever of it can be seen. A difference that is meant is a function
//! of its property, which says why. `SHMWARDEN_WORLDS` says how many worlds are tried.

mod agree;
mod less;
mod promises;
mod sound;
mod uses;

use std::collections::{BTreeMap, BTreeSet};

use shmwarden::judge::Action;

use super::run::{self, Number, number_of};
use super::{World, world};

/// What does not hold: a kind, and what it is about.
pub type Broken = (String, String);

fn removals(world: &World, at: usize) -> BTreeSet<Number> {
    let actions = run::sweep(world, at).actions;
    let removed = actions.iter().filter_map(|action| match action {
        Action::Remove(removal) => Some(number_of(removal.identity())),
        _ => None,
    });
    removed.collect()
}

/// What of a property does not hold in a world.
pub fn broken_in(property: &str, seed: u64) -> Vec<Broken> {
    let world = sound::sound(world(seed));
    match property {
        "uses" => uses::used_and_taken(&world),
        "less" => less::adds(seed, &world, 3),
        "promises" => promises::broken(&world),
        "list" => agree::listed_otherwise(&world),
        "doctor" => agree::counted_otherwise(&world),
        "who" => agree::held_otherwise(&world),
        other => panic!("no such property: {other}"),
    }
}

/// Fails for what does not hold: each kind with how often, and a world in which it is so.
fn holds(property: &str, worlds: u64) {
    let count = std::env::var("SHMWARDEN_WORLDS").ok().and_then(|count| count.parse().ok());
    let mut wrong: BTreeMap<String, (u64, u64, String)> = BTreeMap::new();
    for seed in 0..count.unwrap_or(worlds) {
        for (kind, detail) in broken_in(property, seed) {
            wrong.entry(kind).or_insert((0, seed, detail)).0 += 1;
        }
    }
    let line = |(kind, (times, seed, detail)): (&String, &(u64, u64, String))| {
        format!("{kind}: {times} times, first in world {seed}, {detail}")
    };
    let wrong: Vec<String> = wrong.iter().map(line).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn what_is_in_use_is_in_no_removal_and_is_not_adopted() {
    holds("uses", 1500);
}

#[test]
fn a_less_complete_look_removes_forgets_and_adopts_nothing_more() {
    holds("less", 1000);
}

#[test]
fn list_calls_stale_what_sweep_removes_and_orphan_what_adopt_takes_by_a_filter() {
    holds("list", 1500);
}

#[test]
fn what_goes_is_the_recorded_object_of_this_place_in_order_and_all_or_nothing() {
    holds("promises", 3000);
}

#[test]
fn doctor_counts_what_list_says() {
    holds("doctor", 1500);
}

#[test]
fn who_shows_a_holder_where_sweep_keeps_for_one() {
    holds("who", 1500);
}
