//! What carriers tell and ask: verified, read, written down, and only then answered.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
};
use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use telephony_core::{
    CallEvent, CallEventKind, CallInstruction, CallRef, Direction, Due, Reject, ReportedAddress, Stream,
    TelephonyProvider, Timestamp, VerifiedWebhook, WebhookRequest, WebhookResponse, WorkflowRunId, audio::AudioFormat,
    error_chain,
};
use tracing::{Instrument, error, info, warn};

use super::{Service, ServiceError, call_span, doctor};
use crate::{
    store::{Account, Appended, NewRun, Opened, StoredRun},
    telemetry, timeline,
};

/// The longest webhook that is read. Carriers' are a few kilobytes.
pub(crate) const LARGEST_WEBHOOK: usize = 256 * 1024;

/// Why a webhook was not accepted: the status, and a reason for the carrier's log.
struct Refused(StatusCode, String);

impl From<ServiceError> for Refused {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::NotFound { what } => Self(StatusCode::NOT_FOUND, format!("there is no such {what}")),
            other => {
                error!(error = error_chain(&other), "A webhook could not be taken.");
                Self(StatusCode::INTERNAL_SERVER_ERROR, "the gateway failed; send it again".to_owned())
            }
        }
    }
}

impl From<crate::store::StoreError> for Refused {
    fn from(error: crate::store::StoreError) -> Self {
        ServiceError::from(error).into()
    }
}

/// A webhook about a run, on its answer URL or its events URL: what it is about is in the webhook, not in the URL.
pub(crate) async fn about_run(
    State(service): State<Service>,
    Path((provider, run)): Path<(String, String)>,
    uri: Uri,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let request = request(&service, method, &uri, headers, body);
    match take_about_run(&service, &provider, &run, request).await {
        Ok(response) => response.into_http().map(Body::from),
        Err(refused) => refuse(&refused),
    }
}

/// A webhook about an inbound call, of whatever carrier and account.
pub(crate) async fn inbound(
    State(service): State<Service>,
    uri: Uri,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let request = request(&service, method, &uri, headers, body);
    match take_inbound(&service, request).await {
        Ok(response) => response.into_http().map(Body::from),
        Err(refused) => refuse(&refused),
    }
}

fn request(service: &Service, method: Method, uri: &Uri, headers: HeaderMap, body: Bytes) -> WebhookRequest {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    WebhookRequest::new(method, service.public_url(), path, headers, body, Timestamp::now_utc())
}

async fn take_about_run(
    service: &Service,
    provider: &str,
    run: &str,
    request: WebhookRequest,
) -> Result<WebhookResponse, Refused> {
    let no_run = || Refused(StatusCode::NOT_FOUND, "there is no such run".to_owned());
    let id: WorkflowRunId = run.parse().map_err(|_| no_run())?;
    let run = service.store().run(id).await?.filter(|run| run.provider == provider).ok_or_else(no_run)?;
    let speaks = service.provider_of(&run).await?;
    let webhook = verify(speaks.as_ref(), request, &run.id.to_string()).inspect_err(|refused| {
        service.note(run.id, "gateway", "webhook refused", refused.1.clone());
    })?;
    let events = read(speaks.as_ref(), &webhook)?;
    write_and_answer(service, speaks.as_ref(), run, events, webhook.request().received_at()).await
}

/// An account whose secret a webhook was signed with.
struct Fitting {
    account: Account,
    provider: Arc<dyn TelephonyProvider>,
    webhook: VerifiedWebhook,
}

/// Finds the account without trusting anything, checks with that account's secret, and acts only then.
async fn take_inbound(service: &Service, request: WebhookRequest) -> Result<WebhookResponse, Refused> {
    let candidates = service.registry().identify_webhook(&request);
    let mut refusal = Refused(StatusCode::NOT_FOUND, "the webhook is of no carrier that is known here".to_owned());
    let (mut fitting, mut refused) = (Vec::new(), Vec::new());
    for (descriptor, identity) in candidates {
        let name = descriptor.name().as_str();
        let accounts = service.store().accounts_of_carrier(name, identity.account_id.as_deref()).await?;
        if accounts.is_empty() {
            refusal = Refused(StatusCode::NOT_FOUND, "the webhook is for no account that is known here".to_owned());
        }
        // Several accounts may be meant, where the carrier does not say which: those whose secret fits.
        for account in accounts {
            let provider = service.provider(&account)?;
            match provider.verify_webhook_signature(request.clone()) {
                Ok(webhook) => fitting.push(Fitting { account, provider, webhook }),
                Err(error) => refused.push((account, provider, error)),
            }
        }
    }
    if let Some(Fitting { account, provider, webhook }) = meant(service, fitting).await? {
        return take_for_account(service, provider.as_ref(), &account, &webhook).await;
    }
    for (account, provider, error) in refused {
        let name = provider.descriptor().name().as_str();
        let advice = doctor::examine(provider.as_ref(), &request);
        warn!(provider = name, configuration_id = %account.id, error = %error, advice, "A webhook was refused.");
        telemetry::refused(name);
        refusal = Refused(error.status(), error.to_string());
    }
    Err(refusal)
}

/// Whose webhook it is. One account of a carrier may be configured more than once, with the same secret: then it is about the call that one
/// of them has, or the number that one of them answers.
async fn meant(service: &Service, mut fitting: Vec<Fitting>) -> Result<Option<Fitting>, Refused> {
    if fitting.len() < 2 {
        return Ok(fitting.pop());
    }
    let (mut strongest, mut its) = (0, 0);
    for (index, one) in fitting.iter().enumerate() {
        let claim = claim(service, one).await?;
        if claim > strongest {
            (strongest, its) = (claim, index);
        }
    }
    Ok(Some(fitting.swap_remove(its)))
}

/// How much a webhook has to do with an account: 3 if it is about a call of its own, 2 if about a number that a workflow answers, 1 if about
/// another number, and 0 if about nothing that is known of it.
async fn claim(service: &Service, one: &Fitting) -> Result<u8, Refused> {
    let store = service.store();
    for event in read(one.provider.as_ref(), &one.webhook)? {
        if let Some(id) = event.call.id()
            && store.run_of_call(one.account.id, id.as_str()).await?.is_some()
        {
            return Ok(3);
        }
        if let CallEventKind::Inbound { to, .. } = &event.kind
            && let Some(number) = to.phone()
            && let Some(row) = store.number_of_account(one.account.id, number).await?
        {
            return Ok(if row.workflow.is_some() { 2 } else { 1 });
        }
    }
    Ok(0)
}

async fn take_for_account(
    service: &Service,
    provider: &dyn TelephonyProvider,
    account: &Account,
    webhook: &VerifiedWebhook,
) -> Result<WebhookResponse, Refused> {
    let events = read(provider, webhook)?;
    let received_at = webhook.request().received_at();
    let call = events.iter().find(|event| event.call.id().is_some()).map(|event| event.call.clone());
    let Some(call) = call else {
        // Of something that is no call of ours, such as a number that was bought.
        return Ok(WebhookResponse::no_content());
    };
    let id = call.id().map(ToString::to_string).unwrap_or_default();
    if let Some(run) = service.store().run_of_call(account.id, &id).await? {
        return write_and_answer(service, provider, run, events, received_at).await;
    }
    let inbound = events.iter().find_map(|event| match &event.kind {
        CallEventKind::Inbound { from, to } => Some((from.clone(), to.clone())),
        _ => None,
    });
    let Some((from, to)) = inbound else {
        info!(provider = %account.provider, call_id = %call, "An event of a call that is not known here was acknowledged.");
        return Ok(WebhookResponse::no_content());
    };
    if service.is_ending() {
        telemetry::came_in(&account.provider, "ending");
        let reason = "the gateway is about to end, and takes no new calls; send it again, or to another";
        return Err(Refused(StatusCode::SERVICE_UNAVAILABLE, reason.to_owned()));
    }
    let number = match to.phone() {
        Some(number) => service.store().number_of_account(account.id, number).await?,
        None => None,
    };
    let workflow = match number.and_then(|number| number.workflow) {
        Some(workflow) => service.store().workflow(account.organization, workflow).await?,
        None => None,
    };
    let Some(workflow) = workflow else {
        info!(provider = %account.provider, call_id = %call, "An inbound call is for a number that no workflow answers.");
        telemetry::came_in(&account.provider, "declined");
        return reject(provider, &call, Reject::Declined).await;
    };
    let new = NewRun {
        id: WorkflowRunId::generate(),
        organization: account.organization,
        workflow: Some(workflow.id),
        configuration: account.id,
        provider: account.provider.clone(),
        direction: Direction::Inbound,
        from: in_e164(&from),
        to: in_e164(&to),
        call: call.clone(),
        options: service.run_options(&workflow, None),
        // The same call, told twice at the same time, opens one run.
        idempotency: Some((format!("inbound:{}:{id}", account.id), id.clone())),
        lease: service.options().lease,
    };
    match service.store().open_run(&new).await? {
        Opened::New(run) => {
            telemetry::came_in(&account.provider, "taken");
            write_and_answer(service, provider, *run, events, received_at).await
        }
        Opened::Existing(run) => write_and_answer(service, provider, *run, events, received_at).await,
        Opened::NoSlot { limit } => {
            info!(limit, call_id = %call, "An inbound call is one too many.");
            telemetry::came_in(&account.provider, "busy");
            reject(provider, &call, Reject::Busy).await
        }
        Opened::KeyReused => Err(Refused(StatusCode::CONFLICT, "the call is known as another".to_owned())),
    }
}

/// A party as we write numbers, where it is one; else as the carrier wrote it.
fn in_e164(party: &ReportedAddress) -> String {
    party.phone().map_or_else(|| party.raw().to_owned(), |number| number.as_e164().to_owned())
}

async fn reject(provider: &dyn TelephonyProvider, call: &CallRef, how: Reject) -> Result<WebhookResponse, Refused> {
    tell(provider, call, &CallInstruction::Reject(how)).await
}

async fn tell(
    provider: &dyn TelephonyProvider,
    call: &CallRef,
    instruction: &CallInstruction,
) -> Result<WebhookResponse, Refused> {
    provider.get_webhook_response(call, instruction).await.map_err(|failed| {
        error!(call_id = %call, error = error_chain(&failed), "A call could not be told what to do.");
        Refused(StatusCode::INTERNAL_SERVER_ERROR, "no instruction could be made".to_owned())
    })
}

fn verify(provider: &dyn TelephonyProvider, request: WebhookRequest, run: &str) -> Result<VerifiedWebhook, Refused> {
    provider.verify_webhook_signature(request.clone()).map_err(|refused| {
        let (name, advice) = (provider.descriptor().name(), doctor::examine(provider, &request));
        warn!(provider = %name, run, error = %refused, advice, "A webhook was refused.");
        telemetry::refused(name.as_str());
        Refused(refused.status(), refused.to_string())
    })
}

fn read(provider: &dyn TelephonyProvider, webhook: &VerifiedWebhook) -> Result<Vec<CallEvent>, Refused> {
    provider.parse_webhook(webhook).map_err(|refused| {
        warn!(provider = %provider.descriptor().name(), error = %refused, "A webhook could not be read.");
        Refused(refused.status(), refused.to_string())
    })
}

/// Commits the events, then answers what they ask.
async fn write_and_answer(
    service: &Service,
    provider: &dyn TelephonyProvider,
    run: StoredRun,
    events: Vec<CallEvent>,
    received_at: Timestamp,
) -> Result<WebhookResponse, Refused> {
    let span = call_span(run.id, &run.provider);
    answer_once_written(service, provider, run, events, received_at).instrument(span).await
}

async fn answer_once_written(
    service: &Service,
    provider: &dyn TelephonyProvider,
    run: StoredRun,
    events: Vec<CallEvent>,
    received_at: Timestamp,
) -> Result<WebhookResponse, Refused> {
    let wanted = events.iter().find_map(|event| match &event.kind {
        CallEventKind::InstructionWanted { due, .. } => Some((event.call.clone(), due.clone())),
        _ => None,
    });
    let appended = service.write_down(run.id, "webhook", &events, received_at).await?;
    let Some(Appended { run, new, .. }) = appended else {
        return Err(Refused(StatusCode::NOT_FOUND, "there is no such run".to_owned()));
    };
    for (event, new) in events.iter().zip(&new) {
        let name = timeline::describe(&event.kind).0;
        info!(call_id = %event.call, event = name, new, "A call event came.");
    }
    let Some((asking, due)) = wanted else { return Ok(WebhookResponse::no_content()) };
    // A webhook that comes again is answered as it was: what it says itself counts, and not what was heard since.
    let mut call = run.call.clone();
    call.absorb(&asking);
    let instruction = match due {
        Some(Due::Do(instruction)) => *instruction,
        Some(Due::HangUp) => CallInstruction::HangUp,
        // Every URL of a run asks the same.
        Some(Due::Ask(_)) | None => next(service, &run).await?,
    };
    let told = tell(provider, &call, &instruction).await;
    match &told {
        Ok(_) => service.note(run.id, "gateway", "instruction", instruction.name()),
        Err(refused) => service.note(run.id, "gateway", "no instruction", refused.1.clone()),
    }
    told
}

/// What the call does next: it streams to the agent, once.
async fn next(service: &Service, run: &StoredRun) -> Result<CallInstruction, Refused> {
    if run.media_state == "closed" || run.is_over {
        return Ok(CallInstruction::HangUp);
    }
    let url = service.fresh_media_url(run).await?;
    let stream = Stream::to(url).with_preferred_format(AudioFormat::LINEAR16_16K);
    let stream = match run.direction {
        Direction::Outbound => stream.with_events(service.webhook_url(&run.provider, "events", run.id)),
        Direction::Inbound => stream.with_events(service.inbound_url()),
    };
    Ok(CallInstruction::Stream(stream))
}

fn refuse(refused: &Refused) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{}\n", refused.1)));
    *response.status_mut() = refused.0;
    response
}
