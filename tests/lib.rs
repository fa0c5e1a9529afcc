//! Tests across crates stand beside this file, one file a theme. What several of them need is here.

pub mod browser;
pub mod postgres;
pub mod tenant;

/// The examples of the guide, compiled and run. Its commands and programs are run by `third_party.rs`.
#[cfg(doctest)]
#[doc = include_str!("../docs/writing-a-provider.md")]
struct WritingAProvider;
