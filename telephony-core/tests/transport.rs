//! The default transport against real sockets: what it concludes from each way in which an attempt can fail.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::{net::Ipv4Addr, time::Duration};

use bytes::Bytes;
use telephony_core::http::{ReqwestTransport, Transport, TransportErrorKind};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

fn request(url: &str) -> http::Request<Bytes> {
    http::Request::post(url).body(Bytes::from_static(b"a=1")).unwrap()
}

/// A server that reads a request, answers with these bytes, and closes.
async fn server(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut read = [0; 4096];
            if stream.read(&mut read).await.is_ok() {
                stream.write_all(answer).await.unwrap();
            }
        }
    });
    url
}

#[tokio::test]
async fn every_status_is_an_answer_and_redirects_are_not_followed() {
    for status in [200, 302, 404, 500] {
        let mock = MockServer::start().await;
        let template = ResponseTemplate::new(status).insert_header("location", "/elsewhere").set_body_string("body");
        Mock::given(any()).respond_with(template).expect(1).mount(&mock).await;
        let answer = ReqwestTransport::new().unwrap().send(request(&mock.uri())).await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.body()[..]), (status, &b"body"[..]));
    }
}

#[tokio::test]
async fn what_meets_no_listener_was_not_sent() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let error = ReqwestTransport::new().unwrap().send(request(&url)).await.unwrap_err();
    assert_eq!(error.kind(), TransportErrorKind::NotSent);
}

#[tokio::test]
async fn what_was_sent_and_not_answered_may_have_arrived() {
    let url = server(b"").await;
    let error = ReqwestTransport::new().unwrap().send(request(&url)).await.unwrap_err();
    assert_eq!(error.kind(), TransportErrorKind::NoAnswer);
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_never_ends_is_unreadable() {
    let url = server(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort").await;
    let error = ReqwestTransport::new().unwrap().send(request(&url)).await.unwrap_err();
    assert_eq!(error.kind(), TransportErrorKind::BadAnswer);

    let mock = MockServer::start().await;
    let huge = ResponseTemplate::new(200).set_body_bytes(vec![b'x'; (4 << 20) + 1]);
    Mock::given(any()).respond_with(huge).mount(&mock).await;
    let error = ReqwestTransport::new().unwrap().send(request(&mock.uri())).await.unwrap_err();
    assert_eq!(error.kind(), TransportErrorKind::BadAnswer);
}

#[tokio::test]
async fn errors_do_not_show_the_query() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/?to=%2B14155550100", listener.local_addr().unwrap());
    drop(listener);
    let sending = ReqwestTransport::new().unwrap();
    let error = tokio::time::timeout(Duration::from_secs(10), sending.send(request(&url))).await.unwrap().unwrap_err();
    let shown = format!("{error:?} {}", telephony_core::error_chain(&error));
    assert!(!shown.contains("4155550100"), "{shown}");
}
