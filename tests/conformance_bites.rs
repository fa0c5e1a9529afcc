//! The conformance suite finds what it looks for: a good provider with one defect put in fails the trial for that defect.

#![allow(clippy::print_stdout, reason = "`--nocapture` shows what each defect is told")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;

use telephony_core::{
    AccountInfo, CallCost, CallEvent, CallEventKind, CallInstruction, CallRef, CallSnapshot, CallState, CallStatus,
    Capabilities, Capability, CarrierMediaCodec, Conference, ConfigError, Decimal, DigitSequence, Direction, HangUp,
    InboundBinding, InboundConfigured, InitiatedCall, LegOwner, MediaCodec, MediaCommand, MediaError, MediaEvent,
    MediaProfile, Money, OutboundCall, OwnedNumber, Package, Problems, ProviderConfig, ProviderContext,
    ProviderDescriptor, ProviderFactory, ProviderName, RecordingRef, RecordingRequest, ReportedAddress, Secret,
    StatusChange, TelephonyError, TelephonyProvider, Timestamp, Transfer, TransferRequest, Url, VerifiedWebhook,
    WebhookError, WebhookIdentity, WebhookRequest, WebhookResponse, WireBuffer, WireMessage, async_trait,
    audio::{AudioFormat, AudioFrame},
    http::{Transport, TransportError},
    signing,
};
use telephony_sandbox::SimulatorDescriptor;
use telephony_testkit::{Conformance, Report, Suite};
use telephony_twilio::{DESCRIPTOR as GOOD, TwilioConfig};

/// What is wrong with a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    // Secrets and accounts
    ShowsItsSecrets,
    IsContentWithWrongCredentials,
    // Requests
    CallsTwice,
    DropsTheRingTimeout,
    RingsTwiceAsLong,
    DoesNotAskWhoAnswers,
    SwapsFromAndTo,
    DialsWithoutPlus,
    RefusesWhatTheCarrierAdds,
    TakesANewWordForAnEnd,
    KnowsEveryCall,
    ReadsTheFirstPageOnly,
    TakesNoNumbersForAnError,
    MissesNumbersWithoutPlus,
    ReportsNumbersWithoutPlus,
    CostsNothingWhileUnknown,
    PaysTheCaller,
    CountsInCents,
    CountsInEuros,
    FailsToHangUpTwice,
    FailsOnACallThatIsOver,
    CannotHangUp,
    ClaimsTheLeg,
    ClaimsThatTheStreamLasts,
    TransfersIntoSilence,
    LosesTheRecording,
    KeepsTheNumber,
    WipesOtherSettings,
    DoesWhatItDoesNotDeclare,
    DeclaresWhatItCannot,
    Panics,
    NeverReturns,
    // Webhooks
    TakesAnyWebhook,
    TakesTheUnsigned,
    IgnoresTheBody,
    IgnoresTheTime,
    ServesOtherAccounts,
    SignsInAnotherOrder,
    ClaimsEveryWebhook,
    ClaimsNoWebhook,
    RepeatsKeys,
    MakesAKeyOfWhatHappened,
    RefusesUnknownFields,
    DropsUnknownWords,
    GuessesUnknownWords,
    MistakesTheDirection,
    CountsInMilliseconds,
    IsInAnotherTimeZone,
    MakesAKeyForEachDelivery,
    MovesBackwards,
    ForgetsTheCarriersWord,
    ForgetsWhoCalled,
    LeavesThePlusOut,
    TakesBusyForFailed,
    TakesGivenUpForNoAnswer,
    ForgetsThatItWasDeclined,
    // Answers
    SaysNothing,
    PlaysOnce,
    ConnectsToNobody,
    JoinsAnotherConference,
    StreamsToAnything,
    // Media
    SwallowsAudio,
    SpeaksSilence,
    SwapsRates,
    DropsParameters,
    StreamsAnotherCall,
    RefusesUnknownMembers,
    DropsMarks,
    KeepsWhatWasCleared,
    MishearsKeys,
    SpeaksBeforeTheStart,
    TakesAnyFormat,
}

/// Webhooks read so far, by anybody.
static DELIVERIES: AtomicUsize = AtomicUsize::new(0);

/// A provider with a defect. It carries every method, so that no default answers in its place.
struct Defective {
    good: Arc<dyn TelephonyProvider>,
    secret: String,
    defect: Defect,
    descriptor: &'static ProviderDescriptor,
}

impl fmt::Debug for Defective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.defect {
            Defect::ShowsItsSecrets => write!(f, "Defective({})", self.secret),
            _ => self.good.fmt(f),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl TelephonyProvider for Defective {
    fn descriptor(&self) -> &'static ProviderDescriptor {
        self.descriptor
    }

    fn validate_config(&self) -> Result<(), ConfigError> {
        self.good.validate_config()
    }

    async fn initiate_call(&self, call: &OutboundCall) -> Result<InitiatedCall, TelephonyError> {
        let mut call = call.clone();
        match self.defect {
            Defect::DropsTheRingTimeout => call.ring_timeout = None,
            Defect::RingsTwiceAsLong => call.ring_timeout = call.ring_timeout.map(|timeout| timeout * 2),
            Defect::DoesNotAskWhoAnswers => call.machine_detection = None,
            Defect::SwapsFromAndTo => std::mem::swap(&mut call.from, &mut call.to),
            _ => {}
        }
        let call = &call;
        match self.good.initiate_call(call).await {
            Err(TelephonyError::OutcomeUnknown { .. }) if self.defect == Defect::CallsTwice => {
                self.good.initiate_call(call).await
            }
            outcome => outcome,
        }
    }

    async fn get_call_status(&self, call: &CallRef) -> Result<CallSnapshot, TelephonyError> {
        match self.good.get_call_status(call).await {
            Ok(_) if self.defect == Defect::Panics => panic!("no call has such a status"),
            Ok(_) if self.defect == Defect::NeverReturns => loop {
                std::thread::park();
            },
            Ok(mut snapshot) if self.defect == Defect::TakesANewWordForAnEnd => {
                if snapshot.state == CallState::Alive {
                    snapshot.state = CallState::Over;
                }
                Ok(snapshot)
            }
            Ok(mut snapshot) if self.defect == Defect::ReportsNumbersWithoutPlus => {
                snapshot.to = snapshot.to.as_ref().map(without_plus);
                Ok(snapshot)
            }
            Err(TelephonyError::NotFound { .. }) if self.defect == Defect::KnowsEveryCall => {
                Ok(CallSnapshot::new(call.clone(), CallState::Alive, ""))
            }
            outcome => outcome,
        }
    }

    async fn get_available_phone_numbers(&self) -> Result<Vec<OwnedNumber>, TelephonyError> {
        let mut numbers = self.good.get_available_phone_numbers().await?;
        match self.defect {
            Defect::ReadsTheFirstPageOnly => numbers.truncate(50),
            Defect::MissesNumbersWithoutPlus => numbers.clear(),
            Defect::TakesNoNumbersForAnError if numbers.is_empty() => {
                return Err(self.descriptor.unsupported(Capability::CallCost));
            }
            _ => {}
        }
        Ok(numbers)
    }

    async fn check_account(&self) -> Result<AccountInfo, TelephonyError> {
        match self.good.check_account().await {
            Err(_) if self.defect == Defect::IsContentWithWrongCredentials => Ok(AccountInfo::new("AC0")),
            outcome => outcome,
        }
    }

    fn verify_webhook_signature(&self, request: WebhookRequest) -> Result<VerifiedWebhook, WebhookError> {
        let mut request = request;
        if self.defect == Defect::IgnoresTheTime {
            let sent = request.header("telnyx-timestamp").and_then(|text| text.parse().ok());
            let sent = Timestamp::from_unix_timestamp(sent.unwrap_or(0)).unwrap();
            let (method, headers) = (request.method().clone(), request.headers().clone());
            request = WebhookRequest::at_url(method, request.url(), headers, request.body().clone(), sent);
        }
        let taken = || {
            let proof = signing::verify_shared_secret(&Secret::new("x"), "x").unwrap();
            VerifiedWebhook::new(request.clone(), proof)
        };
        match (self.defect, self.good.verify_webhook_signature(request.clone())) {
            (Defect::TakesAnyWebhook, Err(_))
            | (Defect::TakesTheUnsigned, Err(WebhookError::Unsigned { .. }))
            | (Defect::IgnoresTheBody, Err(WebhookError::BadSignature { .. }))
            | (Defect::ServesOtherAccounts, Err(WebhookError::WrongAccount { .. })) => Ok(taken()),
            (Defect::SignsInAnotherOrder, Ok(_)) => in_order_of_arrival(request, &self.secret),
            (_, outcome) => outcome,
        }
    }

    fn parse_webhook(&self, webhook: &VerifiedWebhook) -> Result<Vec<CallEvent>, WebhookError> {
        let mut events = self.good.parse_webhook(webhook)?;
        match self.defect {
            // Twilio's names begin with a capital.
            Defect::RefusesUnknownFields
                if names(webhook.request()).any(|name| !name.starts_with(char::is_uppercase)) =>
            {
                return Err(WebhookError::malformed("body", "has an unknown field"));
            }
            Defect::DropsUnknownWords => {
                events.retain(|event| !matches!(&event.kind, CallEventKind::Status(change) if change.status.is_none()))
            }
            _ => {}
        }
        for event in &mut events {
            match self.defect {
                Defect::RepeatsKeys => event.dedupe_key = event.call.to_string(),
                Defect::MakesAKeyOfWhatHappened => event.dedupe_key = format!("{:?}", event.kind),
                Defect::IsInAnotherTimeZone => {
                    event.occurred_at = event.occurred_at.map(|at| at + Duration::from_secs(5 * 3_600));
                }
                Defect::MakesAKeyForEachDelivery => {
                    event.dedupe_key.push_str(&DELIVERIES.fetch_add(1, Ordering::Relaxed).to_string());
                }
                _ => {}
            }
            match &mut event.kind {
                CallEventKind::Status(change) => spoil(self.defect, change),
                CallEventKind::Inbound { from, .. } if self.defect == Defect::ForgetsWhoCalled => {
                    *from = ReportedAddress::new("unknown", None);
                }
                CallEventKind::Inbound { from, .. } if self.defect == Defect::LeavesThePlusOut => {
                    *from = without_plus(from);
                }
                CallEventKind::Recording(recording) if self.defect == Defect::LosesTheRecording => recording.url = None,
                _ => {}
            }
        }
        Ok(events)
    }

    async fn get_webhook_response(
        &self,
        call: &CallRef,
        instruction: &CallInstruction,
    ) -> Result<WebhookResponse, TelephonyError> {
        let mut instruction = instruction.clone();
        match (self.defect, &mut instruction) {
            (Defect::SaysNothing, CallInstruction::Say(_)) => instruction = CallInstruction::HangUp,
            (Defect::PlaysOnce, CallInstruction::Play(play)) => play.times = 1,
            (Defect::ConnectsToNobody, CallInstruction::Bridge(_)) => instruction = CallInstruction::HangUp,
            (Defect::JoinsAnotherConference, CallInstruction::Conference(conference)) => {
                "room".clone_into(&mut conference.name)
            }
            _ => {}
        }
        match self.good.get_webhook_response(call, &instruction).await {
            Err(TelephonyError::InvalidRequest { .. }) if self.defect == Defect::StreamsToAnything => {
                Ok(WebhookResponse::no_content())
            }
            outcome => outcome,
        }
    }

    fn media_codec(&self) -> Box<dyn MediaCodec> {
        Box::new(DefectiveCodec { good: self.good.media_codec(), defect: self.defect })
    }

    async fn get_call_cost(&self, call: &CallRef) -> Result<CallCost, TelephonyError> {
        match self.good.get_call_cost(call).await {
            Ok(CallCost::Pending) if self.defect == Defect::CostsNothingWhileUnknown => {
                Ok(CallCost::rated(Money::parse("0", "USD").unwrap()))
            }
            Ok(CallCost::Rated { .. }) if self.defect == Defect::PaysTheCaller => {
                Ok(CallCost::rated(Money::parse("-0.01", "USD").unwrap()))
            }
            Ok(CallCost::Rated { total, .. }) if self.defect == Defect::CountsInCents => {
                Ok(CallCost::rated(Money::parse(&(total.amount * Decimal::from(100)).to_string(), "USD").unwrap()))
            }
            Ok(CallCost::Rated { total, .. }) if self.defect == Defect::CountsInEuros => {
                Ok(CallCost::rated(Money::parse(&total.amount.to_string(), "EUR").unwrap()))
            }
            outcome => outcome,
        }
    }

    async fn hang_up(&self, call: &CallRef) -> Result<HangUp, TelephonyError> {
        if self.defect == Defect::CannotHangUp {
            return Err(self.descriptor.unsupported(Capability::HangUp));
        }
        match self.good.hang_up(call).await {
            Ok(HangUp::AlreadyEnded) if self.defect == Defect::FailsToHangUpTwice => Ok(HangUp::Ended),
            Ok(HangUp::AlreadyEnded) if self.defect == Defect::FailsOnACallThatIsOver => {
                Err(self.descriptor.unsupported(Capability::HangUp))
            }
            outcome => outcome,
        }
    }

    async fn instruct(&self, call: &CallRef, instruction: &CallInstruction) -> Result<(), TelephonyError> {
        self.good.instruct(call, instruction).await
    }

    async fn transfer_call(&self, transfer: &TransferRequest) -> Result<Transfer, TelephonyError> {
        if self.defect == Defect::TransfersIntoSilence {
            let room = CallInstruction::Conference(Conference::named("waiting"));
            self.good.instruct(&transfer.call, &room).await?;
            return Ok(Transfer::new(LegOwner::Carrier, true));
        }
        let mut agreed = self.good.transfer_call(transfer).await?;
        match self.defect {
            Defect::ClaimsTheLeg => agreed.leg_owner = LegOwner::Application,
            Defect::ClaimsThatTheStreamLasts => agreed.ends_stream = false,
            _ => {}
        }
        Ok(agreed)
    }

    async fn send_digits(&self, call: &CallRef, digits: &DigitSequence) -> Result<(), TelephonyError> {
        self.good.send_digits(call, digits).await
    }

    async fn start_recording(&self, call: &CallRef, how: &RecordingRequest) -> Result<RecordingRef, TelephonyError> {
        self.good.start_recording(call, how).await
    }

    async fn stop_recording(&self, recording: &RecordingRef) -> Result<(), TelephonyError> {
        self.good.stop_recording(recording).await
    }

    async fn configure_inbound(&self, binding: &InboundBinding) -> Result<InboundConfigured, TelephonyError> {
        if self.defect == Defect::KeepsTheNumber && binding.urls.is_none() {
            return Ok(InboundConfigured::alone());
        }
        self.good.configure_inbound(binding).await
    }
}

/// What a defect makes of a status.
fn spoil(defect: Defect, change: &mut StatusChange) {
    match (defect, change.status) {
        (Defect::MovesBackwards, Some(CallStatus::Completed)) => change.status = Some(CallStatus::Ringing),
        (Defect::TakesBusyForFailed, Some(CallStatus::Busy)) => change.status = Some(CallStatus::Failed),
        (Defect::TakesGivenUpForNoAnswer, Some(CallStatus::Canceled)) => change.status = Some(CallStatus::NoAnswer),
        (Defect::GuessesUnknownWords, None) => change.status = Some(CallStatus::Failed),
        (Defect::MistakesTheDirection, _) => {
            change.direction = change.direction.map(|direction| match direction {
                Direction::Inbound => Direction::Outbound,
                Direction::Outbound => Direction::Inbound,
            });
        }
        (Defect::CountsInMilliseconds, _) => change.duration = change.duration.map(|length| length / 1_000),
        (Defect::ForgetsThatItWasDeclined, _) => change.refusal = None,
        (Defect::ForgetsTheCarriersWord, _) => change.raw_status.clear(),
        _ => {}
    }
}

/// An address as a carrier writes it that leaves the plus out, and that nobody has understood.
fn without_plus(address: &ReportedAddress) -> ReportedAddress {
    ReportedAddress::new(address.raw().trim_start_matches('+'), None)
}

/// The names in a form.
fn names(request: &WebhookRequest) -> impl Iterator<Item = String> {
    form(request).into_iter().map(|(name, _)| name)
}

fn form(request: &WebhookRequest) -> Vec<(String, String)> {
    let body = std::str::from_utf8(request.body()).unwrap();
    let url: Url = format!("https://example.com/?{body}").parse().unwrap();
    url.query_pairs().into_owned().collect()
}

/// A signature is over the parameters in the order of their names; this takes them in the order in which they came.
fn in_order_of_arrival(request: WebhookRequest, token: &str) -> Result<VerifiedWebhook, WebhookError> {
    let text = form(&request).into_iter().fold(request.url().to_owned(), |text, (name, value)| text + &name + &value);
    let given = request.header("x-twilio-signature").unwrap();
    let proof = signing::verify_hmac_sha1_base64(&Secret::new(token), text.as_bytes(), given)
        .map_err(|_| WebhookError::BadSignature { reason: "a parameter differs" })?;
    Ok(VerifiedWebhook::new(request, proof))
}

/// A network between a provider and its carrier that does what a careless provider would.
#[derive(Debug)]
struct Careless {
    network: Arc<dyn Transport>,
    defect: Defect,
}

#[async_trait]
impl Transport for Careless {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, TransportError> {
        let (path, is_post) = (request.uri().path().to_owned(), request.method() == http::Method::POST);
        let request = request.map(|body| {
            let text = String::from_utf8_lossy(&body);
            match self.defect {
                Defect::DialsWithoutPlus if path.ends_with("/Calls.json") => text.replace("=%2B", "=").into(),
                Defect::WipesOtherSettings if is_post && path.contains("IncomingPhoneNumbers") => {
                    format!("{text}&SmsUrl=").into()
                }
                _ => body,
            }
        });
        let answer = self.network.send(request).await?;
        let added = String::from_utf8_lossy(answer.body()).contains("unheard_of");
        let refused = self.defect == Defect::RefusesWhatTheCarrierAdds && added;
        Ok(answer.map(|body| if refused { Bytes::from_static(b"unknown field") } else { body }))
    }
}

/// A codec with a defect.
#[derive(Debug)]
struct DefectiveCodec {
    good: Box<dyn MediaCodec>,
    defect: Defect,
}

impl MediaCodec for DefectiveCodec {
    fn decode<'a>(&'a mut self, message: WireMessage<'a>) -> Result<MediaEvent<'a>, MediaError> {
        if let (Defect::RefusesUnknownMembers, WireMessage::Text(text)) = (self.defect, message)
            && text.contains("unheard_of")
        {
            return Err(MediaError::malformed("message", "has an unknown member"));
        }
        Ok(match (self.defect, self.good.decode(message)?) {
            (Defect::StreamsAnotherCall, MediaEvent::Started(mut start)) => {
                start.call = CallRef::new("CAffffffffffffffffffffffffffffffff".parse().unwrap());
                MediaEvent::Started(start)
            }
            (Defect::SwapsRates, MediaEvent::Started(mut start)) => {
                start.inbound = AudioFormat::LINEAR16_16K;
                MediaEvent::Started(start)
            }
            (Defect::DropsParameters, MediaEvent::Started(mut start)) => {
                start.parameters.clear();
                MediaEvent::Started(start)
            }
            (Defect::MishearsKeys, MediaEvent::Digit { digit: '#', duration }) => {
                MediaEvent::Digit { digit: '*', duration }
            }
            (_, event) => event,
        })
    }

    fn encode(&mut self, command: MediaCommand<'_>, out: &mut WireBuffer) -> Result<(), MediaError> {
        match (self.defect, command) {
            (Defect::SwallowsAudio, MediaCommand::Audio(frame)) if !frame.bytes().is_empty() => {
                let shorter = AudioFrame::new(frame.format(), &frame.bytes()[1..]);
                self.good.encode(MediaCommand::Audio(shorter.unwrap()), out)
            }
            (Defect::SpeaksSilence, MediaCommand::Audio(frame)) => {
                let silence = vec![frame.format().silence_byte(); frame.bytes().len()];
                self.good.encode(MediaCommand::Audio(AudioFrame::new(frame.format(), &silence).unwrap()), out)
            }
            (Defect::DropsMarks, MediaCommand::Mark { .. }) => self.good.encode(MediaCommand::Flush, out),
            (Defect::KeepsWhatWasCleared, MediaCommand::Clear) => {
                self.good.encode(MediaCommand::Flush, out)?;
                self.good.encode(MediaCommand::Clear, out)
            }
            (_, command) => match (self.defect, self.good.encode(command, out)) {
                (Defect::SpeaksBeforeTheStart, Err(MediaError::NotStarted))
                | (Defect::TakesAnyFormat, Err(MediaError::FormatMismatch { .. })) => Ok(()),
                (_, outcome) => outcome,
            },
        }
    }
}

/// Every one of these trials has failed, and says so.
fn fails(report: &Report, defect: Defect, trials: &[&str], message: &str) {
    let failures: BTreeMap<_, _> =
        report.trials().iter().filter_map(|trial| Some((trial.name.as_str(), trial.failure.as_deref()?))).collect();
    for trial in trials {
        let failure = failures.get(trial).unwrap_or_else(|| panic!("{trial} passed; failed: {failures:?}"));
        let said = failure.split_once("\n  specified: ").unwrap().0;
        assert!(said.contains(message), "{trial}: {said}");
        let shown: String = said.chars().take(300).collect();
        println!("{defect:?}\n{trial}\n{shown}\n");
    }
}

/// What is the same for every defect.
const NAME: ProviderName = ProviderName::new("twilio");

fn build(
    config: &TwilioConfig,
    context: ProviderContext,
    defect: Defect,
    descriptor: &'static ProviderDescriptor,
) -> Result<Arc<dyn TelephonyProvider>, TelephonyError> {
    let account = serde_json::json!({
        "account_sid": config.account_sid, "auth_token": config.auth_token.expose(), "api_base_url": config.api_base_url,
    });
    let network = Careless { network: context.transport, defect };
    let context = ProviderContext::with_transport(Arc::new(network)).with_http_policy(context.http_policy);
    let good = GOOD.build(&account, context)?;
    let secret = config.auth_token.expose().to_owned();
    Ok(Arc::new(Defective { good, secret, defect, descriptor }))
}

macro_rules! defective {
    ($module:ident: $defect:ident, $capabilities:expr, $suite:ident $filter:literal, [$($trial:literal),*], $message:literal) => {
        mod $module {
            use super::*;

            struct Factory;

            impl ProviderFactory for Factory {
                type Config = TwilioConfig;
                const NAME: ProviderName = NAME;
                const DISPLAY_NAME: &'static str = "Defective";
                const DOCS_URL: &'static str = "https://example.com/";
                const PACKAGE: Package = Package { name: "telephony-twilio", version: "0.1.0" };
                const CAPABILITIES: Capabilities = $capabilities;
                const MEDIA: MediaProfile = MediaProfile::new(&[AudioFormat::MULAW_8K]);
                const ACCOUNT_ID_FIELD: &'static str = "account_sid";

                fn build(
                    config: TwilioConfig,
                    context: ProviderContext,
                ) -> Result<Arc<dyn TelephonyProvider>, TelephonyError> {
                    build(&config, context, Defect::$defect, &DESCRIPTOR)
                }

                fn identify_webhook(request: &WebhookRequest) -> Option<WebhookIdentity> {
                    match Defect::$defect {
                        Defect::ClaimsNoWebhook => None,
                        Defect::ClaimsEveryWebhook => Some(WebhookIdentity { account_id: None, called: None }),
                        _ => GOOD.identify_webhook(request),
                    }
                }

                fn carrier_media_codec() -> Box<dyn CarrierMediaCodec> {
                    GOOD.carrier_media_codec()
                }
            }

            pub(super) static DESCRIPTOR: ProviderDescriptor = ProviderDescriptor::of::<Factory>();
            pub(super) static SIMULATOR: SimulatorDescriptor =
                SimulatorDescriptor::new(&DESCRIPTOR, || telephony_twilio::SIMULATOR.build());

            /// Every trial that must fail does, and says what is wrong.
            #[test]
            fn is_found() {
                let conformance = Conformance::of(&DESCRIPTOR, &SIMULATOR).suite(Suite::$suite);
                fails(&conformance.report($filter), Defect::$defect, &[$($trial),*], $message);
            }
        }
    };
}

/// All that the carrier can do, as its own crate declares it.
const ALL: Capabilities = Capabilities::new().native(&[
    Capability::CallCost,
    Capability::HangUp,
    Capability::Instruct,
    Capability::Transfer,
    Capability::RecordLive,
    Capability::ConfigureInbound,
    Capability::MachineDetection,
    Capability::Say,
    Capability::Play,
    Capability::Bridge,
    Capability::Conference,
    Capability::StreamParameters,
    Capability::MediaDigits,
    Capability::MediaMarks,
    Capability::MediaClear,
]);

/// Without hanging up.
const LESS: Capabilities = Capabilities::new().native(&[Capability::CallCost]);

/// With a name shown, which the carrier has not.
const MORE: Capabilities = ALL.native(&[Capability::CallerName]);

defective!(a_secret_in_debug: ShowsItsSecrets, ALL, Configuration "secrets",
    ["configuration::secrets::are_never_shown"], "shown");
defective!(an_account_that_is_not_checked: IsContentWithWrongCredentials, ALL, Rest "check_account",
    ["rest::check_account::wrong_credentials"], "expected: Authentication");
defective!(a_second_call_after_an_unknown_outcome: CallsTwice, ALL, Faults "faults::initiate_call",
    ["faults::initiate_call::status_500", "faults::initiate_call::no_answer"], "doing it twice does it twice");
defective!(an_option_that_is_dropped: DropsTheRingTimeout, ALL.native(&[Capability::RingTimeout]), Rest "with_ring_timeout",
    ["rest::initiate_call::with_ring_timeout"], "expected:");
defective!(an_option_of_another_unit: RingsTwiceAsLong, ALL.native(&[Capability::RingTimeout]), Rest "with_ring_timeout",
    ["rest::initiate_call::with_ring_timeout"], "it rings for 30 s\n  seen:     Some(60s)");
defective!(an_option_that_the_carrier_never_sees: DoesNotAskWhoAnswers, ALL, Rest "with_machine_detection",
    ["rest::initiate_call::with_machine_detection"], "the carrier is to tell who answers");
defective!(a_dial_the_wrong_way_round: SwapsFromAndTo, ALL, Rest "is_accepted",
    ["rest::initiate_call::is_accepted"], "\"from\"");
defective!(a_dial_without_plus: DialsWithoutPlus, ALL, Rest "is_accepted",
    ["rest::initiate_call::is_accepted"], "\"to\"");
defective!(a_number_without_plus_in_a_state: ReportsNumbersWithoutPlus, ALL, Rest "is_accepted",
    ["rest::initiate_call::is_accepted"], "`to` is the call's, in E.164");
defective!(numbers_without_plus_that_are_missed: MissesNumbersWithoutPlus, ALL, Rest "get_available_phone_numbers",
    ["rest::get_available_phone_numbers::all_pages"], "all 1105 numbers, each once\n  seen:     0");
defective!(a_member_more_in_an_answer: RefusesWhatTheCarrierAdds, ALL, Rest "unknown_members",
    ["rest::all::unknown_members"], "has a member that nobody has heard of");
defective!(a_new_word_in_an_answer: TakesANewWordForAnEnd, ALL, Rest "unknown_word",
    ["rest::get_call_status::unknown_word"], "nobody knows what the word means");
defective!(a_call_that_nobody_made: KnowsEveryCall, ALL, Rest "get_call_status",
    ["rest::get_call_status::unknown_call"], "expected: NotFound");
defective!(the_first_page_of_numbers_only: ReadsTheFirstPageOnly, ALL, Rest "get_available_phone_numbers",
    ["rest::get_available_phone_numbers::all_pages"], "all 1105 numbers, each once\n  seen:     50");
defective!(an_account_without_numbers: TakesNoNumbersForAnError, ALL, Rest "get_available_phone_numbers",
    ["rest::get_available_phone_numbers::none"], "listing no numbers succeeds");
defective!(a_price_of_nothing_for_a_call_that_is_not_rated: CostsNothingWhileUnknown, ALL, Rest "get_call_cost",
    ["rest::get_call_cost"], "Pending while the call lasts");
defective!(a_price_below_nothing: PaysTheCaller, ALL, Rest "get_call_cost",
    ["rest::get_call_cost"], "Rated, and positive");
defective!(a_price_in_cents: CountsInCents, ALL, Rest "get_call_cost",
    ["rest::get_call_cost"], "0.0140 USD, which is charged");
defective!(a_price_in_another_currency: CountsInEuros, ALL, Rest "get_call_cost",
    ["rest::get_call_cost"], "0.0140 USD, which is charged");
defective!(a_leg_that_is_not_ours: ClaimsTheLeg, ALL, Rest "rest::transfer_call",
    ["rest::transfer_call"], "as its leg is ours");
defective!(a_stream_that_does_not_last: ClaimsThatTheStreamLasts, ALL, Rest "rest::transfer_call",
    ["rest::transfer_call"], "as `ends_stream` is false");
defective!(a_caller_left_in_silence: TransfersIntoSilence, ALL, Rest "nobody_there",
    ["rest::transfer_call::nobody_there"], "silence, until the person hung up");
defective!(a_recording_that_cannot_be_fetched: LosesTheRecording, ALL, Rest "start_recording",
    ["rest::start_recording"], "where it can be fetched");
defective!(a_number_that_still_leads_to_us: KeepsTheNumber, ALL, Rest "configure_inbound",
    ["rest::configure_inbound"], "nobody is asked about a number whose URLs were taken out");
defective!(other_settings_that_are_wiped: WipesOtherSettings, ALL, Rest "configure_inbound",
    ["rest::configure_inbound::leaves_the_rest"], "what else is set up at the carrier stays as it is");
defective!(a_panic: Panics, ALL, Rest "is_accepted",
    ["rest::initiate_call::is_accepted"], "no panic\n  seen:     panicked: no call has such a status");
defective!(a_call_that_is_hung_up_twice: FailsToHangUpTwice, ALL, Rest "rest::hang_up",
    ["rest::hang_up"], "expected: AlreadyEnded");
defective!(a_call_that_is_over_is_an_error: FailsOnACallThatIsOver, ALL, Rest "rest::hang_up",
    ["rest::hang_up"], "which is no error");
defective!(something_done_that_is_not_declared: DoesWhatItDoesNotDeclare, LESS, Rest "rest::hang_up",
    ["rest::hang_up"], "Unsupported");
defective!(something_told_that_is_not_declared: DoesWhatItDoesNotDeclare, LESS, Answers "answers::say",
    ["answers::say", "answers::say_then_ask"], "Unsupported");
defective!(something_declared_that_is_not_done: DeclaresWhatItCannot, MORE, Rest "with_caller_name",
    ["rest::initiate_call::with_caller_name"], "Unsupported");
defective!(no_check_of_signatures_at_all: TakesAnyWebhook, ALL, Webhooks "webhooks::verify",
    ["webhooks::verify::a_changed_body", "webhooks::verify::no_signature", "webhooks::verify::another_key",
     "webhooks::verify::another_account", "webhooks::verify::signatures_of_others"], "expected:");
defective!(a_webhook_without_a_signature: TakesTheUnsigned, ALL, Webhooks "no_signature",
    ["webhooks::verify::no_signature"], "401");
defective!(a_signature_that_covers_no_body: IgnoresTheBody, ALL, Webhooks "webhooks::verify",
    ["webhooks::verify::a_changed_body"], "403");
defective!(the_webhooks_of_another_account: ServesOtherAccounts, ALL, Webhooks "another_account",
    ["webhooks::verify::another_account"], "another account is refused");
defective!(a_signature_over_another_order: SignsInAnotherOrder, ALL, Webhooks "genuine",
    ["webhooks::verify::genuine_ones"], "the signature does not match");
defective!(a_claim_to_every_webhook: ClaimsEveryWebhook, ALL, Webhooks "identify",
    ["webhooks::identify::nobody_elses"], "expected:");
defective!(a_claim_to_none: ClaimsNoWebhook, ALL, Webhooks "identify",
    ["webhooks::identify::its_own"], "expected:");
defective!(one_key_for_all_events: RepeatsKeys, ALL, Webhooks "dedupe",
    ["webhooks::parse::dedupe_keys"], "different happenings have different dedupe keys");
defective!(one_key_for_all_events_of_a_kind: MakesAKeyOfWhatHappened, ALL, Webhooks "two_calls",
    ["webhooks::parse::dedupe_keys_of_two_calls"], "of one kind and in two calls too");
defective!(a_field_more_in_a_webhook: RefusesUnknownFields, ALL, Webhooks "unknown_fields",
    ["webhooks::parse::unknown_fields"], "fields that nobody has heard of succeeds");
defective!(a_new_word_that_is_dropped: DropsUnknownWords, ALL, Webhooks "unknown_words",
    ["webhooks::parse::unknown_words"], "is kept: as a raw status");
defective!(a_new_word_that_is_guessed: GuessesUnknownWords, ALL, Webhooks "unknown_words",
    ["webhooks::parse::unknown_words"], "moves no call");
defective!(the_wrong_direction: MistakesTheDirection, ALL, Webhooks "the_life",
    ["webhooks::parse::the_life_of_a_call"], "Outbound, where the direction is said");
defective!(a_length_in_another_unit: CountsInMilliseconds, ALL, Calls "audio_both_ways",
    ["calls::outbound::audio_both_ways"], "a duration of");
defective!(a_time_in_another_zone: IsInAnotherTimeZone, ALL, Webhooks "the_life",
    ["webhooks::parse::the_life_of_a_call"], "a time near");
defective!(another_key_for_each_delivery: MakesAKeyForEachDelivery, ALL, Webhooks "dedupe",
    ["webhooks::parse::dedupe_keys"], "says the same, dedupe keys included");
defective!(a_status_that_moves_backwards: MovesBackwards, ALL, Calls "the_other_side_hangs_up",
    ["calls::end::the_other_side_hangs_up"], "ringing (\"completed\")");
defective!(the_carriers_word_forgotten: ForgetsTheCarriersWord, ALL, Webhooks "the_life",
    ["webhooks::parse::the_life_of_a_call"], "the carrier's word is kept");
defective!(a_caller_without_a_number: ForgetsWhoCalled, ALL, Calls "calls::inbound::is_streamed",
    ["calls::inbound::is_streamed"], "the caller");
defective!(a_caller_without_plus: LeavesThePlusOut, ALL, Calls "calls::inbound::is_streamed",
    ["calls::inbound::is_streamed"], "in E.164, whether or not the carrier writes a +");
defective!(a_call_given_up_taken_for_one_not_answered: TakesGivenUpForNoAnswer, ALL, Calls "given_up",
    ["calls::end::given_up"], "we gave it up before it was answered");
defective!(a_file_played_once: PlaysOnce, ALL, Calls "outbound::play",
    ["calls::outbound::play"], "the file is played twice");
defective!(a_bridge_to_nobody: ConnectsToNobody, ALL, Calls "outbound::bridge",
    ["calls::outbound::bridge"], "the handset is connected to the number");
defective!(another_conference: JoinsAnotherConference, ALL, Calls "outbound::conference",
    ["calls::outbound::conference"], "the conference is joined");
defective!(busy_taken_for_failed: TakesBusyForFailed, ALL, Calls "calls::end::busy",
    ["calls::end::busy"], "expected: Busy");
defective!(a_refusal_not_told: ForgetsThatItWasDeclined, ALL, Calls "calls::end::declined",
    ["calls::end::declined"], "the call was declined");
defective!(nothing_said: SaysNothing, ALL, Answers "answers::say",
    ["answers::say"], "the text is spoken, whole");
defective!(a_stream_to_no_socket: StreamsToAnything, ALL, Answers "answers::stream",
    ["answers::stream"], "names the field url");
defective!(audio_that_is_lost: SwallowsAudio, ALL, Media "audio_out::mu-law",
    ["media::audio_out::mu-law_8000_Hz"], "all the audio arrives, in order");
defective!(a_voice_that_is_not_heard: SpeaksSilence, ALL, Calls "audio_as",
    ["calls::outbound::audio_as_mu-law_8000_Hz"], "the handset hears our tone");
defective!(another_rate_than_announced: SwapsRates, ALL, Media "start",
    ["media::start::mu-law_8000_Hz"], "the format announced");
defective!(parameters_that_do_not_come_back: DropsParameters, ALL, Media "start",
    ["media::start::mu-law_8000_Hz"], "the parameter comes back");
defective!(a_stream_of_another_call: StreamsAnotherCall, ALL, Media "start",
    ["media::start::mu-law_8000_Hz"], "the stream names the call");
defective!(a_member_more_in_a_media_message: RefusesUnknownMembers, ALL, Media "unknown_members",
    ["media::start::unknown_members"], "have a member that nobody has heard of succeeds");
defective!(marks_that_are_not_set: DropsMarks, ALL, Media "marks",
    ["media::marks::there_and_back"], "the mark");
defective!(audio_after_it_was_cleared: KeepsWhatWasCleared, ALL, Media "clear",
    ["media::clear::drops_what_waits"], "nothing that waited is sent after it");
defective!(keys_misheard: MishearsKeys, ALL, Media "digits",
    ["media::digits::every_key"], "the key # is reported");
defective!(audio_before_the_start: SpeaksBeforeTheStart, ALL, Media "nothing_before_it",
    ["media::start::nothing_before_it"], "NotStarted");
defective!(audio_of_any_format: TakesAnyFormat, ALL, Media "of_another_format",
    ["media::audio_out::of_another_format"], "FormatMismatch");

/// A provider that is stuck is given up, and so is its trial, not the run.
mod an_answer_that_never_comes {
    use super::*;

    defective!(it: NeverReturns, ALL, Configuration "none of these", [], "");

    #[test]
    fn is_found() {
        let conformance = Conformance::of(&it::DESCRIPTOR, &it::SIMULATOR).suite(Suite::Rest);
        let report = conformance.longest(Duration::from_secs(2)).report("rest::initiate_call::is_accepted");
        let message = "done within 2s\n  seen:     it waits for something that does not come, or never returns";
        fails(&report, Defect::NeverReturns, &["rest::initiate_call::is_accepted"], message);
    }
}

/// What is not declared is no defect: who cannot hang up is judged by what it can.
mod no_way_to_hang_up {
    use super::*;

    defective!(it: CannotHangUp, LESS, Configuration "none of these", [], "");

    #[test]
    fn is_no_defect() {
        let report = Conformance::of(&it::DESCRIPTOR, &it::SIMULATOR).suite(Suite::Webhooks).report("the_life");
        let failures: Vec<_> = report.trials().iter().filter(|trial| trial.failure.is_some()).collect();
        assert!(failures.is_empty() && !report.trials().is_empty(), "{failures:#?}");
    }
}

/// The configuration of a provider whose author has forgotten `deny_unknown_fields`.
mod a_configuration_that_takes_anything {
    use schemars::{JsonSchema, Schema, SchemaGenerator};
    use serde::{Deserialize, Deserializer};

    use super::*;

    #[derive(Clone, Debug)]
    struct Lax(TwilioConfig);

    impl<'de> Deserialize<'de> for Lax {
        fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
            TwilioConfig::deserialize(input).map(Self)
        }
    }

    impl JsonSchema for Lax {
        fn schema_name() -> std::borrow::Cow<'static, str> {
            "Lax".into()
        }

        fn json_schema(generator: &mut SchemaGenerator) -> Schema {
            let mut schema = TwilioConfig::json_schema(generator);
            schema.remove("additionalProperties");
            schema
        }
    }

    impl ProviderConfig for Lax {
        fn check(&self, problems: &mut Problems) {
            self.0.check(problems);
        }
    }

    struct Factory;

    impl ProviderFactory for Factory {
        type Config = Lax;
        const NAME: ProviderName = NAME;
        const DISPLAY_NAME: &'static str = "Lax";
        const DOCS_URL: &'static str = "https://example.com/";
        const PACKAGE: Package = Package { name: "telephony-twilio", version: "0.1.0" };
        const CAPABILITIES: Capabilities = ALL;
        const MEDIA: MediaProfile = MediaProfile::new(&[AudioFormat::MULAW_8K]);
        const ACCOUNT_ID_FIELD: &'static str = "account_sid";

        fn build(config: Lax, context: ProviderContext) -> Result<Arc<dyn TelephonyProvider>, TelephonyError> {
            build(&config.0, context, Defect::DoesWhatItDoesNotDeclare, &DESCRIPTOR)
        }

        fn identify_webhook(request: &WebhookRequest) -> Option<WebhookIdentity> {
            GOOD.identify_webhook(request)
        }

        fn carrier_media_codec() -> Box<dyn CarrierMediaCodec> {
            GOOD.carrier_media_codec()
        }
    }

    static DESCRIPTOR: ProviderDescriptor = ProviderDescriptor::of::<Factory>();
    static SIMULATOR: SimulatorDescriptor =
        SimulatorDescriptor::new(&DESCRIPTOR, || telephony_twilio::SIMULATOR.build());

    #[test]
    fn is_found() {
        let report = Conformance::of(&DESCRIPTOR, &SIMULATOR).suite(Suite::Configuration).report("schema");
        let trials = ["configuration::schema::refuses_unknown_fields"];
        fails(&report, Defect::DoesWhatItDoesNotDeclare, &trials, "additionalProperties is false");
    }
}

/// A carrier whose signatures have the time in them, and a provider that does not look at it.
mod a_signature_of_yesterday {
    use telephony_telnyx::{DESCRIPTOR as GOOD, TelnyxConfig};

    use super::*;

    struct Factory;

    impl ProviderFactory for Factory {
        type Config = TelnyxConfig;
        const NAME: ProviderName = ProviderName::new("telnyx");
        const DISPLAY_NAME: &'static str = "Timeless";
        const DOCS_URL: &'static str = "https://example.com/";
        const PACKAGE: Package = Package { name: "telephony-telnyx", version: "0.1.0" };
        const CAPABILITIES: Capabilities = Capabilities::new().native(&[Capability::HangUp]);
        const MEDIA: MediaProfile = MediaProfile::new(&[AudioFormat::MULAW_8K]);
        const ACCOUNT_ID_FIELD: &'static str = "connection_id";

        fn build(config: TelnyxConfig, context: ProviderContext) -> Result<Arc<dyn TelephonyProvider>, TelephonyError> {
            let account = serde_json::json!({
                "api_key": config.api_key.expose(), "public_key": config.public_key,
                "connection_id": config.connection_id, "api_base_url": config.api_base_url,
            });
            let good = GOOD.build(&account, context)?;
            let defect = Defect::IgnoresTheTime;
            Ok(Arc::new(Defective { good, secret: String::new(), defect, descriptor: &DESCRIPTOR }))
        }

        fn identify_webhook(request: &WebhookRequest) -> Option<WebhookIdentity> {
            GOOD.identify_webhook(request)
        }

        fn carrier_media_codec() -> Box<dyn CarrierMediaCodec> {
            GOOD.carrier_media_codec()
        }
    }

    static DESCRIPTOR: ProviderDescriptor = ProviderDescriptor::of::<Factory>();
    static SIMULATOR: SimulatorDescriptor =
        SimulatorDescriptor::new(&DESCRIPTOR, || telephony_telnyx::SIMULATOR.build());

    #[test]
    fn is_found() {
        let report = Conformance::of(&DESCRIPTOR, &SIMULATOR).suite(Suite::Webhooks).report("old_signature");
        let message = "a signature with its time in it, and of yesterday, is refused with 403";
        fails(&report, Defect::IgnoresTheTime, &["webhooks::verify::an_old_signature"], message);
    }
}

#[test]
fn a_good_provider_passes_all_of_this() {
    let good = Conformance::of(&GOOD, &telephony_twilio::SIMULATOR).suite(Suite::Configuration).suite(Suite::Media);
    let report = good.report("");
    let failures: Vec<_> = report.trials().iter().filter(|report| report.failure.is_some()).collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn a_report_is_of_its_form_and_says_whether_it_is_whole() {
    let schema = jsonschema::validator_for(&serde_json::from_str(Report::SCHEMA).unwrap()).unwrap();
    let of_its_form = |report: &Report| {
        let problems: Vec<_> = schema.iter_errors(report.as_json()).map(|error| error.to_string()).collect();
        assert!(problems.is_empty(), "{problems:?}");
    };
    let conformance = Conformance::of(&GOOD, &telephony_twilio::SIMULATOR).suite(Suite::Configuration);
    let part = conformance.clone().report("configuration::");
    of_its_form(&part);
    let json = part.as_json();
    assert_eq!((&json["format"], &json["complete"], &json["failed"]), (&1.into(), &false.into(), &0.into()));
    assert_eq!(json["passed"], part.trials().len());
    let less = conformance.report("configuration::check::");
    let not_run = |report: &Report| report.as_json()["not_run"].as_u64().unwrap();
    let count = |report: &Report| report.trials().len() as u64;
    assert_eq!(not_run(&part) + count(&part), not_run(&less) + count(&less));
    assert!(not_run(&part) > 100 && count(&less) > 0);
    let mut failed = part.trials().to_vec();
    failed[0].failure = Some("expected: this\n  seen:     that\n  specified: there".to_owned());
    let whole = Report::new(&GOOD, failed, 0);
    of_its_form(&whole);
    assert_eq!(whole.as_json()["complete"], true);
    assert_eq!(whole.as_json()["trials"][0]["expected"], "this");
}

#[test]
fn every_trial_says_what_it_is_about() {
    let schema = Conformance::of(&GOOD, &telephony_twilio::SIMULATOR).suite(Suite::Faults).report("faults::hang_up");
    let about: Vec<_> = schema.trials().iter().map(|trial| trial.capability).collect();
    assert_eq!(about, vec![Some(Capability::HangUp); about.len()]);
    assert!(!about.is_empty());
}
