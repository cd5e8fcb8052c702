use std::thread;

use super::*;
use crate::event::{Kin, Origin, Payload};
use crate::process::describe::{ExecStrings, Settings};
use crate::samples::{mk_describer, mk_exec, mk_key, mk_strings};

const SOON: Duration = Duration::from_millis(20);

/// The number is the event's identity.
fn mk_event(number: u64) -> Arc<Event> {
    let payload = Payload::Gap { lost: number };
    Arc::new(Event::new(payload, Default::default(), Arc::new(Origin::default())))
}

fn mk_heavy(bytes: usize) -> Arc<Event> {
    let mut arguments = vec![b'x'; bytes + 3];
    arguments[1] = 0;
    let strings = ExecStrings { arguments: &arguments, ..mk_strings("/x") };
    let record = mk_exec(mk_key(1, 1, 1), mk_key(0, 0, 0), 1);
    let process = Arc::new(mk_describer(Settings::default()).exec(&record, strings, None, None, false));
    let kin = Kin { process, parent: None, ancestors: Arc::default() };
    Arc::new(Event::new(Payload::Exec(kin), Default::default(), Arc::new(Origin::default())))
}

fn publish(fanout: &Fanout, numbers: impl IntoIterator<Item = u64>) {
    let events: Vec<_> = numbers.into_iter().map(mk_event).collect();
    fanout.publish(&events);
}

/// Events as their number, gaps as minus their count.
fn shown(items: &[Item]) -> Vec<i64> {
    let signed = |number: u64| i64::try_from(number).unwrap();
    items
        .iter()
        .map(|item| match item {
            Item::Event(event) => match event.payload() {
                Payload::Gap { lost } => signed(*lost),
                other => panic!("{other:?}"),
            },
            Item::Gap(count) => -signed(*count),
        })
        .collect()
}

fn receive(sink: &Sink) -> Vec<i64> {
    let mut items = Vec::new();
    assert!(sink.receive_blocking(&mut items, SOON));
    shown(&items)
}

fn sum(ledger: &SinkLedger) -> u64 {
    ledger.delivered + ledger.filtered + ledger.dropped + ledger.failed + ledger.queued
}

#[test]
fn every_consumer_sees_every_event_in_order_from_its_subscription_on() {
    let fanout = Arc::new(Fanout::new(100));
    publish(&fanout, [1]);
    let a = fanout.subscribe("grpc", None);
    publish(&fanout, [2, 3]);
    let b = fanout.subscribe("export", Some("/x"));
    publish(&fanout, [4]);
    assert_eq!((receive(&a), receive(&b)), (vec![2, 3, 4], vec![4]));
    assert_eq!((a.name(), b.name()), ("grpc:1", "export:/x"));
    assert_eq!(fanout.emitted(), 4);
    assert!(receive(&a).is_empty());
}

#[test]
fn a_full_queue_drops_the_newest_and_shows_where() {
    let fanout = Arc::new(Fanout::new(3));
    let slow = fanout.subscribe("grpc", None);
    publish(&fanout, 1..=5);
    publish(&fanout, [6]);
    assert_eq!(receive(&slow), [1, 2, 3, -3]);
    publish(&fanout, 7..=12);
    assert_eq!(receive(&slow), [7, 8, 9, -3]);
    slow.settled(5, 1);
    let ledger = slow.ledger();
    assert_eq!(
        (ledger.offered, ledger.delivered, ledger.failed, ledger.dropped, ledger.queued),
        (12, 5, 1, 6, 0)
    );
}

#[test]
fn gaps_stand_where_events_are_missing() {
    let capacity = 2 * u64::try_from(BATCH).unwrap();
    let fanout = Arc::new(Fanout::new(2 * BATCH));
    let slow = fanout.subscribe("grpc", None);
    publish(&fanout, 1..=capacity + 2);
    // Half of the queue is taken, so that events follow the first gap, and then a second one.
    let first = receive(&slow);
    publish(&fanout, 1000..1000 + capacity);
    let mut rest = Vec::new();
    loop {
        match receive(&slow) {
            more if more.is_empty() => break,
            more => rest.extend(more),
        }
    }
    assert_eq!(first.len(), BATCH);
    assert_eq!(rest[BATCH], -2);
    assert_eq!(rest[BATCH + 1], 1000);
    let kept = i64::try_from(BATCH).unwrap() - 1;
    assert_eq!(rest[rest.len() - 2..], [999 + kept, -(i64::try_from(capacity).unwrap() - kept)]);
}

#[test]
fn a_slow_consumer_holds_nobody_back() {
    let fanout = Arc::new(Fanout::new(2));
    let (slow, quick) = (fanout.subscribe("grpc", None), fanout.subscribe("grpc", None));
    for number in 1..=100 {
        publish(&fanout, [number]);
        assert_eq!(receive(&quick), [i64::try_from(number).unwrap()]);
    }
    assert_eq!((quick.ledger().dropped, slow.ledger().dropped), (0, 98));
    assert_eq!(slow.ledger().queued, 2);
}

#[test]
fn enormous_events_fill_a_queue_before_they_fill_the_memory() {
    let fanout = Arc::new(Fanout::new(10_000));
    let slow = fanout.subscribe("grpc", None);
    let heavy = mk_heavy(QUEUE_BYTES / 4);
    for _ in 0..6 {
        fanout.publish(&[Arc::clone(&heavy)]);
    }
    assert_eq!((slow.ledger().queued, slow.ledger().dropped), (3, 3));
    publish(&fanout, [1]);
    let mut items = Vec::new();
    assert!(slow.receive_blocking(&mut items, SOON));
    assert!(matches!(
        &items[..],
        [Item::Event(_), Item::Event(_), Item::Event(_), Item::Gap(3), Item::Event(_)]
    ));
    // One event has room whatever it weighs, and what was taken weighs no more.
    items.clear();
    fanout.publish(&[mk_heavy(2 * QUEUE_BYTES), mk_heavy(1)]);
    assert!(slow.receive_blocking(&mut items, SOON));
    assert!(matches!(&items[..], [Item::Event(_), Item::Gap(1)]));
}

#[test]
fn a_closed_fanout_lets_consumers_finish() {
    let fanout = Arc::new(Fanout::new(10));
    let early = fanout.subscribe("grpc", None);
    publish(&fanout, [1, 2]);
    fanout.close();
    let late = fanout.subscribe("grpc", None);
    assert_eq!(receive(&early), [1, 2]);
    let mut items = Vec::new();
    assert!(!early.receive_blocking(&mut items, Duration::from_secs(60)));
    assert!(!late.receive_blocking(&mut items, Duration::from_secs(60)));
    assert!(items.is_empty());
}

#[tokio::test]
async fn an_asynchronous_consumer_waits_and_ends() {
    let fanout = Arc::new(Fanout::new(10));
    let sink = fanout.subscribe("grpc", None);
    let reader = tokio::spawn(async move {
        let (mut items, mut all) = (Vec::new(), Vec::new());
        while sink.receive(&mut items).await {
            all.append(&mut items);
        }
        shown(&all)
    });
    for number in 1..=3 {
        tokio::task::yield_now().await;
        publish(&fanout, [number]);
    }
    fanout.close();
    assert_eq!(reader.await.unwrap(), [1, 2, 3]);
}

#[tokio::test]
async fn a_cancelled_wait_loses_nothing() {
    let fanout = Arc::new(Fanout::new(10));
    let sink = fanout.subscribe("grpc", None);
    let mut items = Vec::new();
    assert!(tokio::time::timeout(SOON, sink.receive(&mut items)).await.is_err());
    publish(&fanout, [1]);
    assert!(sink.receive(&mut items).await);
    assert_eq!(shown(&items), [1]);
}

#[test]
fn the_ledger_of_an_ended_consumer_stays_and_adds_up() {
    let fanout = Arc::new(Fanout::new(2));
    let sink = fanout.subscribe("grpc", None);
    publish(&fanout, 1..=5);
    sink.filtered();
    sink.added();
    sink.dropped();
    assert_eq!(sum(&sink.ledger()), sink.ledger().offered);
    drop(sink);
    let ledgers = fanout.ledgers();
    let [ended] = &ledgers[..] else { panic!("{ledgers:?}") };
    assert!(!ended.active);
    // 3 for lack of room, 1 by its own limit, 2 that it had not settled.
    assert_eq!((ended.offered, ended.filtered, ended.dropped, ended.queued), (6, 1, 5, 0));
    publish(&fanout, [6]);
    assert_eq!(fanout.ledgers()[0].offered, 6);
    for _ in 0..2 * REMEMBERED {
        fanout.subscribe("grpc", None);
    }
    assert_eq!(fanout.ledgers().len(), REMEMBERED);
}

#[test]
fn many_consumers_that_come_and_go_lose_no_count() {
    const EVENTS: u64 = 20_000;
    let fanout = Arc::new(Fanout::new(64));
    thread::scope(|scope| {
        for number in 0..6u64 {
            let sink = fanout.subscribe("grpc", None);
            scope.spawn(move || {
                let (mut next, mut items, mut seen, mut missing) = (1, Vec::new(), 0, 0);
                while sink.receive_blocking(&mut items, SOON) {
                    for item in items.drain(..) {
                        match item {
                            Item::Gap(count) => {
                                missing += count;
                                next += count;
                            }
                            Item::Event(event) => {
                                let Payload::Gap { lost } = event.payload() else { panic!() };
                                assert_eq!(*lost, next, "the gap before it has another size");
                                next += 1;
                                seen += 1;
                                if seen % 2 == 0 { sink.filtered() } else { sink.settled(1, 0) }
                            }
                        }
                    }
                    if number % 2 == 0 {
                        thread::sleep(Duration::from_micros(50 * number));
                    }
                }
                let ledger = sink.ledger();
                assert_eq!((ledger.offered, ledger.dropped, ledger.queued), (EVENTS, missing, 0));
                assert_eq!((sum(&ledger), seen + missing), (EVENTS, EVENTS));
            });
        }
        // One that ends early, with the queue full, and somebody who looks all the time.
        let early = fanout.subscribe("grpc", None);
        scope.spawn(move || {
            thread::sleep(Duration::from_millis(2));
            drop(early);
        });
        let watched = Arc::clone(&fanout);
        scope.spawn(move || {
            while watched.emitted() < EVENTS {
                for ledger in watched.ledgers() {
                    assert_eq!(sum(&ledger), ledger.offered, "{ledger:?}");
                }
                thread::yield_now();
            }
        });
        for first in (1..=EVENTS).step_by(10) {
            publish(&fanout, first..first + 10);
        }
        fanout.close();
    });
    assert_eq!(fanout.emitted(), EVENTS);
    for ledger in fanout.ledgers() {
        assert_eq!((sum(&ledger), ledger.queued), (ledger.offered, 0), "{ledger:?}");
    }
}
