//! The headers that say from whom to whom a call is, and in which cluster.

use std::str::FromStr;

use tonic::Status;
use tonic::metadata::{MetadataMap, MetadataValue};

use crate::raft::Route;

const CLUSTER: &str = "quorumgate-cluster";
const FROM: &str = "quorumgate-from";
const TO: &str = "quorumgate-to";

pub(super) fn write(route: Route, headers: &mut MetadataMap) {
    let cluster = match route.cluster {
        none if none == [0; 16] => String::new(),
        id => format!("{:032x}", u128::from_be_bytes(id)),
    };
    for (name, value) in
        [(CLUSTER, cluster), (FROM, route.from.to_string()), (TO, route.to.to_string())]
    {
        let value = MetadataValue::from_str(&value).expect("digits are valid in a header");
        headers.insert(name, value);
    }
}

pub(super) fn read(headers: &MetadataMap) -> Result<Route, Status> {
    let text = |name: &'static str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.ok_or_else(|| Status::invalid_argument(format!("header {name} is missing")))
    };
    let wrong = |name| Status::invalid_argument(format!("header {name} is malformed"));
    let number = |name| text(name)?.parse().map_err(|_| wrong(name));
    let cluster = match text(CLUSTER)? {
        "" => [0; 16],
        id => u128::from_str_radix(id, 16).map_err(|_| wrong(CLUSTER))?.to_be_bytes(),
    };
    Ok(Route { cluster, from: number(FROM)?, to: number(TO)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for route in [
            Route::default(),
            Route { cluster: [0xf1; 16], from: u64::MAX, to: 7 },
            Route { cluster: [1; 16], from: 1, to: 0 },
        ] {
            let mut headers = MetadataMap::new();
            write(route, &mut headers);
            assert_eq!(read(&headers).unwrap(), route);
        }
        let missing = read(&MetadataMap::new()).unwrap_err();
        assert!(missing.message().contains("quorumgate-cluster is missing"), "{missing}");
        let mut headers = MetadataMap::new();
        write(Route::default(), &mut headers);
        headers.insert(FROM, MetadataValue::from_static("me"));
        assert!(read(&headers).unwrap_err().message().contains("quorumgate-from is malformed"));
    }
}
