//! What the gateway and an agent say to each other: our own protocol, or a carrier's.

use std::{fmt, num::NonZeroU32, time::Duration};

use telephony_core::{
    CarrierMediaCodec, MediaCommand, MediaError, MediaEvent, ProviderDescriptor, WireBuffer, WireMessage,
    audio::{AudioError, AudioFormat, AudioFrame, Encoding, PcmDecoder, PcmEncoder},
    media::{MediaAudio, StreamStart},
};

use super::protocol::{AgentCommand, GatewayEvent, PROTOCOL_VERSION, Problem, Start};
use crate::agent::{AgentAction, AgentCall, AgentLine};

/// One protocol, towards one agent.
pub(super) trait Dialect: Send + fmt::Debug {
    /// Says which call begins. The first thing that is said.
    fn start(&mut self, call: &AgentCall, out: &mut WireBuffer) -> Result<(), MediaError>;

    /// Says what happened, as far as the protocol has a word for it.
    fn tell(&mut self, event: &GatewayEvent, out: &mut WireBuffer) -> Result<(), MediaError>;

    /// Passes the caller's voice on.
    fn audio(&mut self, samples: &[i16], out: &mut WireBuffer) -> Result<(), MediaError>;

    /// Does what the agent says.
    fn read(&mut self, message: WireMessage<'_>, line: &mut AgentLine) -> Result<(), Problem>;

    /// What an agent is told of the answer to its request. `None` where the protocol knows no requests.
    fn answered(&mut self, number: u64, outcome: Result<(), &str>) -> Option<GatewayEvent>;
}

/// Our own protocol.
#[derive(Debug)]
pub(super) struct PcmDialect {
    sample_rate_hz: NonZeroU32,
    encoder: PcmEncoder,
    decoder: PcmDecoder,
    bytes: Vec<u8>,
    samples: Vec<i16>,
    /// Requests that have no answer yet: their number, their event, the agent's id.
    requests: Vec<(u64, &'static str, Option<String>)>,
}

impl PcmDialect {
    pub(super) fn new(sample_rate_hz: NonZeroU32) -> Result<Self, AudioError> {
        let format = AudioFormat::new(Encoding::Linear16, sample_rate_hz);
        Ok(Self {
            sample_rate_hz,
            encoder: PcmEncoder::new(sample_rate_hz, format)?,
            decoder: PcmDecoder::new(format, sample_rate_hz)?,
            bytes: Vec::new(),
            samples: Vec::new(),
            requests: Vec::new(),
        })
    }

    fn obey(&mut self, command: AgentCommand, line: &mut AgentLine) -> Result<(), Problem> {
        match command {
            AgentCommand::Mark { name } => line.mark(name),
            AgentCommand::Clear {} => line.clear(),
            AgentCommand::HangUp { within_ms: None } => line.hang_up(),
            AgentCommand::HangUp { within_ms: Some(limit) } => line.hang_up_within(Duration::from_millis(limit)),
            AgentCommand::Transfer { to, id } => {
                let number = line.request(AgentAction::Transfer { to });
                self.requests.push((number, "transfer", id));
            }
            AgentCommand::SendDigits { digits, id } => {
                let about = "send_digits";
                let digits = digits.parse().map_err(|error: telephony_core::DigitSequenceError| Problem {
                    about: Some(about.to_owned()),
                    id: id.clone(),
                    ..Problem::of("digits", error.to_string())
                })?;
                let number = line.request(AgentAction::SendDigits { digits });
                self.requests.push((number, about, id));
            }
        }
        Ok(())
    }
}

impl Dialect for PcmDialect {
    fn start(&mut self, call: &AgentCall, out: &mut WireBuffer) -> Result<(), MediaError> {
        let start = Start {
            version: PROTOCOL_VERSION,
            sample_rate_hz: self.sample_rate_hz.get(),
            run_id: call.run_id.map(|id| id.to_string()),
            call_id: call.call.id().map(ToString::to_string),
            provider: call.provider.to_string(),
            direction: call.direction,
            from: call.from.clone(),
            to: call.to.clone(),
            parameters: call.parameters.clone(),
        };
        self.tell(&GatewayEvent::Start(Box::new(start)), out)
    }

    fn tell(&mut self, event: &GatewayEvent, out: &mut WireBuffer) -> Result<(), MediaError> {
        let text = serde_json::to_string(event).map_err(|error| MediaError::malformed("event", error))?;
        out.text().push_str(&text);
        Ok(())
    }

    fn audio(&mut self, samples: &[i16], out: &mut WireBuffer) -> Result<(), MediaError> {
        self.bytes.clear();
        self.encoder.encode(samples, &mut self.bytes);
        out.binary(&self.bytes);
        Ok(())
    }

    fn read(&mut self, message: WireMessage<'_>, line: &mut AgentLine) -> Result<(), Problem> {
        let bytes = match message {
            WireMessage::Text(text) => return AgentCommand::parse(text).and_then(|command| self.obey(command, line)),
            WireMessage::Binary(bytes) => bytes,
        };
        self.samples.clear();
        AudioFrame::new(self.decoder.wire(), bytes)
            .and_then(|frame| self.decoder.decode(frame, &mut self.samples))
            .map_err(|_| Problem::of("audio", format!("has {} bytes: a sample has two", bytes.len())))?;
        line.say(&self.samples);
        Ok(())
    }

    fn answered(&mut self, number: u64, outcome: Result<(), &str>) -> Option<GatewayEvent> {
        let place = self.requests.iter().position(|request| request.0 == number)?;
        let (_, about, id) = self.requests.swap_remove(place);
        let about = about.to_owned();
        Some(match outcome {
            Ok(()) => GatewayEvent::Done { about, id },
            Err(reason) => GatewayEvent::Error(Problem { about: Some(about), id, ..Problem::of("event", reason) }),
        })
    }
}

/// A carrier's media protocol, for an agent that was written for that carrier: we are the carrier.
#[derive(Debug)]
pub(super) struct CarrierDialect {
    codec: Box<dyn CarrierMediaCodec>,
    format: AudioFormat,
    encoder: PcmEncoder,
    decoder: PcmDecoder,
    bytes: Vec<u8>,
    samples: Vec<i16>,
    /// Whether this carrier gives marks back that were cleared away.
    returns_cleared_marks: bool,
}

impl CarrierDialect {
    /// The dialect of a carrier, in one of its formats.
    pub(super) fn new(carrier: &ProviderDescriptor, format: AudioFormat) -> Result<Self, AudioError> {
        Ok(Self {
            codec: carrier.carrier_media_codec(),
            format,
            encoder: PcmEncoder::new(format.sample_rate_hz, format)?,
            decoder: PcmDecoder::new(format, format.sample_rate_hz)?,
            bytes: Vec::new(),
            samples: Vec::new(),
            returns_cleared_marks: carrier.media().clear_returns_marks,
        })
    }
}

impl Dialect for CarrierDialect {
    fn start(&mut self, call: &AgentCall, out: &mut WireBuffer) -> Result<(), MediaError> {
        let mut start = StreamStart::new(call.call.clone(), self.format).with_parameters(call.parameters.clone());
        // Agents keep their streams apart by this id, so there must be one.
        start.stream_id = call.stream_id.clone().or_else(|| call.run_id.map(|id| id.to_string()));
        self.codec.encode(MediaEvent::Started(start), out)
    }

    fn tell(&mut self, event: &GatewayEvent, out: &mut WireBuffer) -> Result<(), MediaError> {
        let event = match event {
            GatewayEvent::Digit { digit } => MediaEvent::Digit { digit: *digit, duration: None },
            GatewayEvent::Mark { name, heard } if *heard || self.returns_cleared_marks => {
                MediaEvent::MarkReached { name }
            }
            GatewayEvent::Cleared { .. } => MediaEvent::Cleared,
            GatewayEvent::Stop { .. } => MediaEvent::Stopped,
            _ => return Ok(()), // The protocol has no word for it.
        };
        self.codec.encode(event, out)
    }

    fn audio(&mut self, samples: &[i16], out: &mut WireBuffer) -> Result<(), MediaError> {
        self.bytes.clear();
        self.encoder.encode(samples, &mut self.bytes);
        let frame = AudioFrame::new(self.format, &self.bytes).map_err(|error| MediaError::malformed("audio", error))?;
        self.codec.encode(MediaEvent::Audio(MediaAudio::new(frame)), out)
    }

    fn read(&mut self, message: WireMessage<'_>, line: &mut AgentLine) -> Result<(), Problem> {
        let command = self.codec.decode(message).map_err(|error| Problem::of("message", error.to_string()))?;
        match command {
            MediaCommand::Audio(frame) => {
                self.samples.clear();
                let decoded = self.decoder.decode(frame, &mut self.samples);
                decoded.map_err(|error| Problem::of("audio", error.to_string()))?;
                line.say(&self.samples);
            }
            MediaCommand::Mark { name } => line.mark(name),
            MediaCommand::Clear => line.clear(),
            MediaCommand::Digits { digits } => {
                let digits = digits
                    .parse()
                    .map_err(|error: telephony_core::DigitSequenceError| Problem::of("digits", error.to_string()))?;
                // The protocol has no word for how it went.
                line.request(AgentAction::SendDigits { digits });
            }
            _ => {}
        }
        Ok(())
    }

    fn answered(&mut self, _number: u64, _outcome: Result<(), &str>) -> Option<GatewayEvent> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::line::Act;

    /// A carrier whose protocol has a word for digits, and knows no other.
    #[derive(Debug)]
    struct Keypad;

    impl CarrierMediaCodec for Keypad {
        fn encode(&mut self, _: MediaEvent<'_>, _: &mut WireBuffer) -> Result<(), MediaError> {
            Ok(())
        }

        fn decode<'a>(&'a mut self, message: WireMessage<'a>) -> Result<MediaCommand<'a>, MediaError> {
            match message {
                WireMessage::Text(digits) => Ok(MediaCommand::Digits { digits }),
                WireMessage::Binary(_) => Err(MediaError::malformed("message", "is binary")),
            }
        }
    }

    #[test]
    fn digits_in_a_carriers_protocol_are_sent_to_the_other_side() {
        let format = AudioFormat::MULAW_8K;
        let mut dialect = CarrierDialect {
            codec: Box::new(Keypad),
            format,
            encoder: PcmEncoder::new(format.sample_rate_hz, format).unwrap(),
            decoder: PcmDecoder::new(format, format.sample_rate_hz).unwrap(),
            bytes: Vec::new(),
            samples: Vec::new(),
            returns_cleared_marks: false,
        };
        let mut line = AgentLine::default();
        dialect.read(WireMessage::Text("12#"), &mut line).unwrap();
        let acts = line.take_acts();
        let [Act::Request(_, AgentAction::SendDigits { digits })] = &acts[..] else { panic!("{acts:?}") };
        assert_eq!(digits.as_str(), "12#");
        assert!(dialect.read(WireMessage::Text("twelve"), &mut line).is_err());
        assert!(line.take_acts().is_empty());
    }
}
