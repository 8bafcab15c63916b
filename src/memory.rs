//! How much memory the process has used.

/// The most memory that was resident at once, in bytes; nothing where the system does not tell.
pub(crate) fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn what_was_touched_counts() {
        let touched = vec![1_u8; 64 << 20];
        let peak = peak_bytes().expect("Linux tells");
        assert!(touched[1 << 20] == 1 && peak > 64 << 20, "{peak}");
    }
}
