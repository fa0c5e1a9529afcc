//! The conformance suite finds what it looks for: a good provider with one defect put in fails the trial for that defect.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{fmt, sync::Arc};

use telephony_core::{
    AccountInfo, CallCost, CallEvent, CallInstruction, CallRef, CallSnapshot, Capabilities, Capability,
    CarrierMediaCodec, ConfigError, DigitSequence, HangUp, InboundBinding, InboundConfigured, InitiatedCall,
    MediaCodec, MediaCommand, MediaError, MediaEvent, MediaProfile, Money, OutboundCall, OwnedNumber, Package,
    ProviderContext, ProviderDescriptor, ProviderFactory, ProviderName, RecordingRef, RecordingRequest, Secret,
    TelephonyError, TelephonyProvider, Transfer, TransferRequest, VerifiedWebhook, WebhookError, WebhookIdentity,
    WebhookRequest, WebhookResponse, WireBuffer, WireMessage, async_trait, audio::AudioFormat, signing,
};
use telephony_sandbox::SimulatorDescriptor;
use telephony_testkit::{Conformance, Suite};
use telephony_twilio::{DESCRIPTOR as GOOD, TwilioConfig};

/// What is wrong with a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    ShowsItsSecrets,
    TakesAnyWebhook,
    RepeatsKeys,
    CallsTwice,
    CostsNothingWhileUnknown,
    FailsToHangUpTwice,
    DoesWhatItDoesNotDeclare,
    DeclaresWhatItCannot,
    SwallowsAudio,
}

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
        match self.good.initiate_call(call).await {
            Err(TelephonyError::OutcomeUnknown { .. }) if self.defect == Defect::CallsTwice => {
                self.good.initiate_call(call).await
            }
            outcome => outcome,
        }
    }

    async fn get_call_status(&self, call: &CallRef) -> Result<CallSnapshot, TelephonyError> {
        self.good.get_call_status(call).await
    }

    async fn get_available_phone_numbers(&self) -> Result<Vec<OwnedNumber>, TelephonyError> {
        self.good.get_available_phone_numbers().await
    }

    async fn check_account(&self) -> Result<AccountInfo, TelephonyError> {
        self.good.check_account().await
    }

    fn verify_webhook_signature(&self, request: WebhookRequest) -> Result<VerifiedWebhook, WebhookError> {
        if self.defect == Defect::TakesAnyWebhook {
            let proof = signing::verify_shared_secret(&Secret::new("x"), "x").unwrap();
            return Ok(VerifiedWebhook::new(request, proof));
        }
        self.good.verify_webhook_signature(request)
    }

    fn parse_webhook(&self, webhook: &VerifiedWebhook) -> Result<Vec<CallEvent>, WebhookError> {
        let mut events = self.good.parse_webhook(webhook)?;
        if self.defect == Defect::RepeatsKeys {
            events.iter_mut().for_each(|event| event.dedupe_key = event.call.to_string());
        }
        Ok(events)
    }

    async fn get_webhook_response(
        &self,
        call: &CallRef,
        instruction: &CallInstruction,
    ) -> Result<WebhookResponse, TelephonyError> {
        self.good.get_webhook_response(call, instruction).await
    }

    fn media_codec(&self) -> Box<dyn MediaCodec> {
        match self.defect {
            Defect::SwallowsAudio => Box::new(Swallowing(self.good.media_codec())),
            _ => self.good.media_codec(),
        }
    }

    async fn get_call_cost(&self, call: &CallRef) -> Result<CallCost, TelephonyError> {
        match self.good.get_call_cost(call).await {
            Ok(CallCost::Pending) if self.defect == Defect::CostsNothingWhileUnknown => {
                Ok(CallCost::rated(Money::parse("0", "USD").unwrap()))
            }
            outcome => outcome,
        }
    }

    async fn hang_up(&self, call: &CallRef) -> Result<HangUp, TelephonyError> {
        match self.good.hang_up(call).await {
            Ok(HangUp::AlreadyEnded) if self.defect == Defect::FailsToHangUpTwice => Ok(HangUp::Ended),
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

/// A codec that loses a byte of every piece of audio.
#[derive(Debug)]
struct Swallowing(Box<dyn MediaCodec>);

impl MediaCodec for Swallowing {
    fn decode<'a>(&'a mut self, message: WireMessage<'a>) -> Result<MediaEvent<'a>, MediaError> {
        self.0.decode(message)
    }

    fn encode(&mut self, command: MediaCommand<'_>, out: &mut WireBuffer) -> Result<(), MediaError> {
        if let MediaCommand::Audio(frame) = command
            && let [_, rest @ ..] = frame.bytes()
            && let Ok(shorter) = telephony_core::audio::AudioFrame::new(frame.format(), rest)
        {
            return self.0.encode(MediaCommand::Audio(shorter), out);
        }
        self.0.encode(command, out)
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
    ($module:ident, $defect:ident, $capabilities:expr) => {
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
                    GOOD.identify_webhook(request)
                }

                fn carrier_media_codec() -> Box<dyn CarrierMediaCodec> {
                    GOOD.carrier_media_codec()
                }
            }

            static DESCRIPTOR: ProviderDescriptor = ProviderDescriptor::of::<Factory>();
            static SIMULATOR: SimulatorDescriptor =
                SimulatorDescriptor::new(&DESCRIPTOR, || telephony_twilio::SIMULATOR.build());

            /// The names of the trials of this suite, among those with this in their name, that fail.
            pub(super) fn failures(suite: Suite, filter: &str) -> Vec<String> {
                let reports = Conformance::of(&DESCRIPTOR, &SIMULATOR).suite(suite).report(filter);
                assert!(!reports.is_empty(), "no trial is called {filter}");
                reports.into_iter().filter(|report| report.failure.is_some()).map(|report| report.name).collect()
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

defective!(shows_its_secrets, ShowsItsSecrets, ALL);
defective!(takes_any_webhook, TakesAnyWebhook, ALL);
defective!(repeats_keys, RepeatsKeys, ALL);
defective!(calls_twice, CallsTwice, ALL);
defective!(costs_nothing, CostsNothingWhileUnknown, ALL);
defective!(fails_to_hang_up_twice, FailsToHangUpTwice, ALL);
defective!(does_what_it_does_not_declare, DoesWhatItDoesNotDeclare, LESS);
defective!(declares_what_it_cannot, DeclaresWhatItCannot, MORE);
defective!(swallows_audio, SwallowsAudio, ALL);

#[test]
fn a_secret_in_debug() {
    assert_eq!(
        shows_its_secrets::failures(Suite::Configuration, "secrets"),
        ["configuration::secrets::are_never_shown"]
    );
}

#[test]
fn a_check_of_signatures_that_checks_nothing() {
    let failures = takes_any_webhook::failures(Suite::Webhooks, "webhooks::verify");
    for trial in ["a_changed_body", "no_signature", "another_key", "another_account", "signatures_of_others"] {
        assert!(failures.contains(&format!("webhooks::verify::{trial}")), "{trial} passed; {failures:?} did not");
    }
}

#[test]
fn one_key_for_all_events() {
    assert_eq!(repeats_keys::failures(Suite::Webhooks, "dedupe"), ["webhooks::parse::dedupe_keys"]);
}

#[test]
fn a_second_call_after_an_unknown_outcome() {
    let failures = calls_twice::failures(Suite::Faults, "faults::initiate_call");
    for trial in ["status_500", "no_answer"] {
        assert!(failures.contains(&format!("faults::initiate_call::{trial}")), "{trial} passed; {failures:?} did not");
    }
}

#[test]
fn a_price_of_nothing_for_a_call_that_is_not_rated() {
    assert_eq!(costs_nothing::failures(Suite::Rest, "get_call_cost"), ["rest::get_call_cost"]);
}

#[test]
fn a_call_that_is_hung_up_twice() {
    assert_eq!(fails_to_hang_up_twice::failures(Suite::Rest, "hang_up"), ["rest::hang_up"]);
}

#[test]
fn something_done_that_is_not_declared() {
    assert_eq!(does_what_it_does_not_declare::failures(Suite::Rest, "rest::hang_up"), ["rest::hang_up"]);
    assert_eq!(
        does_what_it_does_not_declare::failures(Suite::Answers, "answers::say"),
        ["answers::say", "answers::say_then_ask"]
    );
}

#[test]
fn something_declared_that_is_not_done() {
    assert_eq!(
        declares_what_it_cannot::failures(Suite::Rest, "with_caller_name"),
        ["rest::initiate_call::with_caller_name"]
    );
}

#[test]
fn audio_that_is_lost() {
    assert_eq!(swallows_audio::failures(Suite::Media, "audio_out::mu-law"), ["media::audio_out::mu-law_8000_Hz"]);
}

#[test]
fn a_good_provider_passes_all_of_this() {
    let good = Conformance::of(&GOOD, &telephony_twilio::SIMULATOR).suite(Suite::Configuration).suite(Suite::Media);
    let failures: Vec<_> = good.report("").into_iter().filter(|report| report.failure.is_some()).collect();
    assert_eq!(failures, []);
}
