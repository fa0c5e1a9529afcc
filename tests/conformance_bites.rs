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
};

use telephony_core::{
    AccountInfo, CallCost, CallEvent, CallEventKind, CallInstruction, CallRef, CallSnapshot, CallState, CallStatus,
    Capabilities, Capability, CarrierMediaCodec, ConfigError, DigitSequence, HangUp, InboundBinding, InboundConfigured,
    InitiatedCall, MediaCodec, MediaCommand, MediaError, MediaEvent, MediaProfile, Money, OutboundCall, OwnedNumber,
    Package, ProviderContext, ProviderDescriptor, ProviderFactory, ProviderName, RecordingRef, RecordingRequest,
    ReportedAddress, Secret, StatusChange, TelephonyError, TelephonyProvider, Transfer, TransferRequest,
    VerifiedWebhook, WebhookError, WebhookIdentity, WebhookRequest, WebhookResponse, WireBuffer, WireMessage,
    async_trait,
    audio::{AudioFormat, AudioFrame},
    signing,
};
use telephony_sandbox::SimulatorDescriptor;
use telephony_testkit::{Conformance, Suite};
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
    KnowsEveryCall,
    ReadsTheFirstPageOnly,
    TakesNoNumbersForAnError,
    CostsNothingWhileUnknown,
    PaysTheCaller,
    FailsToHangUpTwice,
    FailsOnACallThatIsOver,
    DoesWhatItDoesNotDeclare,
    DeclaresWhatItCannot,
    // Webhooks
    TakesAnyWebhook,
    TakesTheUnsigned,
    IgnoresTheBody,
    ServesOtherAccounts,
    SignsInAnotherOrder,
    ClaimsEveryWebhook,
    ClaimsNoWebhook,
    RepeatsKeys,
    MakesAKeyForEachDelivery,
    MovesBackwards,
    ForgetsTheCarriersWord,
    ForgetsWhoCalled,
    TakesBusyForFailed,
    ForgetsThatItWasDeclined,
    // Answers
    SaysNothing,
    StreamsToAnything,
    // Media
    SwallowsAudio,
    SwapsRates,
    DropsParameters,
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
        if self.defect == Defect::DropsTheRingTimeout {
            call.ring_timeout = None;
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
        let taken = || {
            let proof = signing::verify_shared_secret(&Secret::new("x"), "x").unwrap();
            VerifiedWebhook::new(request.clone(), proof)
        };
        match (self.defect, self.good.verify_webhook_signature(request.clone())) {
            (Defect::TakesAnyWebhook, Err(_))
            | (Defect::TakesTheUnsigned, Err(WebhookError::Unsigned { .. }))
            | (Defect::IgnoresTheBody, Err(WebhookError::BadSignature { .. }))
            | (Defect::ServesOtherAccounts, Err(WebhookError::WrongAccount { .. })) => Ok(taken()),
            (Defect::SignsInAnotherOrder, Ok(_)) => Err(WebhookError::BadSignature { reason: "another order" }),
            (_, outcome) => outcome,
        }
    }

    fn parse_webhook(&self, webhook: &VerifiedWebhook) -> Result<Vec<CallEvent>, WebhookError> {
        let mut events = self.good.parse_webhook(webhook)?;
        for event in &mut events {
            match self.defect {
                Defect::RepeatsKeys => event.dedupe_key = event.call.to_string(),
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
        let instruction = match (self.defect, instruction) {
            (Defect::SaysNothing, CallInstruction::Say(_)) => &CallInstruction::HangUp,
            (_, instruction) => instruction,
        };
        match self.good.get_webhook_response(call, instruction).await {
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
            outcome => outcome,
        }
    }

    async fn hang_up(&self, call: &CallRef) -> Result<HangUp, TelephonyError> {
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
        self.good.transfer_call(transfer).await
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
        self.good.configure_inbound(binding).await
    }
}

/// What a defect makes of a status.
fn spoil(defect: Defect, change: &mut StatusChange) {
    match (defect, change.status) {
        (Defect::MovesBackwards, Some(CallStatus::Completed)) => change.status = Some(CallStatus::Ringing),
        (Defect::TakesBusyForFailed, Some(CallStatus::Busy)) => change.status = Some(CallStatus::Failed),
        (Defect::ForgetsThatItWasDeclined, _) => change.refusal = None,
        (Defect::ForgetsTheCarriersWord, _) => change.raw_status.clear(),
        _ => {}
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
        Ok(match (self.defect, self.good.decode(message)?) {
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
    let good = GOOD.build(&account, context)?;
    let secret = config.auth_token.expose().to_owned();
    Ok(Arc::new(Defective { good, secret, defect, descriptor }))
}

macro_rules! defective {
    ($module:ident: $defect:ident, $capabilities:expr, $suite:ident $filter:literal, [$($trial:literal),+], $message:literal) => {
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

            static DESCRIPTOR: ProviderDescriptor = ProviderDescriptor::of::<Factory>();
            static SIMULATOR: SimulatorDescriptor =
                SimulatorDescriptor::new(&DESCRIPTOR, || telephony_twilio::SIMULATOR.build());

            /// Every trial that must fail does, and says what is wrong.
            #[test]
            fn is_found() {
                let reports = Conformance::of(&DESCRIPTOR, &SIMULATOR).suite(Suite::$suite).report($filter);
                let failures: BTreeMap<_, _> =
                    reports.into_iter().filter_map(|report| Some((report.name, report.failure?))).collect();
                for trial in [$($trial),+] {
                    let failure = failures.get(trial).unwrap_or_else(|| panic!("{trial} passed; failed: {failures:?}"));
                    let message = failure.split_once("\n  specified: ").unwrap().0;
                    assert!(message.contains($message), "{trial}: {message}");
                    let shown: String = message.chars().take(300).collect();
                    println!("{:?}\n{trial}\n{shown}\n", Defect::$defect);
                }
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
    Capability::Say,
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
defective!(another_key_for_each_delivery: MakesAKeyForEachDelivery, ALL, Webhooks "dedupe",
    ["webhooks::parse::dedupe_keys"], "says the same, dedupe keys included");
defective!(a_status_that_moves_backwards: MovesBackwards, ALL, Calls "the_other_side_hangs_up",
    ["calls::end::the_other_side_hangs_up"], "the end is reported");
defective!(the_carriers_word_forgotten: ForgetsTheCarriersWord, ALL, Webhooks "the_life",
    ["webhooks::parse::the_life_of_a_call"], "the carrier's word is kept");
defective!(a_caller_without_a_number: ForgetsWhoCalled, ALL, Calls "calls::inbound::is_streamed",
    ["calls::inbound::is_streamed"], "the caller");
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
defective!(another_rate_than_announced: SwapsRates, ALL, Media "start",
    ["media::start::mu-law_8000_Hz"], "the format announced");
defective!(parameters_that_do_not_come_back: DropsParameters, ALL, Media "start",
    ["media::start::mu-law_8000_Hz"], "the parameter comes back");
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

#[test]
fn a_good_provider_passes_all_of_this() {
    let good = Conformance::of(&GOOD, &telephony_twilio::SIMULATOR).suite(Suite::Configuration).suite(Suite::Media);
    let failures: Vec<_> = good.report("").into_iter().filter(|report| report.failure.is_some()).collect();
    assert_eq!(failures, []);
}
