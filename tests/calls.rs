//! Whole calls through the gateway, for every carrier that is linked: on a good day, and with everything going wrong that the
//! sandbox can make go wrong.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{sync::Arc, time::Duration};

use telephony_core::{CallCost, PhoneNumber, ProviderContext, TelephonyProvider, audio::AudioFormat};
use telephony_gateway::{CallOrder, CallOutcome, CallReport, Gateway, PlaceCallError, place_call};
use telephony_registry::Registry;
use telephony_sandbox::{
    DIAL_PLAN, Faults, Observation, RestFault, Sandbox, SandboxOptions, SimulatorDescriptor, WebhookFaults,
};

/// A call to a handset of the dial plan, with faults in force once the account has been asked for its numbers.
async fn call(
    simulator: &'static SimulatorDescriptor,
    handset: usize,
    faults: Faults,
) -> Result<CallReport, PlaceCallError> {
    observed_call(simulator, handset, faults).await.0
}

/// The same, with what the carrier saw of it.
async fn observed_call(
    simulator: &'static SimulatorDescriptor,
    handset: usize,
    faults: Faults,
) -> (Result<CallReport, PlaceCallError>, Vec<Observation>) {
    let options = SandboxOptions::default()
        .with_ring(Duration::from_millis(60))
        .with_no_answer_after(Duration::from_millis(500))
        .with_rating_delay(Duration::from_millis(200));
    let sandbox = Sandbox::start(simulator, options).await.unwrap();
    let gateway = Gateway::start(([127, 0, 0, 1], 0).into(), None).await.unwrap();
    let context = ProviderContext::network().unwrap();
    let provider: Arc<dyn TelephonyProvider> = Registry::linked().unwrap().build(&sandbox.account(), context).unwrap();
    let to: PhoneNumber = DIAL_PLAN[handset].number.parse().unwrap();
    let mut order = CallOrder::to(to).recorded();
    order.from = Some(sandbox.numbers()[0].clone().into());
    sandbox.set_faults(faults);
    let report = place_call(&gateway, provider, order, &mut |_| {}, std::future::pending()).await;
    let observations = sandbox.observations();
    sandbox.stop().await;
    (report, observations)
}

/// Runs a test for every carrier with a simulator, one after the other.
fn for_each_carrier<F: Future<Output = ()>>(test: impl Fn(&'static SimulatorDescriptor) -> F) {
    let simulators = telephony_sandbox::registered();
    assert!(simulators.len() >= 2, "the providers of this repository are linked");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for simulator in simulators {
        runtime.block_on(test(simulator));
    }
}

fn events(report: &CallReport) -> Vec<&str> {
    report.timeline.iter().map(|entry| entry.event.as_str()).collect()
}

/// For how long a channel of the recording was louder than line noise.
fn loud_for(report: &CallReport) -> [Duration; 2] {
    let mut wav = std::io::Cursor::new(Vec::new());
    report.recording.as_ref().unwrap().write_wav(&mut wav).unwrap();
    // A header of 44 bytes, then samples of 16 bits, left and right by turns.
    let samples: Vec<i16> =
        wav.into_inner()[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    [0, 1].map(|channel| {
        let one: Vec<i16> = samples.iter().skip(channel).step_by(2).copied().collect();
        let loud = one.chunks(320).filter(|piece| telephony_core::audio::rms_dbfs(piece) > -45.0).count();
        Duration::from_millis(20) * u32::try_from(loud).unwrap()
    })
}

#[test]
fn a_call_from_dialling_to_the_bill() {
    for_each_carrier(async |simulator| {
        let report = call(simulator, 0, Faults::none()).await.unwrap();
        assert_eq!(report.outcome, CallOutcome::Completed);
        assert!(matches!(report.cost, Some(CallCost::Rated { .. })), "{:?}", report.cost);
        let media = report.media.as_ref().unwrap();
        assert_eq!((media.malformed, media.clears), (0, 0));
        // What the gateway prefers where there is a choice, else what the carrier has.
        let formats = simulator.provider().media().formats;
        let preferred = formats.iter().find(|format| **format == AudioFormat::LINEAR16_16K).unwrap_or(&formats[0]);
        assert_eq!(media.inbound, Some(*preferred));
        // A greeting of 3.8 s and a goodbye of 2.6 s; the caller speaks for 3.6 s.
        let [caller, agent] = loud_for(&report);
        assert!(caller > Duration::from_secs(2) && agent > Duration::from_secs(4), "{caller:?} {agent:?}");
        assert!(events(&report).contains(&"completed"), "{:?}", report.timeline);
    });
}

#[test]
fn every_way_not_to_be_answered() {
    for_each_carrier(async |simulator| {
        for (handset, outcome) in [(1, CallOutcome::Busy), (2, CallOutcome::NoAnswer), (3, CallOutcome::Declined)] {
            let report = call(simulator, handset, Faults::none()).await.unwrap();
            assert_eq!(report.outcome, outcome, "{:?}", report.timeline);
            assert!(report.media.is_none() && report.recording.is_none());
        }
        match call(simulator, 4, Faults::none()).await {
            Ok(report) => assert_eq!(report.outcome, CallOutcome::InvalidNumber),
            Err(PlaceCallError::Telephony(telephony_core::TelephonyError::InvalidRequest { problem, .. })) => {
                assert_eq!(problem.field, "to");
            }
            Err(other) => panic!("{other:?}"),
        }
    });
}

#[test]
fn webhooks_that_come_three_times_move_nothing_twice() {
    for_each_carrier(async |simulator| {
        let faults = Faults::none().with_webhooks(WebhookFaults::copies(3));
        let report = call(simulator, 6, faults).await.unwrap();
        assert_eq!(report.outcome, CallOutcome::Completed);
        assert!(report.repeated_events >= 2, "{:?}", report.timeline);
        let ends = events(&report).into_iter().filter(|event| *event == "completed").count();
        assert_eq!(ends, 1);
    });
}

#[test]
fn webhooks_in_the_wrong_order_end_in_the_same_state() {
    for_each_carrier(async |simulator| {
        let report = call(simulator, 6, Faults::none().with_webhooks(WebhookFaults::reordered())).await.unwrap();
        assert_eq!(report.outcome, CallOutcome::Completed, "{:?}", report.timeline);
    });
}

#[test]
fn webhooks_that_are_lost_are_made_up_for_by_asking() {
    for_each_carrier(async |simulator| {
        let report = call(simulator, 6, Faults::none().with_webhooks(WebhookFaults::lost())).await.unwrap();
        assert_eq!(report.outcome, CallOutcome::Completed, "{:?}", report.timeline);
        assert!(events(&report).contains(&"status asked"), "{:?}", report.timeline);
    });
}

#[test]
fn a_media_socket_that_is_cut_ends_the_call_and_is_told() {
    for_each_carrier(async |simulator| {
        let report = call(simulator, 0, Faults::none().with_media_cut_after(20)).await.unwrap();
        assert_eq!(report.outcome, CallOutcome::Completed, "{:?}", report.timeline);
        let closed = report.timeline.iter().find(|entry| entry.event == "stream closed").unwrap();
        assert!(closed.carried.starts_with("lost"), "{closed:?}");
    });
}

#[test]
fn a_dial_whose_answer_is_lost_is_found_again_and_not_repeated() {
    for_each_carrier(async |simulator| {
        let faults = Faults::none().with_rest(RestFault::CutAfter);
        let (report, observations) = observed_call(simulator, 6, faults).await;
        let report = report.unwrap();
        assert_eq!(report.outcome, CallOutcome::Completed, "{:?}", report.timeline);
        let events = events(&report);
        assert!(events.contains(&"outcome unknown"), "{events:?}");
        // Not every carrier reports ringing; the handset knows how often it rang.
        let rang = observations.iter().filter(|seen| matches!(seen, Observation::HandsetRang { .. })).count();
        assert_eq!(rang, 1, "{events:?}");
    });
}

#[test]
fn a_carrier_that_stumbles_is_asked_again() {
    for_each_carrier(async |simulator| {
        // The dial is refused for its rate, then accepted.
        let report = call(simulator, 6, Faults::none().with_rest(RestFault::Status(429))).await.unwrap();
        assert_eq!(report.outcome, CallOutcome::Completed);
    });
}

/// A gateway for the calls of one program is there for carriers, and nobody else is answered.
#[test]
fn a_gateway_of_one_program_answers_carriers_only_and_remembers_its_calls() {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let gateway = Gateway::start(([127, 0, 0, 1], 0).into(), None).await.unwrap();
        let status = async |path: &str| {
            reqwest::get(format!("http://{}{path}", gateway.address())).await.unwrap().status().as_u16()
        };
        assert_eq!(status("/healthz").await, 200);
        for path in ["/api/v1/organization", "/docs", "/sign-in/x", "/api/v1/telephony/acme/events/nonsense"] {
            assert_eq!(status(path).await, 404, "{path}");
        }
        let sandbox = Sandbox::start(telephony_sandbox::registered()[0], SandboxOptions::default()).await.unwrap();
        let context = ProviderContext::network().unwrap();
        let provider = Registry::linked().unwrap().build(&sandbox.account(), context).unwrap();
        let to: PhoneNumber = DIAL_PLAN[1].number.parse().unwrap();
        let mut told = Vec::new();
        let mut progress = |line: &telephony_gateway::TimelineEntry| told.push(line.event.clone());
        let report =
            place_call(&gateway, provider, CallOrder::to(to), &mut progress, std::future::pending()).await.unwrap();
        assert_eq!((report.outcome, &told[..2]), (CallOutcome::Busy, &["dial".to_owned(), "accepted".to_owned()][..]));
        let store = gateway.service().store();
        let owner = store.organizations().await.unwrap().remove(0).id;
        let runs = store.runs(owner, &telephony_gateway::store::RunFilter::default(), 10).await.unwrap().runs;
        assert_eq!((runs.len(), runs[0].call.to_string()), (1, report.call_id));
        assert!(!store.events(runs[0].id).await.unwrap().is_empty());
        sandbox.stop().await;
        gateway.stop().await;
    });
}
