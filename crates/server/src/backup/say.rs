//! What people are told.

use super::{Compared, Contents, Restored};
use std::fmt::{Display, Formatter, Result};

impl Display for Contents {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { head, requests, people, devices, bytes } = self;
        writeln!(
            f,
            "{} events, {requests} requests, {people} people, {devices} devices, {bytes} bytes",
            head.size
        )?;
        write!(f, "root {}", head.root)
    }
}

impl Display for Restored {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}", self.contents)?;
        let Some(before) = &self.before else { return write!(f, "\nThere was nothing there before.") };
        write!(f, "\nWhat was there is kept as {}.", before.kept.display())?;
        let size = self.contents.head.size;
        match before.compared {
            None => write!(f, "\nIts log can’t be read, so nothing is said about what was lost.")?,
            Some(Compared { lost: 0, size: was, .. }) if was == size => {
                return write!(f, "\nIt had the same log: no event is lost.");
            }
            Some(Compared { lost: 0, .. }) => return write!(f, "\nNo event of it is lost."),
            Some(Compared { lost, differs: None, .. }) => {
                write!(f, "\nLost: {lost} events, those after position {size}.")?
            }
            Some(Compared { lost, differs: Some(seq), .. }) => {
                write!(f, "\nIt was another log from position {seq} on. Lost: {lost} events.")?
            }
        }
        write!(f, "\n{AFTER}")
    }
}

const AFTER: &str = "\
Accesses given since the backup are not known any more: the server finds them on the targets and removes them within \
a minute of its start. Requests and decisions since then have to be made again. Desktops that saw what is lost say that \
the log contradicts them and decide nothing: their people leave and join again with a new invite.";
