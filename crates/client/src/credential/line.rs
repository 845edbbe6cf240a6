//! Lines to run at a database's client. No password in them: the client asks for it.

use crate::ui::Failure;
use gatepass_core::Code;
use percent_encoding::percent_decode_str;
use url::Url;
use zeroize::Zeroizing;

/// A database's URL taken apart.
pub struct Parts {
    host: String,
    port: Option<u16>,
    database: String,
    pub user: String,
    pub password: Zeroizing<String>,
    /// Further settings, such as sslmode.
    more: Vec<(String, String)>,
}

impl Parts {
    pub fn of(url: &str) -> Result<Self, Failure> {
        // Never quote the URL: the password is in it.
        let unreadable = || Failure::new(Code::NoCredential, "The credential can’t be read.");
        let url = Url::parse(url).map_err(|_| unreadable())?;
        let decode = |text: &str| {
            percent_decode_str(text).decode_utf8().map(|t| t.into_owned()).map_err(|_| unreadable())
        };
        let host = decode(url.host_str().unwrap_or_default())?;
        Ok(Self {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: url.port(),
            database: decode(url.path().trim_start_matches('/'))?,
            user: decode(url.username())?,
            password: Zeroizing::new(decode(url.password().unwrap_or_default())?),
            more: url
                .query_pairs()
                .filter(|(name, _)| name != "password")
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        })
    }

    pub fn psql(&self) -> String {
        let mut settings = vec![
            ("host".to_owned(), self.host.clone()),
            ("port".to_owned(), self.port.unwrap_or(5432).to_string()),
            ("dbname".to_owned(), self.database.clone()),
            ("user".to_owned(), self.user.clone()),
        ];
        settings.extend(self.more.iter().cloned());
        let settings: Vec<String> = settings
            .iter()
            .filter(|(_, v)| !v.is_empty())
            .map(|(k, v)| format!("{k}={}", conninfo(v)))
            .collect();
        format!("psql {}", shell(&settings.join(" "), true))
    }

    /// MySQL's own client takes the same.
    pub fn mariadb(&self) -> String {
        let port = self.port.unwrap_or(3306).to_string();
        let given = [("host", &self.host), ("port", &port), ("user", &self.user)];
        let mut words = vec!["mariadb".to_owned()];
        words.extend(given.map(|(name, value)| shell(&format!("--{name}={value}"), false)));
        words.push("--password".to_owned());
        if !self.database.is_empty() {
            words.push(shell(&format!("--database={}", self.database), false));
        }
        words.join(" ")
    }
}

fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':' | '@' | ',' | '=' | ' ')
}

/// A value in a libpq connection string.
fn conninfo(value: &str) -> String {
    if value.chars().all(|c| plain(c) && c != ' ') {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
    }
}

/// One argument for a POSIX shell; `quoted` also where it needs no quotes.
pub fn shell(argument: &str, quoted: bool) -> String {
    let clean = argument.chars().all(plain);
    if clean && !quoted && !argument.contains(' ') && !argument.is_empty() {
        argument.to_owned()
    } else if clean {
        format!("\"{argument}\"")
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_line_has_no_password_and_nothing_in_it_is_syntax() {
        let parts = Parts::of("postgres://gp_1:s%40cret@127.0.0.1:5433/orders?sslmode=require").unwrap();
        assert_eq!(
            parts.psql(),
            r#"psql "host=127.0.0.1 port=5433 dbname=orders user=gp_1 sslmode=require""#
        );
        assert_eq!(*parts.password, "s@cret");
        let odd = Parts::of("postgres://u:p@h/a%24(id)%27b").unwrap();
        assert_eq!(odd.psql(), r#"psql 'host=h port=5432 dbname='\''a$(id)\'\''b'\'' user=u'"#);
    }

    #[test]
    fn mariadb_asks_for_its_password() {
        let parts = Parts::of("mysql://gp_1:s%40cret@db.example/led%20ger").unwrap();
        assert_eq!(
            parts.mariadb(),
            r#"mariadb --host=db.example --port=3306 --user=gp_1 --password "--database=led ger""#
        );
        let odd = Parts::of("mysql://u:p@[::1]:3307/a%24(id)").unwrap();
        assert_eq!(odd.mariadb(), "mariadb --host=::1 --port=3307 --user=u --password '--database=a$(id)'");
    }
}
