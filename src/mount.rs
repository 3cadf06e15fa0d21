//! Is a file a mount of its own, as containers have them? Such a file cannot be replaced by another one, and
//! the files beside it in the container are not the files beside it on the host.

use std::path::Path;

/// False also where the system does not say.
#[cfg(target_os = "linux")]
pub fn is_mounted_alone(path: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    statx(CWD, path, AtFlags::empty(), StatxFlags::TYPE)
        .is_ok_and(|s| s.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(not(target_os = "linux"))]
pub fn is_mounted_alone(_: &Path) -> bool {
    false
}
