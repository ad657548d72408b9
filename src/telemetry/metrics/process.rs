//! What the system knows about this process.

/// One look at the process. What the system does not tell is left out.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Sample {
    pub(super) cpu_seconds_total: Option<f64>,
    pub(super) max_fds: Option<f64>,
    pub(super) open_fds: Option<f64>,
    pub(super) resident_memory_bytes: Option<f64>,
    pub(super) start_time_seconds: Option<f64>,
    pub(super) virtual_memory_bytes: Option<f64>,
    pub(super) virtual_memory_max_bytes: Option<f64>,
    pub(super) network_receive_bytes_total: Option<f64>,
    pub(super) network_transmit_bytes_total: Option<f64>,
}

impl Sample {
    pub(super) fn take() -> Self {
        let process = metrics_process::collector::collect();
        let network = std::fs::read_to_string("/proc/self/net/netstat").unwrap_or_default();
        Sample {
            cpu_seconds_total: process.cpu_seconds_total,
            max_fds: process.max_fds.map(limit),
            open_fds: process.open_fds.map(double),
            resident_memory_bytes: process.resident_memory_bytes.map(double),
            start_time_seconds: process.start_time_seconds.map(double),
            virtual_memory_bytes: process.virtual_memory_bytes.map(double),
            virtual_memory_max_bytes: process.virtual_memory_max_bytes.map(limit),
            network_receive_bytes_total: ip_counter(&network, "InOctets"),
            network_transmit_bytes_total: ip_counter(&network, "OutOctets"),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a double is what is shown")]
fn double(value: u64) -> f64 {
    value as f64
}

/// "Unlimited" arrives as zero and is shown as the largest number, as upstream does.
fn limit(value: u64) -> f64 {
    double(if value == 0 { u64::MAX } else { value })
}

/// A column of the `IpExt:` table: one line of names, one of numbers.
fn ip_counter(netstat: &str, column: &str) -> Option<f64> {
    let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("IpExt:"));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let mut columns = names.split_whitespace().zip(numbers.split_whitespace());
    columns.find(|(name, _)| *name == column)?.1.parse().ok().map(double)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_network_counters() {
        let netstat = "TcpExt: A InOctets\nTcpExt: 1 2\n\
                       IpExt: InNoRoutes InOctets OutOctets\nIpExt: 0 1234 56\n";
        assert_eq!(ip_counter(netstat, "InOctets"), Some(1234.0));
        assert_eq!(ip_counter(netstat, "OutOctets"), Some(56.0));
        for broken in ["", "IpExt: InOctets\n", "IpExt: InOctets\nIpExt: x\n"] {
            assert_eq!(ip_counter(broken, "InOctets"), None);
        }
        assert!(limit(0) > 1.8e19 && (limit(1) - 1.0).abs() < f64::EPSILON);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells_everything() {
        let sample = Sample::take();
        assert!(sample.cpu_seconds_total.is_some());
        assert!(sample.open_fds.is_some_and(|fds| fds > 0.0));
        assert!(sample.max_fds.is_some_and(|fds| fds > 0.0));
        assert!(sample.resident_memory_bytes.is_some_and(|bytes| bytes > 0.0));
        assert!(sample.start_time_seconds.is_some_and(|at| at > 1e9));
        assert!(sample.virtual_memory_bytes.is_some());
        assert!(sample.virtual_memory_max_bytes.is_some());
    }
}
