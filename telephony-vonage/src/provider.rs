//! The provider: one short method for each operation, in the words of the other rooms.

use serde_json::{Value, json};
use telephony_core::{
    AccountInfo, CallCost, CallEvent, CallInstruction, CallRef, CallSnapshot, CallStatus, CarrierMessage, ConfigError,
    DigitSequence, HangUp, InboundBinding, InboundConfigured, InboundUrls, InitiatedCall, LegOwner, MediaCodec,
    Operation, OutboundCall, OwnedNumber, Problems, ProviderConfig, ProviderContext, ProviderDescriptor,
    TelephonyError, TelephonyProvider, Transfer, TransferRequest, VerifiedWebhook, WebhookError, WebhookRequest,
    WebhookResponse, async_trait,
};

use crate::{
    DESCRIPTOR, NAME, VonageConfig, answer,
    api::{Api, NewCall, Number, dtmf},
    jwt::Tokens,
    media::VonageMedia,
    signature, webhook,
};

/// One Vonage application.
#[derive(Clone, Debug)]
pub(crate) struct VonageProvider {
    config: VonageConfig,
    api: Api,
}

impl VonageProvider {
    pub(crate) fn new(config: VonageConfig, context: ProviderContext) -> Result<Self, TelephonyError> {
        let tokens = match Tokens::new(&config.private_key, &config.application_id) {
            Ok(tokens) => tokens,
            Err(error) => {
                let mut problems = Problems::new();
                problems.add("private_key", error.to_string());
                problems.into_result(NAME)?;
                unreachable!("a problem was added");
            }
        };
        let api = Api::new(config.clone(), tokens, context);
        Ok(Self { config, api })
    }
}

#[async_trait]
impl TelephonyProvider for VonageProvider {
    fn descriptor(&self) -> &'static ProviderDescriptor {
        &DESCRIPTOR
    }

    fn validate_config(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::new();
        self.config.check(&mut problems);
        problems.into_result(NAME)
    }

    async fn initiate_call(&self, call: &OutboundCall) -> Result<InitiatedCall, TelephonyError> {
        DESCRIPTOR.require(call.capabilities())?;
        let created = self.api.create_call(&NewCall::of(call)?).await?;
        let status = webhook::status_of(&created.status, None).unwrap_or(CallStatus::Queued);
        Ok(InitiatedCall::new(created.reference()?, status, created.status))
    }

    async fn get_call_status(&self, call: &CallRef) -> Result<CallSnapshot, TelephonyError> {
        Ok(self.api.call(Operation::GetCallStatus, call).await?.snapshot(call))
    }

    async fn get_call_cost(&self, call: &CallRef) -> Result<CallCost, TelephonyError> {
        Ok(self.api.call(Operation::GetCallCost, call).await?.cost())
    }

    async fn get_available_phone_numbers(&self) -> Result<Vec<OwnedNumber>, TelephonyError> {
        let numbers = self.api.numbers(Operation::GetAvailablePhoneNumbers, &[]).await?;
        Ok(numbers.iter().filter_map(owned_number).collect())
    }

    /// Asks both sides: the token's for calls, the key's for numbers and money.
    async fn check_account(&self) -> Result<AccountInfo, TelephonyError> {
        self.api.probe().await?;
        let mut info = AccountInfo::new(&self.config.application_id);
        info.balance = Some(self.api.balance().await?);
        info.notes.push(
            "The signature secret is not checked by this; the first webhook will show whether it is right.".to_owned(),
        );
        Ok(info)
    }

    fn verify_webhook_signature(&self, request: WebhookRequest) -> Result<VerifiedWebhook, WebhookError> {
        signature::verify(request, &self.config)
    }

    fn parse_webhook(&self, webhook: &VerifiedWebhook) -> Result<Vec<CallEvent>, WebhookError> {
        webhook::parse(webhook)
    }

    async fn get_webhook_response(
        &self,
        call: &CallRef,
        instruction: &CallInstruction,
    ) -> Result<WebhookResponse, TelephonyError> {
        answer::response(&self.config, call, instruction)
    }

    fn media_codec(&self) -> Box<dyn MediaCodec> {
        Box::new(VonageMedia::default())
    }

    async fn hang_up(&self, call: &CallRef) -> Result<HangUp, TelephonyError> {
        match self.api.hang_up(call).await {
            Ok(()) => Ok(HangUp::Ended),
            // Sources differ in whether a finished call is 404 or 400; the request itself is always the same.
            Err(TelephonyError::NotFound { .. } | TelephonyError::Rejected { .. }) => Ok(HangUp::AlreadyEnded),
            Err(error) => Err(error),
        }
    }

    async fn instruct(&self, call: &CallRef, instruction: &CallInstruction) -> Result<(), TelephonyError> {
        let ncco = answer::document(&self.config, Operation::Instruct, call, instruction)?;
        self.api.transfer(Operation::Instruct, call, &ncco).await
    }

    async fn transfer_call(&self, transfer: &TransferRequest) -> Result<Transfer, TelephonyError> {
        let ncco = answer::transfer(&self.config, transfer)?;
        self.api.transfer(Operation::TransferCall, &transfer.call, &ncco).await?;
        Ok(Transfer::new(LegOwner::Carrier, true))
    }

    async fn send_digits(&self, call: &CallRef, digits: &DigitSequence) -> Result<(), TelephonyError> {
        let digits = dtmf(Operation::SendDigits, "digits", digits.as_str())?;
        self.api.send_digits(call, &digits).await
    }

    /// The URLs belong to the application, so the number is put into it, and every other number in it is affected too. To take
    /// the URLs out of one number, the number is taken out of the application.
    async fn configure_inbound(&self, binding: &InboundBinding) -> Result<InboundConfigured, TelephonyError> {
        let operation = Operation::ConfigureInbound;
        let filter = [("pattern", binding.number.digits()), ("search_pattern", "0")];
        let found = self.api.numbers(operation, &filter).await?;
        let number = found.into_iter().find(|number| number.msisdn == binding.number.digits());
        let number = number.ok_or_else(|| TelephonyError::NotFound {
            provider: NAME,
            operation,
            carrier: CarrierMessage::default().with_message("the account has no such number"),
        })?;
        match &binding.urls {
            Some(urls) => self.bind(&number, urls).await,
            None => {
                self.api.update_number(&link(&number, "")).await?;
                Ok(InboundConfigured::alone())
            }
        }
    }
}

impl VonageProvider {
    async fn bind(&self, number: &Number, urls: &InboundUrls) -> Result<InboundConfigured, TelephonyError> {
        let own = self.config.application_id.as_str();
        let mut outcome = InboundConfigured::alone();
        let overruled = number.callback_type.as_deref().filter(|kind| !matches!(*kind, "" | "app"));
        if number.app_id.as_deref() != Some(own) || overruled.is_some() {
            self.api.update_number(&link(number, own)).await?;
            if let Some(other) = number.app_id.as_deref().filter(|id| !id.is_empty() && *id != own) {
                outcome = outcome.and(format!("The number is no longer answered by the application {other}."));
            }
            if let Some(kind) = overruled {
                outcome = outcome.and(format!("The number's own forwarding ({kind}) is taken out."));
            }
        }
        let mut application = self.api.application().await?;
        set_webhooks(&mut application, urls);
        self.api.replace_application(&application).await?;
        let filter = [("application_id", own)];
        let sharing = self.api.numbers(Operation::ConfigureInbound, &filter).await?;
        for other in sharing.iter().filter(|other| other.msisdn != number.msisdn).filter_map(Number::e164) {
            outcome = outcome.and(format!("{other} is in the same application, and is answered by the same URLs now."));
        }
        Ok(outcome)
    }
}

/// The form that puts a number into an application, or with an empty one takes it out. Fields that are left out may be reset,
/// so what the number has is sent along.
fn link<'a>(number: &'a Number, application: &'a str) -> Vec<(&'static str, &'a str)> {
    let mut form =
        vec![("country", number.country.as_str()), ("msisdn", number.msisdn.as_str()), ("app_id", application)];
    if let Some(url) = &number.message_url {
        form.push(("moHttpUrl", url));
    }
    if !application.is_empty() {
        form.extend([("voiceCallbackType", "app"), ("voiceCallbackValue", application)]);
    }
    form
}

/// Changes an application as it was read into one that can be written: the voice webhooks, and nothing else.
fn set_webhooks(application: &mut Value, urls: &InboundUrls) {
    if let Some(members) = application.as_object_mut() {
        members.remove("_links");
        members.remove("id");
    }
    let voice = &mut application["capabilities"]["voice"];
    voice["signed_callbacks"] = true.into();
    for (name, url) in [("answer_url", &urls.answer), ("event_url", &urls.events)] {
        // Its time-outs stay as they are.
        let webhook = &mut voice["webhooks"][name];
        webhook["address"] = json!(url);
        webhook["http_method"] = "POST".into();
    }
}

fn owned_number(number: &Number) -> Option<OwnedNumber> {
    let mut owned = OwnedNumber::new(number.e164()?);
    owned.country = Some(number.country.clone());
    owned.voice = number.features.iter().any(|feature| feature.eq_ignore_ascii_case("voice"));
    Some(owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_keeps_what_is_not_ours() {
        let mut application = json!({
            "id": "a", "name": "n", "keys": {"public_key": "PEM"}, "privacy": {"improve_ai": false}, "_links": {},
            "capabilities": {
                "messages": {"webhooks": {}},
                "voice": {"region": "eu-west", "webhooks": {"answer_url": {"address": "https://old", "socket_timeout": 3000}}},
            },
        });
        let urls = InboundUrls { answer: "https://new/a".parse().unwrap(), events: "https://new/e".parse().unwrap() };
        set_webhooks(&mut application, &urls);
        assert_eq!(
            application,
            json!({
                "name": "n", "keys": {"public_key": "PEM"}, "privacy": {"improve_ai": false},
                "capabilities": {
                    "messages": {"webhooks": {}},
                    "voice": {"region": "eu-west", "signed_callbacks": true, "webhooks": {
                        "answer_url": {"address": "https://new/a", "http_method": "POST", "socket_timeout": 3000},
                        "event_url": {"address": "https://new/e", "http_method": "POST"},
                    }},
                },
            })
        );
    }
}
