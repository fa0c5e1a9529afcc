//! What becomes of failures: of a carrier that refuses, breaks or babbles, and of a network that does.

use std::{collections::HashSet, future::Future, pin::Pin, sync::Arc};

use telephony_core::{
    CallInstruction, CallRef, Capability, InboundBinding, InboundUrls, RecordingRef, RecordingRequest, Retry,
    TelephonyError, TelephonyProvider, TransferRequest, error_chain, http::TransportErrorKind,
};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use crate::{
    subject::{Subject, any_call, call, nobodys_urls, number, quick, url},
    transport::Broken,
    trial::{OrFail, Outcome, Trial, expect},
};

/// An operation that asks the carrier, with what it gives back forgotten.
type Ask = fn(Arc<dyn TelephonyProvider>, CallRef) -> Pin<Box<dyn Future<Output = Result<(), TelephonyError>>>>;

/// What repeating an operation would do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing: it changes nothing.
    Reads,
    /// A second call, or digits that are other digits: never repeated once it may have arrived.
    Starts,
    /// Nothing more than the first, or something that the carrier forgives.
    Changes,
}

struct Operation {
    name: &'static str,
    kind: Kind,
    needs: Option<Capability>,
    ask: Ask,
}

/// The reference of a call as the provider makes it, with whatever handles it puts in.
async fn a_call(subject: &Subject) -> Result<CallRef, String> {
    let (sandbox, provider) = subject.sandbox(quick()).await?;
    let placed = provider.initiate_call(&call(&sandbox, 0, nobodys_urls())?).await.or_fail("placing a call")?;
    Ok(placed.call)
}

const OPERATIONS: &[Operation] = &[
    Operation {
        name: "initiate_call",
        kind: Kind::Starts,
        needs: None,
        ask: |provider, _| Box::pin(async move { provider.initiate_call(&any_call()).await.map(|_| ()) }),
    },
    Operation {
        name: "get_call_status",
        kind: Kind::Reads,
        needs: None,
        ask: |provider, call| Box::pin(async move { provider.get_call_status(&call).await.map(|_| ()) }),
    },
    Operation {
        name: "get_available_phone_numbers",
        kind: Kind::Reads,
        needs: None,
        ask: |provider, _| Box::pin(async move { provider.get_available_phone_numbers().await.map(|_| ()) }),
    },
    Operation {
        name: "check_account",
        kind: Kind::Reads,
        needs: None,
        ask: |provider, _| Box::pin(async move { provider.check_account().await.map(|_| ()) }),
    },
    Operation {
        name: "get_call_cost",
        kind: Kind::Reads,
        needs: Some(Capability::CallCost),
        ask: |provider, call| Box::pin(async move { provider.get_call_cost(&call).await.map(|_| ()) }),
    },
    Operation {
        name: "hang_up",
        kind: Kind::Changes,
        needs: Some(Capability::HangUp),
        ask: |provider, call| Box::pin(async move { provider.hang_up(&call).await.map(|_| ()) }),
    },
    Operation {
        name: "instruct",
        kind: Kind::Changes,
        needs: Some(Capability::Instruct),
        ask: |provider, call| Box::pin(async move { provider.instruct(&call, &CallInstruction::HangUp).await }),
    },
    Operation {
        name: "transfer_call",
        kind: Kind::Changes,
        needs: Some(Capability::Transfer),
        ask: |provider, call| {
            Box::pin(async move {
                let transfer = TransferRequest::new(call, number("+12025550155"));
                provider.transfer_call(&transfer).await.map(|_| ())
            })
        },
    },
    Operation {
        name: "send_digits",
        kind: Kind::Starts,
        needs: Some(Capability::SendDigits),
        ask: |provider, call| {
            Box::pin(async move {
                let Ok(digits) = "12".parse() else { return Ok(()) };
                provider.send_digits(&call, &digits).await
            })
        },
    },
    Operation {
        name: "start_recording",
        kind: Kind::Starts,
        needs: Some(Capability::RecordLive),
        ask: |provider, call| {
            Box::pin(async move { provider.start_recording(&call, &RecordingRequest::default()).await.map(|_| ()) })
        },
    },
    Operation {
        name: "stop_recording",
        kind: Kind::Changes,
        needs: Some(Capability::RecordLive),
        ask: |provider, call| {
            Box::pin(async move { provider.stop_recording(&RecordingRef { call, id: Some("r-1".to_owned()) }).await })
        },
    },
    Operation {
        name: "configure_inbound",
        kind: Kind::Changes,
        needs: Some(Capability::ConfigureInbound),
        ask: |provider, _| {
            Box::pin(async move {
                let to = |path: &str| url(&format!("https://voice.example.com/{path}"));
                let urls = InboundUrls { answer: to("answer"), events: to("events") };
                let binding = InboundBinding::to(number("+13035550100"), urls);
                provider.configure_inbound(&binding).await.map(|_| ())
            })
        },
    },
];

pub(crate) fn trials(subject: &Arc<Subject>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for operation in OPERATIONS.iter().filter(|operation| operation.needs.is_none_or(|needed| subject.has(needed))) {
        let mut trial = |what: &str, specified: &'static str, run: fn(Arc<Subject>, &'static Operation) -> Boxed| {
            let name = format!("faults::{}::{what}", operation.name);
            let trial = Trial::wait(name, specified, subject, move |subject| run(subject, operation));
            trials.push(trial.about(operation.needs));
        };
        trial("status_401", "TelephonyError::Authentication", |s, o| Box::pin(refused(s, o, 401)));
        trial("status_403", "TelephonyError::PermissionDenied", |s, o| Box::pin(refused(s, o, 403)));
        trial("status_404", "TelephonyError::NotFound", |s, o| Box::pin(refused(s, o, 404)));
        trial("status_429", "TelephonyError::RateLimited", |s, o| Box::pin(rate_limited(s, o)));
        trial("status_500", "the table of telephony_core::http", |s, o| Box::pin(broken_carrier(s, o)));
        trial("no_connection", "TransportErrorKind::NotSent", |s, o| Box::pin(no_connection(s, o)));
        trial("no_answer", "TransportErrorKind::NoAnswer", |s, o| Box::pin(no_answer(s, o)));
        if operation.kind != Kind::Changes {
            trial("babble", "UnexpectedResponse, OutcomeUnknown", |s, o| Box::pin(babble(s, o)));
        }
    }
    trials
}

type Boxed = Pin<Box<dyn Future<Output = Outcome>>>;

/// Asks a carrier that answers every request in one way. Returns what came of it and how many requests it took.
async fn ask(
    subject: &Subject,
    operation: &Operation,
    answer: ResponseTemplate,
) -> Result<(Result<(), TelephonyError>, Vec<wiremock::Request>), String> {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let provider = subject.online(&subject.account_at(&url(&server.uri())))?;
    let outcome = (operation.ask)(provider, a_call(subject).await?).await;
    let requests = server.received_requests().await.unwrap_or_default();
    if let Err(error) = &outcome {
        shows_nothing(subject, error)?;
    }
    Ok((outcome, requests))
}

/// Fails if an error shows a secret, a credential or a whole telephone number.
fn shows_nothing(subject: &Subject, error: &TelephonyError) -> Outcome {
    subject.shows_no_secret(error)?;
    let text = format!("{error:?} {}", error_chain(error));
    for telling in ["Basic ", "Bearer ", "2025550100", "3035550100", "2025550155"] {
        expect(!text.contains(telling), "neither credentials nor whole numbers in an error", &text)?;
    }
    Ok(())
}

fn carriers_answer(subject: &Subject, status: u16) -> ResponseTemplate {
    let status_code = http::StatusCode::from_u16(status).unwrap_or_default();
    let failure = subject.simulator.build().failure(status_code);
    ResponseTemplate::new(status).set_body_raw(failure.body().to_vec(), "application/json")
}

async fn refused(subject: Arc<Subject>, operation: &'static Operation, status: u16) -> Outcome {
    let (outcome, requests) = ask(&subject, operation, carriers_answer(&subject, status)).await?;
    let so = match (status, &outcome) {
        (404, Ok(())) => operation.name == "hang_up", // It is over already, which is no error.
        (401, Err(TelephonyError::Authentication { .. }))
        | (403, Err(TelephonyError::PermissionDenied { .. } | TelephonyError::Authentication { .. }))
        | (404, Err(TelephonyError::NotFound { .. })) => true,
        _ => false,
    };
    expect(so, format_args!("the error that {status} stands for"), &outcome)?;
    if let Err(error) = &outcome {
        expect(error.retry() == Retry::Never, "an error that is not worth repeating", error)?;
        let said = error.carrier().and_then(|carrier| carrier.http_status);
        expect(said == Some(status), "the carrier's status is kept", error)?;
    }
    // Some operations look in several places; none asks again where it was refused.
    let mut asked = HashSet::new();
    let repeated = requests.iter().filter(|request| !asked.insert((&request.method, request.url.as_str()))).count();
    expect(repeated == 0, "a refusal is not repeated", repeated)
}

async fn rate_limited(subject: Arc<Subject>, operation: &'static Operation) -> Outcome {
    let answer = carriers_answer(&subject, 429).insert_header("retry-after", "7");
    let (outcome, requests) = ask(&subject, operation, answer).await?;
    let seven = Some(std::time::Duration::from_secs(7));
    let so = matches!(&outcome, Err(TelephonyError::RateLimited { retry_after, .. }) if *retry_after == seven);
    expect(so, "RateLimited, with the seven seconds that the carrier asks for", &outcome)?;
    let said = outcome.as_ref().err().and_then(TelephonyError::carrier).and_then(|carrier| carrier.http_status);
    expect(said == Some(429), "the carrier's status is kept", &outcome)?;
    expect(requests.len() <= 3, "not asked again without end", requests.len())
}

async fn broken_carrier(subject: Arc<Subject>, operation: &'static Operation) -> Outcome {
    let (outcome, requests) = ask(&subject, operation, carriers_answer(&subject, 500)).await?;
    judge(operation, &outcome, requests.len())
}

/// What a failure after which nobody knows must be: see the table of `telephony_core::http`.
fn judge(operation: &Operation, outcome: &Result<(), TelephonyError>, requests: usize) -> Outcome {
    let unknown = matches!(outcome, Err(TelephonyError::OutcomeUnknown { .. }));
    let failed = matches!(outcome, Err(TelephonyError::Transport { .. } | TelephonyError::Timeout { .. }));
    match operation.kind {
        Kind::Starts => {
            expect(unknown, "OutcomeUnknown: it may have been carried out", outcome)?;
            expect(requests == 1, "exactly one request: doing it twice does it twice", requests)
        }
        Kind::Reads => {
            expect(failed, "Transport or Timeout: nothing was changed", outcome)?;
            expect((2..=4).contains(&requests), "it is tried again, and not for ever", requests)
        }
        Kind::Changes => {
            expect(unknown || failed, "OutcomeUnknown, Transport or Timeout", outcome)?;
            expect(!unknown || requests == 1, "what is unknown was not repeated", requests)
        }
    }
}

async fn no_connection(subject: Arc<Subject>, operation: &'static Operation) -> Outcome {
    let network = Arc::new(Broken::new(TransportErrorKind::NotSent));
    let provider = subject.provider(&subject.account_at(&url("http://127.0.0.1:9/")), network.clone())?;
    let outcome = (operation.ask)(provider, a_call(&subject).await?).await;
    let error = outcome.as_ref().err().or_fail("an error")?;
    shows_nothing(&subject, error)?;
    expect(matches!(error.retry(), Retry::Safe { .. }), "an error that may be repeated: nothing was sent", error)?;
    expect(network.requests() > 1, "it is tried again", network.requests())
}

async fn no_answer(subject: Arc<Subject>, operation: &'static Operation) -> Outcome {
    let network = Arc::new(Broken::new(TransportErrorKind::NoAnswer));
    let provider = subject.provider(&subject.account_at(&url("http://127.0.0.1:9/")), network.clone())?;
    let outcome = (operation.ask)(provider, a_call(&subject).await?).await;
    if let Err(error) = &outcome {
        shows_nothing(&subject, error)?;
    }
    // Where something is read before it is changed, the reading fails first.
    judge(operation, &outcome, network.requests())
}

async fn babble(subject: Arc<Subject>, operation: &'static Operation) -> Outcome {
    for (body, kind) in [("{\"half\":", "application/json"), ("<html>down</html>", "text/html"), ("", "text/plain")] {
        let answer = ResponseTemplate::new(200).set_body_raw(body, kind);
        let (outcome, requests) = ask(&subject, operation, answer).await?;
        let so = match operation.kind {
            // Digits that are sent have no answer that matters.
            Kind::Starts if operation.name == "send_digits" => true,
            Kind::Starts => matches!(outcome, Err(TelephonyError::OutcomeUnknown { .. })),
            _ => matches!(outcome, Err(TelephonyError::UnexpectedResponse { .. })),
        };
        let wanted = if operation.kind == Kind::Starts { "OutcomeUnknown" } else { "UnexpectedResponse" };
        expect(so, format_args!("{wanted} for a success with the body {body:?}"), &outcome)?;
        expect(requests.len() <= 2, "it is not repeated", requests.len())?;
    }
    Ok(())
}
