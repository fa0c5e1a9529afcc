//! What the simulated Telnyx does with what the provider tells it, where one call is not enough for the conformance suite.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{sync::Arc, time::Duration};

use pretty_assertions::assert_eq;
use telephony_core::{
    Bridge, CallEvent, CallEventKind, CallInstruction, CallRef, CallStatus, CallUrls, Conference, Due, OutboundCall,
    PhoneNumber, ProviderContext, TelephonyError, TelephonyProvider, Timestamp, WebhookRequest, config,
};
use telephony_sandbox::{Observation, Sandbox, SandboxOptions};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

/// A sandbox, whose webhooks go to somebody who tells nothing.
struct Carrier {
    sandbox: Sandbox,
    provider: Arc<dyn TelephonyProvider>,
    customer: MockServer,
}

impl Carrier {
    async fn start() -> Self {
        let options = SandboxOptions::default()
            .with_ring(Duration::from_millis(20))
            .with_no_answer_after(Duration::from_millis(100));
        let sandbox = Sandbox::start(&telephony_telnyx::SIMULATOR, options).await.unwrap();
        let mut account = sandbox.account();
        account.as_object_mut().unwrap().remove(config::PROVIDER_FIELD);
        let provider = telephony_telnyx::DESCRIPTOR.build(&account, ProviderContext::network().unwrap()).unwrap();
        let customer = MockServer::start().await;
        Mock::given(any()).respond_with(ResponseTemplate::new(204)).mount(&customer).await;
        Self { sandbox, provider, customer }
    }

    /// A call to the first handset of the dial plan, up and waiting.
    async fn call(&self) -> CallRef {
        let url = self.customer.uri().parse::<telephony_core::Url>().unwrap();
        let urls = CallUrls { answer: url.clone(), events: url, media: "wss://a.test/m".parse().unwrap() };
        let to: PhoneNumber = "+12025550100".parse().unwrap();
        let order = OutboundCall::new(to, self.sandbox.numbers()[0].clone(), urls);
        let call = self.provider.initiate_call(&order).await.unwrap().call;
        self.webhook(&call, "call.answered").await;
        call
    }

    /// Waits for a webhook of a call, and reads it.
    async fn webhook(&self, call: &CallRef, name: &str) -> Vec<CallEvent> {
        let wanted = |seen: &Observation| {
            matches!(seen, Observation::WebhookSent { call: of, .. } if *of == call.to_string()) && event(seen) == name
        };
        let Observation::WebhookSent { request, .. } = self.sandbox.wait_for(wanted).await else { unreachable!() };
        let (parts, body) = request.into_parts();
        let (url, now) = (parts.uri.to_string(), Timestamp::now_utc());
        let request = WebhookRequest::at_url(parts.method, url, parts.headers, body, now);
        let webhook = self.provider.verify_webhook_signature(request).unwrap();
        self.provider.parse_webhook(&webhook).unwrap()
    }

    fn conferences_ended(&self) -> usize {
        self.sandbox.observations().iter().filter(|seen| event(seen) == "conference.ended").count()
    }

    async fn end(&self, call: &CallRef) -> telephony_sandbox::HandsetReport {
        let id = call.to_string();
        self.sandbox.wait_for(|seen| matches!(seen, Observation::CallEnded { call, .. } if *call == id)).await;
        self.sandbox.handset(&id).unwrap()
    }
}

/// The event that a webhook tells; nothing of what is none.
fn event(seen: &Observation) -> String {
    let Observation::WebhookSent { request, .. } = seen else { return String::new() };
    let body: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
    body["data"]["event_type"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn two_calls_meet_in_one_conference() {
    let carrier = Carrier::start().await;
    let (first, second) = tokio::join!(carrier.call(), carrier.call());
    let moderator = CallInstruction::Conference(Conference::named("room & board").ending_on_exit());
    let listener = CallInstruction::Conference(Conference::named("room & board").waiting().muted());
    // At once: one of them makes it, whichever that is.
    let (one, other) =
        tokio::join!(carrier.provider.instruct(&first, &moderator), carrier.provider.instruct(&second, &listener));
    one.unwrap();
    other.unwrap();
    // Once more, which changes nothing.
    carrier.provider.instruct(&second, &listener).await.unwrap();
    carrier.provider.hang_up(&first).await.unwrap();
    let left = carrier.webhook(&first, "conference.participant.left").await;
    let conference = CallEventKind::Other { name: "conference.participant.left".to_owned() };
    assert_eq!(left.into_iter().map(|event| event.kind).collect::<Vec<_>>(), [conference]);
    // Of the webhooks of a call, this is the last one here: the conference has outlived who left it first.
    carrier.webhook(&first, "call.hangup").await;
    assert_eq!(carrier.conferences_ended(), 0, "there is one conference, and not one each");
    carrier.provider.hang_up(&second).await.unwrap();
    carrier.webhook(&second, "conference.ended").await;
    assert_eq!(carrier.conferences_ended(), 1);
    for call in [first, second] {
        assert_eq!(carrier.end(&call).await.conferences, ["room & board"]);
    }
}

#[tokio::test]
async fn a_conference_that_is_over_is_made_anew() {
    let carrier = Carrier::start().await;
    let enter = CallInstruction::Conference(Conference::named("daily").waiting().ending_on_exit().muted());
    for _ in 0..2 {
        let call = carrier.call().await;
        carrier.provider.instruct(&call, &enter).await.unwrap();
        carrier.provider.hang_up(&call).await.unwrap();
        assert_eq!(carrier.end(&call).await.conferences, ["daily"]);
        carrier.webhook(&call, "conference.ended").await;
        let late = carrier.provider.instruct(&call, &enter).await;
        assert!(matches!(late, Err(TelephonyError::NotFound { .. })), "{late:?}");
    }
}

#[tokio::test]
async fn a_call_whose_other_leg_is_busy_is_not_left_alone() {
    let carrier = Carrier::start().await;
    let call = carrier.call().await;
    let busy: PhoneNumber = "+12025550101".parse().unwrap();
    carrier.provider.instruct(&call, &CallInstruction::Bridge(Bridge::to(busy))).await.unwrap();
    let told = carrier.webhook(&call, "call.hangup").await;
    let [leg, question] = &told[..] else { panic!("{told:?}") };
    assert!(matches!(&leg.kind, CallEventKind::OtherLeg(change) if change.status == Some(CallStatus::Busy)), "{leg:?}");
    assert_eq!(question.call.id(), call.id());
    let due = CallEventKind::InstructionWanted {
        because: telephony_core::InstructionWanted::Continued,
        due: Some(Due::HangUp),
    };
    assert_eq!(question.kind, due);
    carrier.provider.get_webhook_response(&question.call, &CallInstruction::HangUp).await.unwrap();
    assert_eq!(carrier.end(&call).await.bridged_to, ["+12025550101"]);
}
