//! The provider: one short method for each operation, in the words of the other rooms.

use std::time::Duration;

use telephony_core::{
    AccountInfo, CallCost, CallEvent, CallInstruction, CallRef, CallSnapshot, ConfigError, HangUp, InboundBinding,
    InboundConfigured, InitiatedCall, MediaCodec, Operation, OutboundCall, OwnedNumber, Problems, ProviderConfig,
    ProviderContext, ProviderDescriptor, TelephonyError, TelephonyProvider, VerifiedWebhook, WebhookError,
    WebhookRequest, WebhookResponse, async_trait, http::HttpClient,
};

use crate::{
    AcmeConfig, DESCRIPTOR, NAME, answer,
    api::{Api, Number},
    error,
    media::AcmeMedia,
    signature, webhook,
};

/// One account.
#[derive(Clone, Debug)]
pub(crate) struct AcmeProvider {
    config: AcmeConfig,
    api: Api,
}

impl AcmeProvider {
    pub(crate) fn new(config: AcmeConfig, context: ProviderContext) -> Self {
        // FILL IN: how many requests a second does the carrier allow? (`.with_requests_per_second(…)`)
        let policy = context.http_policy.at_most(Duration::from_secs(config.timeout_secs.get().into()));
        let http = HttpClient::new(NAME, context.transport, policy, error::map);
        let api = Api::new(http, &config);
        Self { config, api }
    }
}

// FILL IN: what else can the carrier do? Each capability has its method in the trait; a method that is not here refuses.
#[async_trait]
impl TelephonyProvider for AcmeProvider {
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
        self.api.create_call(call).await?.initiated()
    }

    async fn get_call_status(&self, call: &CallRef) -> Result<CallSnapshot, TelephonyError> {
        Ok(self.api.call(Operation::GetCallStatus, call).await?.snapshot(call))
    }

    async fn get_call_cost(&self, call: &CallRef) -> Result<CallCost, TelephonyError> {
        self.api.call(Operation::GetCallCost, call).await.map(|found| found.cost())
    }

    async fn get_available_phone_numbers(&self) -> Result<Vec<OwnedNumber>, TelephonyError> {
        let numbers = self.api.numbers().await?;
        Ok(numbers.iter().filter_map(Number::owned).collect())
    }

    async fn check_account(&self) -> Result<AccountInfo, TelephonyError> {
        self.api.account().await.map(|found| found.info())
    }

    fn verify_webhook_signature(&self, request: WebhookRequest) -> Result<VerifiedWebhook, WebhookError> {
        signature::verify(request, &self.config)
    }

    fn parse_webhook(&self, webhook: &VerifiedWebhook) -> Result<Vec<CallEvent>, WebhookError> {
        webhook::parse(webhook)
    }

    // [document
    #[cfg(document)]
    async fn get_webhook_response(
        &self,
        _: &CallRef,
        instruction: &CallInstruction,
    ) -> Result<WebhookResponse, TelephonyError> {
        let document = answer::document(Operation::GetWebhookResponse, instruction)?;
        Ok(WebhookResponse::document("application/json", document.to_string()))
    }
    // ]
    // [commands
    /// The carrier ignores what a webhook is answered with: the instruction is a command of its own.
    #[cfg(commands)]
    async fn get_webhook_response(
        &self,
        call: &CallRef,
        instruction: &CallInstruction,
    ) -> Result<WebhookResponse, TelephonyError> {
        let operation = Operation::GetWebhookResponse;
        let command = answer::command(operation, instruction)?;
        match self.api.command(operation, call, &command).await {
            // A call that is over wants nothing any more.
            Ok(()) | Err(TelephonyError::NotFound { .. }) => Ok(WebhookResponse::no_content()),
            Err(error) => Err(error),
        }
    }
    // ]

    fn media_codec(&self) -> Box<dyn MediaCodec> {
        Box::new(AcmeMedia::default())
    }

    async fn hang_up(&self, call: &CallRef) -> Result<HangUp, TelephonyError> {
        match self.api.hang_up(call).await {
            Ok(()) => Ok(HangUp::Ended),
            Err(TelephonyError::NotFound { .. }) => Ok(HangUp::AlreadyEnded),
            Err(error) => Err(error),
        }
    }

    // FILL IN: can a live call be told something else? What becomes of a stream that is running?
    // [document
    #[cfg(document)]
    async fn instruct(&self, call: &CallRef, instruction: &CallInstruction) -> Result<(), TelephonyError> {
        let document = answer::document(Operation::Instruct, instruction)?;
        self.api.replace_document(call, &document).await
    }
    // ]
    // [commands
    #[cfg(commands)]
    async fn instruct(&self, call: &CallRef, instruction: &CallInstruction) -> Result<(), TelephonyError> {
        let command = answer::command(Operation::Instruct, instruction)?;
        self.api.command(Operation::Instruct, call, &command).await
    }
    // ]

    // FILL IN: is a number's webhook its own, or does it belong to an application that numbers share? Then read the
    // application, change your part, write it back, and say what else that touches (`InboundConfigured::and`).
    async fn configure_inbound(&self, binding: &InboundBinding) -> Result<InboundConfigured, TelephonyError> {
        self.api.update_number(binding).await?;
        Ok(InboundConfigured::alone())
    }
}
