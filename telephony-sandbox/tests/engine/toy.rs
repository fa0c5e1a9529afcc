//! The smallest carrier there can be: unsigned JSON, and raw PCM on the media socket.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use telephony_core::{
    CallRef, Capabilities, Decimal, MediaCommand, MediaError, MediaEvent, MediaProfile, Package, Problems,
    ProviderConfig, ProviderContext, ProviderDescriptor, ProviderFactory, ProviderName, TelephonyError,
    TelephonyProvider, Timestamp, Url, WebhookIdentity, WebhookRequest, WireBuffer, WireMessage,
    audio::{AudioFormat, AudioFrame},
    media::{CarrierMediaCodec, StreamStart},
};
use telephony_sandbox::{Ask, CarrierSimulator, Exchange, NewCall, Report, SimulatedCall, SimulatorDescriptor, Step};

const FORMAT: AudioFormat = AudioFormat::LINEAR16_16K;

pub(crate) static DESCRIPTOR: ProviderDescriptor = ProviderDescriptor::of::<Toy>();
pub(crate) static SIMULATOR: SimulatorDescriptor = SimulatorDescriptor::new(&DESCRIPTOR, || Box::new(ToySimulator));

/// No configuration.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
pub(crate) struct ToyConfig {}

impl ProviderConfig for ToyConfig {
    fn check(&self, _: &mut Problems) {}
}

struct Toy;

impl ProviderFactory for Toy {
    type Config = ToyConfig;
    const NAME: ProviderName = ProviderName::new("toy");
    const DISPLAY_NAME: &'static str = "Toy";
    const DOCS_URL: &'static str = "https://example.com/";
    const PACKAGE: Package = telephony_core::package!();
    const CAPABILITIES: Capabilities = Capabilities::new();
    const MEDIA: MediaProfile = MediaProfile::new(&[FORMAT]);
    const ACCOUNT_ID_FIELD: &'static str = "account";

    fn build(_: ToyConfig, _: ProviderContext) -> Result<Arc<dyn TelephonyProvider>, TelephonyError> {
        unreachable!("the customer is played by the test")
    }

    fn identify_webhook(_: &WebhookRequest) -> Option<WebhookIdentity> {
        None
    }

    fn carrier_media_codec() -> Box<dyn CarrierMediaCodec> {
        Box::new(ToyMedia)
    }
}

#[derive(Debug)]
struct ToyMedia;

impl CarrierMediaCodec for ToyMedia {
    fn encode(&mut self, event: MediaEvent<'_>, out: &mut WireBuffer) -> Result<(), MediaError> {
        match event {
            MediaEvent::Started(start) => {
                out.text().push_str("start ").push_str(start.parameters.get("run").map_or("", String::as_str));
            }
            MediaEvent::Audio(audio) => out.binary(audio.frame.bytes()),
            MediaEvent::Digit { digit, .. } => {
                out.text().push_str("digit ").push_str(digit.encode_utf8(&mut [0; 4]));
            }
            MediaEvent::MarkReached { name } => {
                out.text().push_str("mark ").push_str(name);
            }
            MediaEvent::Stopped => {
                out.text().push_str("stop");
            }
            _ => {}
        }
        Ok(())
    }

    fn decode<'a>(&'a mut self, message: WireMessage<'a>) -> Result<MediaCommand<'a>, MediaError> {
        match message {
            WireMessage::Binary(bytes) => AudioFrame::new(FORMAT, bytes)
                .map(MediaCommand::Audio)
                .map_err(|error| MediaError::malformed("audio", error)),
            WireMessage::Text("clear") => Ok(MediaCommand::Clear),
            WireMessage::Text(text) => match text.strip_prefix("mark ") {
                Some(name) => Ok(MediaCommand::Mark { name }),
                None => Err(MediaError::malformed("text", "unknown")),
            },
        }
    }
}

#[derive(Debug)]
struct ToySimulator;

impl CarrierSimulator for ToySimulator {
    fn account(&self, api: &Url) -> Value {
        json!({"api": api})
    }

    fn new_call_id(&mut self) -> String {
        "inbound-1".to_owned()
    }

    fn rest(&mut self, request: &Request<Bytes>, exchange: &mut Exchange) -> Response<Bytes> {
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        match request.uri().path() {
            "/calls" => {
                let notes = ["answer", "events"].map(|name| (name.to_owned(), text(name)));
                exchange.place(NewCall {
                    id: text("id"),
                    from: "+13035550100".to_owned(),
                    to: text("to"),
                    time_limit: body["limit_ms"].as_u64().map(std::time::Duration::from_millis),
                    notes: BTreeMap::from(notes),
                    ..NewCall::default()
                });
                Response::new(Bytes::new())
            }
            "/hang-up" if exchange.hang_up(&text("id")) => Response::new(Bytes::new()),
            "/numbers" => {
                let number = text("number");
                let Some(number) = exchange.number_mut(&number) else { return self.failure(StatusCode::NOT_FOUND) };
                for name in ["answer", "events"] {
                    number.notes.insert(name.to_owned(), text(name));
                }
                Response::new(Bytes::new())
            }
            _ => self.failure(StatusCode::NOT_FOUND),
        }
    }

    fn failure(&self, status: StatusCode) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from_static(b"no"));
        *response.status_mut() = status;
        response
    }

    fn report(&mut self, call: &SimulatedCall, happening: &Report, _: Timestamp) -> Vec<Request<Bytes>> {
        let body = format!("{} {} {:?}", call.reports, call.status, happening);
        call.note("events").map(|url| Request::post(url).body(body.into()).expect("a URL")).into_iter().collect()
    }

    fn ask(&mut self, call: &SimulatedCall, why: &Ask, _: Timestamp) -> Option<Request<Bytes>> {
        let url = match why {
            Ask::Digits { callback, digits, .. } => format!("{callback}?digits={digits}"),
            Ask::Redirect { url } => url.clone(),
            _ => call.note("answer")?.to_owned(),
        };
        Some(Request::post(url).body(Bytes::new()).expect("a URL"))
    }

    fn read_answer(&mut self, response: &Response<Bytes>) -> Result<Vec<Step>, String> {
        let text = std::str::from_utf8(response.body()).map_err(|error| error.to_string())?;
        text.lines()
            .map(|line| {
                let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
                Ok(match verb {
                    "stream" => Step::Stream {
                        url: rest.parse().map_err(|_| "no URL")?,
                        format: FORMAT,
                        parameters: BTreeMap::from([("run".to_owned(), "77".to_owned())]),
                    },
                    "say" => Step::Say { text: rest.to_owned() },
                    "reject" => Step::Reject { busy: true },
                    "gather" => Step::Gather {
                        max_digits: 4,
                        timeout: std::time::Duration::from_secs(3),
                        finish_on_hash: true,
                        callback: rest.to_owned(),
                    },
                    _ => return Err(format!("unknown verb {verb:?}")),
                })
            })
            .collect()
    }

    fn stream_start(
        &mut self,
        _: &SimulatedCall,
        format: AudioFormat,
        parameters: &BTreeMap<String, String>,
    ) -> StreamStart {
        StreamStart::new(CallRef::unnamed(), format).with_parameters(parameters.clone())
    }

    fn rate_per_minute(&self) -> Decimal {
        Decimal::ONE
    }
}
