//! Scripted traces of the machines: each `NAME.txt` holds commands and the effects that they cause; each is one test.

mod acquire;
mod commands;
mod lock;
mod print;
mod trace;
mod watcher;
mod words;
