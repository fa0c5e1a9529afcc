//! The gateway's pages can be tested: the browser is signed in, sees what is there, and hears what it should.

use std::time::Duration;

use serde_json::json;
use tests::browser::{Scheme, Size};

use crate::{
    gateway::{Pages, Sandbox},
    sound::write_tone,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_description_of_the_api_is_shown_to_who_is_signed_in() {
    let page = Pages::start(Sandbox::Yes).await;
    page.open("/docs/").await;
    assert_eq!(page.title().await, "Swagger UI");
    page.wait_text(".info .title", "Telephony gateway").await;
    for size in [Size::Narrow, Size::Wide] {
        for scheme in [Scheme::Dark, Scheme::Light] {
            page.show_as(size, scheme).await;
            let script = "return [document.documentElement.clientWidth, innerHeight,
                matchMedia('(prefers-color-scheme: dark)').matches]";
            let (width, height) = size.pixels();
            assert_eq!(page.evaluate(script, vec![]).await, json!([width, height, scheme == Scheme::Dark]));
        }
    }

    // The page asks in the name of who is signed in.
    let operation = "#operations-configurations-list_configurations";
    page.press(&format!("{operation} .opblock-summary-control")).await;
    page.press(&format!("{operation} .try-out__btn")).await;
    page.press(&format!("{operation} .execute")).await;
    let accounts = page.tenant.get("/telephony/configurations").await;
    let name = accounts[0]["name"].as_str().unwrap();
    page.wait_text(&format!("{operation} .live-responses-table"), name).await;
    page.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_microphone_hears_a_file() {
    const TONE_HZ: f64 = 1_000.0;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tone.wav");
    write_tone(&file, TONE_HZ, &[(Duration::from_secs(1), true)]);

    let page = Pages::start_talking(Sandbox::No, &file).await;
    let loudest = page.evaluate_async(LOUDEST_HZ, vec![]).await;
    let off = (loudest.as_f64().unwrap_or_else(|| panic!("{loudest}")) - TONE_HZ).abs();
    assert!(off < 50.0, "the loudest is at {loudest} Hz");
    page.end().await;
}

/// Calls back with the frequency that is loudest in what the microphone hears, once it hears something.
const LOUDEST_HZ: &str = "
    const done = arguments[0];
    (async () => {
        const stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false, noiseSuppression: false } });
        const context = new AudioContext();
        const analyser = new AnalyserNode(context, { fftSize: 4096, smoothingTimeConstant: 0 });
        context.createMediaStreamSource(stream).connect(analyser);
        const heard = new Float32Array(analyser.frequencyBinCount);
        const look = () => {
            analyser.getFloatFrequencyData(heard);
            const loudest = heard.indexOf(Math.max(...heard));
            if (heard[loudest] > -40) done(loudest * context.sampleRate / analyser.fftSize);
            else setTimeout(look, 20);
        };
        look();
    })().catch((error) => done(String(error)));";
