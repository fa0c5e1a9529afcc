//! The trait.

use std::fmt;

use async_trait::async_trait;

use crate::{
    call::{
        AccountInfo, CallSnapshot, DigitSequence, HangUp, InboundBinding, InboundConfigured, InitiatedCall,
        OutboundCall, OwnedNumber, RecordingRef, RecordingRequest, Transfer, TransferRequest,
    },
    capability::Capability,
    config::ConfigError,
    descriptor::ProviderDescriptor,
    error::TelephonyError,
    event::CallEvent,
    id::CallRef,
    instruction::CallInstruction,
    media::MediaCodec,
    money::CallCost,
    webhook::{VerifiedWebhook, WebhookError, WebhookRequest, WebhookResponse},
};

/// One account at one carrier.
///
/// Methods without a default are owed by every provider. The others belong to a [`Capability`] each: a provider that lacks
/// it leaves the default, which answers [`TelephonyError::Unsupported`] and sends nothing. Whoever wraps a provider
/// (metrics, fault injection) carries `#[deny(clippy::missing_trait_methods)]`, or will one day answer a default in the
/// wrapped one's name.
///
/// Carriers add to what they say whenever they like, and that is no error: an unknown member is ignored, and an unknown word for a
/// call's state is kept and says no more than that there is such a call.
///
/// # Errors
///
/// Every method that asks the carrier can fail with [`Authentication`](TelephonyError::Authentication),
/// [`PermissionDenied`](TelephonyError::PermissionDenied), [`RateLimited`](TelephonyError::RateLimited),
/// [`Timeout`](TelephonyError::Timeout), [`Transport`](TelephonyError::Transport) and
/// [`UnexpectedResponse`](TelephonyError::UnexpectedResponse). What else a method can fail with is said at the method.
#[async_trait]
pub trait TelephonyProvider: Send + Sync + fmt::Debug + 'static {
    /// What is known about the provider without an account.
    fn descriptor(&self) -> &'static ProviderDescriptor;

    /// Checks the account's configuration offline.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with every problem, by field.
    fn validate_config(&self) -> Result<(), ConfigError>;

    /// Starts an outbound call. The carrier rings; what happens next comes by webhook.
    ///
    /// It is sent once. Call it again only when the error's [`retry`](TelephonyError::retry) says that it is safe.
    ///
    /// # Errors
    ///
    /// [`InvalidRequest`](TelephonyError::InvalidRequest) naming the field; [`Rejected`](TelephonyError::Rejected);
    /// [`Unsupported`](TelephonyError::Unsupported) for an option that the capabilities lack; and
    /// [`OutcomeUnknown`](TelephonyError::OutcomeUnknown) when the call may ring although no usable answer came.
    async fn initiate_call(&self, call: &OutboundCall) -> Result<InitiatedCall, TelephonyError>;

    /// Asks the carrier where a call stands now.
    ///
    /// # Errors
    ///
    /// [`NotFound`](TelephonyError::NotFound).
    async fn get_call_status(&self, call: &CallRef) -> Result<CallSnapshot, TelephonyError>;

    /// Every number of the account that calls can be made from, over all pages of the carrier's list.
    async fn get_available_phone_numbers(&self) -> Result<Vec<OwnedNumber>, TelephonyError>;

    /// Makes one cheap request that needs the account's credentials: "Test connection".
    ///
    /// # Errors
    ///
    /// [`Authentication`](TelephonyError::Authentication) when the credentials are wrong.
    async fn check_account(&self) -> Result<AccountInfo, TelephonyError>;

    /// Checks that a webhook comes from the carrier and is for this account. The only way to a [`VerifiedWebhook`].
    ///
    /// # Errors
    ///
    /// [`WebhookError`], with the HTTP status to refuse it with.
    fn verify_webhook_signature(&self, request: WebhookRequest) -> Result<VerifiedWebhook, WebhookError>;

    /// Reads what a webhook says. Unknown fields and words are kept or ignored, never an error.
    ///
    /// # Errors
    ///
    /// [`WebhookError::Malformed`] when not even the call that it is about can be told.
    fn parse_webhook(&self, webhook: &VerifiedWebhook) -> Result<Vec<CallEvent>, WebhookError>;

    /// Tells the carrier what a call does next, in answer to a webhook that
    /// [wants an instruction](crate::CallEventKind::InstructionWanted).
    ///
    /// Most carriers read it from the response; for one that is driven by commands, this sends them, and the response is an
    /// acknowledgement. What the carrier cannot do yet, or will not do by itself, comes back as [`Due`](crate::Due) with the
    /// event that asks again. Every provider can [`Stream`](CallInstruction::Stream), [`Reject`](CallInstruction::Reject) and
    /// [`HangUp`](CallInstruction::HangUp).
    ///
    /// # Errors
    ///
    /// [`Unsupported`](TelephonyError::Unsupported), and [`InvalidRequest`](TelephonyError::InvalidRequest) naming the part
    /// of the instruction that the carrier's limits forbid.
    async fn get_webhook_response(
        &self,
        call: &CallRef,
        instruction: &CallInstruction,
    ) -> Result<WebhookResponse, TelephonyError>;

    /// A fresh state machine for one media socket.
    fn media_codec(&self) -> Box<dyn MediaCodec>;

    /// Asks what a call costs. Requires [`Capability::CallCost`].
    ///
    /// # Errors
    ///
    /// [`NotFound`](TelephonyError::NotFound), [`Unsupported`](TelephonyError::Unsupported). A call that is not rated yet is
    /// no error: [`CallCost::Pending`].
    async fn get_call_cost(&self, call: &CallRef) -> Result<CallCost, TelephonyError> {
        let _ = call;
        Err(self.descriptor().unsupported(Capability::CallCost))
    }

    /// Ends a call. One that is over already is [`HangUp::AlreadyEnded`]. Requires [`Capability::HangUp`].
    ///
    /// # Errors
    ///
    /// [`Unsupported`](TelephonyError::Unsupported).
    async fn hang_up(&self, call: &CallRef) -> Result<HangUp, TelephonyError> {
        let _ = call;
        Err(self.descriptor().unsupported(Capability::HangUp))
    }

    /// Gives a live call something else to do. A running stream ends. Requires [`Capability::Instruct`], and the
    /// instruction's own capability. Where the carrier must ask for it, it does so now, and the instruction is
    /// [`Due`](crate::Due).
    ///
    /// # Errors
    ///
    /// [`NotFound`](TelephonyError::NotFound) when the call is over, [`Unsupported`](TelephonyError::Unsupported),
    /// [`InvalidRequest`](TelephonyError::InvalidRequest).
    async fn instruct(&self, call: &CallRef, instruction: &CallInstruction) -> Result<(), TelephonyError> {
        let _ = (call, instruction);
        Err(self.descriptor().unsupported(Capability::Instruct))
    }

    /// Connects a live call to somebody else. Requires [`Capability::Transfer`]. If they cannot be had, the call ends or asks what to
    /// do: nobody is left waiting in silence.
    ///
    /// # Errors
    ///
    /// As for [`instruct`](Self::instruct).
    async fn transfer_call(&self, transfer: &TransferRequest) -> Result<Transfer, TelephonyError> {
        let _ = transfer;
        Err(self.descriptor().unsupported(Capability::Transfer))
    }

    /// Sends DTMF on a live call. Requires [`Capability::SendDigits`]; where that is emulated, its note says what it does to
    /// a running stream.
    ///
    /// # Errors
    ///
    /// [`NotFound`](TelephonyError::NotFound) when the call is over, [`Unsupported`](TelephonyError::Unsupported), and
    /// [`OutcomeUnknown`](TelephonyError::OutcomeUnknown): digits sent twice are other digits.
    async fn send_digits(&self, call: &CallRef, digits: &DigitSequence) -> Result<(), TelephonyError> {
        let _ = (call, digits);
        Err(self.descriptor().unsupported(Capability::SendDigits))
    }

    /// Records a live call from now on. Requires [`Capability::RecordLive`].
    ///
    /// # Errors
    ///
    /// As for [`instruct`](Self::instruct).
    async fn start_recording(&self, call: &CallRef, how: &RecordingRequest) -> Result<RecordingRef, TelephonyError> {
        let _ = (call, how);
        Err(self.descriptor().unsupported(Capability::RecordLive))
    }

    /// Ends a recording that [`start_recording`](Self::start_recording) began. Requires [`Capability::RecordLive`].
    ///
    /// # Errors
    ///
    /// As for [`instruct`](Self::instruct).
    async fn stop_recording(&self, recording: &RecordingRef) -> Result<(), TelephonyError> {
        let _ = recording;
        Err(self.descriptor().unsupported(Capability::RecordLive))
    }

    /// Points a number at us, or away from us. Requires [`Capability::ConfigureInbound`].
    ///
    /// Where the carrier keeps the URLs in an application that numbers share, that application is read, changed in its part
    /// and written back, and the answer says what else it touches.
    ///
    /// # Errors
    ///
    /// [`NotFound`](TelephonyError::NotFound) when the account has no such number,
    /// [`Unsupported`](TelephonyError::Unsupported).
    async fn configure_inbound(&self, binding: &InboundBinding) -> Result<InboundConfigured, TelephonyError> {
        let _ = binding;
        Err(self.descriptor().unsupported(Capability::ConfigureInbound))
    }
}

const _: Option<&dyn TelephonyProvider> = None; // Breaks the build the day the trait is no longer object safe.
