//! The proxy that the cases go through, and what a client sees of it.

use crate::{
    base::{Clock, Metrics, TaskGroup},
    model::Catalog,
    outbound::system_lookup,
    proxy::{
        self, Listeners, Settings,
        config::{Backend, Balance, Forward, HeaderRules, PathChange, Route, Target, Upstream},
    },
};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

/// Longer than any wait of a test: only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A proxy with one route, for everything, to one upstream.
pub struct Rig {
    address: SocketAddr,
    group: TaskGroup,
    keeping: TaskGroup,
    runtime: tokio::runtime::Runtime,
    _catalog: watch::Sender<Arc<Catalog>>,
}

impl Rig {
    /// To this one.
    pub fn to(upstream: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let inside = runtime.enter();
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        let (group, keeping) = (TaskGroup::new(), TaskGroup::new());
        let (catalog, follow) = watch::channel(Arc::default());
        let (settings, routes) = (Settings::default(), vec![route(upstream)]);
        let config = proxy::Config { listen, tls: Vec::new(), acme: None, workers: 1, settings, routes };
        let deps = proxy::Deps {
            clock: Clock::real(),
            metrics: Metrics::default(),
            handlers: keeping.here(),
            disk: crate::disk::Disk::real(1),
            catalog: follow,
            lookup: system_lookup(),
            built_in: Vec::new(),
            listeners: Listeners::bind(&config, Vec::new()).unwrap(),
        };
        let (proxy, tasks) = proxy::build(&config, deps).unwrap();
        keeping.spawn("sync", tasks.routes.run(keeping.stop_token()));
        runtime.block_on(async { proxy.routes().served().wait_for(|_| true).await.map(|_| ()) }).unwrap();
        let address = proxy.addresses()[0];
        group.spawn("plane", tasks.plane.run(group.stop_token()));
        drop(inside);
        Self { address, group, keeping, runtime, _catalog: catalog }
    }

    /// Sends these bytes on a connection of their own and nothing after them; gives back all that comes.
    pub fn send(&self, sent: &[u8]) -> Vec<u8> {
        let mut socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // Whoever is refused early need not take the rest.
        let _ = socket.write_all(sent);
        let _ = socket.shutdown(Shutdown::Write);
        let (mut answers, mut bytes) = (Vec::new(), [0; 16 * 1024]);
        loop {
            match socket.read(&mut bytes) {
                Ok(0) => return answers,
                Ok(count) => answers.extend_from_slice(&bytes[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    return answers;
                }
                Err(error) => panic!("{error}: no end after {} of {}", answers.escape_ascii(), sent.escape_ascii()),
            }
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let limit = Duration::from_secs(10);
        self.runtime.block_on(async {
            self.group.stop(limit).await;
            self.keeping.stop(limit).await;
        });
    }
}

fn route(upstream: SocketAddr) -> Route {
    Route {
        name: "all".into(),
        scheme: None,
        host: Vec::new(),
        path_prefix: "/".into(),
        path_suffix: Vec::new(),
        methods: Vec::new(),
        to: Target::Forward(Forward {
            to: Backend::Upstreams(vec![Upstream {
                host: upstream.ip().to_string().into(),
                port: upstream.port(),
                weight: 1,
                via: None,
            }]),
            balance: Balance::default(),
            path: PathChange::None,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(10),
            retries: 0,
            host_header: None,
            split: Vec::new(),
            sticky: None,
        }),
        body_max: 1 << 20,
        headers: HeaderRules::default(),
        cors: None,
        guard: None,
    }
}

/// The statuses of final answers, in order. `methods` are those of the requests.
pub fn statuses(answers: &[u8], methods: &[Vec<u8>]) -> Vec<u16> {
    use crate::proxy::h1::{Asked, Body, Limits, ResponseHead, parse_response};
    let (mut at, mut statuses) = (0, Vec::new());
    while at < answers.len() {
        let mut head = ResponseHead::default();
        let asked = Asked { head: methods.get(statuses.len()).is_some_and(|method| method == b"HEAD"), upgrade: false };
        let read = parse_response(&answers[at..], &Limits::default(), asked, &mut head);
        let Ok(Some(len)) = read else { panic!("{read:?}: {}", answers[at..].escape_ascii()) };
        at += len;
        if head.status() < 200 {
            continue;
        }
        statuses.push(head.status());
        match head.body() {
            Body::None => {}
            Body::Length(length) => at += usize::try_from(length).unwrap(),
            body => panic!("{body:?}: {}", answers.escape_ascii()),
        }
    }
    assert_eq!(at, answers.len(), "answers are whole: {}", answers.escape_ascii());
    statuses
}
