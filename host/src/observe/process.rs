//! The `process_*` metrics, read from `/proc` when somebody asks; absent where there is no `/proc`.

use super::sample::sample;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};
use std::collections::HashMap;
use std::fs;

/// Clock ticks a second in `/proc`; Linux fixes it for user space on every machine that Rust builds for.
const TICKS_PER_SECOND: f64 = 100.0;

const CPU: (&str, &str) = ("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.");
const START: (&str, &str) =
    ("process_start_time_seconds", "Start time of the process since unix epoch in seconds.");
const RESIDENT: (&str, &str) = ("process_resident_memory_bytes", "Resident memory size in bytes.");
const VIRTUAL: (&str, &str) = ("process_virtual_memory_bytes", "Virtual memory size in bytes.");
const THREADS: (&str, &str) = ("process_threads", "Number of OS threads in the process.");
const OPEN_FDS: (&str, &str) = ("process_open_fds", "Number of open file descriptors.");
const MAX_FDS: (&str, &str) = ("process_max_fds", "Maximum number of open file descriptors.");

/// Reads the figures of this process.
#[derive(Debug)]
pub(super) struct ProcessCollector(Vec<Desc>);

impl ProcessCollector {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let all = [CPU, START, RESIDENT, VIRTUAL, THREADS, OPEN_FDS, MAX_FDS];
        let describe =
            |(name, help): (&str, &str)| Desc::new(name.to_owned(), help.to_owned(), vec![], HashMap::new());
        Ok(Self(all.into_iter().map(describe).collect::<Result<_, _>>()?))
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.0.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = Vec::new();
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (stat, boot) = (read("/proc/self/stat"), read("/proc/stat"));
        families.extend(cpu_seconds(&stat).map(|v| family(CPU, MetricType::COUNTER, v)));
        families.extend(start_seconds(&stat, &boot).map(|v| family(START, MetricType::GAUGE, v)));
        let status = read("/proc/self/status");
        let gauge = |about, value: Option<f64>| value.map(|v| family(about, MetricType::GAUGE, v));
        families.extend(gauge(RESIDENT, status_value(&status, "VmRSS:").map(|kib| kib * 1024.0)));
        families.extend(gauge(VIRTUAL, status_value(&status, "VmSize:").map(|kib| kib * 1024.0)));
        families.extend(gauge(THREADS, status_value(&status, "Threads:")));
        families.extend(gauge(OPEN_FDS, open_descriptors()));
        families.extend(gauge(MAX_FDS, descriptor_limit(&read("/proc/self/limits"))));
        families
    }
}

fn family(about: (&str, &str), kind: MetricType, value: f64) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(about.0.to_owned());
    family.set_help(about.1.to_owned());
    family.set_field_type(kind);
    family.set_metric(vec![sample(kind, value)]);
    family
}

/// Field `number` of `/proc/self/stat`, counted as in proc(5); the program's name may hold spaces and brackets.
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((stat_field(stat, 14)? + stat_field(stat, 15)?) / TICKS_PER_SECOND)
}

fn start_seconds(stat: &str, boot: &str) -> Option<f64> {
    let boot: f64 = boot.lines().find_map(|l| l.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + stat_field(stat, 22)? / TICKS_PER_SECOND)
}

fn status_value(status: &str, key: &str) -> Option<f64> {
    status.lines().find_map(|l| l.strip_prefix(key))?.split_whitespace().next()?.parse().ok()
}

fn open_descriptors() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    // Reading the folder opens one more.
    u32::try_from(count.saturating_sub(1)).ok().map(f64::from)
}

fn descriptor_limit(limits: &str) -> Option<f64> {
    limits.lines().find_map(|l| l.strip_prefix("Max open files"))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 1 0 4200 9 9";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(start_seconds(stat, "cpu 1\nbtime 1000\n"), Some(1042.0));
        assert_eq!(cpu_seconds("nonsense"), None);
    }

    #[test]
    fn limits_and_sizes_are_read() {
        assert_eq!(descriptor_limit("Max open files            1024    4096    files\n"), Some(1024.0));
        assert_eq!(descriptor_limit("Max open files            unlimited unlimited files\n"), None);
        assert_eq!(status_value("Name:\tx\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12.0));
    }
}
