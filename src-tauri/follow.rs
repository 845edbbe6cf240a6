//! What runs beside the window: the client's own loop, and what it says carried to tray, window and
//! notifications.

use std::time::Duration;

use chrono::TimeDelta;
use gatepass_client::ui::{RecentRole, Status};
use gatepass_client::{Client, Topic};
use gatepass_core::Code;
use gatepass_core::wire::{GrantView, RequestView};
use tauri::{AppHandle, Emitter, Manager};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::desktop::{Desktop, server_now, zone};
use crate::menu::{self, Picture};
use crate::notify::Notifier;
use crate::{ending, tray, trial, windows};

/// The tray looks at the clock at least this often: a countdown must be right soon after the computer slept.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Changes that come together are read together.
const GATHER: Duration = Duration::from_millis(30);
/// Between two tries to open the profile while there is no keyring.
const RETRY: Duration = Duration::from_secs(10);

const EVERYTHING: [Topic; 7] = [
    Topic::Status,
    Topic::Requests,
    Topic::Grants,
    Topic::Drift,
    Topic::Events,
    Topic::Catalogue,
    Topic::Settings,
];

/// Follows the profile until the app ends.
pub async fn follow(app: AppHandle) {
    let client = open(&app).await;
    let notifier = Notifier::new(app.clone(), client.clone());
    let (changes, redraws, notices) = (client.subscribe(), client.subscribe(), client.notices());
    trial::resume(&app, &client).await;
    tell(&app, &EVERYTHING);
    // Apart, so that a slow notification daemon or a slow disk holds up only its own.
    tokio::spawn({
        let client = client.clone();
        async move { client.run().await }
    });
    tokio::spawn(carry(app.clone(), changes));
    tokio::spawn({
        let notifier = notifier.clone();
        async move { notifier.run(notices).await }
    });
    keep_tray(&app, &client, &notifier, redraws).await;
}

/// Ends the app as Quit does when it is told to from outside.
pub async fn end_when_told(app: AppHandle) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    app.exit(0);
}

/// Opens the profile, waiting for the keyring; tray and window say what is wrong meanwhile.
async fn open(app: &AppHandle) -> Client {
    let desktop = app.state::<Desktop>();
    let mut known = None;
    loop {
        let waiting = async {
            draw(app, &Known::of(desktop.status().await));
            std::future::pending().await
        };
        let problem = tokio::select! {
            opened = desktop.open() => match opened {
                Ok(client) => return client,
                Err(problem) => problem,
            },
            never = waiting => never,
        };
        // Only when it is another: the window asks for the status then, and asking is another try.
        if known.as_ref() != Some(&problem.code) {
            tracing::warn!(code = %problem.code, "the profile can’t be opened: {problem}");
            draw(app, &Known::of(desktop.unopened(problem.clone())));
            tell(app, &[Topic::Status]);
            known = Some(problem.code);
        }
        // A locked keyring asks for a password at each try: only when the person wants one.
        desktop.another_try((problem.code != Code::KeyringLocked).then_some(RETRY)).await;
    }
}

fn draw(app: &AppHandle, known: &Known) {
    tray::show(app, menu::model(&known.picture()));
}

/// Passes changes on to the window, if there is one; never the data.
async fn carry(app: AppHandle, mut changes: Receiver<Vec<Topic>>) {
    while let Some(topics) = next(&mut changes).await {
        tell(&app, &topics);
    }
}

fn tell(app: &AppHandle, topics: &[Topic]) {
    if let Err(error) = app.emit_to(windows::LABEL, "changed", serde_json::json!({ "topics": topics })) {
        tracing::warn!(%error, "the window was not told of a change");
    }
}

/// The next change, and those that come with it; everything when some were missed. `None` at the end.
async fn next(changes: &mut Receiver<Vec<Topic>>) -> Option<Vec<Topic>> {
    match changes.recv().await {
        Ok(topics) => Some(topics),
        Err(RecvError::Lagged(_)) => Some(EVERYTHING.to_vec()),
        Err(RecvError::Closed) => None,
    }
}

/// What the tray shows, as last read.
struct Known {
    status: Status,
    requests: Vec<RequestView>,
    grants: Vec<GrantView>,
    recent: Vec<RecentRole>,
}

impl Known {
    fn of(status: Status) -> Self {
        Self { status, requests: Vec::new(), grants: Vec::new(), recent: Vec::new() }
    }

    async fn read(app: &AppHandle, client: &Client) -> Self {
        let known = Self::of(app.state::<Desktop>().status().await);
        if known.status.me.is_none() {
            return known;
        }
        Self {
            requests: client.requests().await.unwrap_or_default(),
            grants: client.grants().await.unwrap_or_default(),
            recent: client.recent_roles().await.unwrap_or_default(),
            ..known
        }
    }

    fn picture(&self) -> Picture<'_> {
        let Self { status, requests, grants, recent } = self;
        let now = server_now(status);
        Picture { status, requests, grants, recent, now, zone: zone(now) }
    }
}

async fn keep_tray(app: &AppHandle, client: &Client, notifier: &Notifier, mut changes: Receiver<Vec<Topic>>) {
    let mut known = Known::read(app, client).await;
    let mut shown = None;
    loop {
        let picture = known.picture();
        let model = menu::model(&picture);
        let wait = menu::redraw_in(&picture).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
        let warning = ending::next(&known.grants, picture.now)
            .and_then(|at| (at - picture.now + TimeDelta::milliseconds(1)).to_std().ok());
        notifier.warn(&known.grants, picture.now).await;
        if shown.as_ref() != Some(&model) {
            tray::show(app, model.clone());
            shown = Some(model);
        }
        let wait = warning.map_or(wait, |warning| warning.min(wait));
        tokio::select! {
            topics = next(&mut changes) => {
                let Some(mut topics) = topics else { return };
                tokio::time::sleep(GATHER).await;
                while let Ok(more) = changes.try_recv() {
                    topics.extend(more);
                }
                if topics.iter().any(|t| !matches!(t, Topic::Events | Topic::Settings)) {
                    known = Known::read(app, client).await;
                }
            }
            () = tokio::time::sleep(wait) => {}
        }
    }
}
