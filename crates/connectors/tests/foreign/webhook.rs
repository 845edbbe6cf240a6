use crate::holder::{access, grant, now, somebody};
use crate::{Held, SHOWS, details, hashed, token};
use async_trait::async_trait;
use gatepass_connectors::conformance::{Session, Shows, Subject, suite};
use gatepass_connectors::webhook::{LIMIT, Settings, Webhook};
use gatepass_connectors::{Class, Connector, Holder, Stranger, TargetError};
use gatepass_core::Time;
use gatepass_core::id::GrantId;
use gatepass_core::wire::Secret;
use gatepass_testkit::examples::Receiver;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

struct Target {
    receiver: Arc<Receiver>,
    connector: Box<dyn Connector>,
}

fn secrets(receiver: &Receiver) -> String {
    std::fs::read_to_string(receiver.secrets()).unwrap()
}

fn settings(receiver: &Receiver) -> Settings {
    Settings {
        url: receiver.url().to_owned(),
        secrets: secrets(receiver).into(),
        authorities: None,
        private: Vec::new(),
        limit: LIMIT,
        now,
    }
}

fn connector(settings: Settings) -> Box<dyn Connector> {
    Box::new(Webhook::connector("deploys", settings).unwrap())
}

fn target() -> Target {
    let receiver = Receiver::start();
    Target { connector: connector(settings(&receiver)), receiver: Arc::new(receiver) }
}

fn known(receiver: &Receiver, hash: &str) -> bool {
    let store: Value = serde_json::from_str(&receiver.store()).unwrap();
    store["accesses"].as_object().unwrap().values().any(|access| access["token_sha256"] == hash)
}

#[async_trait]
impl Subject for Target {
    fn connector(&self) -> &dyn Connector {
        &*self.connector
    }

    fn grants(&self) -> Vec<String> {
        vec!["deployer".into()]
    }

    fn grant(&self) -> GrantId {
        grant()
    }

    fn holder(&self) -> Holder {
        somebody()
    }

    fn now(&self) -> Time {
        now()
    }

    fn shows(&self) -> Shows {
        SHOWS
    }

    async fn open(&self, secret: &Secret) -> Option<Box<dyn Session>> {
        let (receiver, hash) = (self.receiver.clone(), hashed(token(secret)));
        known(&receiver, &hash).then(|| Box::new(Held(move || known(&receiver, &hash))) as _)
    }
}

#[tokio::test]
async fn the_suite_on_the_example() {
    suite(async || target()).await;
}

#[tokio::test]
async fn the_receiver_is_told_all_and_keeps_no_token() {
    let target = target();
    let mut asked = access(&["deployer", "reader"]);
    asked.holder.ssh_key = Some("ssh-ed25519 AAAA".into());
    let secret = target.connector.provision(&asked).await.unwrap();
    assert_eq!(details(&secret)["url"], "https://deploys.example.com/");
    let store: Value = serde_json::from_str(&target.receiver.store()).unwrap();
    let kept = &store["accesses"][asked.grant.to_string()];
    assert_eq!(kept["handle"], asked.holder.handle);
    assert_eq!(kept["grants"], serde_json::json!(["deployer", "reader"]));
    assert_eq!(kept["until"].as_str().unwrap().parse::<Time>().unwrap(), asked.until);
    for text in [target.receiver.store(), target.receiver.log()] {
        assert!(!text.contains(token(&secret)), "{text}");
    }
    let found = target.connector.inspect().await.unwrap();
    assert_eq!(found[0].name, asked.holder.handle);
    assert_eq!(target.connector.class(), Class::C);
}

#[tokio::test]
async fn who_has_access_by_hand_is_a_stranger_and_stays() {
    let target = target();
    let root = Stranger { name: "root".into(), grants: vec!["deployer".into()] };
    let all = ["deployer".to_owned(), "reader".to_owned()];
    let asked = access(&["deployer"]);
    target.connector.provision(&asked).await.unwrap();
    assert_eq!(target.connector.strangers(&all).await.unwrap(), std::slice::from_ref(&root));
    assert_eq!(target.connector.strangers(&all[1..]).await.unwrap(), []);
    target.connector.remove(asked.grant).await.unwrap();
    assert_eq!(target.connector.strangers(&all).await.unwrap(), [root]);
    assert_eq!(target.connector.inspect().await.unwrap(), []);
}

#[tokio::test]
async fn any_of_the_secrets_will_do_and_another_will_not() {
    let receiver = Receiver::start();
    let mode = std::fs::metadata(receiver.secrets()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else reads them");
    let both = secrets(&receiver);
    assert_eq!(both.lines().count(), 2);
    for line in both.lines() {
        let one = Settings { secrets: line.to_owned().into(), ..settings(&receiver) };
        assert_eq!(connector(one).inspect().await, Ok(vec![]));
    }
    let other = "whsec_b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgb3RoZXI=";
    let other = Settings { secrets: other.to_owned().into(), ..settings(&receiver) };
    let refused = connector(other).inspect().await;
    assert_eq!(refused, Err(TargetError::Configuration("the signature is not by our secret".into())));
}

#[tokio::test]
async fn calls_of_another_time_are_refused() {
    let receiver = Receiver::start();
    let late = Settings { now: || now() - chrono::TimeDelta::minutes(6), ..settings(&receiver) };
    let early = Settings { now: || now() + chrono::TimeDelta::minutes(6), ..settings(&receiver) };
    for settings in [late, early] {
        let refused = connector(settings).inspect().await;
        assert!(
            matches!(&refused, Err(TargetError::Configuration(m)) if m.contains("clocks")),
            "{refused:?}"
        );
    }
    // Within the window, but from before the receiver knew what it had answered.
    let before = Settings { now: || now() - chrono::TimeDelta::minutes(4), ..settings(&receiver) };
    let refused = connector(before).inspect().await;
    assert!(matches!(refused, Err(TargetError::Unreachable(_))), "{refused:?}");
}

/// What somebody recorded is played back: the answer is the same as then, and nothing happens.
#[tokio::test]
async fn a_replayed_call_changes_nothing() {
    let target = target();
    let recorder = recorder::start(target.receiver.url()).await;
    let recorded = Settings { url: recorder.url.clone(), ..settings(&target.receiver) };
    let asked = access(&["deployer"]);
    let secret = connector(recorded).provision(&asked).await.unwrap();
    let call = recorder.recorded().await;
    target.connector.remove(asked.grant).await.unwrap();

    let answer = recorder::send(target.receiver.url(), &call).await;
    assert!(answer.contains("200 OK"), "{answer}");
    assert!(answer.contains(token(&secret)), "the same answer");
    assert_eq!(target.connector.inspect().await.unwrap(), [], "and no access");

    let forged = call.replace("deployer", "director");
    let answer = recorder::send(target.receiver.url(), &forged).await;
    assert!(answer.contains("401") && answer.contains("not by our secret"), "{answer}");
}

#[tokio::test]
async fn over_tls_the_certificate_is_checked() {
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let named = |name: &str| {
        CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap().pem()
    };
    let receiver = Receiver::start_tls(&named("127.0.0.1"), &key.serialize_pem());
    assert!(receiver.url().starts_with("https://"));
    let with = |authorities: Option<&str>, url: &str| {
        let authorities = authorities.map(|pem| pem.as_bytes().to_vec());
        connector(Settings { authorities, url: url.to_owned(), ..settings(&receiver) })
    };
    assert_eq!(with(Some(&authority), receiver.url()).inspect().await, Ok(vec![]));

    let strange = with(None, receiver.url()).inspect().await;
    assert!(matches!(&strange, Err(TargetError::Unreachable(m)) if m.contains("certificate")), "{strange:?}");
    let localhost = receiver.url().replace("127.0.0.1", "localhost");
    let misnamed = with(Some(&authority), &localhost).inspect().await;
    assert!(
        matches!(&misnamed, Err(TargetError::Unreachable(m)) if m.contains("certificate")),
        "{misnamed:?}"
    );
    let unusable = Settings { authorities: Some(b"none".to_vec()), ..settings(&receiver) };
    assert!(matches!(Webhook::connector("deploys", unusable), Err(TargetError::Configuration(_))));
}

/// Somebody between the two who keeps what goes by.
mod recorder {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::oneshot;

    pub struct Recorder {
        pub url: String,
        call: oneshot::Receiver<String>,
    }

    impl Recorder {
        pub async fn recorded(self) -> String {
            self.call.await.unwrap()
        }
    }

    fn address(url: &str) -> &str {
        url.trim_start_matches("http://").split('/').next().unwrap()
    }

    pub async fn start(url: &str) -> Recorder {
        let to = address(url).to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap().to_string();
        let (tell, call) = oneshot::channel();
        tokio::spawn(async move {
            let (mut from, _) = listener.accept().await.unwrap();
            let mut request = String::new();
            while !request.ends_with('}') {
                let mut some = [0; 4096];
                let read = from.read(&mut some).await.unwrap();
                request.push_str(std::str::from_utf8(&some[..read]).unwrap());
            }
            let answer = send_to(&to, &request).await;
            from.write_all(answer.as_bytes()).await.unwrap();
            let _ = tell.send(request);
        });
        Recorder { url: url.replace(address(url), &here), call }
    }

    pub async fn send(url: &str, request: &str) -> String {
        send_to(address(url), request).await
    }

    async fn send_to(to: &str, request: &str) -> String {
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        while !answer.ends_with('}') {
            let mut some = [0; 4096];
            let read = stream.read(&mut some).await.unwrap();
            assert_ne!(read, 0, "{answer}");
            answer.push_str(std::str::from_utf8(&some[..read]).unwrap());
        }
        answer
    }
}
