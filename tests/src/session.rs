//! A private desktop session: display, window manager, session bus, keyring, notifications, tray.

use crate::notifications::Notifications;
use crate::process::Process;
use crate::tray::Tray;
use crate::wait::eventually;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Fields are dropped in this order: what draws first, the display and the bus last.
pub struct Session {
    pub notifications: Notifications,
    pub tray: Tray,
    keyring: Option<Process>,
    _dunst: Process,
    _openbox: Process,
    _bus: Process,
    _display: Process,
    env: Vec<(String, String)>,
    dir: PathBuf,
    _temporary: Option<TempDir>,
}

impl Session {
    /// A session that leaves nothing; `size` is the screen's, in pixels.
    pub async fn start(size: (u32, u32)) -> Self {
        let dir = tempfile::Builder::new().prefix("gatepass-session-").tempdir().expect("a directory");
        let mut session = Self::start_in(dir.path(), size).await;
        session._temporary = Some(dir);
        session
    }

    /// A session whose home, with its keyring, stays in `dir` for the next one.
    pub async fn start_in(dir: &Path, size: (u32, u32)) -> Self {
        for name in ["run", "home", "logs"] {
            fs::create_dir_all(dir.join(name)).expect("a directory");
        }
        fs::set_permissions(dir.join("run"), fs::Permissions::from_mode(0o700)).expect("private");
        let logs = dir.join("logs");

        let mut xvfb = Command::new("Xvfb");
        xvfb.args([
            "-displayfd",
            "1",
            "-nolisten",
            "tcp",
            "-screen",
            "0",
            &format!("{}x{}x24", size.0, size.1),
        ]);
        let (display, number) = Process::start_until_line("xvfb", &xvfb, &logs);

        let mut bus = Command::new("dbus-daemon");
        let address = format!("unix:path={}", dir.join("run/bus").display());
        let config = dir.join("bus.conf");
        fs::write(&config, BUS.replace("ADDRESS", &address)).expect("write the bus's configuration");
        bus.args(["--nofork", "--nopidfile", "--print-address=1", "--config-file"]).arg(&config);
        let mut env = environment(dir, &number);
        bus.envs(env.iter().cloned());
        let (bus, address) = Process::start_until_line("dbus", &bus, &logs);
        env.push(("DBUS_SESSION_BUS_ADDRESS".to_owned(), address.clone()));

        let with_env = |program: &str| {
            let mut command = Command::new(program);
            command.envs(env.iter().cloned());
            command
        };
        let openbox = Process::start("openbox", &with_env("openbox"), &logs);
        let mut dunst = with_env("dunst");
        dunst.arg("-conf").arg(Notifications::configure(dir));
        let dunst = Process::start("dunst", &dunst, &logs);
        let tray = Tray::watch(&address).await;
        let notifications = Notifications::listen(&address, dir).await;
        let mut session = Self {
            notifications,
            tray,
            keyring: None,
            _dunst: dunst,
            _openbox: openbox,
            _bus: bus,
            _display: display,
            env,
            dir: dir.to_owned(),
            _temporary: None,
        };
        session.unlock_keyring().await;
        session
    }

    /// Starts the keyring with an unlocked, empty collection that new secrets go to.
    pub async fn unlock_keyring(&mut self) {
        let mut daemon = self.command(Path::new("gnome-keyring-daemon"));
        daemon.args(["--foreground", "--unlock", "--components=secrets"]);
        self.keyring = Some(Process::start_with_input("keyring", &daemon, &self.logs(), "\n"));
        let bus = self.tray.bus().await;
        eventually("the keyring answers", async || {
            bus.name_has_owner("org.freedesktop.secrets".try_into().ok()?).await.ok()?.then_some(())
        })
        .await;
    }

    /// Ends the keyring; nothing starts another one.
    pub async fn stop_keyring(&mut self) {
        self.keyring = None;
        let bus = self.tray.bus().await;
        eventually("no keyring answers", async || {
            (!bus.name_has_owner("org.freedesktop.secrets".try_into().ok()?).await.ok()?).then_some(())
        })
        .await;
    }

    /// What to set for a program so that it belongs to this session.
    pub fn env(&self) -> &[(String, String)] {
        &self.env
    }

    /// A command of this session.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.envs(self.env.iter().cloned()).current_dir(self.dir.join("home"));
        command
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// The whole screen as a PNG.
    pub fn picture(&self, to: &Path) {
        let status = self.command(Path::new("import")).args(["-window", "root"]).arg(to).status();
        assert!(status.is_ok_and(|s| s.success()), "import could not take the picture");
    }
}

/// A session bus that starts nothing by itself: who is on it was started here.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>ADDRESS</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;

/// Only what a session needs, and nothing of the one this runs in.
fn environment(dir: &Path, display: &str) -> Vec<(String, String)> {
    let home = dir.join("home").display().to_string();
    let run = dir.join("run").display().to_string();
    let sub = |name: &str| format!("{home}/{name}");
    let mut env: Vec<(String, String)> = [
        ("DISPLAY", format!(":{display}")),
        ("HOME", home.clone()),
        ("XDG_RUNTIME_DIR", run),
        ("XDG_CONFIG_HOME", sub(".config")),
        ("XDG_DATA_HOME", sub(".local/share")),
        ("XDG_CACHE_HOME", sub(".cache")),
        ("XDG_STATE_HOME", sub(".local/state")),
        ("XDG_CURRENT_DESKTOP", "openbox".to_owned()),
        ("XDG_SESSION_TYPE", "x11".to_owned()),
        ("GDK_BACKEND", "x11".to_owned()),
        ("NO_AT_BRIDGE", "1".to_owned()),
        ("LIBGL_ALWAYS_SOFTWARE", "1".to_owned()),
        ("WEBKIT_DISABLE_DMABUF_RENDERER", "1".to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        ("TZ", "Europe/Berlin".to_owned()),
        ("GATEPASS_KEYSTORE", "keyring".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    // Inherited ones would lead out of the session.
    for name in ["WAYLAND_DISPLAY", "XAUTHORITY", "GATEPASS_HOME", "SESSION_MANAGER"] {
        if std::env::var_os(name).is_some() {
            env.push((name.to_owned(), String::new()));
        }
    }
    env
}
