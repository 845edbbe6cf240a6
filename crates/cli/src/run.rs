//! One function per command.

use crate::args::{Audit, Cli, Command, Drift, DriftArgs, GrantsArgs, RequestArgs, RequestsArgs};
use crate::exit::{DENIED, DONE, FAILED, TOO_LATE, Trouble, code};
use crate::export;
use crate::revoke_all;
use crate::show;
use crate::verify;
use gatepass_client::ui::{DecisionDraft, EventQuery, Failure};
use gatepass_client::{Client, GrantScope, Invite, KeyStore, Profile, RequestScope, Topic, Waited};
use gatepass_core::Code;
use gatepass_core::wire::{Ask, EventView, RequestState, Verdict};
use serde::Serialize;
use std::io::Write as _;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

/// Events one page of the local log holds.
const PAGE: u32 = 5_000;

type Done = Result<u8, Trouble>;

/// Prints the one document of a run.
struct Out {
    json: bool,
}

impl Out {
    /// `text` for people, `value` for programs.
    fn print<T: Serialize + ?Sized>(&self, value: &T, text: impl FnOnce(&T) -> String) -> Done {
        let out = if self.json {
            let mut out =
                serde_json::to_string(value).map_err(|e| failed(format!("It can’t be written: {e}")))?;
            out.push('\n');
            out
        } else {
            text(value)
        };
        let mut stdout = std::io::stdout().lock();
        // A reader that went away has what it wanted.
        let _ = stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush());
        Ok(DONE)
    }
}

fn failed(message: String) -> Trouble {
    Trouble::Failed(Failure::new(Code::Internal, message))
}

pub async fn run(cli: Cli) -> Done {
    let out = Out { json: cli.json };
    // Needs nothing but the file.
    if let Command::Audit { command: Audit::Verify { file: Some(path) } } = &cli.command {
        let verdict = verify::file(path)?;
        out.print(&verdict, verify::said)?;
        return Ok(verdict.exit());
    }
    let profile = Profile::named(&cli.profile).map_err(usage)?;
    let keystore = KeyStore::from_env().map_err(usage)?;
    let joins = matches!(cli.command, Command::Join { .. });
    if keystore == KeyStore::File && (joins || !cli.json) {
        let place = profile.dir().join("keys.json");
        eprintln!("gatepass: the key of this device is kept in {} (GATEPASS_KEYSTORE=file)", place.display());
    }
    if let Command::Join { link, .. } = &cli.command {
        Invite::parse(link).map_err(usage)?;
    }
    let client = Client::open(profile, keystore)?;
    match cli.command {
        Command::Join { link, device_name } => {
            client.join(&link, device_name.as_deref()).await?;
            let me = client.status().await?.me.ok_or(Code::NotJoined)?;
            out.print(&me, show::me)
        }
        Command::Me => out.print(&client.server_me().await?, show::me),
        Command::Catalogue => out.print(client.server_catalogue().await?.as_slice(), show::catalogue),
        Command::Request(args) => request(&client, &out, args).await,
        Command::Requests(args) => requests(&client, &out, &args).await,
        Command::Approve { id, length, note } => {
            decide(&client, &out, &id, Verdict::Approve, length, note).await
        }
        Command::Deny { id, reason } => decide(&client, &out, &id, Verdict::Deny, None, Some(reason)).await,
        Command::Withdraw { id } => {
            let request = client.server_request(&id).await?;
            out.print(&client.withdraw(request.id).await?, show::request)
        }
        Command::Grants(args) => grants(&client, &out, &args).await,
        Command::Credential { id } => credential(&client, &out, &id).await,
        Command::Return { id } => {
            let grant = client.server_grant(&id).await?;
            out.print(&client.return_grant(grant.id).await?, show::grant)
        }
        Command::Revoke { id, reason } => {
            let grant = client.server_grant(&id).await?;
            out.print(&client.revoke_grant(grant.id, &reason).await?, show::grant)
        }
        Command::RevokeAll { person, reason, yes } => {
            out.print(&revoke_all::revoke_all(&client, &person, &reason, yes).await?, revoke_all::said)
        }
        Command::Extend { id, length, reason } => {
            let grant = client.server_grant(&id).await?;
            out.print(&client.extend_grant(grant.id, length, &reason).await?, show::request)
        }
        Command::Drift(args) => drift(&client, &out, args).await,
        Command::Audit { command } => audit(&client, &out, command).await,
        Command::Watch => watch(&client, &out).await,
    }
}

fn usage(failure: Failure) -> Trouble {
    Trouble::Usage(failure.message)
}

async fn request(client: &Client, out: &Out, args: RequestArgs) -> Done {
    let ask = Ask {
        resource: args.role.resource,
        role: args.role.role,
        duration_s: args.length,
        reason: args.reason,
        ticket: args.ticket,
        extends: None,
    };
    if args.dry_run {
        let preview = client.preview(&ask).await?;
        out.print(&preview, show::preview)?;
        let problem = preview.problems.into_iter().next();
        return match problem.filter(|_| !preview.allowed) {
            Some(problem) if out.json => Err(Failure::new(problem.code, problem.message).into()),
            Some(problem) => Ok(code(problem.code)),
            None => Ok(DONE),
        };
    }
    let made = client.submit_request(&ask).await?;
    let Some(wait) = args.wait else { return out.print(&made, show::request) };
    let patience = wait.map(|s| Duration::from_secs(s.into()));
    match client.wait_for(made.id, patience).await? {
        Waited::Ready { request, .. } => out.print(&*request, show::request),
        Waited::Not { request } => {
            out.print(&*request, show::request)?;
            Ok(if request.state == RequestState::Denied { DENIED } else { TOO_LATE })
        }
        Waited::Over { request, .. } => {
            out.print(&*request, show::request)?;
            Ok(FAILED)
        }
        Waited::Still { request } => {
            out.print(&*request, show::request)?;
            let message = format!("{} is still waiting.", request.number);
            Err(Failure::new(Code::WaitedTooLong, message).into())
        }
    }
}

async fn requests(client: &Client, out: &Out, args: &RequestsArgs) -> Done {
    let scope = match (args.to_review, args.all) {
        (true, _) => RequestScope::ToReview,
        (_, true) => RequestScope::All,
        _ => RequestScope::Mine,
    };
    let found = client.server_requests(scope, args.limit.unwrap_or(usize::MAX)).await?;
    out.print(found.as_slice(), show::requests)
}

async fn grants(client: &Client, out: &Out, args: &GrantsArgs) -> Done {
    let scope = if args.all { GrantScope::All } else { GrantScope::Mine };
    let found = client.server_grants(scope, args.limit.unwrap_or(usize::MAX)).await?;
    out.print(found.as_slice(), show::grants)
}

async fn drift(client: &Client, out: &Out, args: DriftArgs) -> Done {
    let Some(command) = args.command else {
        return out.print(client.server_drift(args.gone).await?.as_slice(), show::drift);
    };
    let (id, reason, known) = match command {
        Drift::Known { id, reason } => (id, reason, true),
        Drift::Unknown { id, reason } => (id, reason, false),
    };
    // What is marked is what it holds now.
    let all = client.server_drift(true).await?;
    let now = all.into_iter().find(|d| d.id == id).ok_or_else(|| Failure::from(Code::NotFound))?;
    let marked = if known {
        client.mark_known(id, now.revision, &reason).await?
    } else {
        client.mark_unknown(id, now.revision, &reason).await?
    };
    out.print(&marked, |drift| show::drift(std::slice::from_ref(drift)))
}

/// A decision is made on the basis of the checked log, so it is brought up to date first.
async fn decide(
    client: &Client,
    out: &Out,
    id: &str,
    verdict: Verdict,
    duration_s: Option<u32>,
    note: Option<String>,
) -> Done {
    let request = client.server_request(id).await?.id;
    let prepared = client.prepare_decision(DecisionDraft { request, verdict, duration_s, note }).await?;
    out.print(&client.send_prepared(&prepared.id).await?, show::request)
}

async fn credential(client: &Client, out: &Out, id: &str) -> Done {
    let grant = client.server_grant(id).await?.id;
    if out.json {
        return out.print(&client.credential_for_programs(grant).await?, |_| String::new());
    }
    let view = client.credential(grant).await?;
    let mut facts = Vec::new();
    let said = [("Run", &view.command), ("User", &view.user)];
    facts.extend(said.into_iter().filter(|(_, v)| !v.is_empty()).map(|(l, v)| (l, v.clone())));
    facts.extend(view.lines.iter().map(|l| (l.label.as_str(), l.value.clone())));
    if let Some(label) = &view.secret {
        let secret = client.reveal_password(grant).await?;
        facts.extend(
            secret.lines().enumerate().map(|(i, l)| (if i == 0 { label.as_str() } else { "" }, l.to_owned())),
        );
    }
    facts.push(("Until", show::time(view.expires_at)));
    let mut text = show::facts(&facts);
    if let Some(config) = &view.config {
        text = format!("{text}\n\n{config}");
    }
    out.print(&(), |()| text)
}

async fn audit(client: &Client, out: &Out, command: Audit) -> Done {
    // These look at what is here, not at what the server says now.
    match &command {
        Audit::Verify { .. } => {
            let verdict = verify::copy(client).await?;
            out.print(&verdict, verify::said)?;
            return Ok(verdict.exit());
        }
        Audit::Evidence { file } => return evidence(client, out, file.as_deref()).await,
        Audit::List { .. }
        | Audit::Search { .. }
        | Audit::Show { .. }
        | Audit::Export(_)
        | Audit::Review(_) => {}
    }
    let stale = match client.sync_now().await {
        Ok(_) => DONE,
        Err(failure) if failure.code == Code::NotJoined => return Err(failure.into()),
        Err(failure) => {
            let status = client.status().await?;
            let Some(at) = status.synced_at else { return Err(failure.into()) };
            eprintln!(
                "gatepass: {} This is the local copy as of {}.",
                show::line(&failure.message),
                show::time(at)
            );
            // Being offline is no fault; a log that contradicts itself is.
            if failure.code == Code::Unreachable { DONE } else { code(failure.code) }
        }
    };
    let done = match command {
        Audit::List { limit } => out.print(events(client, "", limit).await?.as_slice(), show::events)?,
        Audit::Search { query, limit } => {
            let found = events(client, &query.join(" "), limit).await;
            let found = found.map_err(|f| if f.code == Code::Malformed { usage(f) } else { f.into() })?;
            out.print(found.as_slice(), show::events)?
        }
        Audit::Show { seq } => {
            #[derive(Serialize)]
            struct Flat {
                #[serde(flatten)]
                event: EventView,
                #[serde(flatten)]
                rest: serde_json::Map<String, serde_json::Value>,
            }
            let detail = client.event(seq).await?;
            let text = if out.json { String::new() } else { show::event(&detail) };
            let mut rest = match serde_json::to_value(&detail) {
                Ok(serde_json::Value::Object(map)) => map,
                _ => serde_json::Map::new(),
            };
            rest.remove("event");
            out.print(&Flat { event: detail.event, rest }, |_| text)?
        }
        Audit::Export(args) => match export::export(client, &args).await? {
            Some(done) => {
                out.print(&done, export::said)?;
                done.exit()
            }
            None => DONE,
        },
        Audit::Review(args) => match export::review(client, &args).await? {
            Some(done) => {
                out.print(&done, export::said)?;
                done.exit()
            }
            None => DONE,
        },
        Audit::Verify { .. } | Audit::Evidence { .. } => DONE,
    };
    Ok(if done == DONE { stale } else { done })
}

/// The file itself is the document, so without one stdout is the same with `--json`.
async fn evidence(client: &Client, out: &Out, file: Option<&std::path::Path>) -> Done {
    match verify::evidence(client, file).await? {
        Some(text) if file.is_none() => {
            let mut stdout = std::io::stdout().lock();
            let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
            Ok(DONE)
        }
        Some(_) => {
            let path = file.map_or_else(String::new, |f| f.display().to_string());
            out.print(&serde_json::json!({"evidence": path}), |_| format!("The evidence is in {path}.\n"))
        }
        None => {
            let none =
                "The server’s log has not contradicted what this device saw; there is nothing to show.\n";
            out.print(&serde_json::json!({"evidence": null}), |_| none.to_owned())
        }
    }
}

/// Pages of the local log until `limit` or the end.
async fn events(client: &Client, text: &str, limit: Option<usize>) -> Result<Vec<EventView>, Failure> {
    let limit = limit.unwrap_or(usize::MAX);
    let mut found: Vec<EventView> = Vec::new();
    while found.len() < limit {
        let size = u32::try_from(limit - found.len()).unwrap_or(PAGE).min(PAGE);
        let before = found.last().map(|e| e.seq);
        let page = client.events(EventQuery { text: text.to_owned(), before, limit: size }).await?;
        if page.items.is_empty() {
            break;
        }
        found.extend(page.items);
    }
    Ok(found)
}

async fn watch(client: &Client, out: &Out) -> Done {
    let mut changed = client.subscribe();
    client.sync_now().await?;
    let mut from = client.log_size().await?;
    let mut online = true;
    eprintln!("gatepass: watching from event {}; Ctrl-C ends it", from + 1);
    let looping = {
        let client = client.clone();
        tokio::spawn(async move { client.run().await })
    };
    loop {
        let topics = match changed.recv().await {
            Ok(topics) => topics,
            // Behind: look at everything.
            Err(RecvError::Lagged(_)) => vec![Topic::Events, Topic::Status],
            Err(RecvError::Closed) => return Ok(DONE),
        };
        if topics.contains(&Topic::Events) {
            let size = client.log_size().await?;
            for event in client.events_after(from).await? {
                from = from.max(event.seq);
                if !say(out, &event) {
                    looping.abort();
                    return Ok(DONE);
                }
            }
            from = from.max(size);
        }
        if topics.contains(&Topic::Status) {
            let status = client.status().await?;
            if status.online != online {
                online = status.online;
                eprintln!(
                    "gatepass: {}",
                    if online { "connected again" } else { "the server can’t be reached; trying again" }
                );
            }
        }
    }
}

/// Whether there is still someone reading.
fn say(out: &Out, event: &EventView) -> bool {
    let line =
        if out.json { serde_json::to_string(event).unwrap_or_default() } else { show::event_line(event) };
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).is_ok()
}
