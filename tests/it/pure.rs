//! The pure heart, literal in and literal out: lines, replay, compaction, attribution, life,
//! decision. Nothing here touches a kernel object, a disk or a clock.

mod adopted;
mod attribution;
mod book;
mod compaction;
mod copies;
mod decision;
mod elsewhere;
mod golden;
mod header;
mod identity;
mod last_user;
mod life;
mod line;
mod listed;
mod lists;
mod living;
mod living_calls;
mod make;
mod many;
mod opengauss;
mod orphan;
mod reasons;
mod replay;
mod segments_used;
mod sets;
mod sets_ledger;
mod sets_make;
mod sets_shared;
mod sets_used;
mod story;
mod toy_engine;
mod unborn;
mod world;
