//! The softphone of the sandbox: whoever looks at this page is the person who is called.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::shell::{PageError, Part, Shell, Visitor, page};

#[derive(Template)]
#[template(path = "phone.html")]
struct Phone {
    shell: Shell,
    softphone: Option<&'static str>,
    /// The numbers that can be called from it, with what answers each.
    numbers: Vec<(String, String)>,
    is_offered: bool,
}

pub(super) async fn phone(visitor: Visitor) -> Result<Response, PageError> {
    let (store, owner) = (visitor.service.store(), visitor.owner());
    let (workflows, mut numbers) = (store.workflows(owner).await?, Vec::new());
    let runs = visitor.sandbox_runs();
    for number in store.numbers(owner).await?.iter().filter(|_| runs) {
        let answers = workflows.iter().find(|workflow| Some(workflow.id) == number.workflow);
        if let Some(workflow) = answers {
            numbers.push((number.number.as_e164().to_owned(), workflow.name.clone()));
        }
    }
    numbers.dedup();
    let template = Phone {
        shell: visitor.shell(Part::Phone),
        softphone: runs.then_some(telephony_sandbox::SOFTPHONE),
        numbers,
        is_offered: visitor.sandbox_is_offered(),
    };
    Ok(page(StatusCode::OK, &template))
}
