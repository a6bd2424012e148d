//! Scenes of three clients that share an image's lock, played and judged wherever the programs run.
//!
//! * [`trial`]: a scene under way; [`writers`]: writes that say who wrote them; [`acts`]: the scenes that both demos play;
//! * [`report`]: the verdict for people and programs.

pub mod acts;
pub mod report;
pub mod trial;
pub mod writers;
