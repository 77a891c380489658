//! How much memory the system leaves.

use std::fs;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// What the system says is asked for again after this time: to ask it takes longer than a small read.
const FRESH: Duration = Duration::from_millis(25);

/// Half of what the system and the control group leave free; 1 GiB where neither says.
pub fn default_limit() -> u64 {
    static LAST: Mutex<Option<(Instant, u64)>> = Mutex::new(None);
    // Another thread may have it, which after a fork does not exist any more.
    let Ok(mut last) = LAST.try_lock() else { return ask() };
    match *last {
        Some((asked, limit)) if asked.elapsed() < FRESH => limit,
        _ => {
            let limit = ask();
            *last = Some((Instant::now(), limit));
            limit
        }
    }
}

/// The cores that this process may use; asked for once.
pub(crate) fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

fn ask() -> u64 {
    let system = fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text));
    let group = group_free();
    let free = match (system, group) {
        (Some(a), Some(b)) => a.min(b),
        (Some(a), None) | (None, Some(a)) => a,
        (None, None) => 2 << 30,
    };
    free / 2
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What the control group (v2, then v1) of this process leaves; `None` where it has no limit.
fn group_free() -> Option<u64> {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let v2 = own.lines().find_map(|l| l.strip_prefix("0::")).unwrap_or("/");
    for dir in [format!("/sys/fs/cgroup{v2}"), "/sys/fs/cgroup".into()] {
        if let (Some(max), Some(now)) =
            (number(&format!("{dir}/memory.max")), number(&format!("{dir}/memory.current")))
        {
            return Some(max.saturating_sub(now));
        }
    }
    let dir = "/sys/fs/cgroup/memory";
    let (max, now) =
        (number(&format!("{dir}/memory.limit_in_bytes"))?, number(&format!("{dir}/memory.usage_in_bytes"))?);
    // v1 writes a huge number for "no limit".
    (max < 1 << 60).then(|| max.saturating_sub(now))
}

/// Bytes of this process that are in memory now, and the most there have been (since the peak was last reset).
pub fn resident() -> Option<(u64, u64)> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    Some((field("VmRSS:")?, field("VmHWM:")?))
}

/// Sets the peak back to what is in memory now; `false` where the system does not let us.
pub fn reset_peak() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}
