//! A private OpenLDAP.

use crate::postgres::free_port;
use crate::watch::Watched;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const SUFFIX: &str = "dc=example,dc=com";
pub const PEOPLE: &str = "ou=people,dc=example,dc=com";
pub const GROUPS: &str = "ou=groups,dc=example,dc=com";
/// What Gatepass signs in as; [`Slapd::start`] makes it as `docs/connectors/ldap-account.ldif` and
/// `docs/connectors/ldap-access.ldif` say.
pub const ACCOUNT: &str = "cn=gatepass,dc=example,dc=com";
/// Its password.
pub const ACCOUNT_PASSWORD: &str = "a directory's pass:word/@%";
/// People who are in the directory besides `mara` and `tomas`: `p1` and so on.
pub const MORE_PEOPLE: usize = 40;

const ROOT: &str = "cn=root,dc=example,dc=com";
const PASSWORD: &str = "root";
/// The files that operators run, run here as well.
const ACCOUNT_LDIF: &str = include_str!("../../../docs/connectors/ldap-account.ldif");
const ACCESS_LDIF: &str = include_str!("../../../docs/connectors/ldap-access.ldif");
/// As much of Active Directory's schema as its groups need.
const ACTIVE_DIRECTORY: &str = "
attributetype ( 1.2.840.113556.1.4.2 NAME 'objectGUID' EQUALITY octetStringMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
objectclass ( 1.2.840.113556.1.5.8 NAME 'group' SUP top STRUCTURAL MUST cn
    MAY ( member $ objectGUID $ sAMAccountName $ description ) )
";

/// One OpenLDAP of its own: data in a temporary directory, a free port on 127.0.0.1, and nobody but [`ACCOUNT`] may
/// see more than themselves. Stopped and removed when dropped, also when the process that started it dies.
pub struct Slapd {
    /// The first, so that it has ended when the directory goes.
    running: Option<Watched>,
    dir: TempDir,
    port: u16,
    /// With a certificate.
    tls_port: Option<u16>,
}

impl Slapd {
    /// People `mara`, `tomas` and `p1` to `p40` with the mail address `NAME@example.com`, no groups, no TLS.
    pub fn start() -> Self {
        Self::make("", None)
    }

    /// The same with more lines in the part of `slapd.conf` that is the database's.
    pub fn start_with(settings: &str) -> Self {
        Self::make(settings, None)
    }

    /// The same with StartTLS, and LDAPS on a port of its own. All PEM.
    pub fn encrypted(certificate: &str, key: &str) -> Self {
        Self::make("", Some((certificate, key)))
    }

    fn make(settings: &str, tls: Option<(&str, &str)>) -> Self {
        let dir = tempfile::Builder::new().prefix("gatepass-ldap-").tempdir().expect("a temporary directory");
        let mut slapd = Self { running: None, dir, port: 0, tls_port: None };
        slapd.configure(settings, tls);
        for _ in 0..5 {
            slapd.port = free_port();
            slapd.tls_port = tls.map(|_| free_port());
            if slapd.launch() {
                slapd.fill();
                return slapd;
            }
        }
        panic!("slapd does not start:\n{}", slapd.log());
    }

    fn configure(&self, settings: &str, tls: Option<(&str, &str)>) {
        let path = |name: &str| self.dir.path().join(name);
        for name in ["data", "config"] {
            fs::create_dir(path(name)).expect("a directory");
        }
        fs::write(path("ad.schema"), ACTIVE_DIRECTORY).expect("write the schema");
        let mut conf = String::new();
        for schema in ["core", "cosine", "nis", "inetorgperson"] {
            writeln!(conf, "include /etc/ldap/schema/{schema}.schema").expect("text");
        }
        writeln!(conf, "include {}", path("ad.schema").display()).expect("text");
        if let Some((certificate, key)) = tls {
            fs::write(path("cert.pem"), certificate).expect("write the certificate");
            fs::write(path("key.pem"), key).expect("write the key");
            let (certificate, key) = (path("cert.pem"), path("key.pem"));
            writeln!(
                conf,
                "TLSCertificateFile {}\nTLSCertificateKeyFile {}",
                certificate.display(),
                key.display()
            )
            .expect("text");
        }
        writeln!(
            conf,
            "modulepath /usr/lib/ldap\nmoduleload back_mdb\nmoduleload refint\nsizelimit unlimited\n\
             database config\nrootpw {PASSWORD}\ndatabase mdb\nsuffix {SUFFIX}\nrootdn {ROOT}\nrootpw {PASSWORD}\n\
             directory {}\ndbnosync\nindex objectClass,entryUUID,mail,uid eq\n\
             access to attrs=userPassword by anonymous auth by * none\naccess to * by self read by * none\n\
             {settings}",
            path("data").display()
        )
        .expect("text");
        fs::write(path("slapd.conf"), conf).expect("write slapd.conf");
    }

    fn fill(&self) {
        let mut people = format!(
            "dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n\n\
             dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n\n\
             dn: {GROUPS}\nobjectClass: organizationalUnit\nou: groups\n\n"
        );
        let names = ["mara", "tomas"].into_iter().map(str::to_owned);
        for name in names.chain((1..=MORE_PEOPLE).map(|n| format!("p{n}"))) {
            people.push_str(&person(&name));
        }
        self.change(&people);
        self.change(ACCOUNT_LDIF);
        self.tool("ldappasswd", ROOT, &["-s", ACCOUNT_PASSWORD, ACCOUNT], "");
        self.tool("ldapmodify", "cn=config", &[], ACCESS_LDIF);
    }

    /// `ldap://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    /// `ldaps://127.0.0.1:PORT`
    pub fn ldaps_url(&self) -> String {
        format!("ldaps://127.0.0.1:{}", self.tls_port.expect("started with a certificate"))
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// LDIF, as the superuser: changes, or entries to add.
    pub fn change(&self, ldif: &str) {
        self.tool("ldapmodify", ROOT, &["-a"], ldif);
    }

    /// LDIF, as [`ACCOUNT`]; what it is told when it may not.
    pub fn change_as_account(&self, ldif: &str) -> Result<String, String> {
        self.try_tool("ldapmodify", ACCOUNT, ACCOUNT_PASSWORD, &["-a"], ldif)
    }

    /// One more change of the database's configuration, as `add: olcAccess` and what follows.
    pub fn configure_again(&self, change: &str) {
        self.configured("olcDatabase={1}mdb,cn=config", change);
    }

    /// The same of the server's.
    pub fn configure_globally(&self, change: &str) {
        self.configured("cn=config", change);
    }

    fn configured(&self, dn: &str, change: &str) {
        let ldif = format!("dn: {dn}\nchangetype: modify\n{change}\n");
        self.tool("ldapmodify", "cn=config", &[], &ldif);
    }

    /// The values of `attribute` in the entry, sorted; empty when there are none.
    pub fn values(&self, dn: &str, attribute: &str) -> Vec<String> {
        let args = ["-LLL", "-o", "ldif-wrap=no", "-b", dn, "-s", "base", "(objectClass=*)", attribute];
        let text = self.tool("ldapsearch", ROOT, &args, "");
        let start = format!("{attribute}: ");
        let mut values: Vec<String> =
            text.lines().filter_map(|line| line.strip_prefix(&start)).map(str::to_owned).collect();
        values.sort();
        values
    }

    /// Signs in as somebody; what they are told when they may not.
    pub fn whoami(&self, dn: &str, password: &str) -> Result<String, String> {
        self.try_tool("ldapwhoami", dn, password, &[], "")
    }

    /// What the server logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Ends the server; open connections break. Data stay.
    pub fn stop(&mut self) {
        self.running = None;
    }

    /// Starts it again after [`stop`](Self::stop), on the same port.
    pub fn start_again(&mut self) {
        assert!(self.running.is_none(), "it runs");
        assert!(self.launch(), "slapd does not start again:\n{}", self.log());
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("server.log")
    }

    /// Starts the server and waits until it takes connections; false when it ended instead.
    fn launch(&mut self) -> bool {
        let mut listen = format!("{}/", self.url());
        if self.tls_port.is_some() {
            listen.push_str(&format!(" {}/", self.ldaps_url()));
        }
        let mut slapd = Command::new(program("slapd"));
        if !self.dir.path().join("config/cn=config.ldif").exists() {
            slapd.arg("-f").arg(self.dir.path().join("slapd.conf"));
        }
        // With a level for debugging it stays in the foreground.
        slapd.arg("-F").arg(self.dir.path().join("config")).args(["-h", &listen, "-d", "stats"]);
        let mut watched = Watched::start(&self.log_path(), "TERM", [self.dir.path(); 2], &slapd);
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until && !watched.ended() {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                self.running = Some(watched);
                return true;
            }
            thread::sleep(Duration::from_millis(5));
        }
        false
    }

    fn tool(&self, name: &str, dn: &str, args: &[&str], input: &str) -> String {
        self.try_tool(name, dn, PASSWORD, args, input).unwrap_or_else(|e| panic!("{name}: {e}\n{input}"))
    }

    fn try_tool(
        &self,
        name: &str,
        dn: &str,
        password: &str,
        args: &[&str],
        input: &str,
    ) -> Result<String, String> {
        let mut tool = Command::new(name);
        tool.args(["-x", "-H", &self.url(), "-D", dn, "-w", password]).args(args);
        tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = tool.spawn().unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        // One that could not sign in does not read.
        let _ = child.stdin.take().expect("its input").write_all(input.as_bytes());
        let Output { status, stdout, stderr } = child.wait_with_output().expect("its answer");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if status.success() { Ok(text(&stdout)) } else { Err(text(&stderr)) }
    }
}

/// A person's entry in LDIF.
pub fn person(name: &str) -> String {
    format!(
        "dn: uid={name},{PEOPLE}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n\
         mail: {name}@example.com\nuserPassword: {name}\n\n"
    )
}

/// Debian's are not on everybody's path.
fn program(name: &str) -> PathBuf {
    let debian = Path::new("/usr/sbin").join(name);
    if debian.exists() { debian } else { PathBuf::from(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_stops_and_leaves_nothing() {
        let mut slapd = Slapd::start();
        let (dir, mara) = (slapd.dir.path().to_owned(), format!("uid=mara,{PEOPLE}"));
        assert_eq!(slapd.values(&mara, "mail"), ["mara@example.com"]);
        assert_eq!(slapd.whoami(ACCOUNT, ACCOUNT_PASSWORD), Ok(format!("dn:{ACCOUNT}")));
        assert!(slapd.whoami(ACCOUNT, "wrong").is_err());
        slapd.stop();
        assert!(slapd.whoami(ACCOUNT, ACCOUNT_PASSWORD).is_err());
        slapd.start_again();
        assert_eq!(slapd.whoami(&mara, "mara"), Ok(format!("dn:{mara}")));
        drop(slapd);
        assert!(!dir.exists());
    }
}
