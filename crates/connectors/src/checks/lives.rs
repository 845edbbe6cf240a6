//! The checks that give an access and take it away.

use super::{Checks, LONG, SHORT, Seen, told};
use crate::{Access, Holder, TargetError};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Where calls are cut off, in tenths of the time that a whole one takes.
const CUTS: [u32; 6] = [0, 1, 3, 5, 7, 9];

impl Checks<'_> {
    pub(super) async fn provision(&self) -> Seen<()> {
        let access = self.access(&self.plan.one, SHORT);
        self.give(&access).await?;
        self.listed(&access).await
    }

    pub(super) async fn twice_provision(&self) -> Seen<()> {
        let mut access = self.access(&self.plan.one, SHORT);
        self.give(&access).await?;
        for lasts in [LONG, SHORT] {
            access.until = self.plan.now + lasts;
            self.give(&access).await?;
            self.listed(&access).await?;
        }
        self.gone(&access).await.map_err(|seen| format!("after two provisions: {seen}"))
    }

    pub(super) async fn moved_end(&self) -> Seen<()> {
        let mut access = self.access(&self.plan.one, SHORT);
        self.give(&access).await?;
        for lasts in [LONG, SHORT] {
            access.until = self.plan.now + lasts;
            self.connector.guard(&access).await.map_err(|error| told("moving the end", &error))?;
            self.listed(&access).await?;
        }
        self.gone(&access).await?;
        match self.connector.guard(&access).await {
            Err(TargetError::Refused(_)) => self.absent(&access).await,
            Err(error) => Err(format!("moving the end of an absent one is not refused, but: {error}")),
            Ok(_) => Err("moving the end of an absent one succeeded".to_owned()),
        }
    }

    pub(super) async fn twice_remove(&self) -> Seen<()> {
        let never = self.access(&self.plan.one, SHORT);
        self.remove(never.grant).await.map_err(|seen| format!("of one that never was, {seen}"))?;
        let access = self.access(&self.plan.one, SHORT);
        self.give(&access).await?;
        self.gone(&access).await?;
        let again = self.remove(access.grant).await.map_err(|seen| format!("the second time, {seen}"))?;
        match again {
            Some(removed) if removed.sessions_ended != 0 => {
                Err(format!("the second time, {} sessions were ended", removed.sessions_ended))
            }
            _ => self.absent(&access).await,
        }
    }

    pub(super) async fn crash_in_provision(&self) -> Seen<()> {
        let (whole, _) = self.pace().await?;
        let mut cut = Vec::new();
        for tenths in CUTS {
            let access = self.access(&self.plan.one, SHORT);
            // Dropped half way, as when the server is killed: a program is ended, a connection is closed.
            let _ = timeout(whole * tenths / 10, self.connector.provision(&access)).await;
            self.after(tenths, self.give(&access).await)?;
            self.after(tenths, self.listed(&access).await)?;
            self.after(tenths, self.gone(&access).await)?;
            cut.push(access);
            let access = self.access(&self.plan.one, SHORT);
            let _ = timeout(whole * tenths / 10, self.connector.provision(&access)).await;
            self.after(tenths, self.remove(access.grant).await)?;
            cut.push(access);
        }
        // What was cut off may still be at work on the other side.
        self.stay_gone(&cut, whole).await
    }

    pub(super) async fn crash_in_remove(&self) -> Seen<()> {
        let (given, whole) = self.pace().await?;
        let mut cut = Vec::new();
        for tenths in CUTS {
            let access = self.access(&self.plan.one, SHORT);
            self.give(&access).await?;
            let _ = timeout(whole * tenths / 10, self.connector.remove(access.grant)).await;
            self.after(tenths, self.gone(&access).await)?;
            cut.push(access);
        }
        self.stay_gone(&cut, given + whole).await
    }

    fn after<T>(&self, tenths: u32, seen: Seen<T>) -> Seen<T> {
        seen.map_err(|seen| format!("cut off after {tenths} tenths of its time: {seen}"))
    }

    /// They are gone, and still are when whatever a call that was cut off set going has had its time.
    async fn stay_gone(&self, accesses: &[Access], pace: Duration) -> Seen<()> {
        sleep(pace * 2).await;
        for access in accesses {
            if self.absent(access).await.is_err() {
                // It came back: so it is to be taken away again.
                self.state().open.insert(access.grant);
                return Err("one that was gone has come back".to_owned());
            }
        }
        Ok(())
    }

    /// Two accesses at once, `one`'s and `other`'s, in both orders of removal.
    pub(super) async fn overlap(&self, other: &Holder) -> Seen<()> {
        for first_goes in [true, false] {
            let one = self.access(&self.plan.one, SHORT);
            let two = self.access(other, LONG);
            self.give(&one).await?;
            self.give(&two).await?;
            self.listed(&one)
                .await
                .map_err(|seen| format!("after the second was given, of the first: {seen}"))?;
            let (goes, stays) = if first_goes { (one, two) } else { (two, one) };
            self.gone(&goes).await?;
            self.listed(&stays).await.map_err(|seen| format!("after the other was removed: {seen}"))?;
            self.gone(&stays).await?;
        }
        Ok(())
    }

    pub(super) async fn at_once(&self) -> Seen<()> {
        let other = self.plan.other.as_ref().unwrap_or(&self.plan.one);
        let [a, b, c] = [&self.plan.one, other, &self.plan.one].map(|holder| self.access(holder, SHORT));
        let (first, again, second, third) =
            tokio::join!(self.give(&a), self.give(&a), self.give(&b), self.give(&c));
        // Of two for the same grant one may be turned away, not both.
        first.or(again).and(second).and(third)?;
        for access in [&a, &b, &c] {
            self.listed(access).await?;
        }
        let (first, second, third) = tokio::join!(self.remove(a.grant), self.remove(b.grant), self.give(&c));
        first?;
        second?;
        third?;
        self.absent(&a).await?;
        self.absent(&b).await?;
        self.listed(&c).await?;
        self.gone(&c).await
    }
}
