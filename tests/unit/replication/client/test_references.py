from __future__ import annotations

import esper
import pytest

import ecsnet.replication.client.references as module
import ecsnet.replication.client.view as view_module
from ecsnet.replication.client.references import References
from ecsnet.schema import EntityRef, Registry, replicated, use_registry
from tests.unit.replication.client.viewing import CID, SCHEMA, Likes, Subject, Tank

LIKES = CID[Likes]


def likes(*nets: int) -> Likes:
    """A component as it is on the wire, with these references."""
    return Likes(nets[0], list(nets[1:]))


def test_the_components_that_mention_an_entity_are_found() -> None:
    references = References(SCHEMA.components)
    references.note(1, LIKES, likes(7, 7, 8))
    references.note(2, LIKES, likes(8))
    assert set(references.referrers([7])) == {(1, LIKES)}
    assert sorted(references.referrers([7, 8])) == [(1, LIKES), (2, LIKES)]
    references.note(1, LIKES, likes(9))  # in the place of what it was
    assert list(references.referrers([7])) == []
    assert sorted(references.referrers([8, 9])) == [(1, LIKES), (2, LIKES)]
    references.forget(1, CID[Tank])  # which mentions nobody
    references.forget_entity(1)
    references.forget(2, LIKES)
    assert list(references.referrers([7, 8, 9])) == []
    assert references.kept == 0


def test_more_references_than_may_be_kept_are_an_overload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MENTIONS", 40)
    references = References(SCHEMA.components)
    for net in range(1, 11):
        references.note(net, LIKES, likes(*range(1, 5)))
        assert references.kept == 4 * net
    references.note(3, LIKES, likes(*range(11, 15)))  # what it held makes room
    assert (references.kept, references.overload) == (40, None)
    references.note(11, LIKES, likes(1))
    assert references.overload is not None
    assert "more than 40 references" in references.overload
    assert references.kept == 40
    references.clear()
    assert references.kept == 0
    assert list(references.referrers(range(20))) == []


def test_a_single_reference_counts_as_one() -> None:
    with use_registry(Registry()) as registry:

        @replicated
        class Follows:
            whom: EntityRef = None

    references = References(registry.schema().components)
    references.note(1, registry.schema().cid_of[Follows], Follows(7))
    assert references.kept == 1


def test_one_component_holds_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MENTIONS_OF_ONE", 3)
    references = References(SCHEMA.components)
    references.note(1, LIKES, likes(1, 1, 1))
    assert (references.kept, references.overload) == (1, None)
    references.note(1, LIKES, likes(1, 1, 1, 1))
    assert references.overload == "a Likes holds 4 references, at most 3"
    assert references.kept == 0


def test_containers_around_references_count_until_these_are_forgotten() -> None:
    with use_registry(Registry()) as registry:

        @replicated
        class Squads:
            of: list[list[EntityRef]] = []

    schema = registry.schema()
    cid = schema.cid_of[Squads]
    references = References(schema.components)
    references.note(1, cid, Squads([[], []]))
    assert references.kept == 0  # which refer to nothing
    references.note(1, cid, Squads([[7], [8], []]))
    assert references.kept == 2 + 3
    references.forget(1, cid)
    assert references.kept == 0
    for net in range(1, 15):
        references.note(net, cid, Squads([[7]] * 16_384))
    assert references.overload is None
    for net in (15, 16):
        references.note(net, cid, Squads([[7]] * 16_384))
    assert references.overload is not None
    assert list(references.referrers([7])) != []


def test_who_goes_by_another_network_id_mentions_by_that() -> None:
    references = References(SCHEMA.components)
    references.note(1, LIKES, likes(7, 8))
    references.rename(1, 5)
    assert list(references.referrers([7, 8])) == [(5, LIKES)]
    references.forget_entity(1)  # which is nobody now
    assert (references.kept, list(references.referrers([7]))) == (2, [(5, LIKES)])
    references.forget_entity(5)
    assert (references.kept, list(references.referrers([7, 8]))) == (0, [])


# In a view.


def test_a_reference_reads_none_while_its_entity_is_out_of_sight_and_heals(
    subject: Subject,
) -> None:
    subject.show({1: [Likes(2, [1, 2])]})
    assert subject.of(1)[Likes] == Likes(None, [1, None])
    subject.show({2: [Tank()]})
    two = subject.view.local[2]
    assert subject.of(1)[Likes] == Likes(two, [1, two])
    subject.say(hidden=[2])
    subject.poll()
    assert subject.of(1)[Likes] == Likes(None, [1, None])
    subject.show({5: [], 2: [Tank()]})
    assert subject.view.local[2] != two
    assert subject.of(1)[Likes] == Likes(subject.view.local[2], [1, subject.view.local[2]])
    assert subject.true()


def test_references_among_entities_that_come_together_are_there_at_once(
    subject: Subject,
) -> None:
    subject.show({1: [Likes(2)], 2: [Likes(1)]})
    one, two = subject.view.local[1], subject.view.local[2]
    assert (subject.of(1)[Likes], subject.of(2)[Likes]) == (Likes(two), Likes(one))


def test_a_reference_that_changed_heals_no_more(subject: Subject) -> None:
    subject.show({1: [Likes(7)], 2: [Likes(7)]})
    subject.show({1: [Likes(1)]})
    subject.say(removed=[(Likes, 2)])
    subject.poll()
    subject.show({7: [Tank()]})
    assert subject.of(1)[Likes] == Likes(1)
    assert Likes not in subject.of(2)
    assert subject.view.references.kept == 1


def test_nothing_is_kept_of_references_from_what_is_gone(subject: Subject) -> None:
    subject.show({1: [Tank()]})
    for net in range(2, 60):
        subject.show({net: [Likes(1)]})
        subject.say(gone=[net])
        subject.poll()
    assert not subject.view.references._mentions
    assert not subject.view.references._referrers
    subject.show({90: [Likes(1)], 91: [Likes(90)]})
    with subject.world:
        esper.clear_database()
    subject.say(gone=[90, 91])
    subject.poll()
    assert not subject.view.references._mentions
    assert not subject.view.references._referrers


def test_what_is_gone_heals_no_more_though_that_is_not_shown_yet(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject.show({1: [Likes(2)], 2: [Tank()]})
    monkeypatch.setattr(view_module, "PARTS_AT_ONCE", 1)  # so one entity after the other
    subject.say(gone=[2])
    subject.say(gone=[1])
    assert [len(subject.poll()) for _ in range(3)] == [1, 1, 0]
    assert not subject.view.local
