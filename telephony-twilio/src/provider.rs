//! The provider: one short method for each operation, in the words of the other rooms.

use std::collections::BTreeMap;

use telephony_core::{
    AccountInfo, CallCost, CallEvent, CallId, CallInstruction, CallRef, CallSnapshot, CallStatus, CarrierMessage,
    ConfigError, DigitSequence, HangUp, InboundBinding, InboundConfigured, InitiatedCall, LegOwner, MediaCodec,
    Operation, OutboundCall, OwnedNumber, Problems, ProviderConfig, ProviderContext, ProviderDescriptor, RecordingRef,
    RecordingRequest, TelephonyError, TelephonyProvider, Transfer, TransferRequest, VerifiedWebhook, WebhookError,
    WebhookRequest, WebhookResponse, async_trait, http::HttpClient,
};

use crate::{
    DESCRIPTOR, NAME, TwilioConfig, answer,
    api::{self, Api, Form, Number},
    error,
    media::TwilioMedia,
    signature,
    webhook::{self, ANSWER_URL, status_of},
};

/// One Twilio account.
#[derive(Clone, Debug)]
pub(crate) struct TwilioProvider {
    config: TwilioConfig,
    api: Api,
}

impl TwilioProvider {
    pub(crate) fn new(config: TwilioConfig, context: ProviderContext) -> Self {
        let timeout = std::time::Duration::from_secs(config.timeout_secs.get().into());
        let policy = context.http_policy.at_most(timeout);
        let http = HttpClient::new(NAME, context.transport, policy, error::map);
        let api = Api::new(http, config.clone());
        Self { config, api }
    }
}

#[async_trait]
impl TelephonyProvider for TwilioProvider {
    fn descriptor(&self) -> &'static ProviderDescriptor {
        &DESCRIPTOR
    }

    fn validate_config(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        self.config.check(&mut problems);
        problems.into_result(NAME)
    }

    async fn initiate_call(&self, call: &OutboundCall) -> Result<InitiatedCall, TelephonyError> {
        DESCRIPTOR.require(call.capabilities())?;
        let created = self.api.create_call(api::call_form(call)?).await?;
        let sid = CallId::new(created.sid).map_err(|error| TelephonyError::OutcomeUnknown {
            provider: NAME,
            operation: Operation::InitiateCall,
            source: error.into(),
        })?;
        let raw = created.status.unwrap_or_default();
        let reference = CallRef::new(sid).with_handle(ANSWER_URL, call.urls.answer.as_str());
        Ok(InitiatedCall::new(reference, status_of(&raw).unwrap_or(CallStatus::Queued), raw))
    }

    async fn get_call_status(&self, call: &CallRef) -> Result<CallSnapshot, TelephonyError> {
        let (found, response) = self.api.call(Operation::GetCallStatus, id(Operation::GetCallStatus, call)?).await?;
        found.snapshot(call).map_err(|reason| response.unexpected(reason))
    }

    async fn get_call_cost(&self, call: &CallRef) -> Result<CallCost, TelephonyError> {
        let (found, response) = self.api.call(Operation::GetCallCost, id(Operation::GetCallCost, call)?).await?;
        found.cost().map_err(|reason| response.unexpected(reason))
    }

    async fn get_available_phone_numbers(&self) -> Result<Vec<OwnedNumber>, TelephonyError> {
        let operation = Operation::GetAvailablePhoneNumbers;
        let owned = self.api.incoming_numbers(operation, None).await?;
        let verified = match self.api.verified_caller_ids(operation).await {
            // A restricted API key may list the account's numbers and not these.
            Err(TelephonyError::PermissionDenied { .. } | TelephonyError::NotFound { .. }) => Vec::new(),
            other => other?,
        };
        let mut numbers = BTreeMap::new();
        for number in owned.iter().chain(&verified) {
            // Short codes and the like are no E.164 numbers: nobody can be called from them.
            if let Ok(e164) = number.phone_number.parse() {
                numbers.entry(number.phone_number.clone()).or_insert_with(|| owned_number(number, e164));
            }
        }
        Ok(numbers.into_values().collect())
    }

    async fn check_account(&self) -> Result<AccountInfo, TelephonyError> {
        let with_key = self.config.api_key_sid.is_some();
        match self.api.account().await {
            // Standard API keys may not ask for the account, and are told what a wrong secret is told.
            Err(TelephonyError::Authentication { .. } | TelephonyError::PermissionDenied { .. }) if with_key => {
                self.api.probe().await?;
                let mut info = AccountInfo::new(&self.config.account_sid);
                info.notes.push("The API key may not read the account, so its state is not known.".to_owned());
                info.notes.push(TOKEN_UNCHECKED.to_owned());
                Ok(info)
            }
            outcome => account_info(outcome?, with_key),
        }
    }

    fn verify_webhook_signature(&self, request: WebhookRequest) -> Result<VerifiedWebhook, WebhookError> {
        signature::verify(request, &self.config.auth_token, &self.config.account_sid)
    }

    fn parse_webhook(&self, webhook: &VerifiedWebhook) -> Result<Vec<CallEvent>, WebhookError> {
        webhook::parse(webhook)
    }

    async fn get_webhook_response(
        &self,
        _: &CallRef,
        instruction: &CallInstruction,
    ) -> Result<WebhookResponse, TelephonyError> {
        answer::response(instruction)
    }

    fn media_codec(&self) -> Box<dyn MediaCodec> {
        Box::new(TwilioMedia::default())
    }

    async fn hang_up(&self, call: &CallRef) -> Result<HangUp, TelephonyError> {
        match self.api.complete_call(id(Operation::HangUp, call)?).await {
            Ok(()) => Ok(HangUp::Ended),
            Err(TelephonyError::NotFound { .. }) => Ok(HangUp::AlreadyEnded),
            Err(error) => Err(error),
        }
    }

    async fn instruct(&self, call: &CallRef, instruction: &CallInstruction) -> Result<(), TelephonyError> {
        let twiml = answer::document(Operation::Instruct, instruction)?;
        self.api.update_call(Operation::Instruct, id(Operation::Instruct, call)?, &twiml).await
    }

    async fn transfer_call(&self, transfer: &TransferRequest) -> Result<Transfer, TelephonyError> {
        let twiml = answer::transfer(transfer);
        let sid = id(Operation::TransferCall, &transfer.call)?;
        self.api.update_call(Operation::TransferCall, sid, &twiml).await?;
        Ok(Transfer::new(LegOwner::Carrier, true))
    }

    async fn send_digits(&self, call: &CallRef, digits: &DigitSequence) -> Result<(), TelephonyError> {
        let operation = Operation::SendDigits;
        let sid = id(operation, call)?;
        let Some(answer_url) = call.handle(ANSWER_URL) else {
            let reason = "does not say its answer URL, and without one the call would end after the digits";
            return Err(TelephonyError::invalid_request(NAME, operation, "call", reason));
        };
        self.api.update_call(operation, sid, &answer::digits(digits.as_str(), answer_url)).await
    }

    async fn start_recording(&self, call: &CallRef, how: &RecordingRequest) -> Result<RecordingRef, TelephonyError> {
        let recording = self.api.start_recording(id(Operation::StartRecording, call)?, how).await?;
        Ok(RecordingRef { call: call.clone(), id: Some(recording.sid) })
    }

    async fn stop_recording(&self, recording: &RecordingRef) -> Result<(), TelephonyError> {
        let sid = id(Operation::StopRecording, &recording.call)?;
        self.api.stop_recording(sid, recording.id.as_deref()).await
    }

    async fn configure_inbound(&self, binding: &InboundBinding) -> Result<InboundConfigured, TelephonyError> {
        let operation = Operation::ConfigureInbound;
        // The filter finds parts of numbers too.
        let found = self.api.incoming_numbers(operation, Some(&binding.number)).await?;
        let number = found.into_iter().find(|number| number.phone_number == binding.number.as_e164());
        let number = number.ok_or_else(|| TelephonyError::NotFound {
            provider: NAME,
            operation,
            carrier: CarrierMessage::default().with_message("the account has no such number"),
        })?;
        self.api.update_number(&number.sid, inbound_form(binding, &number)).await?;
        let mut outcome = InboundConfigured::alone();
        if let Some(application) = number.voice_application_sid.filter(|_| binding.urls.is_some()) {
            outcome = outcome.and(format!("The number is no longer answered by the TwiML application {application}."));
        }
        if let Some(trunk) = number.trunk_sid.filter(|_| binding.urls.is_some()) {
            outcome = outcome.and(format!("The number is no longer answered by the SIP trunk {trunk}."));
        }
        Ok(outcome)
    }
}

/// Said of an account that is asked with an API key.
const TOKEN_UNCHECKED: &str = "The Auth Token is not checked by this; the first webhook will show whether it is right.";

fn id(operation: Operation, call: &CallRef) -> Result<&CallId, TelephonyError> {
    call.id().ok_or_else(|| TelephonyError::invalid_request(NAME, operation, "call", "has no id yet"))
}

fn owned_number(number: &Number, e164: telephony_core::PhoneNumber) -> OwnedNumber {
    let mut owned = OwnedNumber::new(e164);
    owned.provider_id = Some(number.sid.clone());
    owned.label = number.friendly_name.clone();
    owned.voice = number.has_voice();
    owned.answer_url = number.voice_url.clone();
    owned
}

fn account_info(account: api::Account, with_key: bool) -> Result<AccountInfo, TelephonyError> {
    if let Some(status @ ("suspended" | "closed")) = account.status.as_deref() {
        return Err(TelephonyError::PermissionDenied {
            provider: NAME,
            operation: Operation::CheckAccount,
            carrier: CarrierMessage::default().with_message(&format!("the account is {status}")),
        });
    }
    let mut info = AccountInfo::new(account.sid);
    info.name = account.friendly_name;
    if account.kind.as_deref() == Some("Trial") {
        info.notes.push("It is a trial account: it calls verified numbers only.".to_owned());
    }
    if with_key {
        info.notes.push(TOKEN_UNCHECKED.to_owned());
    }
    Ok(info)
}

/// An application or trunk overrules the URLs, so one that is set is taken out when URLs are put in. An empty text clears.
fn inbound_form(binding: &InboundBinding, number: &Number) -> Form {
    let Some(urls) = &binding.urls else {
        return vec![("VoiceUrl", String::new()), ("StatusCallback", String::new())];
    };
    let mut form = vec![
        ("VoiceUrl", urls.answer.to_string()),
        ("VoiceMethod", "POST".to_owned()),
        ("StatusCallback", urls.events.to_string()),
        ("StatusCallbackMethod", "POST".to_owned()),
    ];
    form.extend(number.voice_application_sid.is_some().then(|| ("VoiceApplicationSid", String::new())));
    form.extend(number.trunk_sid.is_some().then(|| ("TrunkSid", String::new())));
    form
}
