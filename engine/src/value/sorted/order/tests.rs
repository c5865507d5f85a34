use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Change {
    Insert(prop::sample::Index),
    Remove(prop::sample::Index),
    Drain(prop::sample::Index, prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        10 => place().prop_map(Change::Insert),
        5 => place().prop_map(Change::Remove),
        1 => (place(), place()).prop_map(|(start, end)| Change::Drain(start, end)),
    ]
}

fn slot(number: usize) -> Slot {
    Slot { score: 0.0, member: number as u32 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// By rank alone, an order is a vector; its chunks keep their sizes after each change.
    #[test]
    fn behaves_as_a_vector(
        length in 0usize..4000,
        changes in prop::collection::vec(change(), 1..200),
        drains_are_short in any::<bool>(),
    ) {
        let mut model: Vec<Slot> = (0..length).map(slot).collect();
        let mut order = Order::from_sorted(&model);
        for (number, change) in changes.into_iter().enumerate() {
            match change {
                Change::Insert(place) => {
                    let rank = place.index(model.len() + 1);
                    // Several in one place, so that chunks fill up.
                    for step in 0..40 {
                        model.insert(rank, slot(length + 40 * number + step));
                        order.insert(order.position(rank), slot(length + 40 * number + step));
                    }
                }
                Change::Remove(place) if !model.is_empty() => {
                    let rank = place.index(model.len());
                    for _ in 0..40.min(model.len() - rank) {
                        let removed = model.remove(rank);
                        prop_assert_eq!(order.remove(order.position(rank)), Some(removed));
                    }
                }
                Change::Remove(_) => {
                    let end = order.position(0);
                    prop_assert_eq!(order.remove(end), None);
                }
                Change::Drain(start, end) => {
                    let (start, end) = (start.index(model.len() + 1), end.index(model.len() + 1));
                    let (start, mut end) = (start.min(end), start.max(end));
                    if drains_are_short {
                        end = end.min(start + 700);
                    }
                    let expected: Vec<_> = model.drain(start..end).collect();
                    prop_assert_eq!(order.drain(start..end), expected);
                }
            }
            order.check();
        }
        prop_assert!(order.slots(0..model.len()).eq(model.iter().copied()));
        prop_assert!(order.slots(0..model.len()).rev().eq(model.iter().rev().copied()));
        let third = model.len() / 3;
        prop_assert!(order.slots(third..2 * third).eq(model[third..2 * third].iter().copied()));
        for rank in (0..model.len()).step_by(97) {
            prop_assert_eq!(order.at(rank), Some(model[rank]));
            prop_assert_eq!(order.rank(order.position(rank)), rank);
        }
        prop_assert_eq!(order.at(model.len()), None);
    }

    /// Walked from both ends in turn, every slot comes once.
    #[test]
    fn both_ends_meet(length in 0usize..2000, sides in prop::collection::vec(any::<bool>(), 2000)) {
        let model: Vec<Slot> = (0..length).map(slot).collect();
        let order = Order::from_sorted(&model);
        let (mut slots, mut expected) = (order.slots(0..length), model.iter().copied());
        for from_back in sides {
            if from_back {
                prop_assert_eq!(slots.next_back(), expected.next_back());
            } else {
                prop_assert_eq!(slots.next(), expected.next());
            }
        }
    }
}
