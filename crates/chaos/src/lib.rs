//! Breaks running clients on purpose, on a seeded schedule, and judges what came of it.
//!
//! * [`stage`]: one OSD, a clone of a filled image, its clients; [`seat`]: a place that a client takes, with a network of its
//!   own; [`client`]: a client of either kind; [`setup`]: how all of it comes to be;
//! * [`workload`], [`worker`], [`chores`], [`errands`], [`operator`], [`calls`]: what the clients are asked to do; [`recorder`]: the history of it; [`ran`]: how
//!   much of it really ran;
//! * [`nemesis`], [`steps`], [`strike`], [`network`], [`trap`], [`silent`]: what is broken, where, and how; [`herald`]: what a librbd is told
//!   that must know of it;
//! * [`scenarios`]: one for each command; [`constants`]: what bounds follow from;
//! * [`rest`], [`evidence`]: everything is brought to rest, gathered and judged; [`run`], [`report`], [`histogram`]: from setting to
//!   report.

pub mod calls;
pub mod chores;
pub mod client;
pub mod constants;
pub mod errands;
pub mod evidence;
pub mod herald;
pub mod histogram;
pub mod nemesis;
pub mod network;
pub mod operator;
pub mod options;
pub mod ran;
pub mod recorder;
pub mod report;
pub mod rest;
pub mod run;
pub mod scenarios;
pub mod seat;
pub mod setup;
pub mod silent;
pub mod stage;
pub mod steps;
pub mod strike;
pub mod trap;
pub mod troubles;
pub mod worker;
pub mod workload;
