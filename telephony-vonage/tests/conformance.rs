//! The conformance suite against this provider.

fn main() {}
