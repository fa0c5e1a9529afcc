//! The suites.

pub(crate) mod answers;
pub(crate) mod calls;
pub(crate) mod configuration;
pub(crate) mod faults;
pub(crate) mod live;
pub(crate) mod media;
pub(crate) mod rest;
pub(crate) mod webhooks;
