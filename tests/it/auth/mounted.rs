//! A token file that cannot be replaced by another one: a container was given it as a single file, or its folder is
//! not ours to write to. The sign-in that a person finished is not thrown away.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::sign_in::{AuthEnv, BOTH, Signing, agree, get, mode};
use crate::testkit::mounts::in_private_mounts;

const LONG: usize = 9000;

/// `auth` where token.json is a mount of its own; None where this machine lets nobody mount.
fn auth_mounted(env: &AuthEnv) -> Option<Signing> {
    let script = "mount --bind real.json token.json && exec \"$0\" \"$@\"";
    let mut command = in_private_mounts(script)?;
    command
        .arg(env!("CARGO_BIN_EXE_imap-to-gmail"))
        .arg("auth")
        .args(BOTH);
    Some(env.start(&mut command))
}

#[test]
fn a_file_that_is_mounted_by_itself_is_written_in_place_and_that_is_said() {
    // Longer than what comes, shorter, and empty as an orchestrator makes it.
    let long = format!("{{\"token\": \"old\", \"mine\": \"{}\"}}", "x".repeat(LONG));
    let longer = format!("{{\"token\": \"old\"{}}}", " ".repeat(LONG));
    for old in [&*long, &*longer, "{\"token\": \"old\"}", ""] {
        let env = AuthEnv::new();
        fs::write(env.path("real.json"), old).unwrap();
        fs::set_permissions(env.path("real.json"), fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(env.path("token.json"), "").unwrap();
        let before = fs::metadata(env.path("real.json")).unwrap().ino();
        let Some(mut signing) = auth_mounted(&env) else {
            return;
        };
        let url = signing.url();
        get(&agree(&env.google, &url));
        let ended = signing.end();
        ended.is_well();
        assert!(ended.out.contains("token.json is written"), "{ended:?}");
        assert!(
            ended
                .out
                .contains("token.json cannot be replaced, so it was written in place"),
            "{ended:?}"
        );
        let text = fs::read_to_string(env.path("real.json")).unwrap();
        let token: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(token["refresh_token"].as_str().unwrap().starts_with("1//"));
        assert_eq!(token.get("mine").is_some(), old == long, "{token}");
        assert_eq!(text, text.trim_end());
        assert_eq!(mode(env.path("real.json")), 0o600);
        let after = fs::metadata(env.path("real.json")).unwrap().ino();
        assert_eq!(before, after);
        let mut names: Vec<_> = fs::read_dir(env.route.dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let expected = [
            "client_secret.json",
            "config.json",
            "real.json",
            "token.json",
        ];
        assert_eq!(names, expected, "nothing is left beside it");
    }
}
