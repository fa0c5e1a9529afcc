//! The provider: one short method for each operation, in the words of the other rooms.

use std::time::Duration;

use serde_json::json;
use telephony_core::{
    AccountInfo, Bridge, CallCost, CallEvent, CallInstruction, CallRef, CallSnapshot, CallStatus, CarrierMessage,
    ConfigError, DigitSequence, HangUp, InboundBinding, InboundConfigured, InboundUrls, InitiatedCall, LegOwner,
    MediaCodec, Money, Operation, OutboundCall, OwnedNumber, Problems, ProviderConfig, ProviderContext,
    ProviderDescriptor, RecordingRef, RecordingRequest, TelephonyError, TelephonyProvider, Transfer, TransferRequest,
    VerifiedWebhook, WebhookError, WebhookRequest, WebhookResponse, async_trait, http::HttpClient,
};

use crate::{
    DESCRIPTOR, NAME, TelnyxConfig,
    answer::{self, Command, Told},
    api::{Api, Number, VerifiedNumber, channels},
    conference, error,
    media::TelnyxMedia,
    signature,
    webhook::{self, EVENT},
};

/// The handle with the URL that all of a call is told to.
const EVENTS_URL: &str = "events_url";

/// One Call Control application of a Telnyx account.
#[derive(Clone, Debug)]
pub(crate) struct TelnyxProvider {
    config: TelnyxConfig,
    api: Api,
}

impl TelnyxProvider {
    pub(crate) fn new(config: TelnyxConfig, context: ProviderContext) -> Self {
        let policy = context.http_policy.at_most(Duration::from_secs(config.timeout_secs.get().into()));
        let http = HttpClient::new(NAME, context.transport, policy, error::map);
        let api = Api::new(http, config.clone());
        Self { config, api }
    }

    /// Tells a call what to do: in answer to an event, whose name keeps it from being done twice, or of our own accord.
    async fn tell(
        &self,
        operation: Operation,
        call: &CallRef,
        told: Told,
        event: Option<&str>,
    ) -> Result<(), TelephonyError> {
        match (told, event) {
            (Told::Command(command), Some(event)) => self.api.answer(operation, call, command, event).await,
            (Told::Command(command), None) => self.api.command(operation, call, &command).await,
            (Told::Conference(wanted), _) => conference::enter(&self.api, operation, call, &wanted, event).await,
        }
    }

    /// Ends a stream, so that the call can do something else. That there is none is what most calls say.
    async fn stop_streaming(&self, operation: Operation, call: &CallRef) -> Result<(), TelephonyError> {
        let stop = Command { name: "streaming_stop", body: json!({}) };
        match self.api.command(operation, call, &stop).await {
            Ok(()) | Err(TelephonyError::Rejected { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl TelephonyProvider for TelnyxProvider {
    fn descriptor(&self) -> &'static ProviderDescriptor {
        &DESCRIPTOR
    }

    fn validate_config(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        self.config.check(&mut problems);
        problems.into_result(NAME)
    }

    async fn initiate_call(&self, call: &OutboundCall) -> Result<InitiatedCall, TelephonyError> {
        let reference = self.api.create_call(call).await?.reference()?;
        let reference = reference.with_handle(EVENTS_URL, call.urls.events.as_str());
        Ok(InitiatedCall::new(reference, CallStatus::Queued, ""))
    }

    async fn get_call_status(&self, call: &CallRef) -> Result<CallSnapshot, TelephonyError> {
        Ok(self.api.call(Operation::GetCallStatus, call).await?.snapshot(call))
    }

    /// The price comes by webhook, after the end; no request has it.
    async fn get_call_cost(&self, call: &CallRef) -> Result<CallCost, TelephonyError> {
        self.api.call(Operation::GetCallCost, call).await.map(|_| CallCost::Pending)
    }

    async fn get_available_phone_numbers(&self) -> Result<Vec<OwnedNumber>, TelephonyError> {
        let operation = Operation::GetAvailablePhoneNumbers;
        let mut numbers: Vec<OwnedNumber> =
            self.api.numbers(operation, None).await?.iter().filter_map(Number::owned).collect();
        let verified = match self.api.verified_numbers(operation).await {
            // A key may list the account's numbers and not these.
            Err(TelephonyError::PermissionDenied { .. } | TelephonyError::NotFound { .. }) => Vec::new(),
            other => other?,
        };
        for number in verified.iter().filter_map(VerifiedNumber::e164) {
            if numbers.iter().all(|known| known.number != number) {
                numbers.push(OwnedNumber::new(number));
            }
        }
        Ok(numbers)
    }

    /// Looks at the application too: most of what keeps calls from working is there.
    async fn check_account(&self) -> Result<AccountInfo, TelephonyError> {
        let balance = self.api.balance().await?;
        let application = self.api.application(Operation::CheckAccount).await?;
        let mut info = AccountInfo::new(&self.config.connection_id);
        info.balance = Money::parse(&balance.balance, balance.currency.as_deref().unwrap_or("USD")).ok();
        info.name = Some(application.application_name.clone()).filter(|name| !name.is_empty());
        if application.active == Some(false) {
            info.notes.push("It is not active: no call goes through it.".to_owned());
        }
        if application.webhook_api_version.as_deref().is_some_and(|version| version != "2") {
            info.notes.push("Its webhook API version is 1; set it to 2, or its webhooks cannot be read.".to_owned());
        }
        if !application.dials() {
            info.notes.push("It has no outbound voice profile: it cannot place calls.".to_owned());
        }
        if application.tells_cost() == Some(false) {
            info.notes.push("Its call cost webhooks are off: what calls cost will not be known.".to_owned());
        }
        info.notes
            .push("The public key is not checked by this; the first webhook shows whether it is right.".to_owned());
        Ok(info)
    }

    fn verify_webhook_signature(&self, request: WebhookRequest) -> Result<VerifiedWebhook, WebhookError> {
        signature::verify(request, &self.config.public_key, &self.config.connection_id)
    }

    fn parse_webhook(&self, webhook: &VerifiedWebhook) -> Result<Vec<CallEvent>, WebhookError> {
        webhook::parse(webhook)
    }

    /// Telnyx ignores what a webhook is answered with: the instruction is a command of its own.
    async fn get_webhook_response(
        &self,
        call: &CallRef,
        instruction: &CallInstruction,
    ) -> Result<WebhookResponse, TelephonyError> {
        let operation = Operation::GetWebhookResponse;
        let told = answer::told(operation, call, instruction, self.config.wideband)?;
        match self.tell(operation, call, told, call.handle(EVENT)).await {
            // A call that is over wants nothing any more.
            Ok(()) | Err(TelephonyError::NotFound { .. }) => Ok(WebhookResponse::no_content()),
            Err(error) => Err(error),
        }
    }

    fn media_codec(&self) -> Box<dyn MediaCodec> {
        Box::new(TelnyxMedia::default())
    }

    async fn hang_up(&self, call: &CallRef) -> Result<HangUp, TelephonyError> {
        let command = Command { name: "hangup", body: json!({}) };
        match self.api.command(Operation::HangUp, call, &command).await {
            Ok(()) => Ok(HangUp::Ended),
            Err(TelephonyError::NotFound { .. }) => Ok(HangUp::AlreadyEnded),
            Err(error) => Err(error),
        }
    }

    async fn instruct(&self, call: &CallRef, instruction: &CallInstruction) -> Result<(), TelephonyError> {
        let operation = Operation::Instruct;
        let told = answer::told(operation, call, instruction, self.config.wideband)?;
        self.stop_streaming(operation, call).await?;
        if matches!(&told, Told::Command(command) if command.name != "hangup") {
            conference::leave(&self.api, operation, call, None).await?;
        }
        self.tell(operation, call, told, None).await
    }

    async fn transfer_call(&self, transfer: &TransferRequest) -> Result<Transfer, TelephonyError> {
        let operation = Operation::TransferCall;
        let mut bridge = Bridge::to(transfer.to.clone());
        bridge.caller_id = transfer.caller_id.clone();
        bridge.ring_timeout = transfer.ring_timeout;
        bridge.events = transfer.events.clone();
        let command = answer::transfer(&transfer.call, &bridge)
            .map_err(|(field, reason)| TelephonyError::invalid_request(NAME, operation, field, reason))?;
        self.stop_streaming(operation, &transfer.call).await?;
        conference::leave(&self.api, operation, &transfer.call, None).await?;
        self.api.command(operation, &transfer.call, &command).await?;
        Ok(Transfer::new(LegOwner::Carrier, true))
    }

    async fn send_digits(&self, call: &CallRef, digits: &DigitSequence) -> Result<(), TelephonyError> {
        let command = Command { name: "send_dtmf", body: json!({"digits": digits.as_str()}) };
        self.api.command(Operation::SendDigits, call, &command).await
    }

    async fn start_recording(&self, call: &CallRef, how: &RecordingRequest) -> Result<RecordingRef, TelephonyError> {
        let operation = Operation::StartRecording;
        if let Some(events) = &how.events
            && call.handle(EVENTS_URL).is_some_and(|own| own != events.as_str())
        {
            let reason = "must be the call's: Telnyx tells all of a call to one URL";
            return Err(TelephonyError::invalid_request(NAME, operation, "events", reason));
        }
        let body = json!({"format": "wav", "channels": channels(how.dual_channel)});
        self.api.command(operation, call, &Command { name: "record_start", body }).await?;
        Ok(RecordingRef { call: call.clone(), id: None })
    }

    async fn stop_recording(&self, recording: &RecordingRef) -> Result<(), TelephonyError> {
        let command = Command { name: "record_stop", body: json!({}) };
        self.api.command(Operation::StopRecording, &recording.call, &command).await
    }

    async fn configure_inbound(&self, binding: &InboundBinding) -> Result<InboundConfigured, TelephonyError> {
        let operation = Operation::ConfigureInbound;
        let found = self.api.numbers(operation, Some(&binding.number)).await?;
        let number = found.into_iter().find(|known| known.phone_number == binding.number.as_e164());
        let number = number.ok_or_else(|| TelephonyError::NotFound {
            provider: NAME,
            operation,
            carrier: CarrierMessage::default().with_message("the account has no such number"),
        })?;
        match &binding.urls {
            Some(urls) => self.bind(&number, urls).await,
            None => {
                self.api.bind_number(&number.id, "").await?;
                Ok(InboundConfigured::alone())
            }
        }
    }
}

impl TelnyxProvider {
    /// The URL belongs to the application, and there is one for everything: it asks, and it is told.
    async fn bind(&self, number: &Number, urls: &InboundUrls) -> Result<InboundConfigured, TelephonyError> {
        let own = self.config.connection_id.as_str();
        let application = self.api.application(Operation::ConfigureInbound).await?;
        self.api.update_application(&application.application_name, &urls.answer).await?;
        let mut outcome = InboundConfigured::alone();
        if number.application() != Some(own) {
            self.api.bind_number(&number.id, own).await?;
            if let Some(other) = number.application_name() {
                outcome = outcome.and(format!("The number is no longer answered by the application {other}."));
            }
        }
        let all = self.api.numbers(Operation::ConfigureInbound, None).await?;
        let sharing = all.iter().filter(|other| other.application() == Some(own) && other.id != number.id);
        for other in sharing.filter_map(Number::e164) {
            outcome = outcome.and(format!("{other} is in the same application, and is answered by the same URLs now."));
        }
        Ok(outcome)
    }
}
