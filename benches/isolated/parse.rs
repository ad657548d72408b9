//! From the bytes of a push to a log entry and back.

use prost::Message;
use quorumgate::exposition::{parse_protobuf, parse_text};
use quorumgate::group::{Batch, PushMode, prepare_push};

use crate::common::Effort;
use crate::common::figure::Figure;
use crate::common::payload::{GROUP_SERIES, text};
use crate::common::table::{Cell, Table};
use crate::state::{State, key, parse_rules, push, push_rules};
use crate::timing::{measure as repeat, timed};

const MIB: f64 = 1024.0 * 1024.0;

/// Series of a large push.
const MANY: usize = 10_000;

pub(crate) fn measure(effort: Effort) -> Table {
    let columns = ["us", "ns/series", "MiB/s"];
    let mut table = Table::new("From the body of a push to a log entry", &columns);
    let rules = parse_rules();
    for series in [GROUP_SERIES, MANY] {
        let body = text(series, 0);
        let parse = repeat(effort, || timed(|| parse_text(&body, &rules).unwrap()));
        table.row(format!("parse text, {series} series"), row(&parse, series, body.len()));

        let families = parse_text(&body, &rules).unwrap();
        let message: Vec<u8> =
            families.iter().flat_map(Message::encode_length_delimited_to_vec).collect();
        let parse = repeat(effort, || timed(|| parse_protobuf(&message, &rules).unwrap()));
        table.row(format!("parse protobuf, {series} series"), row(&parse, series, message.len()));

        let prepare = repeat(effort, || {
            let (key, families) = (key(0), families.clone());
            timed(|| prepare_push(key, PushMode::Replace, families, &push_rules()))
        });
        table.row(format!("check and sort, {series} series"), row(&prepare, series, body.len()));
    }
    let batch = State::with_groups(0).batch(push(0, 0));
    let encoded = batch.encode();
    let encode = repeat(effort, || timed(|| batch.encode()));
    table.row("encode the entry, 100 series", row(&encode, GROUP_SERIES, encoded.len()));
    let decode = repeat(effort, || timed(|| Batch::decode(encoded.clone()).unwrap()));
    table.row("decode the entry, 100 series", row(&decode, GROUP_SERIES, encoded.len()));
    table
}

fn row(seconds: &Figure, series: usize, bytes: usize) -> Vec<Cell> {
    let per_second = bytes as f64 / MIB / seconds.median();
    vec![
        Cell::Measured(seconds.scaled(1e6)),
        Cell::Measured(seconds.scaled(1e9 / series as f64)),
        Cell::Measured(Figure::from_iter([per_second])),
    ]
}
