//! People, requests and accesses for tests.

#![allow(clippy::unwrap_used)]

use chrono::TimeDelta;
use gatepass_client::ui::Status;
use gatepass_core::Time;
use gatepass_core::directory::Person;
use gatepass_core::text::Digest;
use gatepass_core::wire::{GrantState, GrantView, Me, RequestState, RequestView};

pub fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(n: u32) -> T {
    format!("0193a000-0000-7000-8000-{n:012}").parse().unwrap()
}

pub fn now() -> Time {
    "2026-11-17T09:30:00Z".parse().unwrap()
}

pub fn status() -> Status {
    let person = Person {
        id: id(1),
        handle: "mara".to_owned(),
        name: "Mara Lindqvist".to_owned(),
        groups: Default::default(),
        auditor: false,
        admin: false,
    };
    Status {
        profile: "default".to_owned(),
        version: "0.1.0".to_owned(),
        me: Some(Me {
            person,
            device: id(9),
            device_name: "Mara’s ThinkPad".to_owned(),
            device_fingerprint: "7d:1a:c4:9e".to_owned(),
            server: "example.com/gatepass".to_owned(),
        }),
        server_name: Some("example.com/gatepass".to_owned()),
        server_url: Some("http://127.0.0.1:7420".to_owned()),
        online: true,
        problem: None,
        synced_at: Some(now()),
        verified_to: Some(10),
        verified_at: Some(now()),
        mismatch: false,
        clock_offset_ms: 0,
        keystore: "keyring".to_owned(),
        trial: false,
        to_review: 0,
        active: 0,
        drift: 0,
    }
}

pub fn grant(n: u32, state: GrantState, left_s: i64) -> GrantView {
    GrantView {
        id: id(n),
        request: id(100 + n),
        number: format!("R-{n}"),
        state,
        resource: "orders-db".to_owned(),
        resource_name: "Orders database".to_owned(),
        environment: "production".to_owned(),
        kind: "postgres".to_owned(),
        role: "write".to_owned(),
        role_name: "Read and write".to_owned(),
        by: "mara".to_owned(),
        by_name: "Mara Lindqvist".to_owned(),
        by_id: id(1),
        approved_by: vec!["Noor Haddad".to_owned()],
        duration_s: 1800,
        max_s: 7200,
        starts_at: Some(now() - TimeDelta::minutes(18)),
        ends_at: Some(now() + TimeDelta::seconds(left_s)),
        end: None,
        ended_by: None,
        end_reason: None,
        ended_at: None,
        removal: None,
        trouble: None,
        mine: true,
        can_revoke: false,
        extension: None,
    }
}

pub fn request(n: u32) -> RequestView {
    RequestView {
        id: id(n),
        number: format!("R-{n}"),
        state: RequestState::Pending,
        resource: "orders-db".to_owned(),
        resource_name: "Orders database".to_owned(),
        environment: "production".to_owned(),
        kind: "postgres".to_owned(),
        role: "write".to_owned(),
        role_name: "Read and write".to_owned(),
        grants: vec!["orders_writer".to_owned()],
        by: "tomas".to_owned(),
        by_name: "Tomás Rivera".to_owned(),
        by_id: id(2),
        reason: Some("Orders have been stuck in pending since the 09:50 deploy.".to_owned()),
        ticket: Some("INC-4812".to_owned()),
        duration_s: 1800,
        allowed_s: 1800,
        created_at: now(),
        lapses_at: now() + TimeDelta::hours(8),
        decided_at: None,
        denied_by: None,
        revision: 1,
        shown: Digest("00".to_owned()),
        catalogue: Digest("00".to_owned()),
        extends: None,
        needs: Vec::new(),
        can_decide: true,
        last_approval: true,
        mine: false,
        my_verdict: None,
        grant: None,
    }
}
