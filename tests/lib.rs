//! Tests across crates stand beside this file, one file a theme.
