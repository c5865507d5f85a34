use std::sync::Arc;

use hallpass_engine::Stamp;

use super::*;
use crate::config::Config;
use crate::config::value::OutputLimits;
use crate::resp::reply::Protocol;
use crate::state::ServerState;

fn server(change: impl FnOnce(&mut Config)) -> Arc<ServerState> {
    let mut config = Config { threads: 1, shards: 1, ..Config::default() };
    change(&mut config);
    Arc::new(ServerState::new(config))
}

fn client(id: u64) -> Client {
    let shared = ClientShared::new(id, "a".into(), "b".into(), -1, Stamp::from_millis(1));
    Client::new(Arc::new(shared), &crate::acl::Users::new(""))
}

fn mail(client: &Client) -> String {
    let mut output = Vec::new();
    client.write_mail(&mut Reply::new(&mut output, client.protocol));
    String::from_utf8(output).unwrap()
}

fn publish(server: &ServerState, channel: &str, payload: &str) -> usize {
    let (channel, payload) = (channel.as_bytes(), payload.as_bytes());
    server.pubsub.publish(&server.settings, Space::Common, channel, payload)
}

fn message(channel: &str, payload: &str) -> String {
    let (name_len, len) = (channel.len(), payload.len());
    format!("*3\r\n$7\r\nmessage\r\n${name_len}\r\n{channel}\r\n${len}\r\n{payload}\r\n")
}

#[test]
fn registries_forget_whoever_leaves() {
    let server = server(|_| {});
    let (mut first, mut second) = (client(1), client(2));
    for kind in [Kind::Channel, Kind::Pattern, Kind::ShardChannel] {
        for _ in 0..2 {
            server.pubsub.subscribe(&mut first, kind, b"a");
            server.pubsub.subscribe(&mut second, kind, b"a");
        }
    }
    let counts = || {
        let channels = [Space::Common, Space::Shard].map(|space| {
            (server.pubsub.channel_count(space), server.pubsub.subscriber_count(space, b"a"))
        });
        (channels, server.pubsub.pattern_count())
    };
    assert_eq!(counts(), ([(1, 2), (1, 2)], 1));
    assert_eq!(publish(&server, "a", "x"), 4);
    server.pubsub.leave(&mut first);
    assert!(!first.shared.is_subscriber());
    assert_eq!(mail(&first), "", "what was not read is freed");
    assert_eq!(counts(), ([(1, 1), (1, 1)], 1));
    assert_eq!(publish(&server, "a", "x"), 2);
    server.pubsub.unsubscribe_all(&mut second);
    assert_eq!(counts(), ([(0, 0), (0, 0)], 0));
    assert_eq!(publish(&server, "a", "x"), 0);
    assert_eq!(server.pubsub.subscriptions.load(Ordering::Relaxed), 0);
}

#[test]
fn past_the_limit_a_mailbox_is_emptied_and_the_others_are_not() {
    let server = server(|config| config.client_output_buffer_limit.pubsub.hard_bytes = 100 << 10);
    let (mut slow, mut quick) = (client(1), client(2));
    server.pubsub.subscribe(&mut slow, Kind::Channel, b"a");
    server.pubsub.subscribe(&mut quick, Kind::Channel, b"a");
    let payload = "p".repeat(10 << 10);
    for _ in 0..20 {
        assert_eq!(publish(&server, "a", &payload), 2);
        assert_eq!(mail(&quick), message("a", &payload));
    }
    let mailbox = slow.shared.mailbox.get().unwrap();
    assert!(mailbox.has_overflowed() && slow.shared.is_killed());
    assert_eq!(mailbox.size(), (0, 0));
    assert!(!quick.shared.is_killed());
}

#[test]
fn without_a_limit_everything_waits() {
    let server = server(|config| config.client_output_buffer_limit = OutputLimits::default());
    let mut slow = client(1);
    server.pubsub.subscribe(&mut slow, Kind::Channel, b"a");
    let payload = "p".repeat(1 << 20);
    for _ in 0..40 {
        publish(&server, "a", &payload);
    }
    let mailbox = slow.shared.mailbox.get().unwrap();
    assert_eq!(mailbox.size().0, 40);
    let mut taken = Vec::new();
    assert!(mailbox.take(64 << 10, &mut taken), "39 are left");
    assert_eq!(taken, message("a", &payload).into_bytes());
}

#[test]
fn mail_follows_its_reader_into_another_protocol() {
    let server = server(|_| {});
    let mut reader = client(1);
    server.pubsub.subscribe(&mut reader, Kind::Channel, b"a");
    publish(&server, "a", "1");
    reader.switch_protocol(Protocol::Resp3);
    publish(&server, "a", "2");
    let expected = (message("a", "1") + &message("a", "2")).replace('*', ">");
    assert_eq!(mail(&reader), expected);
}

/// Without a turn for each channel, subscribers saw the messages of two publishers in different orders.
#[test]
fn all_subscribers_of_a_channel_see_one_order() {
    const MESSAGES: usize = 2000;
    let server = server(|config| config.client_output_buffer_limit = OutputLimits::default());
    let mut listeners: Vec<Client> = (1..=8).map(client).collect();
    for (index, listener) in listeners.iter_mut().enumerate() {
        let (kind, name) =
            if index % 2 == 0 { (Kind::Channel, "news") } else { (Kind::Pattern, "n*s") };
        server.pubsub.subscribe(listener, kind, name.as_bytes());
    }
    std::thread::scope(|scope| {
        for publisher in 0..3 {
            let server = &server;
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    publish(server, "news", &format!("{publisher}-{number}"));
                }
            });
        }
    });
    let orders: Vec<Vec<String>> = listeners
        .iter()
        .map(|listener| {
            let mail = mail(listener);
            mail.lines().filter(|line| line.contains('-')).map(str::to_owned).collect()
        })
        .collect();
    assert_eq!(orders[0].len(), 3 * MESSAGES);
    assert!(orders.iter().all(|order| *order == orders[0]));
}
