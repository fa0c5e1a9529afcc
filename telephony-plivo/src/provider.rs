//! The provider: one short method for each operation, in the words of the other rooms.

use std::time::Duration;

use telephony_core::{
    AccountInfo, Bridge, CallCost, CallEvent, CallInstruction, CallRef, CallSnapshot, CallStatus, CarrierMessage,
    ConfigError, DigitSequence, Due, HangUp, InboundBinding, InboundConfigured, InboundUrls, InitiatedCall, LegOwner,
    MediaCodec, Money, Operation, OutboundCall, OwnedNumber, Problems, ProviderConfig, ProviderContext,
    ProviderDescriptor, RecordingRef, RecordingRequest, TelephonyError, TelephonyProvider, Transfer, TransferRequest,
    VerifiedWebhook, WebhookError, WebhookRequest, WebhookResponse, async_trait, http::HttpClient,
};

use crate::{
    DESCRIPTOR, NAME, PlivoConfig, answer,
    api::{self, Api, Number, found, name_of},
    error,
    media::PlivoMedia,
    signature,
    webhook::{self, ANSWER_URL, REQUEST},
};

/// One Plivo account.
#[derive(Clone, Debug)]
pub(crate) struct PlivoProvider {
    config: PlivoConfig,
    api: Api,
}

impl PlivoProvider {
    pub(crate) fn new(config: PlivoConfig, context: ProviderContext) -> Self {
        let policy = context.http_policy.at_most(Duration::from_secs(config.timeout_secs.get().into()));
        let http = HttpClient::new(NAME, context.transport, policy, error::map);
        let api = Api::new(http, config.clone());
        Self { config, api }
    }
}

#[async_trait]
impl TelephonyProvider for PlivoProvider {
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
        let (created, response) = self.api.create_call(&api::call_body(call)?).await?;
        let request = created.request().ok_or_else(|| response.unexpected("request_uuid is missing"))?;
        // The call's own id comes with the first webhook.
        let call = CallRef::unnamed().with_handle(REQUEST, request).with_handle(ANSWER_URL, call.urls.answer.as_str());
        Ok(InitiatedCall::new(call, CallStatus::Queued, created.message))
    }

    async fn get_call_status(&self, call: &CallRef) -> Result<CallSnapshot, TelephonyError> {
        let operation = Operation::GetCallStatus;
        let name = name_of(operation, call)?;
        if let Some(live) = self.api.live_call(operation, name).await? {
            return Ok(live.snapshot(call));
        }
        // Calls beyond the account's rate wait: until it is dialled, no webhook has named this one.
        if call.id().is_none()
            && let Some(queued) = self.api.queued_call(operation, name).await?
        {
            return Ok(queued.snapshot(call));
        }
        match self.api.record_of(operation, name).await {
            Ok((record, response)) => {
                record.snapshot(call, self.config.currency).map_err(|reason| response.unexpected(reason))
            }
            Err(error @ TelephonyError::NotFound { .. }) if call.id().is_none() => {
                let other_name = self.api.live_call_of(operation, name).await?;
                other_name.map(|live| live.snapshot(call)).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    async fn get_call_cost(&self, call: &CallRef) -> Result<CallCost, TelephonyError> {
        let operation = Operation::GetCallCost;
        let name = name_of(operation, call)?;
        match self.api.record_of(operation, name).await {
            Ok((record, response)) => record.cost(self.config.currency).map_err(|reason| response.unexpected(reason)),
            // There is no record before the end.
            Err(error @ TelephonyError::NotFound { .. }) => {
                self.api.live_call(operation, name).await?.map(|_| CallCost::Pending).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    async fn get_available_phone_numbers(&self) -> Result<Vec<OwnedNumber>, TelephonyError> {
        let numbers = self.api.numbers(Operation::GetAvailablePhoneNumbers).await?;
        Ok(numbers.iter().filter_map(owned_number).collect())
    }

    async fn check_account(&self) -> Result<AccountInfo, TelephonyError> {
        let account = self.api.account().await?;
        let mut info = AccountInfo::new(account.auth_id);
        info.name = account.name;
        info.balance =
            account.cash_credits.and_then(|credits| Money::parse(&credits, self.config.currency.code()).ok());
        if account.account_type.as_deref() == Some("developer") {
            info.notes.push("It is a trial account: it calls verified numbers only.".to_owned());
        }
        if self.config.application_id.is_none() {
            info.notes.push("No application is configured: numbers cannot be pointed at us.".to_owned());
        }
        Ok(info)
    }

    fn verify_webhook_signature(&self, request: WebhookRequest) -> Result<VerifiedWebhook, WebhookError> {
        signature::verify(request, &self.config.auth_token, &self.config.auth_id)
    }

    fn parse_webhook(&self, webhook: &VerifiedWebhook) -> Result<Vec<CallEvent>, WebhookError> {
        webhook::parse(webhook, self.config.currency)
    }

    async fn get_webhook_response(
        &self,
        _: &CallRef,
        instruction: &CallInstruction,
    ) -> Result<WebhookResponse, TelephonyError> {
        answer::response(instruction)
    }

    fn media_codec(&self) -> Box<dyn MediaCodec> {
        Box::new(PlivoMedia::default())
    }

    async fn hang_up(&self, call: &CallRef) -> Result<HangUp, TelephonyError> {
        let name = name_of(Operation::HangUp, call)?;
        if call.id().is_none() && found(self.api.cancel(name).await)?.is_some() {
            // It still waited to be dialled.
            return Ok(HangUp::Ended);
        }
        match self.api.hang_up(name).await {
            Ok(()) => Ok(HangUp::Ended),
            Err(TelephonyError::NotFound { .. }) if call.id().is_some() => Ok(HangUp::AlreadyEnded),
            // It may be up under its own name, and has not ended for not being known by its request's.
            Err(error @ TelephonyError::NotFound { .. }) => {
                let other_name = self.api.live_call_of(Operation::HangUp, name).await?;
                let other_name = other_name.and_then(|live| live.call_uuid).ok_or(error)?;
                let ended = found(self.api.hang_up(&other_name).await)?;
                Ok(if ended.is_some() { HangUp::Ended } else { HangUp::AlreadyEnded })
            }
            Err(error) => Err(error),
        }
    }

    async fn instruct(&self, call: &CallRef, instruction: &CallInstruction) -> Result<(), TelephonyError> {
        self.send_to(Operation::Instruct, call, instruction).await
    }

    async fn transfer_call(&self, transfer: &TransferRequest) -> Result<Transfer, TelephonyError> {
        let mut bridge = Bridge::to(transfer.to.clone());
        bridge.caller_id = transfer.caller_id.clone();
        bridge.ring_timeout = transfer.ring_timeout;
        bridge.events = transfer.events.clone();
        self.send_to(Operation::TransferCall, &transfer.call, &CallInstruction::Bridge(bridge)).await?;
        Ok(Transfer::new(LegOwner::Carrier, true))
    }

    async fn send_digits(&self, call: &CallRef, digits: &DigitSequence) -> Result<(), TelephonyError> {
        self.api.send_digits(name_of(Operation::SendDigits, call)?, digits.as_str()).await
    }

    async fn start_recording(&self, call: &CallRef, how: &RecordingRequest) -> Result<RecordingRef, TelephonyError> {
        let recording = self.api.start_recording(name_of(Operation::StartRecording, call)?, how).await?;
        Ok(RecordingRef { call: call.clone(), id: recording.recording_id })
    }

    async fn stop_recording(&self, recording: &RecordingRef) -> Result<(), TelephonyError> {
        self.api.stop_recording(name_of(Operation::StopRecording, &recording.call)?).await
    }

    async fn configure_inbound(&self, binding: &InboundBinding) -> Result<InboundConfigured, TelephonyError> {
        let operation = Operation::ConfigureInbound;
        let numbers = self.api.numbers(operation).await?;
        let number = numbers.iter().find(|known| known.e164().as_ref() == Some(&binding.number));
        let number = number.ok_or_else(|| TelephonyError::NotFound {
            provider: NAME,
            operation,
            carrier: CarrierMessage::default().with_message("the account has no such number"),
        })?;
        match &binding.urls {
            Some(urls) => self.bind(number, binding, urls, &numbers).await,
            None => self.unbind(number, binding).await,
        }
    }
}

impl PlivoProvider {
    /// A live call takes no document, only the URL of one: its answer URL, which says what is due.
    async fn send_to(
        &self,
        operation: Operation,
        call: &CallRef,
        instruction: &CallInstruction,
    ) -> Result<(), TelephonyError> {
        let invalid = |field: &str, reason: &str| TelephonyError::invalid_request(NAME, operation, field, reason);
        // What no document can say is refused before the call is sent anywhere.
        answer::response(instruction)?;
        let url = call.handle(ANSWER_URL).and_then(|url| url.parse().ok());
        let url = url.ok_or_else(|| invalid("call", "does not say its answer URL, which Plivo would ask"))?;
        let url = webhook::mark_due(&url, &Due::Do(Box::new(instruction.clone())));
        let url = url.ok_or_else(|| invalid("instruction", "is too long to be a part of a URL"))?;
        self.api.transfer(operation, name_of(operation, call)?, &url).await
    }

    /// Takes a number out of the application that is configured, and out of no other: whoever linked it elsewhere has taken it
    /// from us already.
    async fn unbind(&self, number: &Number, binding: &InboundBinding) -> Result<InboundConfigured, TelephonyError> {
        let ours = self.config.application_id.as_deref();
        if ours.is_none() || number.application_id() != ours {
            return Ok(InboundConfigured::alone());
        }
        self.api.link_number(&binding.number, None).await?;
        let (now, response) = self.api.number(Operation::ConfigureInbound, &binding.number).await?;
        match now.application_id() {
            None => Ok(InboundConfigured::alone()),
            now if now == ours => Err(response.unexpected("the number is still linked; unlink it in the console")),
            Some(other) => Ok(InboundConfigured::alone()
                .and(format!("The number is answered by the application {other} now, the account's default."))),
        }
    }

    /// The URLs belong to an application, which other numbers may share.
    async fn bind(
        &self,
        number: &Number,
        binding: &InboundBinding,
        urls: &InboundUrls,
        numbers: &[Number],
    ) -> Result<InboundConfigured, TelephonyError> {
        let Some(own) = self.config.application_id.as_deref() else {
            let reason = "is needed: make an application in the console, and enter its id";
            return Err(TelephonyError::invalid_request(NAME, Operation::ConfigureInbound, "application_id", reason));
        };
        self.api.update_application(own, &urls.answer, &urls.events).await?;
        let mut outcome = InboundConfigured::alone();
        if number.application_id() != Some(own) {
            self.api.link_number(&binding.number, Some(own)).await?;
            if let Some(other) = number.application_id() {
                outcome = outcome.and(format!("The number is no longer answered by the application {other}."));
            }
        }
        let sharing =
            numbers.iter().filter(|other| other.application_id() == Some(own) && other.number != number.number);
        for other in sharing.filter_map(Number::e164) {
            outcome = outcome.and(format!("{other} is in the same application, and is answered by the same URLs now."));
        }
        Ok(outcome)
    }
}

fn owned_number(number: &Number) -> Option<OwnedNumber> {
    let mut owned = OwnedNumber::new(number.e164()?);
    owned.label = number.alias.clone().filter(|alias| !alias.is_empty());
    owned.voice = number.voice_enabled.unwrap_or(true);
    Some(owned)
}
