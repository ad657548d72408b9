use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::StreamBody;
use std::io::Write as _;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn whole(bytes: &[u8]) -> RequestBody {
    RequestBody::from(Bytes::copy_from_slice(bytes))
}

fn in_frames(frames: Vec<Result<&'static [u8], &'static str>>) -> RequestBody {
    let frames = frames.into_iter().map(|frame| match frame {
        Ok(data) => Ok(Frame::data(Bytes::from_static(data))),
        Err(text) => Err(BoxError::from(text)),
    });
    RequestBody::new(StreamBody::new(futures_util::stream::iter(frames)))
}

fn never_ending(step: &'static [u8], pause: Duration) -> RequestBody {
    let frames = futures_util::stream::unfold((), move |()| async move {
        tokio::time::sleep(pause).await;
        Some((Ok::<_, BoxError>(Frame::data(Bytes::from_static(step))), ()))
    });
    RequestBody::new(StreamBody::new(frames))
}

fn small() -> Limits {
    Limits { body_bytes: 100, decoded_body_bytes: 1000, ..Limits::default() }
}

fn encoded_as(name: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_ENCODING, name.parse().unwrap());
    headers
}

async fn read(body: RequestBody, headers: &HeaderMap) -> Result<Vec<u8>, ApiError> {
    let limits = small();
    let mut reader = BodyReader::new(body, headers, &limits, &Budget::of_bodies(&limits));
    reader.check_gzip_header().await?;
    let encoded = reader.read_all().await?;
    encoded.decode(&limits).map(|decoded| decoded.bytes.to_vec())
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn knows_encodings_by_their_exact_names() {
    use ContentEncoding::{Gzip, Identity, Snappy};
    for (name, expected) in [
        ("gzip", Gzip),
        (" GZip\t", Gzip),
        ("snappy", Snappy),
        ("deflate", Identity),
        ("x-gzip", Identity),
        ("br", Identity),
        ("gzip, gzip", Identity),
        ("identity", Identity),
        ("", Identity),
    ] {
        assert_eq!(ContentEncoding::of(&encoded_as(name)), expected, "{name}");
    }
    assert_eq!(ContentEncoding::of(&HeaderMap::new()), Identity);
}

#[tokio::test]
async fn reads_bodies() {
    let plain = HeaderMap::new();
    assert_eq!(read(whole(b"a 1\n"), &plain).await, Ok(b"a 1\n".to_vec()));
    assert_eq!(read(whole(b""), &plain).await, Ok(Vec::new()));
    let body = in_frames(vec![Ok(b"a "), Ok(b""), Ok(b"1"), Ok(b"\n")]);
    assert_eq!(read(body, &plain).await, Ok(b"a 1\n".to_vec()));
    assert_eq!(read(in_frames(vec![]), &plain).await, Ok(Vec::new()));
    assert_eq!(read(whole(&gzipped(b"a 1\n")), &encoded_as("gzip")).await, Ok(b"a 1\n".to_vec()));
    assert_eq!(read(whole(b"a 1\n"), &encoded_as("deflate")).await, Ok(b"a 1\n".to_vec()));
    assert_eq!(read(whole(b""), &encoded_as("snappy")).await, Ok(Vec::new()));
}

#[tokio::test]
async fn refuses_damaged_bodies() {
    let text = |text: &str| Err(ApiError::Encoding(text.to_owned()));
    let gzip = encoded_as("gzip");
    assert_eq!(read(whole(b""), &gzip).await, text("EOF"));
    assert_eq!(read(in_frames(vec![Ok(b"short")]), &gzip).await, text("unexpected EOF"));
    assert_eq!(read(whole(b"not gzip at all"), &gzip).await, text("gzip: invalid header"));
    assert_eq!(read(whole(b"a 1\n"), &encoded_as("snappy")).await, text("snappy: corrupt input"));
    let broken = in_frames(vec![Ok(b"a 1\n"), Err("reset")]);
    assert_eq!(read(broken, &HeaderMap::new()).await, Err(ApiError::BodyBroken));
}

#[tokio::test]
async fn refuses_what_is_too_long() {
    let status =
        |result: Result<Vec<u8>, ApiError>| result.map_err(|error| error.status().as_u16());
    let plain = HeaderMap::new();
    assert_eq!(status(read(whole(&[b'#'; 100]), &plain).await).map(|body| body.len()), Ok(100));
    assert_eq!(status(read(whole(&[b'#'; 101]), &plain).await), Err(413));
    let body = in_frames(vec![Ok(&[b'#'; 60]), Ok(&[b'#'; 60])]);
    assert_eq!(status(read(body, &plain).await), Err(413));
    let bomb = gzipped(&[b'#'; 1001]);
    assert!(bomb.len() <= 100);
    assert_eq!(status(read(whole(&bomb), &encoded_as("gzip")).await), Err(413));
}

#[tokio::test]
async fn gives_up_on_slow_senders() {
    let body_timeout = Duration::from_millis(50);
    let limits = Limits { body_timeout, ..Limits::default() };
    let budget = Budget::of_bodies(&limits);
    // Nothing at all; and always something, but too little.
    for pause in [Duration::from_hours(1), Duration::from_millis(1)] {
        let started = Instant::now();
        let body = never_ending(b"x", pause);
        let mut reader = BodyReader::new(body, &HeaderMap::new(), &limits, &budget);
        assert_eq!(reader.read_all().await.unwrap_err(), ApiError::BodyTooSlow);
        assert!(started.elapsed() >= body_timeout);
    }
}

#[tokio::test]
async fn bounds_the_memory_of_all_bodies() {
    let limits = Limits { inflight_bytes: 8 << 20, ..Limits::default() };
    let budget = Budget::of_bodies(&limits);
    let largest = vec![b'#'; 1 << 20];
    let mut held = Vec::new();
    let refused = loop {
        let mut reader = BodyReader::new(whole(&largest), &HeaderMap::new(), &limits, &budget);
        match reader.read_all().await {
            Ok(encoded) => held.push(encoded),
            Err(error) => break error,
        }
    };
    assert_eq!((held.len(), refused), (5, ApiError::OutOfBodyMemory));
    held.pop();
    let mut reader = BodyReader::new(whole(&largest), &HeaderMap::new(), &limits, &budget);
    assert!(reader.read_all().await.is_ok());
}
