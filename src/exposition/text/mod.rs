//! The text format 0.0.4, both ways.

pub mod parse;
pub mod render;
