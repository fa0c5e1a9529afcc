//! The first page: what to begin with, or what there is.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::{
    checklist::{Checklist, SetUp},
    shell::{PageError, Part, Shell, Visitor, page},
};

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    shell: Shell,
    is_new: bool,
    /// The carriers that can be simulated, where that is offered.
    simulators: Vec<&'static str>,
    under_way: u64,
    most: u32,
    sandbox_runs: bool,
    set_up: SetUp,
    checklist: Checklist,
}

pub(super) async fn home(visitor: Visitor) -> Result<Response, PageError> {
    let set_up = SetUp::of(&visitor).await?;
    let simulators = if visitor.sandbox_is_offered() { telephony_sandbox::registered() } else { Vec::new() };
    let template = Home {
        shell: visitor.shell(Part::Home),
        is_new: set_up.accounts.is_empty(),
        simulators: simulators.iter().map(|simulator| simulator.provider().display_name()).collect(),
        under_way: visitor.service.store().calls_under_way(visitor.owner()).await?,
        most: visitor.organization.max_concurrent_calls,
        sandbox_runs: visitor.sandbox_runs(),
        checklist: set_up.checklist(&visitor),
        set_up,
    };
    Ok(page(StatusCode::OK, &template))
}
