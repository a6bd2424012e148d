//! The verbs of the command line: each module holds a verb's arguments and what it does.

mod blocklist;
mod call;
mod children;
mod clock;
mod clock_report;
mod clone;
mod create;
mod du;
mod export;
mod fault;
mod fault_report;
mod fault_rule;
mod flatten;
mod import;
mod info;
mod lock;
mod ls;
mod pool;
mod rename;
mod resize;
mod rm;
mod serve;
mod snap;
mod status;
mod verb;
mod watch;

pub(crate) use verb::Verb;
