//! The window's port, as docs/desktop-commands.md lists it: each command is the client's method of that name.

use gatepass_client::ui::{
    CredentialView, DecisionDraft, EventDetail, EventMap, EventPage, EventPlace, EventQuery, EventSlice,
    Failure, Holdings, MismatchView, Prepared, RecentRole, SavedSearch, Settings, Status, VerifyProgress,
    VerifyReport,
};
use gatepass_core::Time;
use gatepass_core::directory::Person;
use gatepass_core::id::{DriftId, GrantId, PersonId, RequestId};
use gatepass_core::wire::{
    Ask, DriftView, EventView, GrantView, Preview, RequestView, ResourceView, RevokedView,
};
use tauri::{AppHandle, State};
use zeroize::Zeroizing;

use crate::autostart;
use crate::desktop::Desktop;
use crate::trial::{self, TrialInvite};

type Answer<T> = Result<T, Failure>;
type App<'a> = State<'a, Desktop>;

#[tauri::command]
pub async fn status(app: App<'_>) -> Answer<Status> {
    Ok(app.status().await)
}

#[tauri::command]
pub async fn join(app: App<'_>, link: String, device_name: Option<String>) -> Answer<Status> {
    app.client().await?.join(&link, device_name.as_deref()).await
}

#[tauri::command]
pub async fn try_here(handle: AppHandle, app: App<'_>) -> Answer<Status> {
    trial::begin(&handle, &app.client().await?).await
}

#[tauri::command]
pub async fn trial_invite(handle: AppHandle, app: App<'_>) -> Answer<TrialInvite> {
    trial::second_person(&handle, &app.client().await?).await
}

#[tauri::command]
pub async fn catalogue(app: App<'_>) -> Answer<Vec<ResourceView>> {
    app.client().await?.catalogue().await
}

#[tauri::command]
pub async fn recent_roles(app: App<'_>) -> Answer<Vec<RecentRole>> {
    app.client().await?.recent_roles().await
}

#[tauri::command]
pub async fn preview(app: App<'_>, ask: Ask) -> Answer<Preview> {
    app.client().await?.preview(&ask).await
}

#[tauri::command]
pub async fn submit_request(app: App<'_>, ask: Ask) -> Answer<RequestView> {
    app.client().await?.submit_request(&ask).await
}

#[tauri::command]
pub async fn requests(app: App<'_>) -> Answer<Vec<RequestView>> {
    app.client().await?.requests().await
}

#[tauri::command]
pub async fn request(app: App<'_>, id: RequestId) -> Answer<RequestView> {
    app.client().await?.request(id).await
}

#[tauri::command]
pub async fn timeline(app: App<'_>, request: RequestId) -> Answer<Vec<EventView>> {
    app.client().await?.timeline(request).await
}

#[tauri::command]
pub async fn grants(app: App<'_>) -> Answer<Vec<GrantView>> {
    app.client().await?.grants().await
}

#[tauri::command]
pub async fn drift(app: App<'_>) -> Answer<Vec<DriftView>> {
    app.client().await?.drift().await
}

#[tauri::command]
pub async fn mark_known(app: App<'_>, drift: DriftId, revision: u32, reason: String) -> Answer<DriftView> {
    app.client().await?.mark_known(drift, revision, &reason).await
}

#[tauri::command]
pub async fn mark_unknown(app: App<'_>, drift: DriftId, revision: u32, reason: String) -> Answer<DriftView> {
    app.client().await?.mark_unknown(drift, revision, &reason).await
}

#[tauri::command]
pub async fn prepare_decision(app: App<'_>, draft: DecisionDraft) -> Answer<Prepared> {
    app.client().await?.prepare_decision(draft).await
}

#[tauri::command]
pub async fn send_prepared(app: App<'_>, id: String) -> Answer<RequestView> {
    app.client().await?.send_prepared(&id).await
}

#[tauri::command]
pub async fn withdraw(app: App<'_>, request: RequestId) -> Answer<RequestView> {
    app.client().await?.withdraw(request).await
}

#[tauri::command]
pub async fn return_grant(app: App<'_>, grant: GrantId) -> Answer<GrantView> {
    app.client().await?.return_grant(grant).await
}

#[tauri::command]
pub async fn revoke_grant(app: App<'_>, grant: GrantId, reason: String) -> Answer<GrantView> {
    app.client().await?.revoke_grant(grant, &reason).await
}

#[tauri::command]
pub async fn people(app: App<'_>) -> Answer<Vec<Person>> {
    app.client().await?.people().await
}

#[tauri::command]
pub async fn holdings(app: App<'_>, person: PersonId) -> Answer<Holdings> {
    app.client().await?.holdings(person).await
}

#[tauri::command]
pub async fn revoke_all(app: App<'_>, person: PersonId, reason: String) -> Answer<RevokedView> {
    app.client().await?.revoke_all(person, &reason).await
}

#[tauri::command]
pub async fn extend_grant(
    app: App<'_>,
    grant: GrantId,
    duration_s: u32,
    reason: String,
) -> Answer<RequestView> {
    app.client().await?.extend_grant(grant, duration_s, &reason).await
}

#[tauri::command]
pub async fn credential(app: App<'_>, grant: GrantId) -> Answer<CredentialView> {
    app.client().await?.credential(grant).await
}

#[tauri::command]
pub async fn reveal_password(app: App<'_>, grant: GrantId) -> Answer<String> {
    app.client().await?.reveal_password(grant).await
}

#[tauri::command]
pub async fn copy_password(app: App<'_>, grant: GrantId) -> Answer<()> {
    let password = Zeroizing::new(app.client().await?.reveal_password(grant).await?);
    app.clipboard.copy_secret(password)
}

#[tauri::command]
pub async fn copy_text(app: App<'_>, text: String) -> Answer<()> {
    app.clipboard.copy(text)
}

#[tauri::command]
pub async fn events(app: App<'_>, query: EventQuery) -> Answer<EventPage> {
    app.client().await?.events(query).await
}

#[tauri::command]
pub async fn event_slice(app: App<'_>, slice: EventSlice) -> Answer<EventPage> {
    app.client().await?.event_slice(slice).await
}

#[tauri::command]
pub async fn event_map(app: App<'_>, text: String, midnights: Vec<i64>) -> Answer<EventMap> {
    app.client().await?.event_map(text, midnights).await
}

#[tauri::command]
pub async fn event_counts(app: App<'_>, texts: Vec<String>) -> Answer<Vec<u64>> {
    app.client().await?.event_counts(texts).await
}

#[tauri::command]
pub async fn event_at(app: App<'_>, text: String, at: Time) -> Answer<Option<EventPlace>> {
    app.client().await?.event_at(text, at).await
}

#[tauri::command]
pub async fn event_numbered(app: App<'_>, text: String, seq: u64) -> Answer<Option<EventPlace>> {
    app.client().await?.event_numbered(text, seq).await
}

#[tauri::command]
pub async fn saved_searches(app: App<'_>) -> Answer<Vec<SavedSearch>> {
    app.client().await?.saved_searches().await
}

#[tauri::command]
pub async fn save_search(app: App<'_>, name: String, text: String) -> Answer<Vec<SavedSearch>> {
    app.client().await?.save_search(&name, &text).await
}

#[tauri::command]
pub async fn rename_search(app: App<'_>, name: String, to: String) -> Answer<Vec<SavedSearch>> {
    app.client().await?.rename_search(&name, &to).await
}

#[tauri::command]
pub async fn delete_search(app: App<'_>, name: String) -> Answer<Vec<SavedSearch>> {
    app.client().await?.delete_search(&name).await
}

#[tauri::command]
pub async fn event(app: App<'_>, seq: u64) -> Answer<EventDetail> {
    app.client().await?.event(seq).await
}

#[tauri::command]
pub async fn verify(app: App<'_>, full: bool) -> Answer<VerifyReport> {
    app.client().await?.verify(full).await
}

#[tauri::command]
pub async fn verify_progress(app: App<'_>) -> Answer<Option<VerifyProgress>> {
    app.client().await?.verify_progress()
}

#[tauri::command]
pub async fn verify_cancel(app: App<'_>) -> Answer<()> {
    app.client().await?.verify_cancel()
}

#[tauri::command]
pub async fn mismatch(app: App<'_>) -> Answer<Option<MismatchView>> {
    app.client().await?.mismatch()
}

#[tauri::command]
pub async fn verify_again(app: App<'_>) -> Answer<Status> {
    app.client().await?.verify_again().await
}

#[tauri::command]
pub async fn sync_now(app: App<'_>) -> Answer<Status> {
    app.client().await?.sync_now().await
}

#[tauri::command]
pub async fn settings(app: App<'_>) -> Answer<Settings> {
    // Also while the keyring does not answer: the window's theme is in them.
    app.profile.settings()
}

#[tauri::command]
pub async fn set_settings(handle: AppHandle, app: App<'_>, settings: Settings) -> Answer<Settings> {
    let client = app.client().await?;
    autostart::apply(&handle, settings.autostart)?;
    client.set_settings(settings).await
}

#[tauri::command]
pub async fn leave(handle: AppHandle, app: App<'_>) -> Answer<Status> {
    let left = app.client().await?.leave().await?;
    trial::stop(&handle).await;
    Ok(left)
}
